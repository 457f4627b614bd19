"""What is to be done about a run, by its state, its owner and what a worker knows: the rules alone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import tracemalloc
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.onhost import processes
from worker import forked_process, living
from worker.reconciler import Reconciler, duty
from worker.recovery import Beats, Claimed, Owner, Run, View, decide, owner_by, too_often

NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
ME, OTHER, NAMESAKE, STOCK = Owner("w-1", "here"), Owner("w-2", "there"), Owner("w-1", "there"), Owner("stock", "")
BEFORE = Owner("w-1", "*")
TYPES = ["SCHEDULED", "PENDING", "RUNNING", "PAUSED", "CANCELLING", "CANCELLED", "COMPLETED", "FAILED", "CRASHED"]
NAMES = ["Pending", "HublabSubmitting", "Running", "Lost", "Crashed", "GaveUp", "Paused", "Suspended", "AwaitingRetry"]

owners = st.sampled_from([None, ME, OTHER, NAMESAKE, STOCK, BEFORE])
runs = st.builds(
    Run,
    id=st.sampled_from(["a", "b"]),
    state_id=st.just("s"),
    type=st.sampled_from(TYPES),
    name=st.sampled_from(NAMES),
    since=st.builds(lambda seconds: NOW - timedelta(seconds=seconds), st.floats(0, 1000)),
    again=st.booleans(),
    owner=owners,
    process=st.sampled_from(["", "1.1"]),
).filter(lambda run: not run.process or (run.owner is not None and run.owner.ours and run.owner.place != "*"))
views = st.builds(
    View,
    me=st.just(ME),
    now=st.just(NOW),
    held=st.sampled_from([frozenset(), frozenset({"a"})]),
    leads=st.booleans(),
    gone=st.frozensets(st.sampled_from(["w-2", "stock"])),
    known=st.frozensets(st.sampled_from(["w-1", "w-2", "stock"])),
    alone_since=st.sampled_from([None, NOW - timedelta(seconds=500)]),
)


@given(runs, views)
def test_run_of_somebody_alive_or_that_has_ended_is_never_touched(run: Run, view: View) -> None:
    act = (decide(run, view) or ("", ""))[0]
    if run.id in view.held or run.type in {"SCHEDULED", "PAUSED", "CANCELLED", "COMPLETED", "FAILED"}:
        assert not act
    if run.type == "CRASHED" and (not run.again or run.name not in {"Lost", "Crashed"}):
        assert not act
    before = view.alone_since is not None and run.since < view.alone_since
    mine = run.owner in {ME, BEFORE} or (run.owner == NAMESAKE and before)
    if not mine and not view.leads:
        assert not act
    if run.type in {"RUNNING", "CANCELLING"} and not mine:
        # Only what is of this project, and of a worker that is gone.
        assert not act or (run.owner == OTHER and "w-2" in view.gone)
    if run.process and not mine:
        assert not act or run.type == "CRASHED" or "w-2" in view.gone
    if run.owner == NAMESAKE and not before and run.type != "CRASHED":
        assert not act or (run.type == "PENDING" and not run.process)


@given(runs, views)
def test_a_run_is_started_again_only_if_it_never_began_or_says_so(run: Run, view: View) -> None:
    act = (decide(run, view) or ("", ""))[0]
    if act == "free":
        assert run.type == "PENDING"
    if act == "again":
        assert run.again


def run_of(kind: str, name: str, owner: Owner | None, **more: Any) -> Run:
    process = "1.1" if kind == "PENDING" and owner and owner.ours else ""
    return Run("x", "s", kind, name, NOW - timedelta(seconds=30), owner=owner, process=process, **more)


@pytest.mark.parametrize(
    ("run", "act"),
    [
        (run_of("PENDING", "Pending", ME), "free"),
        (run_of("PENDING", "HublabSubmitting", ME), "free"),
        (run_of("PENDING", "Pending", OTHER), "free"),
        (run_of("PENDING", "Pending", None), "free"),
        (run_of("RUNNING", "Running", ME), "lose"),
        (run_of("RUNNING", "Running", BEFORE), "lose"),
        (run_of("RUNNING", "Running", OTHER), "lose"),
        (run_of("CANCELLING", "Cancelling", OTHER), "cancel"),
        (run_of("CRASHED", "Lost", OTHER, again=True), "again"),
        (run_of("CRASHED", "Crashed", None, again=True), "again"),
        (run_of("PENDING", "Submitting", STOCK), None),
        (replace(run_of("PENDING", "Submitting", STOCK), since=NOW - timedelta(seconds=301)), "free"),
        (run_of("RUNNING", "Running", STOCK), None),
        (run_of("RUNNING", "Running", None), None),
        (run_of("RUNNING", "Running", NAMESAKE), None),
    ],
)
def test_who_leads_sees_to_the_runs_of_workers_that_are_gone(run: Run, act: str | None) -> None:
    view = View(ME, NOW, leads=True, gone=frozenset({"w-2", "stock"}), known=frozenset({"w-1"}))
    assert (decide(run, view) or (None,))[0] == act


def test_claim_names_its_owner_in_the_state_itself() -> None:
    claim = Claimed(OTHER, "12.345")
    state = {"id": "s", "type": "PENDING", "name": "Pending", "message": claim.words, "timestamp": NOW.isoformat()}
    stale = {"prefect.worker.name": "w-1", "hublab.worker": "w-1", "hublab.place": "here"}
    raw = {"id": "x", "state": state, "tags": [], "labels": stale, "infrastructure_pid": "host:77"}
    found = Run.read(raw)
    assert (found.owner, found.process, found.pid) == (OTHER, "12.345", 77)
    found = Run.read({**raw, "state": {**state, "type": "RUNNING"}})
    assert (found.owner, found.process) == (ME, "")
    taken_by_stock = {**stale, "prefect.worker.name": "stock"}
    assert Run.read({**raw, "state": {**state, "type": "RUNNING"}, "labels": taken_by_stock}).owner == STOCK


@pytest.mark.parametrize("digits", ["9" * 20, "9" * 5000, "²"])
def test_number_that_is_no_process_names_none(digits: str) -> None:
    """One such run must not keep all others from being looked at."""
    words = Claimed(OTHER, f"{digits}.1").words
    state = {"id": "s", "type": "PENDING", "name": "Pending", "message": words, "timestamp": NOW.isoformat()}
    found = Run.read({"id": "x", "state": state, "tags": [], "infrastructure_pid": f"host:{digits}"})
    assert (found.owner, found.process, found.pid) == (None, "", 0)
    assert living.may_have_engine(found.id, found.pid, set()) is False


def state(name: str, message: str = "", ago: float = 0.0) -> dict[str, str]:
    kind = "PENDING" if name in {"Pending", "HublabSubmitting"} else "SCHEDULED"
    return {
        "type": kind,
        "name": name,
        "message": message,
        "timestamp": (NOW - timedelta(seconds=ago)).isoformat(),
    }


def test_owner_is_whoever_claimed_last() -> None:
    mine, others = Claimed(ME, "1.1").words, Claimed(OTHER, "2.2").words
    assert owner_by([state("Pending", mine, 20), state("RunAgain", ago=15), state("Pending", others, 10)]) == OTHER
    assert owner_by([state("Pending", mine, 20), state("Pending", ago=10)]) is None
    assert owner_by([]) is None


def test_run_is_run_again_at_most_ten_times_within_a_day() -> None:
    nine = [state("RunAgain", ago=3600.0 * number) for number in range(9)]
    assert too_often(nine, NOW)
    assert not too_often(nine[1:], NOW)
    assert not too_often([*nine[1:], state("RunAgain", ago=25 * 3600.0)], NOW)


def beat(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


@given(st.floats(-500, 500), st.floats(0, 200))
def test_worker_is_not_gone_while_the_api_was_away_or_its_heart_beats(skew: float, answers: float) -> None:
    """`skew`: the server's clock jumps by that much between two looks."""
    beats = Beats(90, 30)
    later = NOW + timedelta(seconds=40 + skew)
    beats.look({"w": beat(-10)}, set(), NOW, 0.0, 1000.0)
    assert not beats.look({"w": beat(5)}, set(), later, 40.0, 1000.0)
    beats = Beats(90, 30)
    beats.look({"w": beat(-1000)}, set(), NOW, 0.0, answers)
    gone = beats.look({"w": beat(-1000)}, set(), later, 40.0, answers)
    assert not gone or answers > 90


