"""What Prefect refuses to answer for one run concerns that run alone, whatever is asked and however it is refused."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.worker.test_api_away import IMPATIENT
from tests.worker.world import LIMIT, POOL, Trial, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.local.proxy import Proxy
    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Worker

# Whatever is asked of Prefect in the life of one run, by worker or engine; and the flow that leads there.
REQUESTS = {
    "its deployment": ("until", rb"GET \S+/deployments/%(deployment)s "),
    "the claim": ("until", rb'POST \S+/%(run)s/set_state.*"type": ?"PENDING", ?"name": ?"Pending"'),
    "its flow": ("until", rb"GET \S+/flows/%(flow)s "),
    "its labels": ("until", rb"PATCH \S+/flow_runs/%(run)s/labels"),
    "its process id": ("until", rb"PATCH \S+/flow_runs/%(run)s .*infrastructure_pid"),
    "the engine's look": ("until", rb"GET \S+/flow_runs/%(run)s "),
    "its begin": ("until", rb'POST \S+/%(run)s/set_state.*"RUNNING"'),
    "its end": ("until", rb'POST \S+/%(run)s/set_state.*"COMPLETED"'),
    "its crash": ("killed", rb'POST \S+/%(run)s/set_state.*"CRASHED"'),
    "its cancellation": ("hooked", rb'POST \S+/%(run)s/set_state.*"CANCELLED"'),
    "every change of its state": ("hooked", rb"POST \S+/%(run)s/set_state"),
    "everything": ("until", rb"/flow_runs/%(run)s"),
}
# Of each kind one: others are treated alike (401, 500; 409, 422; a connection that is dropped).
KINDS = [
    ("403", True),
    *(pytest.param(*kind, marks=pytest.mark.long) for kind in [("404", False), ("garble", True), ("hang", True)]),
]
ENGINES_GIVE_UP = {"PREFECT_CLIENT_MAX_RETRIES": "0", "PREFECT_API_REQUEST_TIMEOUT": "2"}
# Few attempts, quickly; what is asked and what is done with the answers is unchanged.
REFUSED_SOON = IMPATIENT.replace("from worker.__main__", "patience._REFUSED_AFTER = 3\nfrom worker.__main__")


class Case:
    """One run, and the request of its life that fails."""

    def __init__(self, api: Api, queue: str, folder: Path, entrypoint: str, request: bytes, name: str) -> None:
        """Put the run on a queue that is paused."""
        self.entrypoint, self.name = entrypoint, name
        self.trial = Trial(folder)
        # Of its own, so that what is asked of them is asked for this run.
        flow = api.post("/flows/", {"name": f"{queue} {name}"})["id"]
        body = {"name": f"{queue} {name}", "flow_id": flow, "entrypoint": f"trial_flows.{entrypoint}"}
        body |= {"work_pool_name": POOL, "work_queue_name": "nobody", "enforce_parameter_schema": False}
        deployment = api.post("/deployments/", body)["id"]
        files = self.trial.files
        if entrypoint == "killed":
            del files["gate"]
        ask = {"work_queue_name": queue, "parameters": files, "state": {"type": "SCHEDULED"}}
        self.run = str(api.post(f"/deployments/{deployment}/create_flow_run", ask)["id"])
        ids = {b"run": self.run.encode(), b"deployment": deployment.encode(), b"flow": flow.encode()}
        self.pattern = request % ids


@contextmanager
def held_up(api: Api, queue: str) -> Iterator[None]:
    """Nothing is taken from the queue meanwhile."""
    found = api.get(f"/work_pools/{POOL}/queues/{queue}")["id"]
    api.patch(f"/work_queues/{found}", {"is_paused": True})
    yield
    api.patch(f"/work_queues/{found}", {"is_paused": False})


def put_to_the_test(api: Api, worker: Worker, tmp_path: Path, proxy: Proxy, kind: str, *, lasting: bool) -> list[Case]:
    """A run for each request, which fails for it alone; all side by side."""
    with held_up(api, worker.queue):
        cases = [Case(api, worker.queue, tmp_path, *REQUESTS[name], name) for name in REQUESTS]
        faults = [proxy.fail(case.pattern, kind, lasting=lasting) for case in cases]
    for case in cases:
        if case.entrypoint != "hooked":
            case.trial.let_end()
    for case, fault in zip(cases, faults, strict=True):
        if case.name == "its cancellation":
            case.trial.begun()
            api.cancel(case.run)
        wait_for(lambda fault=fault: fault.times, f"{case.name} is asked")  # type: ignore[misc]
    return cases


@pytest.mark.parametrize(("kind", "lasting"), KINDS)
def test_refusal_of_any_request_concerns_one_run(
    api: Api, proxy: Proxy, start: StartWorker, tmp_path: Path, kind: str, lasting: bool
) -> None:
    more: dict[str, Any] = {**ENGINES_GIVE_UP, "HUBLAB_CONCURRENCY": "16"}
    worker = start(port=proxy.port, launch=REFUSED_SOON, **more).ready()
    others = [Trial(tmp_path) for _ in range(2)]
    before = api.start("until", worker.queue, **others[0].files)
    others[0].begun()
    cases = put_to_the_test(api, worker, tmp_path, proxy, kind, lasting=lasting)
    after = api.start("until", worker.queue, **others[1].files)
    others[1].begun()
    for case in cases:
        case.trial.let_end()
    # While the refusals last: no place is held for ever.
    heard = len(worker.systemd.messages)
    worker.systemd.wait("2 runs in flight", heard)
    for other, run in zip(others, (before, after), strict=True):
        other.let_end()
        assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
        assert len(other.lines("begin")) == 1
    assert all(len(case.trial.lines("begin")) <= 1 for case in cases)
    assert worker.term().exit() == 0


@pytest.mark.long
def test_run_deleted_at_any_moment_concerns_itself_alone(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial, tmp_path: Path
) -> None:
    worker = start(port=proxy.port, launch=REFUSED_SOON, HUBLAB_CONCURRENCY="16", **ENGINES_GIVE_UP).ready()
    other = api.start("until", worker.queue, **trial.files)
    trial.begun()
    with held_up(api, worker.queue):
        # Not at "everything": that is the first of the others.
        cases = [Case(api, worker.queue, tmp_path, *REQUESTS[name], name) for name in list(REQUESTS)[:-2]]
        holds = [proxy.hold(case.pattern) for case in cases]
    for case, hold in zip(cases, holds, strict=True):
        if case.name == "its cancellation":
            case.trial.begun()
            api.cancel(case.run)
        else:
            case.trial.let_end()
        assert hold.seen.wait(LIMIT), case.name
        api.delete(f"/flow_runs/{case.run}")
        hold.go_on.set()
    worker.systemd.wait("1 run in flight", len(worker.systemd.messages))
    trial.let_end()
    assert api.wait_state(other, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert len(trial.lines("begin")) == 1
    assert worker.term().exit() == 0


def test_run_deleted_while_it_is_handed_back_does_not_keep_another_from_it(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial, tmp_path: Path
) -> None:
    worker = start(port=proxy.port, HUBLAB_DRAIN_SECONDS="0").ready()
    gone = Trial(tmp_path)
    deleted = api.start("until", worker.queue, **gone.files)
    other = api.start("until", worker.queue, **trial.files)
    gone.begun()
    trial.begun()
    look = proxy.hold(rb"GET \S+/flow_runs/%s " % deleted.encode())
    worker.term()
    assert look.seen.wait(LIMIT)
    api.delete(f"/flow_runs/{deleted}")
    look.go_on.set()
    assert worker.exit() == 0
    assert api.state(other) == "SCHEDULED"


@pytest.mark.parametrize("request_", ["its deployment", "its labels", "its process id"])
def test_worker_ends_within_its_limits_when_the_api_goes_away_in_the_midst_of_a_start(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial, request_: str
) -> None:
    worker = start(port=proxy.port, launch=IMPATIENT, HUBLAB_DRAIN_SECONDS="1").ready()
    pattern = REQUESTS[request_][1].replace(b"%(run)s", rb"[0-9a-f-]+").replace(b"%(deployment)s", rb"[0-9a-f-]+")
    held = proxy.hold(pattern)
    run = api.start("until", worker.queue, **trial.files)
    assert held.seen.wait(LIMIT)
    with proxy.misbehaving("503"):
        held.go_on.set()
        assert worker.term().exit() == (0 if request_ == "its deployment" else 75)
    unclaimed = request_ == "its deployment"
    assert (f"Could not be handed back: flow runs {run}" in worker.log.read_text()) is not unclaimed


def test_run_that_is_paused_before_its_claim_is_let_be(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial
) -> None:
    """Prefect's client answers that with a signal, which is no `Exception` and would end the worker."""
    worker = start(port=proxy.port).ready()
    held = proxy.hold(REQUESTS["the claim"][1].replace(b"%(run)s", rb"[0-9a-f-]+"))
    run = api.start("until", worker.queue, **trial.files)
    assert held.seen.wait(LIMIT)
    paused = {"state": {"type": "PAUSED", "state_details": {"pause_timeout": "2999-01-01T00:00:00Z"}}, "force": True}
    api.post(f"/flow_runs/{run}/set_state", paused)
    held.go_on.set()
    worker.systemd.wait("0 runs in flight", len(worker.systemd.messages))
    assert api.state(run) == "PAUSED"
    assert worker.process.poll() is None
    api.post(f"/flow_runs/{run}/set_state", {"state": {"type": "SCHEDULED"}, "force": True})
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert worker.term().exit() == 0


