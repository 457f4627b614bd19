"""The spool's folder, which two processes have in a redeploy by Coolify, and of which a full disk takes nothing."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from flows.services.prefect_api import ALARM, Prefect
from flows.webhooks.forwarding import Forwarder
from flows.webhooks.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows.world import World


def alarm(name: str) -> dict[str, Any]:
    return {"kind": "alarm", "alarm": name, "text": "heard"}


def test_what_the_old_process_took_last_is_handed_on_by_the_new_one(world: World, tmp_path: Path) -> None:
    old, new = Spool(tmp_path), Forwarder(Spool(tmp_path))
    old.put("last", alarm("of-the-old"))
    assert new.once() == 1
    with Prefect() as prefect:
        assert prefect.variable("alarm-of-the-old")["text"] == "heard"
        prefect.forget("alarm-of-the-old")


def test_an_alarm_of_a_route_of_whatever_name_is_handed_on(world: World, tmp_path: Path) -> None:
    forwarder = Forwarder(Spool(tmp_path))
    forwarder.spool.put("limit", alarm("limit-hour-Summer.Sale~2"))
    assert forwarder.once() == 1
    with Prefect() as prefect:
        heard = [name for name, one in prefect.tagged(ALARM) if one["text"] == "heard"]
        assert heard == ["alarm-limit-hour-summer-sale-2"]
        prefect.forget(*heard)


def test_what_the_old_process_handed_on_waits_no_more(tmp_path: Path) -> None:
    old = Spool(tmp_path)
    old.put("first", alarm("first"))
    new = Forwarder(Spool(tmp_path))
    assert new.spool.waiting == 1
    old.done(old.path("first"))
    assert new.once() == 0
    assert (new.spool.waiting, new.spool.oldest()) == (0, None), "else /health is 503 for ever"


def test_what_goes_while_a_process_looks_ends_no_round_and_is_not_broken(tmp_path: Path) -> None:
    old, new = Spool(tmp_path), Spool(tmp_path)
    for key in ("one", "two", "three"):
        old.put(key, alarm(key))
    entries = new.entries()
    path, first = next(entries)
    for key in ("one", "two"):
        old.done(old.path(key))
    new.done(path)
    assert [first["key"], *(entry["key"] for _, entry in entries)] == ["one", "three"]
    assert (new.waiting, new.broken) == (1, 0)


def test_a_process_that_starts_takes_nothing_from_the_one_that_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = Spool(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: Spool(tmp_path))
        old.put("one", alarm("one"))
    assert [entry["key"] for _, entry in Spool(tmp_path).entries()] == ["one"]


def test_what_a_process_that_was_killed_left_half_written_goes(tmp_path: Path) -> None:
    left = tmp_path / "0.1.part"
    left.write_bytes(b'{"kind": "ala')
    os.utime(left, (1, 1))
    assert list(Spool(tmp_path).entries()) == []
    assert not left.exists()


def test_a_full_disk_is_not_filled_with_what_could_not_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    spool = Spool(tmp_path)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        spool.put("one", alarm("one"))
    assert list(tmp_path.iterdir()) == []
    assert spool.waiting == 0