def test_worker_is_gone_after_two_looks_and_its_name_alone_counts_too() -> None:
    beats = Beats(90, 30)
    assert beats.look({"w": beat(-100)}, {"deleted"}, NOW, 0.0, 100.0) == set()
    assert beats.look({"w": beat(-100)}, {"deleted"}, NOW, 29.0, 129.0) == set()
    assert beats.look({"w": beat(-100)}, {"deleted"}, NOW, 31.0, 131.0) == {"w", "deleted"}


def test_each_look_comes_in_time() -> None:
    """A round is 15 to 20 s: of claims two rounds apart, of crashed runs and of workers four."""
    leading = [duty(number, leads=True, crashed=False) for number in range(1, 65)]
    resting = [duty(number, leads=False, crashed=False) for number in range(1, 65)]
    assert all("in flight" in leading[at : at + 3] for at in range(60))
    assert all("crashed" in leading[at : at + 8] for at in range(56))
    for rounds in (leading, resting):
        assert all("workers" in rounds[at : at + 8] for at in range(56))
        assert all("in flight" in rounds[at : at + 4] for at in range(60))
        assert all("lease" in rounds[at : at + 16] for at in range(48))
    assert all("sub-flows" in leading[at : at + 16] for at in range(48))
    assert duty(6, leads=False, crashed=True) == "crashed"