def test_run_whose_claim_is_refused_does_not_hide_the_next(
    api: Api, proxy: Proxy, start: StartWorker, trial: Trial, tmp_path: Path
) -> None:
    worker = start(port=proxy.port, launch=REFUSED_SOON, HUBLAB_CONCURRENCY="1").ready()
    with held_up(api, worker.queue):
        first = Case(api, worker.queue, tmp_path, *REQUESTS["the claim"], "the claim")
        fault = proxy.fail(first.pattern, "403")
    wait_for(lambda: fault.times, "the claim is refused")
    worker.systemd.wait(f"{first.run}/set_state answers 403 since")
    run = api.start("until", worker.queue, **trial.files)
    trial.let_end()
    assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    assert api.state(first.run) == "SCHEDULED"
    assert worker.term().exit() == 0


def test_flow_hears_that_a_call_of_its_own_is_refused(
    api: Api, proxy: Proxy, start: StartWorker, tmp_path: Path
) -> None:
    """It is asked again for seconds, not for the half hour for which Prefect's engines ask."""
    worker = start(port=proxy.port).ready()
    statuses = ("401", "403", "500")
    faults = {
        status: proxy.fail(rb"GET \S+/variables/name/refused-%s " % status.encode(), status) for status in statuses
    }
    trials = {status: Trial(tmp_path) for status in statuses}
    runs = [
        api.start("asks", worker.queue, mark=trials[status].files["mark"], name=f"refused-{status}")
        for status in statuses
    ]
    for run in runs:
        assert api.wait_state(run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"
    for status in statuses:
        assert len(trials[status].lines(f"refused {status}")) == 1
        assert 1 <= faults[status].times <= 5
