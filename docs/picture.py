"""Makes the README's picture from a real run.

Usage: script -qec "./hublab deploy" /dev/null | python docs/picture.py docs/deploy.svg
"""

import io
import sys
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

WIDTH = 132


def main(target: str) -> None:
    """Renders what arrives on standard input, colours included, as a terminal window."""
    raw = sys.stdin.read().replace("\r\n", "\n")
    # A carriage return starts the line anew: what a spinner wrote before it is gone from the screen.
    lines = [line.rpartition("\r")[2] for line in raw.split("\n")]
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    console.print(Text.from_ansi("\n".join(lines).strip()), overflow="fold")
    Path(target).write_text(console.export_svg(title="./hublab deploy", theme=MONOKAI), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