@pytest.mark.parametrize(("words", "ended"), [(["-m", "prefect.engine"], True), (["-m", "worker.hooks"], False)])
def test_hooks_that_have_outlived_their_worker_come_to_their_end(words: list[str], ended: bool) -> None:
    """The engine of a run that is cancelled is ended; what its worker had begun after that is not cut off."""
    run, pause = str(uuid.uuid4()), "import time; time.sleep(60)"
    environ = os.environ | {"PREFECT__FLOW_RUN_ID": run}
    with subprocess.Popen([sys.executable, "-c", pause, *words], env=environ, start_new_session=True) as process:
        try:
            until = time.monotonic() + 10
            while run not in living.engines() and time.monotonic() < until:
                time.sleep(0.05)
            assert living.engines()[run] == process.pid
            living.end(run, process.pid)
            time.sleep(0.3)
            assert (process.poll() is not None) is ended
        finally:
            process.kill()


@pytest.mark.parametrize(
    ("state", "claimant", "ended"), [("s", "w-1", True), ("other", "w-1", False), ("s", "w-2", False)]
)
def test_engine_of_a_later_attempt_is_not_taken_for_that_of_a_run_that_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, state: str, claimant: str, ended: bool
) -> None:
    """Another worker of this host may have begun it anew since it was read, or before it could write its labels."""
    run = Run("a", "s", "CANCELLING", "Cancelling", NOW, owner=ME)
    words = Claimed(Owner(claimant, "here"), "1.1").words
    claim = {"type": "PENDING", "name": "Pending", "timestamp": NOW.isoformat(), "message": words}

    async def again(_: Run) -> tuple[Run, list[dict[str, str]], datetime]:
        return replace(run, state_id=state), [claim], NOW

    worker: Any = SimpleNamespace(
        claim=Claimed(ME, "2.2"),
        pool_api=SimpleNamespace(again=again),
        settings=SimpleNamespace(pool="p"),
        in_flight=SimpleNamespace(ids=list),
        alone_since=None,
    )
    killed: list[int] = []
    monkeypatch.setattr(living, "engines", lambda: {"a": 7})
    monkeypatch.setattr(living, "end", lambda _, pid: killed.append(pid))
    anyio.run(Reconciler(worker)._put_right, [run], NOW)
    assert killed == ([7] if ended else [])


@pytest.mark.parametrize("names_itself", ["open('/proc/self/comm', 'wb').write(bytes([255]))", "pass"])
def test_process_whose_name_or_run_is_no_text_hides_no_other(names_itself: str) -> None:
    """A flow run may give itself any bytes: the look at the flow runs failed for as long as such a process lived."""
    says = f"{names_itself}; import time; print(flush=True); time.sleep(60)"
    command, environ = [sys.executable, "-c", says], {b"PREFECT__FLOW_RUN_ID": b"\xff"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout
            process.stdout.readline()
            assert living.token(process.pid).startswith(f"{process.pid}.")
            assert living.lives(living.token(process.pid))
            assert processes.ticks(process.pid)
            assert processes.started(process.pid)
            assert process.pid in living.engines().values()
        finally:
            process.kill()


def test_end_of_an_engine_is_seen_though_its_name_is_no_text() -> None:
    """Its fork server hangs, so that the worker asks the kernel."""
    says = "open('/proc/self/comm', 'wb').write(bytes([255])); raise SystemExit(3)"
    with subprocess.Popen([sys.executable, "-c", says]) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        status = forked_process._status_of_zombie(process.pid)
    assert status is not None
    assert os.waitstatus_to_exitcode(status) == 3


_BOASTS = """
import ctypes, struct, sys, time
fields = open('/proc/self/stat').read().rpartition(')')[2].split()
places = [int(fields[number - 3]) for number in (26, 27, 45, 46, 47)]
libc = ctypes.CDLL(None)
libc.mmap.restype = libc.sbrk.restype = ctypes.c_void_p
begin = libc.mmap(None, ctypes.c_size_t(1 << 28), 1, 0x4022, -1, ctypes.c_long(0))
map = struct.pack('=12QIi', *places, libc.sbrk(0), int(fields[25]), *(begin, begin + (1 << 28)) * 2, 0, 0, -1)
assert libc.prctl(35, ctypes.c_ulong(14), map, ctypes.c_ulong(len(map)), ctypes.c_ulong(0)) == 0
print(flush=True)
time.sleep(60)
"""


def test_process_that_claims_endless_arguments_takes_no_memory_from_who_looks() -> None:
    """It maps 256 MB that it never writes, and says that they are its arguments and its variables."""
    with subprocess.Popen([sys.executable, "-c", _BOASTS], stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout
            assert process.stdout.readline()
            tracemalloc.start()
            assert process.pid not in living.engines().values()
            assert tracemalloc.get_traced_memory()[1] < 100 << 20
        finally:
            tracemalloc.stop()
            process.kill()
