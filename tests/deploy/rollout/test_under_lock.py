"""Shell commands behind the lock, run by a real shell on this machine; and how long any program may take."""

from __future__ import annotations

import fcntl
import subprocess
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from pyinfra.api import FileUploadCommand, QuoteString, StringCommand

from deploy import remote, spec
from deploy.onhost import lock
from deploy.onhost.roll_worker import RollWorker
from deploy.onhost.wire import Places
from deploy.rollout import limits, under_lock
from tests.deploy.factories import bare, converged, wanted
from tests.deploy.queries import KINDS, blank
from tests.deploy.rollout.test_conductor import Fleet

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.onhost.wire import Query

TOKEN = "0123456789abcdef"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "run"
    monkeypatch.setattr(spec, "LOCK", str(place))
    monkeypatch.setattr(under_lock, "WAIT_SECONDS", 1)
    return place


def take(folder: Path, token: str = TOKEN) -> None:
    owner = lock.Owner("ada", "deploy")
    assert lock.main(lock.Lock(phase="take", mine=token, owner=owner, places=Places(lock=folder))) == 0


def run(command: StringCommand | str) -> subprocess.CompletedProcess[str]:
    member = cast("Any", SimpleNamespace(token=TOKEN))
    (guarded,) = under_lock.under_lock(member, [command])
    line = cast("StringCommand", guarded).get_raw_value()
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=False, timeout=180)


def test_command_runs_while_the_lock_is_ours_and_its_status_is_its_own(folder: Path) -> None:
    take(folder)
    done = run(StringCommand("echo", QuoteString("it's $HOME"), "; exit 3"))
    assert (done.stdout, done.stderr, done.returncode) == ("it's $HOME\n", "", 3)
    assert run("echo again").stdout == "again\n"


@pytest.mark.parametrize("now", ["another's", "nobody's", "no folder"])
def test_command_of_who_has_lost_the_lock_is_not_begun(now: str, folder: Path, tmp_path: Path) -> None:
    if now != "no folder":
        take(folder, "fedcba9876543210" if now == "another's" else TOKEN)
    if now == "nobody's":
        (folder / "lock").unlink()
    done = run(f"touch {tmp_path}/written")
    assert done.returncode == 4
    assert done.stderr.startswith(lock.LOST)
    assert not (tmp_path / "written").exists()


def test_command_waits_for_a_step_and_gives_up(folder: Path, tmp_path: Path) -> None:
    take(folder)
    with (folder / "work").open("w") as work:
        fcntl.flock(work, fcntl.LOCK_EX)
        assert run(f"touch {tmp_path}/written").returncode == 4
    assert not (tmp_path / "written").exists()
    assert run(f"touch {tmp_path}/written").returncode == 0


def test_lock_is_not_taken_over_while_a_command_runs(folder: Path) -> None:
    take(folder)
    probe = f"flock -n {folder}/work echo free || echo held"
    assert run(probe).stdout == "held\n"


def test_secret_that_a_command_reads_goes_with_it_and_what_is_no_command_is_left_alone() -> None:
    upload = FileUploadCommand("a", "b")
    member = cast("Any", SimpleNamespace(token=TOKEN))
    shell, other = under_lock.under_lock(member, [StringCommand("cat", _stdin="secret"), upload])
    assert shell.connector_arguments == {"_stdin": "secret"}
    assert other is upload


@pytest.mark.parametrize("kind", KINDS)
def test_every_program_has_an_end(kind: type[Query]) -> None:
    host = wanted()
    seconds = limits.seconds(blank(kind), host, Fleet(bare()).machines[0].plan, bare())
    assert 60 <= seconds < 24 * 3600


def test_worker_of_before_that_may_drain_for_longer_than_the_new_one_gets_its_time() -> None:
    patient = converged(wanted(drain_seconds=7200))
    patient.workers[1] = cast("Any", SimpleNamespace(unit_text="TimeoutStopSec=7260\n"))
    host = wanted(drain_seconds=60)
    plan = Fleet(bare()).machines[0].plan
    assert limits.stop_seconds(host, plan, patient) == 7260
    assert limits.seconds(blank(RollWorker), host, plan, patient) > 2 * 7260


def test_lock_is_waited_for_as_long_as_its_question_says() -> None:
    query = lock.Lock(phase="take", patience_seconds=900)
    assert limits.seconds(query, wanted(), Fleet(bare()).machines[0].plan, bare()) > 900


@pytest.mark.parametrize("detached", [True, False])
def test_host_itself_ends_what_takes_too_long(detached: bool, tmp_path: Path) -> None:
    """Whoever asked may be gone by then."""
    line = remote.launcher("/usr/bin/python3", detached=detached, limit=77)
    assert ("RuntimeMaxSec=77" if detached else "timeout --kill-after=5 77") in line
