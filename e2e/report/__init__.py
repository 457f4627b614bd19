"""The report of a run: a page for people, and the same facts for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from e2e.report import document, junit, page

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.record import Record


def write(record: Record, folder: Path) -> Path:
    """Write `report.html`, `report.json` and `junit.xml`.

    Args:
        record: What was seen.
        folder: Where to; it is made if need be, and what is there of an earlier report is replaced.

    Returns:
        The page's path.

    Raises:
        OSError: the folder cannot be written to. A picture that cannot be read is no error: the page says so.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_text(document.text(record), encoding="utf-8")
    (folder / "junit.xml").write_bytes(junit.text(record))
    html = folder / "report.html"
    html.write_text(page.text(record), encoding="utf-8")
    return html
