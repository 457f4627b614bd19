"""docs/faults.md says what one run of `make faults` saw at one commit, and nothing of earlier ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hosts.book import Book

if TYPE_CHECKING:
    from pathlib import Path


def cells(fault: str) -> tuple[str, str, str, str]:
    return (fault, "ended", "converged", "2 of 2 completed")


def test_rows_of_one_run_at_one_commit_are_kept_and_no_others(tmp_path: Path) -> None:
    page, kept = tmp_path / "faults.md", tmp_path / "faults.json"
    Book(page, kept, "1111", "first").add(*cells("of an earlier run"))
    Book(page, kept, "1111", "second").add(*cells("one lane"))
    Book(page, kept, "1111", "second").add(*cells("another lane"))
    text = page.read_text()
    assert "commit 1111" in text
    assert text.index("| another lane |") < text.index("| one lane |")
    assert "an earlier run" not in text
    Book(page, kept, "2222", "second").add(*cells("at another commit"))
    assert "lane" not in page.read_text()


def test_nothing_is_written_where_not_every_fault_is_asked_for(tmp_path: Path) -> None:
    page, kept = tmp_path / "faults.md", tmp_path / "faults.json"
    Book(page, kept, "1111", "").add(*cells("one of a few"))
    assert not page.exists()
    assert not kept.exists()
