"""A stock worker in a compose application is replaced by `./hublab coolify adopt`, on a real dockerd."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.coolify.daemon import NETWORK
from sandbox.local.processes import AUTH
from sandbox.waiting import wait_for
from tests.containers.container import SHARED
from tests.containers.desk import URL

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from sandbox.operator import Result
    from tests.containers.coolify import Application
    from tests.containers.stage import Stage

OLD = "oldoldold"
POOL = "adopted"
WORKER = "perfect-worker"
# As the production has it that is taken over.
COMPOSE = f"""
services:
  worker:
    image: python:3.11-slim
    container_name: {WORKER}
    command: sh -c "pip install prefect==3.4.1 'uvicorn[standard]==0.34.0' &&
      prefect worker start --pool {POOL} --name {WORKER}"
"""
STOCK = """FROM {image}
ENV PREFECT_HOME=/var/lib/hublab/tmp
RUN ["mkdir", "/var/lib/hublab/prefect/storage"]
ENTRYPOINT ["prefect", "worker", "start", "--type", "process", "--pool", "{pool}", "--name", "{worker}"]
"""
PLACE = {"environment_id": 7, "destination": {"uuid": "net1", "server": {"uuid": "srv1"}}}
_NAMES = itertools.count(1)


class Past:
    """The compose application with its one container, whose worker has begun a run and will take what comes."""

    def __init__(self, stage: Stage, address: str) -> None:
        """Begin all of it."""
        self.stage, self.daemon, self.api = stage, stage.daemon, stage.api
        self.app = stage.add(OLD, name="perfect", build_pack="dockercompose", docker_compose_raw=COMPOSE, **PLACE)
        self.api.ensure_pool(POOL)
        self._deployment = self.api.deploy("flows.trial_flows.until", "until-adopted", POOL)
        stage.daemon.build("stock", STOCK.format(image=f"{stage.app.uuid}:{stage.first}", pool=POOL, worker=WORKER))
        self._address = address
        self.start()

    def start(self) -> None:
        """As somebody who presses start in Coolify."""
        self.container = f"{OLD}-{next(_NAMES)}"
        told = {"PREFECT_API_URL": self._address, "PREFECT_API_AUTH_STRING": AUTH}
        self.daemon.docker(
            *("run", "--detach", "--name", self.container, "--network", NETWORK, "--no-healthcheck"),
            f"--label=coolify.applicationId={OLD}",
            *(f"--env={key}={value}" for key, value in told.items()),
            "stock",
        )

    def hublab(self, *words: str, **more: str) -> Result:
        """A command of the operator's, whose pool this is."""
        return self.stage.desk.hublab(*words, **self.env, **more)

    @property
    def env(self) -> dict[str, str]:
        """What differs in `.env`."""
        return {"HUBLAB_HOSTS": f"coolify:{OLD}", "HUBLAB_WORK_POOL": POOL, "HUBLAB_WORK_QUEUES": "default"}

    def flow_run(self, name: str) -> str:
        """One that is due now, and ends when `let_end` says so."""
        body = {"work_queue_name": "default", "state": {"type": "SCHEDULED"}}
        body["parameters"] = {"mark": f"{SHARED}/{name}", "gate": f"{SHARED}/{name}.gate"}
        return str(self.api.post(f"/deployments/{self._deployment}/create_flow_run", body)["id"])

    def begun(self, container: str, name: str) -> None:
        """Wait until it has begun there."""
        words = ("exec", container, "test", "-s", f"{SHARED}/{name}")
        wait_for(
            lambda: not self.daemon.docker(*words, check=False).returncode,
            lambda: f"{name} has begun\n{self.stage.log(container)[-3000:]}",
            every=0.5,
        )

    def let_end(self, container: str, name: str) -> None:
        """Let it end."""
        self.stage.run(container, "touch", f"{SHARED}/{name}.gate")

    @property
    def paused(self) -> bool:
        """Whether the queue gives runs to nobody."""
        return bool(self.api.get(f"/work_pools/{POOL}/queues/default")["is_paused"])

    @property
    def made(self) -> list[Application]:
        """The applications that were created in its place."""
        return [app for uuid, app in self.stage.coolify.applications.items() if uuid.startswith("created")]

    def remove(self) -> None:
        """With all that was made for it."""
        for app in [self.app, *self.made]:
            self.stage.remove(app)


