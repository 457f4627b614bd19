"""A container's health check: its own proof once, and then nothing that anybody else does changes it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.worker.world import POOL, wait_for
from worker import first_run, life
from worker.container import variables

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.local.proxy import Proxy
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Worker

AS_CONTAINER = "from worker.container import main; main([])"


def check(worker: Worker, **more: str) -> tuple[int, str]:
    command = [sys.executable, "-P", "-s", "-m", "worker.healthy"]
    environment = {**worker.environment, **more}
    done = subprocess.run(command, env=environment, cwd=worker.home, text=True, capture_output=True, check=False)
    assert len(done.stdout.splitlines()) == 1, done
    return done.returncode, done.stdout + done.stderr


def probes(api: Api, worker: Worker) -> list[dict[str, object]]:
    named = {"flow_runs": {"name": {"any_": [f"probe-{worker.name}"]}}}
    return list(api.post("/flow_runs/filter", named))


def test_waits_for_the_workers_own_run_and_then_asks_nobody(
    api: Api, execute: StartWorker, proxy: Proxy, tmp_path: Path
) -> None:
    worker = execute(port=proxy.port, launch=AS_CONTAINER)
    os.kill(worker.process.pid, signal.SIGSTOP)
    status, said = check(worker)
    assert status == 1
    assert f"waits for a heartbeat of worker {worker.name} in pool {POOL} (last: none)" in said
    os.kill(worker.process.pid, signal.SIGCONT)
    wait_for(lambda: check(worker)[0] == 0, "healthy", every=0.5)
    runs = probes(api, worker)
    assert [run["state_type"] for run in runs] == ["COMPLETED"], "one check goes on with the run of another"
    with proxy.misbehaving("refuse"):
        status, said = check(worker)
        assert (status, said) == (0, "healthy: the worker has completed its probe run\n")
        _loads_nothing_dear(worker)
        _latch_that_is_not_its_own_opens_nothing(worker, tmp_path)


def _loads_nothing_dear(worker: Worker) -> None:
    code = "import sys; from worker import healthy; print(healthy.main(), sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-P", "-s", "-c", code],
        env=worker.environment, cwd=worker.home, text=True, capture_output=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[1].startswith("0 ")
    for dear in ("httpx", "prefect", "ssl", "asyncio", "json"):
        assert f"'{dear}'" not in done.stdout, dear


def _latch_that_is_not_its_own_opens_nothing(worker: Worker, tmp_path: Path) -> None:
    latch = worker.home / "tmp/hublab-healthy"
    assert latch.stat().st_mode & 0o777 == 0o600
    latch.write_text(life.life(os.getpid()))
    assert check(worker)[0] == 1, "nothing is left of a container's life before it was started again"
    elsewhere = tmp_path / "forged"
    elsewhere.write_text(life.life())
    latch.unlink()
    latch.symlink_to(elsewhere)
    assert check(worker)[0] == 1, "a link is none of the check's own"
    latch.unlink()
    latch.write_text(life.life())
    assert check(worker)[0] == 0
    os.chown(latch, 65534, 65534)
    assert check(worker)[0] == 1, "nor is somebody else's file"


def test_run_that_a_namesake_took_is_no_proof(start: StartWorker) -> None:
    other = start(INVOCATION_ID="another")  # as in another container, and with no entry point of ours
    other.ready()
    wait_for(lambda: "another worker of the name" in check(other)[1], "told apart", every=0.5)
    assert check(other)[0] == 1


def test_release_is_what_the_image_holds(tmp_path: Path) -> None:
    revision = tmp_path / "REVISION"
    revision.write_text('{"id": "3.8.8-0123456789"}')
    told = {"COOLIFY_CONTAINER_NAME": "abc-1", "HUBLAB_RELEASE": "another"}
    found = variables(told, revision)
    assert (found["HUBLAB_RELEASE"], found["HUBLAB_WORKER_NAME"]) == ("3.8.8-0123456789", "abc-1")
    assert variables({**told, "HUBLAB_WORKER_NAME": "mine"}, revision)["HUBLAB_WORKER_NAME"] == "mine"


def test_probe_that_failed_is_tried_again_and_ever_more_seldom() -> None:
    def tried(state: str, times: int, seconds: float) -> bool:
        stamp = (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat()
        return first_run.may_try_again([{"state": {"type": state, "timestamp": stamp}}] * times)

    assert not tried("RUNNING", 1, 10_000)
    assert (tried("CRASHED", 1, 5), tried("CRASHED", 1, 15)) == (False, True)
    assert (tried("FAILED", 3, 15), tried("FAILED", 3, 45)) == (False, True)
    assert (tried("CANCELLED", 500, 595), tried("CANCELLED", 500, 605)) == (False, True)


def test_process_one_hands_signals_on_and_buries_the_dead(tmp_path: Path) -> None:
    """In a PID namespace of its own; the module is one that leaves an orphan behind and ends at SIGTERM with 7."""
    module = tmp_path / "left.py"
    module.write_text(
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(7))\n"
        "subprocess.run(['sh', '-c', 'sleep 0.1 & echo $! > " + str(tmp_path / "orphan") + "'])\n"
        "open('" + str(tmp_path / "up") + "', 'w').close()\n"
        "time.sleep(600)\n"
    )
    command = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", sys.executable, "-P", "-m"]
    process = subprocess.Popen(
        [*command, "worker.container", "left"],
        env={**os.environ, "PYTHONPATH": f"{os.getcwd()}:{tmp_path}"},  # noqa: PTH109
    )
    try:
        wait_for((tmp_path / "up").exists, "the module runs")
        (first,) = _children(process.pid)
        wait_for(lambda: (tmp_path / "orphan").read_text().strip(), "the orphan is there")
        wait_for(lambda: len(_children(first)) == 1, "the orphan is buried, and the module is not")
        os.kill(first, signal.SIGTERM)
        assert process.wait(180) == 7
    finally:
        process.kill()
        process.wait()


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:  # noqa: PTH123
        return [int(word) for word in file.read().split()]


def test_age_is_that_of_the_process() -> None:
    before = life.age(os.getpid())
    assert before > 0
    child = subprocess.Popen(["sleep", "30"])
    try:
        time.sleep(0.05)
        assert life.age(child.pid) < before
        assert life.life(child.pid) != life.life(os.getpid())
    finally:
        child.kill()
        child.wait()
