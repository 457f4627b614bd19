"""The lock of a host: one holder, told by name; an orphan is shown and taken over; who lost it begins nothing more."""

from __future__ import annotations

import json
import multiprocessing
from typing import TYPE_CHECKING, Any

import pytest

from deploy.onhost import lock

if TYPE_CHECKING:
    from pathlib import Path

START = 1_000.0
MINE = "a"


class Clock:
    """Time that passes only when somebody sleeps; with each sleep something may happen."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = START
        self.busy_until = 0.0
        self.each_sleep: list[Any] = []
        monkeypatch.setattr(lock, "now", lambda: self.now)
        monkeypatch.setattr(lock, "step_runs", lambda: self.now < self.busy_until)
        monkeypatch.setattr("deploy.onhost.lock.time.sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for action in self.each_sleep:
            action()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def query(folder: Path, phase: str, token: str = MINE, who: str = "ada@desk") -> dict[str, Any]:
    owner = {"who": who, "what": "deploy of release r1"}
    return {"phase": phase, "folder": str(folder), "token": token, "owner": owner, "patience_seconds": 900}


def test_taken_refreshed_given_back(tmp_path: Path, clock: Clock) -> None:
    folder = tmp_path / "hublab"
    assert lock.main(query(folder, "take")) == 0
    held = json.loads((folder / "lock").read_text())
    assert (held["who"], held["what"], held["token"]) == ("ada@desk", "deploy of release r1", "a")
    clock.now += 20
    assert lock.main(query(folder, "refresh")) == 0
    assert json.loads((folder / "lock").read_text())["refreshed"] == START + 20
    assert lock.main(query(folder, "release")) == 0
    assert lock.holder(folder) is None


def test_second_operator_is_told_who_holds_it_and_since_when(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    lock.main(query(tmp_path, "take"))
    before = json.loads((tmp_path / "lock").read_text())
    clock.each_sleep.append(lambda: lock.main(query(tmp_path, "refresh")))
    assert lock.main(query(tmp_path, "take", "b", "bob@laptop")) == 1
    said = capsys.readouterr().out
    assert f"locked by ada@desk since {before['since']} for deploy of release r1" in said
    assert "Nothing was changed" in said
    assert "make unlock" in said
    held = lock.holder(tmp_path)
    assert held is not None
    assert held["token"] == "a"


def test_lock_whose_owner_is_gone_is_shown_and_taken_over(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    lock.main(query(tmp_path, "take"))
    clock.now += 10
    assert lock.main(query(tmp_path, "take", "b", "bob@laptop")) == 0
    assert clock.now - START > lock.LEASE_SECONDS
    assert "locked by ada@desk" in (said := capsys.readouterr().out)
    assert "its owner is gone; taken over" in said
    held = lock.holder(tmp_path)
    assert held is not None
    assert held["who"] == "bob@laptop"


def test_step_of_a_deploy_that_is_gone_is_waited_for(tmp_path: Path, clock: Clock) -> None:
    lock.main(query(tmp_path, "take"))
    clock.busy_until = START + 300
    assert lock.main(query(tmp_path, "take", "b")) == 0
    assert clock.now >= START + 300


def test_step_without_any_lock_is_waited_for_too(tmp_path: Path, clock: Clock) -> None:
    clock.busy_until = START + 40
    assert lock.main(query(tmp_path, "take")) == 0
    assert clock.now >= START + 40


def test_step_that_never_ends_is_not_waited_for_for_ever(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    clock.busy_until = START + 10_000
    assert lock.main(query(tmp_path, "take")) == 1
    assert "systemctl status hublab-rollout.service" in capsys.readouterr().out


def test_who_lost_the_lock_can_neither_refresh_nor_release_nor_begin_a_step(
    tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    lock.main(query(tmp_path, "take"))
    clock.now += lock.LEASE_SECONDS + 1
    lock.main(query(tmp_path, "take", "b", "bob@laptop"))
    assert lock.main(query(tmp_path, "refresh")) == 1
    lock.main(query(tmp_path, "release"))
    held = lock.holder(tmp_path)
    assert held is not None
    assert held["token"] == "b"
    with pytest.raises(SystemExit) as ended:
        lock.require({"folder": str(tmp_path), "token": "a"})
    assert ended.value.code == 4
    assert "locked by bob@laptop" in capsys.readouterr().out
    lock.require({"folder": str(tmp_path), "token": "b"})


def test_unlock_says_whose_it_was(tmp_path: Path, clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    lock.main(query(tmp_path, "take"))
    clock.busy_until = START + 5
    assert lock.main(query(tmp_path, "unlock")) == 0
    assert "was locked by ada@desk" in (said := capsys.readouterr().out)
    assert "a step of that deploy still runs" in said
    assert lock.holder(tmp_path) is None
    clock.now += 10
    lock.main(query(tmp_path, "unlock"))
    assert capsys.readouterr().out == "was not locked\n"


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_rubble_is_no_lock(tmp_path: Path, clock: Clock, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    assert lock.main(query(tmp_path, "take")) == 0


def contend(folder: Path, number: int) -> int:
    """A process of its own that tries once."""
    return lock.main({**query(folder, "take", str(number)), "patience_seconds": -1})


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        results = pool.starmap(contend, [(tmp_path, number) for number in range(24)])
    assert sorted(results) == [0] + [1] * 23
