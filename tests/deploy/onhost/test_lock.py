"""The lock of a host: one holder, told by name; an orphan is shown and taken over; who lost it begins nothing more."""

from __future__ import annotations

import json
import multiprocessing
from typing import TYPE_CHECKING, Any

import pytest

from deploy.onhost import lock
from deploy.onhost.wire import Places

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
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
        monkeypatch.setattr(lock, "at_work", lambda _: self.now < self.busy_until)
        monkeypatch.setattr("deploy.onhost.lock.time.sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        for action in self.each_sleep:
            action()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def query(folder: Path, phase: str, token: str = MINE, who: str = "ada@desk", patience: float = 900) -> lock.Lock:
    owner = lock.Owner(who, "deploy of release r1")
    places = Places(lock=folder)
    return lock.Lock(phase=phase, mine=token, owner=owner, patience_seconds=patience, places=places)


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
    assert "./hublab unlock" in said
    held = lock.holder(tmp_path)
    assert held is not None
    assert held.token == "a"


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
    assert held.who == "bob@laptop"


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
    assert "systemctl status 'hublab-rollout-*'" in capsys.readouterr().out


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
    assert held.token == "b"
    with pytest.raises(SystemExit) as ended:
        lock.begin(tmp_path, "a", looks=False)
    assert ended.value.code == 4
    assert "locked by bob@laptop" in capsys.readouterr().out
    assert lock.begin(tmp_path, "b", looks=False)


@pytest.mark.parametrize(("phase", "status"), [("refresh", 1), ("release", 0), ("unlock", 0)])
def test_who_does_not_take_it_leaves_nothing_on_a_host_without_one(
    tmp_path: Path, clock: Clock, phase: str, status: int
) -> None:
    """A sign of life that comes after `decommission` has removed the folder."""
    folder = tmp_path / "hublab"
    assert lock.main(query(folder, phase)) == status
    with pytest.raises(SystemExit):
        lock.begin(folder, MINE, looks=False)
    assert not folder.exists()


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


LOCKED = '{"who": "b", "what": "deploy", "token": "b", "since": "1", "began": 1, "refreshed": %s}'
AGELESS = [LOCKED % value for value in ('"now"', "null", "true", "NaN", "Infinity", "[1]")]


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"token": "b"}', *AGELESS])
def test_rubble_is_no_lock(tmp_path: Path, clock: Clock, text: str) -> None:
    (tmp_path / "lock").write_text(text)
    assert lock.main(query(tmp_path, "take")) == 0


def step(folder: Path, token: str, begun: Connection, looks: bool = False) -> int:
    """A step of a deploy in a process of its own: says when it has begun, and ends when it is told to."""
    work = lock.begin(folder, token, looks=looks)
    begun.send(work is not None)
    begun.recv()
    return 0


class Step:
    """Such a process, begun."""

    def __init__(self, folder: Path, token: str, *, looks: bool = False) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, there = context.Pipe()
        self.process = context.Process(target=step, args=(folder, token, there, looks))
        self.process.start()
        there.close()

    def begun(self, seconds: float) -> bool | None:
        """Whether it may change the host; None when it has not begun within so many seconds."""
        return bool(self.pipe.recv()) if self.pipe.poll(seconds) else None

    def end(self) -> None:
        self.pipe.send("end")
        self.process.join(30)
        assert self.process.exitcode == 0


def test_nobody_takes_the_lock_while_a_step_of_its_holder_runs_however_long_it_is_silent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a step that was begun just before the lease ended would write over what the next deploy writes."""
    lock.main(query(tmp_path, "take"))
    running = Step(tmp_path, MINE)
    assert running.begun(30)
    monkeypatch.setattr(lock, "LEASE_SECONDS", -1)
    try:
        assert lock.main(query(tmp_path, "take", "b", patience=-1)) == 1
        assert "did not end within" in capsys.readouterr().out
    finally:
        running.end()
    assert lock.main(query(tmp_path, "take", "b", patience=-1)) == 0


def test_step_that_dies_keeps_nobody_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock.main(query(tmp_path, "take"))
    running = Step(tmp_path, MINE)
    assert running.begun(30)
    running.process.kill()
    running.process.join(30)
    monkeypatch.setattr(lock, "LEASE_SECONDS", -1)
    assert lock.main(query(tmp_path, "take", "b", patience=-1)) == 0


def test_second_step_of_one_deploy_waits_for_the_first(tmp_path: Path) -> None:
    """Its operator lost the connection, came again and undoes: what still runs must not run into that."""
    lock.main(query(tmp_path, "take"))
    first = Step(tmp_path, MINE)
    assert first.begun(30)
    second = Step(tmp_path, MINE)
    assert second.begun(2) is None
    first.end()
    assert second.begun(30)
    second.end()


def test_step_that_only_looks_keeps_nobody_from_anything(tmp_path: Path) -> None:
    lock.main(query(tmp_path, "take"))
    looking = Step(tmp_path, MINE, looks=True)
    assert looking.begun(30) is False
    changing = Step(tmp_path, MINE)
    assert changing.begun(30)
    changing.end()
    looking.end()


def test_local_user_cannot_hold_what_the_deploy_waits_for(tmp_path: Path) -> None:
    """flock(2) asks for no right to write: whoever can open the file can hold it for ever."""
    folder = tmp_path / "hublab"
    folder.mkdir(mode=0o755)
    lock.main(query(folder, "take"))
    assert folder.stat().st_mode & 0o777 == 0o700


def contend(folder: Path, number: int) -> int:
    """A process of its own that tries once."""
    return lock.main(query(folder, "take", str(number), patience=-1))


def test_of_many_at_once_one_gets_it(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        results = pool.starmap(contend, [(tmp_path, number) for number in range(24)])
    assert sorted(results) == [0] + [1] * 23
