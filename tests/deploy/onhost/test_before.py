"""What the workers were before an unfinished rollout, and the way back to it."""

from __future__ import annotations

import errno
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from deploy.onhost import before, drop_ins, put_secrets, roll_back, roll_worker, worker_unit
from deploy.onhost.common import HostError
from deploy.onhost.put_secrets import PutSecrets
from deploy.onhost.roll_back import RollBack
from deploy.onhost.roll_worker import RollWorker
from deploy.onhost.wire import Places

if TYPE_CHECKING:
    from pathlib import Path


def unit(release: str) -> str:
    lines = (f"ExecStart=/r/{release}/venv/bin/python", "Environment=HUBLAB_WORKER_NAME=h-{number}")
    return "\n".join(lines) + "\n"


OLD, NEW = unit("old"), unit("new")
UNITS = ("prefect-worker@1.service", "prefect-worker@2.service")


def test_the_first_text_stays_until_the_rollout_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "before"
    before.save(folder, UNITS[0], OLD)
    before.save(folder, UNITS[0], NEW)
    before.save(folder, UNITS[1], "")
    assert before.saved(folder) == {UNITS[0]: OLD, UNITS[1]: ""}
    assert folder.stat().st_mode & 0o777 == 0o700
    before.mark_passed(folder, UNITS[0], NEW)
    assert before.unfinished(folder) == {UNITS[0]: before.digest(NEW), UNITS[1]: ""}
    before.clear(folder)
    assert list(tmp_path.iterdir()) == []
    assert before.unfinished(folder) == {}


class World:
    """A host whose units are files; moving one may be made to fail, and a moved one has loaded its credential."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.failing, self.full = folder, set[str](), False
        self.moves: list[tuple[str, str]] = []
        self.loaded: dict[str, str] = {}
        self.units, self.profiles = folder / "units", folder / "profiles.toml"
        self.units.mkdir()
        monkeypatch.setattr(drop_ins, "PLACES", (str(folder / "units"), str(folder / "control")))
        monkeypatch.setattr(roll_back, "show", lambda _: {"ActiveState": "active", "NeedDaemonReload": "no"})
        monkeypatch.setattr(roll_back, "carries_its_credentials", self.carries)
        monkeypatch.setattr(worker_unit, "move", self.move)
        monkeypatch.setattr(worker_unit, "must", lambda *_, **__: "")
        monkeypatch.setattr(roll_worker, "verify", lambda _unit, _text: None)
        monkeypatch.setattr(roll_worker, "move", self.move)
        monkeypatch.setattr(worker_unit, "ask", lambda *_: "the journal")

    def secret(self) -> str:
        return self.profiles.read_text() if self.profiles.exists() else ""

    def carries(self, name: str, _text: str) -> bool:
        return self.loaded.get(name, "") == self.secret()

    def move(self, _: worker_unit.Moves, unit: str, text: str) -> None:
        self.moves.append((unit, text))
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        (self.units / unit).write_text(text)
        self.loaded[unit] = self.secret()
        if text in self.failing:
            raise HostError("its gate")

    @property
    def places(self) -> Places:
        return Places(units=self.units, before=self.folder / "before", secrets=(self.profiles,))

    def give(self, secret: str) -> int:
        return put_secrets.main(PutSecrets(content={str(self.profiles): secret}, places=self.places))

    def roll(self, number: int) -> int:
        unit, worker = UNITS[number - 1], f"h-{number}"
        return roll_worker.main(RollWorker(unit=unit, worker=worker, text=NEW, gate_seconds=1, places=self.places))

    def go_back(self) -> int:
        return roll_back.main(RollBack(gate_seconds=1, places=self.places))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_all_that_was_moved_goes_back_the_last_first(world: World) -> None:
    (world.units / UNITS[0]).write_text(OLD)
    assert (world.roll(1), world.roll(2)) == (0, 0)
    world.moves.clear()
    assert world.go_back() == 0
    assert world.moves == [(UNITS[0], OLD)]
    assert not (world.units / UNITS[1]).exists(), "it was new"
    assert not (world.folder / "before").exists()


def test_worker_that_already_is_what_it_was_is_left_alone(world: World) -> None:
    for unit in UNITS:
        (world.units / unit).write_text(OLD)
    world.roll(1)
    world.failing.add(NEW)
    assert world.roll(2) == 1
    world.moves.clear()
    assert world.go_back() == 0
    assert world.moves == [(UNITS[0], OLD)]


def test_one_that_cannot_go_back_keeps_no_other_from_it_and_is_not_forgotten(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    (world.units / UNITS[0]).write_text(OLD)
    (world.units / UNITS[1]).write_text(OLD + "# two")
    world.roll(1)
    world.roll(2)
    world.moves.clear()
    world.failing.add(OLD + "# two")
    assert world.go_back() == 1
    assert world.moves == [(UNITS[1], OLD + "# two"), (UNITS[0], OLD)]
    assert "could not be put back: its gate" in capsys.readouterr().out
    assert before.saved(world.folder / "before") == {UNITS[0]: OLD, UNITS[1]: OLD + "# two"}


def test_unit_that_does_not_verify_touches_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_unit: str, _text: str) -> None:
        raise HostError("does not verify")

    monkeypatch.setattr(roll_worker, "verify", refuse)
    (world.units / UNITS[0]).write_text(OLD)
    assert world.roll(1) == 1
    assert world.moves == []
    assert not (world.folder / "before").exists()


def test_systemd_that_does_not_answer_touches_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own limit ends the question, and that is told like any other refusal."""

    def silent(command: list[str], **_: Any) -> None:
        raise subprocess.TimeoutExpired(command, 60)

    monkeypatch.setattr(roll_worker, "verify", worker_unit.verify)
    monkeypatch.setattr(subprocess, "run", silent)
    (world.units / UNITS[0]).write_text(OLD)
    assert world.roll(1) == 1
    assert world.moves == []


