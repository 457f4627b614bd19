"""A worker in a container, run as Coolify runs it, against a real server of Prefect's."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from sandbox.waiting import wait_for
from tests.containers.container import SHARED

if TYPE_CHECKING:
    from sandbox.coolify.daemon import Daemon
    from sandbox.local.proxy import Proxy
    from sandbox.local.server import Api
    from tests.containers.conftest import StartContainer
    from tests.containers.container import Container

MARK, GATE = f"{SHARED}/mark", f"{SHARED}/gate"


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


def test_told_to_stop_it_lets_its_run_end_once_and_takes_no_other(
    start: StartContainer, daemon: Daemon, api: Api
) -> None:
    container = start().healthy()
    run = api.start("until", container.queue, mark=MARK, gate=GATE)
    wait_for(lambda: container.run("test", "-s", MARK, check=False).returncode == 0, "the run has begun", every=0.5)
    stopping = subprocess.Popen(container.stop_in(900), env=daemon.environment, stdout=subprocess.DEVNULL)
    container.says("SIGTERM: 1 flow runs in flight")
    other = api.start("until", container.queue, mark=MARK, gate=GATE)
    container.run("touch", GATE)
    assert stopping.wait(240) == 0
    assert (api.state(run), api.run(run)["run_count"], api.state(other)) == ("COMPLETED", 1, "SCHEDULED")
    assert (container.is_(".State.ExitCode"), container.is_(".State.Status")) == ("0", "exited")
