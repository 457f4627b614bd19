"""What the workers were before an unfinished rollout, and the way back to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from deploy.onhost import before, drop_ins, roll_back, roll_worker, worker_unit
from deploy.onhost.common import HostError

if TYPE_CHECKING:
    from pathlib import Path

OLD, NEW = "ExecStart=/r/old/venv/bin/python\n", "ExecStart=/r/new/venv/bin/python\n"
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
    """A host whose units are files; moving one may be made to fail."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.failing = folder, set[str]()
        self.moves: list[tuple[str, str]] = []
        self.units = folder / "units"
        self.units.mkdir()
        monkeypatch.setattr(drop_ins, "PLACES", (str(folder / "units"), str(folder / "control")))
        monkeypatch.setattr(roll_back, "show", lambda _: {"ActiveState": "active", "NeedDaemonReload": "no"})
        monkeypatch.setattr(roll_back, "put_back", self.put)
        monkeypatch.setattr(roll_worker, "put_back", self.put)
        monkeypatch.setattr(roll_worker, "verify", lambda _unit, _text: None)
        monkeypatch.setattr(roll_worker, "move", lambda query, text, _folder: self.put(query, text))
        monkeypatch.setattr(worker_unit, "ask", lambda *_: "the journal")

    def put(self, query: dict[str, Any], text: str) -> None:
        (self.units / query["unit"]).write_text(text)
        self.moves.append((query["worker"], text))
        if text in self.failing:
            raise HostError("its gate")

    def query(self, **more: Any) -> dict[str, Any]:
        return {
            "units": str(self.units),
            "before": str(self.folder / "before"),
            "files": {"profiles.toml": str(self.folder / "profiles.toml")},
            "hostname": "h",
            **more,
        }

    def roll(self, number: int) -> int:
        one = {"unit": UNITS[number - 1], "worker": f"h-{number}", "text": NEW, "folder": "/r/new"}
        return roll_worker.main(self.query(**one))


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_all_that_was_moved_goes_back_the_last_first(world: World) -> None:
    (world.units / UNITS[0]).write_text(OLD)
    assert (world.roll(1), world.roll(2)) == (0, 0)
    world.moves.clear()
    assert roll_back.main(world.query()) == 0
    assert world.moves == [("h-2", ""), ("h-1", OLD)]
    assert not (world.folder / "before").exists()


def test_worker_that_already_is_what_it_was_is_left_alone(world: World) -> None:
    for unit in UNITS:
        (world.units / unit).write_text(OLD)
    world.roll(1)
    world.failing.add(NEW)
    assert world.roll(2) == 1
    world.moves.clear()
    assert roll_back.main(world.query()) == 0
    assert world.moves == [("h-1", OLD)]


def test_one_that_cannot_go_back_keeps_no_other_from_it_and_is_not_forgotten(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    (world.units / UNITS[0]).write_text(OLD)
    (world.units / UNITS[1]).write_text(OLD + "# two")
    world.roll(1)
    world.roll(2)
    world.moves.clear()
    world.failing.add(OLD + "# two")
    assert roll_back.main(world.query()) == 1
    assert world.moves == [("h-2", OLD + "# two"), ("h-1", OLD)]
    assert "h-2: could not be put back: its gate" in capsys.readouterr().out
    assert before.saved(world.folder / "before") == {UNITS[0]: OLD, UNITS[1]: OLD + "# two"}


def test_unit_that_does_not_verify_touches_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_unit: str, _text: str) -> None:
        raise HostError("does not verify")

    monkeypatch.setattr(roll_worker, "verify", refuse)
    (world.units / UNITS[0]).write_text(OLD)
    assert world.roll(1) == 1
    assert world.moves == []
    assert not (world.folder / "before").exists()


def test_credential_goes_back_with_its_time(world: World) -> None:
    (world.units / UNITS[0]).write_text(OLD)
    world.roll(1)
    kept = world.folder / "before/profiles.toml"
    kept.write_text("former")
    time = kept.stat().st_mtime_ns
    path = world.folder / "profiles.toml"
    path.write_text("new")
    assert roll_back.main(world.query()) == 0
    assert path.read_text() == "former"
    assert path.stat().st_mode & 0o777 == 0o600
    assert abs(path.stat().st_mtime_ns - time) < 1_000_000


def test_nothing_to_undo(world: World) -> None:
    assert roll_back.main(world.query()) == 0
    assert world.moves == []
