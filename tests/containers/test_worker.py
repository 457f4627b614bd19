"""A worker in a container, run as Coolify runs it, against a real server of Prefect's."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from sandbox.waiting import wait_for
from tests.containers.container import RELEASE, SHARED

if TYPE_CHECKING:
    from sandbox.coolify.daemon import Daemon
    from sandbox.local.proxy import Proxy
    from sandbox.local.server import Api
    from tests.containers.conftest import StartContainer
    from tests.containers.container import Container

MARK, GATE = f"{SHARED}/mark", f"{SHARED}/gate"
MEGABYTE = 1000**2


def test_gets_healthy_by_a_run_of_its_own_and_stays_so_without_the_server(
    worker: Container, api: Api, proxy: Proxy
) -> None:
    worker.healthy()
    named = {"flow_runs": {"name": {"any_": [f"probe-{worker.name}"]}}}
    (probe,) = api.post("/flow_runs/filter", named)
    assert probe["state_type"] == "COMPLETED"
    assert probe["labels"]["hublab.release"] == worker.is_('index .Config.Labels "org.opencontainers.image.version"')
    with proxy.misbehaving("refuse"):
        said = worker.run("python", "-m", "worker.healthy").stdout
    assert said == "healthy: the worker has completed its probe run\n"


def test_completes_a_run(worker: Container, api: Api) -> None:
    worker.healthy()
    worker.run("touch", GATE)
    run = api.start("until", worker.queue, mark=MARK, gate=GATE)
    assert api.wait_state(run, "COMPLETED", "FAILED", "CRASHED") == "COMPLETED"
    assert api.run(run)["run_count"] == 1


def test_has_no_privilege_no_uvloop_and_no_compiler(worker: Container, daemon: Daemon, image: str) -> None:
    worker.healthy()
    # One that ends while it is looked at is none of the worker's.
    found = worker.run("sh", "-c", "cat /proc/[0-9]*/status 2>/dev/null", check=False).stdout
    processes = [
        dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line) for text in found.split("Name:\t")[1:]
    ]
    parents = {process["Pid"]: process["PPid"] for process in processes}
    for process in processes:
        assert process["Uid"].split() == ["10001"] * 4, process
        assert int(process["CapEff"], 16) == int(process["CapPrm"], 16) == int(process["CapBnd"], 16) == 0, process
        # Docker's own init stands before the entry point, and what Docker is told to execute beside it.
        assert process["NoNewPrivs"] == "1" or "1" not in _above(process["Pid"], parents), process
    refused = worker.run("python", "-P", "-s", "-c", "import uvloop", check=False)
    assert (refused.returncode, "ModuleNotFoundError: import of uvloop halted" in refused.stderr) == (1, True), refused
    assert worker.python(f"import os; print([p for p, _, _ in os.walk('{RELEASE}') if os.access(p, os.W_OK)])") == "[]"
    tools = ("gcc", "cc", "ld", "make", "pip", "uv")
    assert worker.python(f"import shutil; print([t for t in {tools} if shutil.which(t)])") == "[]"
    size = int(daemon.docker("image", "inspect", "--format={{.Size}}", image).stdout)
    assert size < 300 * MEGABYTE, size


def _above(process: str, parents: dict[str, str]) -> list[str]:
    """The processes from which it descends, by number."""
    parent = parents.get(process, "0")
    return [] if parent == "0" else [parent, *_above(parent, parents)]


def test_told_to_stop_it_lets_its_run_end_once_and_takes_no_other(
    start: StartContainer, daemon: Daemon, api: Api
) -> None:
    container = start().healthy()
    run = api.start("until", container.queue, mark=MARK, gate=GATE)
    wait_for(lambda: container.run("test", "-s", MARK, check=False).returncode == 0, "the run has begun", every=0.5)
    stopping = subprocess.Popen(container.stop_in(900), env=daemon.environment, stdout=subprocess.DEVNULL)
    container.says("SIGTERM: 1 run in flight")
    other = api.start("until", container.queue, mark=MARK, gate=GATE)
    container.run("touch", GATE)
    assert stopping.wait(240) == 0
    assert (api.state(run), api.run(run)["run_count"], api.state(other)) == ("COMPLETED", 1, "SCHEDULED")
    assert (container.is_(".State.ExitCode"), container.is_(".State.Status")) == ("0", "exited")


def test_killed_ten_seconds_after_a_stop_its_run_runs_again_when_it_is_started(
    start: StartContainer, daemon: Daemon, api: Api
) -> None:
    """The host is rebooted: Docker knows nothing of the grace that Coolify gives to a deployment's old container."""
    container = start().healthy()
    run = api.start("until", container.queue, mark=MARK, gate=GATE)
    api.patch(f"/flow_runs/{run}", {"tags": ["run-again"]})
    wait_for(lambda: container.run("test", "-s", MARK, check=False).returncode == 0, "the run has begun", every=0.5)
    subprocess.run(container.stop_in(10), env=daemon.environment, stdout=subprocess.DEVNULL, check=True)
    assert container.is_(".State.ExitCode") == "137"
    assert (api.state(run), api.run(run)["run_count"]) == ("RUNNING", 1)
    daemon.docker("start", container.name)
    container.healthy().run("touch", GATE)
    assert api.wait_state(run, "COMPLETED", "FAILED") == "COMPLETED"
    assert api.run(run)["run_count"] == 2


def test_release_whose_runs_do_not_start_is_never_healthy(start: StartContainer, daemon: Daemon, image: str) -> None:
    daemon.build("bad", f"FROM {image}\nUSER 0\nRUN rm {RELEASE}/worker/probe_flow.py\nUSER 10001:10001\n")
    bad = start("bad")

    def checks() -> str:
        return bad.is_("json .State.Health")

    wait_for(lambda: "which is CRASHED" in checks() or "which is FAILED" in checks(), checks, every=0.5)
    assert bad.is_(".State.Health.Status") != "healthy"
    assert "healthy: the worker" not in checks()