@pytest.fixture
def past(stage: Stage, address: str) -> Iterator[Past]:
    stage.coolify.moment = lambda _: None
    stage.desk.at(stage.first)
    past = Past(stage, address)
    yield past
    past.remove()


def test_stock_worker_is_found_replaced_and_can_be_started_again(past: Past) -> None:
    """Killed at each step; the next one goes on, with the same application and without a run that is lost."""
    stage, adopt = past.stage, ("coolify", "adopt", OLD)
    run = past.flow_run("kept")
    past.begun(past.container, "kept")
    found = past.hublab("plan")
    assert found.status == 1, found.text
    assert f"-> ./hublab coolify adopt {OLD}: makes a new application in its place" in found.text
    is_refused_when_built_from_a_repository(past)
    assert past.api.state(run) == "RUNNING"
    (listed,) = [line for line in past.hublab("coolify", "list").text.splitlines() if OLD in line]
    assert listed.split() == ["perfect", "application", "running:unknown", OLD]
    seen = past.hublab(*adopt, "--list")
    assert seen.status == 0, seen.text
    for fault in (
        "a worker of Prefect's own",
        "uvloop",
        "prefect 3.4.1 is older",
        "30 s to stop",
        "no deploy of this project has set",
    ):
        assert fault in seen.text
    assert f"its worker: {WORKER}; 1 run in flight" in seen.text
    assert past.made == []

    stage.killed_at("after POST /applications/public", adopt, **past.env)
    (new,) = past.made
    here = f"/applications/{new.uuid}"
    for moment in (f"after POST {here}/envs", f"after PATCH {here}", "after POST /deploy"):
        stage.killed_at(moment, adopt, **past.env)
    killed_while_paused(past, adopt)
    assert stage.serves(new) == stage.releases[stage.first]
    assert past.api.state(run) == "RUNNING"
    past.let_end(past.container, "kept")
    said = stage.killed_at(f"stops {past.container}", adopt, **past.env)
    assert past.paused, said
    due = past.flow_run("due")  # not before: each adoption opens the queues first, and the old worker may poll then
    done = past.hublab(*adopt)
    assert done.status == 0, done.text
    assert f"done. Put coolify:{new.uuid} into HUBLAB_HOSTS" in done.text

    assert past.made == [new]
    assert (new.app["git_repository"], new.app["git_commit_sha"]) == (URL, stage.first)
    assert {key: new.app[key] for key in PLACE} == PLACE
    assert not past.paused
    assert past.app.shown()["status"].startswith("exited")
    assert (past.api.state(run), past.api.run(run)["run_count"]) == ("COMPLETED", 1)
    new_one = stage.container(new)
    past.begun(new_one, "due")
    past.let_end(new_one, "due")
    assert past.api.wait_state(due, "COMPLETED", "FAILED", "CRASHED") == "COMPLETED"
    assert past.api.run(due)["run_count"] == 1

    now = past.env | {"HUBLAB_HOSTS": f"coolify:{new.uuid}"}
    for command in (("plan",), ("status",)):
        as_said = stage.desk.hublab(*command, **now)
        assert as_said.status == 0, as_said.text
    past.start()
    wait_for(lambda: online(past.api), lambda: stage.log(past.container), every=0.5)


def is_refused_when_built_from_a_repository(past: Past) -> None:
    """It is of a kind that a deploy could replace, and its run would be cut off."""
    past.app.app["build_pack"] = "dockerfile"
    for command in (("plan",), ("deploy", "--yes")):
        found = past.hublab(*command)
        assert found.status == 1, found.text
        assert "it runs (running:unknown), and no deploy of this project has set it up" in found.text
        assert f"-> ./hublab coolify adopt {OLD}, where it is a worker" in found.text
    past.app.app["build_pack"] = "dockercompose"


def killed_while_paused(past: Past, adopt: tuple[str, ...]) -> None:
    process: subprocess.Popen[str] = past.stage.desk.operator.begin("python", "cli", *adopt, **past.env)
    wait_for(lambda: past.paused or process.poll() is not None, "the queue is paused", every=0.5)
    assert process.poll() is None, process.communicate()[0]
    process.kill()
    process.communicate()
    past.stage.age_locks()


def online(api: Any) -> bool:
    return any(item["name"] == WORKER and item["status"] == "ONLINE" for item in api.workers(POOL))