def test_unit_of_which_systemd_says_nothing_keeps_no_other_from_going_back(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for unit in UNITS:
        (world.units / unit).write_text(OLD)
    assert (world.roll(1), world.roll(2)) == (0, 0)
    world.moves.clear()

    def show(unit: str) -> dict[str, str]:
        if unit == UNITS[1]:
            raise HostError(f"systemd does not say how {unit} is")
        return {"ActiveState": "active", "NeedDaemonReload": "no"}

    monkeypatch.setattr(roll_back, "show", show)
    assert world.go_back() == 1
    assert world.moves == [(UNITS[0], OLD)]
    assert f"systemd does not say how {UNITS[1]} is" in capsys.readouterr().out


def test_worker_that_passed_with_the_new_credential_goes_back_to_the_old_one(world: World) -> None:
    """Its unit is the same to the letter: only what the process was started with tells."""
    (world.units / UNITS[0]).write_text(NEW)
    world.profiles.write_text("former")
    world.give("new")
    assert world.roll(1) == 0
    assert world.loaded == {UNITS[0]: "new"}
    world.moves.clear()
    assert world.go_back() == 0
    assert world.moves == [(UNITS[0], NEW)]
    assert (world.loaded, world.secret()) == ({UNITS[0]: "former"}, "former")
    assert world.profiles.stat().st_mode & 0o777 == 0o600


def test_failed_gate_puts_the_credential_back_before_the_worker(world: World) -> None:
    """Whether or not the operator is still there to ask for the rest."""
    (world.units / UNITS[0]).write_text(OLD)
    world.profiles.write_text("former")
    world.give("new")
    world.failing.add(NEW)
    assert world.roll(1) == 1
    assert world.moves == [(UNITS[0], NEW), (UNITS[0], OLD)]
    assert (world.loaded, world.secret()) == ({UNITS[0]: "former"}, "former")


def test_credential_of_a_first_deploy_that_failed_does_not_stay(world: World) -> None:
    world.give("new")
    world.failing.add(NEW)
    assert world.roll(1) == 1
    assert world.go_back() == 0
    assert list(world.folder.rglob("*profiles*")) == []


def test_second_try_of_a_rollout_that_was_cut_off_keeps_what_was_there_before_the_first(world: World) -> None:
    world.profiles.write_text("former")
    world.give("first try")
    world.give("second try")
    assert world.go_back() == 0
    assert world.secret() == "former"


@pytest.mark.parametrize("half", [".profiles.toml.a1b2c3d4", "profiles.toml.Ab12Cd"])
def test_half_a_credential_that_a_power_cut_left_is_removed(half: str, world: World) -> None:
    """Both on the way there and on the way back; the second is what former releases called theirs."""
    (world.folder / half).write_text("half of it")
    world.give("new")
    assert not (world.folder / half).exists()
    (world.folder / half).write_text("half of it")
    world.go_back()
    assert not (world.folder / half).exists()


def test_disk_that_is_full_on_the_way_back_is_told_and_each_is_tried(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in UNITS:
        (world.units / name).write_text(OLD)
    world.roll(1)
    world.roll(2)
    world.moves.clear()
    world.full = True
    assert world.go_back() == 1
    assert world.moves == [(UNITS[1], OLD), (UNITS[0], OLD)]
    assert capsys.readouterr().out.count("could not be put back: [Errno 28] No space left on device") == 2
    world.full = False
    assert world.go_back() == 0
    assert {(world.units / name).read_text() for name in UNITS} == {OLD}


def test_disk_that_is_full_when_a_worker_is_moved_puts_it_back(world: World) -> None:
    (world.units / UNITS[0]).write_text(OLD)
    world.full = True
    assert world.roll(1) == 3
    world.full = False
    assert world.go_back() == 0
    assert (world.units / UNITS[0]).read_text() == OLD


def test_with_nothing_to_undo_nothing_is_moved(world: World) -> None:
    assert world.go_back() == 0
    assert world.moves == []
