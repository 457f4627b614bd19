"""A stand-in's clock: its tests' own, and never put back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from sandbox.standins import clock
from sandbox.standins.notion_store import NotionStore

if TYPE_CHECKING:
    import pytest


class PutBack(datetime):
    """A machine's clock that is an hour behind what it was."""

    @classmethod
    def now(cls, tz: object = None) -> PutBack:  # noqa: ARG003 - as `datetime` has it
        return cls.fromtimestamp((datetime.now(UTC) - timedelta(hours=1)).timestamp(), UTC)


def test_what_was_written_is_found_also_when_the_machines_clock_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    store = NotionStore(clock.Clock())
    source = store.create_database("Templates", {"Name": {"title": {}}})
    store.create_page(source, {"Name": {"title": [{"text": {"content": "one"}}]}})
    before = store.clock.now()
    monkeypatch.setattr(clock, "datetime", PutBack)
    assert store.clock.now() >= before
    assert len(store.visible(source)) == 1


def test_time_passes_by_the_machines_clock_and_by_what_a_test_adds() -> None:
    one = clock.Clock()
    first = one.now()
    one.advance(86_400)
    assert timedelta(days=1) <= one.now() - first < timedelta(days=1, minutes=1)
