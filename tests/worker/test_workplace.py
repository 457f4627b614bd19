"""Where a run can begin: what its host lacks is no fault of the run's."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import pytest

from worker import settings
from worker.workplace import Workplace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workplace:
    (tmp_path / "runs").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "runs"))
    named = {"PREFECT_API_URL": "http://127.0.0.1:4200/api", "HUBLAB_WORKER_NAME": "w"}
    return Workplace(tmp_path / "storage", settings.from_environment(named))


@pytest.fixture
def fork_bomb(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Another run has taken all processes of the unit but so many."""
    start = threading.Thread.start

    def leave(room: int) -> None:
        left = iter(range(room))

        def refused(thread: threading.Thread) -> None:
            if next(left, None) is None:
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", refused)

    return leave


@pytest.mark.parametrize("room", [0, 1, 12])
def test_no_run_is_begun_where_another_has_taken_all_processes(
    workplace: Workplace, fork_bomb: Callable[[int], None], tmp_path: Path, room: int
) -> None:
    """It would end CRASHED, and the next as well: a worker whose runs crash at once is free at once."""
    before = threading.active_count()
    fork_bomb(room)
    with pytest.raises(OSError, match="no room for its processes"):
        workplace.open(None)
    assert "no room for its processes" in (workplace.problem or "")
    assert not list((tmp_path / "runs").iterdir())
    assert threading.active_count() == before


async def test_folders_of_a_run_go_where_no_thread_can_be_had(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def refused(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    async with workplace.open(None):
        assert list((tmp_path / "runs").iterdir())
        monkeypatch.setattr(anyio.to_thread, "run_sync", refused)
    assert not list((tmp_path / "runs").iterdir())
