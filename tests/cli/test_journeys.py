"""What docs/architecture.md draws can be followed in the code, and is not more than a reader can hold."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from docs import journeys
from docs.journeys import DEPLOY, JOURNEYS, Arrow

if TYPE_CHECKING:
    from pathlib import Path

PAGE = journeys.PAGE.read_text()


def test_the_pictures_are_what_the_code_says_today() -> None:
    assert journeys.drawn(PAGE) == PAGE, "python -m docs.journeys"
    assert re.findall("<!-- picture: (.+) -->", PAGE) == list(JOURNEYS)


@pytest.mark.parametrize("arrow", [arrow for journey in JOURNEYS.values() for arrow in journey], ids=str)
def test_each_arrow_can_be_followed(arrow: Arrow) -> None:
    assert arrow.fault() == "" or not arrow.called


def test_no_file_of_a_picture_is_reached_from_nowhere() -> None:
    for journey in JOURNEYS.values():
        first, *others = journeys.files(journey)
        assert set(others) <= {arrow.end for arrow in journey} | {"flows/webhooks/forwarding.py"}, first


def test_deploy_is_followed_through_ten_files_and_twelve_names() -> None:
    assert len(journeys.files(DEPLOY)) <= 10
    table = PAGE.partition("| name |")[2].partition("\n\n")[0]
    assert 1 < len(table.splitlines()) - 2 <= 12


def test_arrow_that_cannot_be_followed_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def go():\n    work()\n\ndef rest():\n    other()\n")
    (tmp_path / "b.py").write_text("def work():\n    pass\n")
    assert Arrow("a.py", "go", "work", "b.py").fault(tmp_path) == ""
    assert Arrow("a.py", "rest", "work", "b.py").fault(tmp_path) == "a.py, rest: names no work"
    assert Arrow("a.py", "gone", "work", "b.py").fault(tmp_path) == "a.py has no gone"
    assert Arrow("a.py", "rest", "other", "b.py").fault(tmp_path) == "b.py defines no other"


def test_names_of_the_table_are_those_of_the_code() -> None:
    text = "\n".join(path.read_text() for path in (journeys.ROOT / "deploy").rglob("*.py"))
    named = re.findall(r"^\| [\w-]+ \| `(\w+)` \|", PAGE, re.MULTILINE)
    assert len(named) == 9
    assert [name for name in named if not re.search(rf"^ *(class|def) {name}\b", text, re.MULTILINE)] == []
