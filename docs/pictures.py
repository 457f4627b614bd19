"""`python -m docs.pictures FROM TO.png`: the picture of an HTML page, or of what `script` kept of a terminal."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

from e2e import browser

_COLUMNS = 150
_WIDTH, _MOST_HEIGHT = 1280, 1700  # pixels
_PAGE = """<!doctype html><meta charset="utf-8"><style>{stylesheet}
body {{ margin: 0; padding: 24px; background: {background}; color: {foreground} }}
pre {{ font: 14px/1.35 "DejaVu Sans Mono", monospace; margin: 0; white-space: pre-wrap }}</style><pre>{code}</pre>"""


def terminal(said: str) -> str:
    """What a terminal shows of a program's output, as a page; of a line that was written over, what it said last."""
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in said.split("\n") if not line.startswith("Script ")]
    console = Console(record=True, width=_COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi("\n".join(lines)), soft_wrap=True)
    return console.export_html(code_format=_PAGE, theme=DIMMED_MONOKAI)


def draw(page: Path, picture: Path) -> None:
    """A picture of a page's beginning, as wide as a reader's screen, and two screens high at the most."""
    with browser.opened() as chromium:
        sheet = chromium.new_page(viewport={"width": _WIDTH, "height": 200})
        sheet.goto(page.resolve().as_uri())
        height = min(_MOST_HEIGHT, int(sheet.evaluate("document.documentElement.scrollHeight")))
        sheet.set_viewport_size({"width": _WIDTH, "height": height})
        sheet.screenshot(path=picture, animations="disabled")


if __name__ == "__main__":
    origin, picture = map(Path, sys.argv[1:])
    if origin.suffix == ".html":
        draw(origin, picture)
    else:
        with NamedTemporaryFile("w", suffix=".html") as shown:
            shown.write(terminal(origin.read_bytes().decode()))
            shown.flush()
            draw(Path(shown.name), picture)
