"""The gate's proof that a worker starts flow runs: `python -P -m worker.probe --worker NAME --pool POOL --since WHEN`.

Waits until the worker is ONLINE with a heartbeat after the instant, then runs the probe's flow on the queue that only
this worker polls. Prints one JSON object. Exit status: 0 passed, 1 failed, 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from worker.connection import connection
from worker.rest import ApiError, Rest
from worker.settings import probe_queue
from worker.status import workers

if TYPE_CHECKING:
    from collections.abc import Sequence

FLOW = "hublab-probe"
ENTRYPOINT = "worker.probe_flow.hublab_probe"
ENDED = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})
_LOOK_SECONDS = 0.3


class GateError(Exception):
    """The worker did not pass; the text says at what."""


@dataclass
class Verdict:
    """What the gate found out. `seconds` is the whole probe's duration."""

    worker: str
    ok: bool = False
    online: bool = False
    heartbeat: str | None = None
    flow_run_id: str | None = None
    state: str | None = None
    message: str | None = None
    seconds: float = 0.0
    prefect: str = ""
    release: str | None = None
    pid: str | None = None
    error: str | None = None


def probe(rest: Rest, verdict: Verdict, pool: str, since: datetime) -> None:
    """Fill in the verdict step by step.

    Raises:
        GateError: the worker is not online in time, or its run is not COMPLETED.
        ApiError: the API refused, or did not answer in time.
    """
    _wait_until_online(rest, verdict, pool, since)
    # The request may be repeated.
    verdict.flow_run_id = create_run(rest, verdict.worker, pool, f"hublab-probe-{uuid.uuid4()}")
    run = _wait_for_end(rest, verdict)
    verdict.message = run["state"].get("message")
    labels = run.get("labels") or {}
    verdict.release = labels.get("hublab.release")
    verdict.pid = labels.get("hublab.pid")
    if verdict.state != "COMPLETED":
        raise GateError(f"the probe's flow run is {verdict.state}: {verdict.message}")
    verdict.ok = True


def _wait_until_online(rest: Rest, verdict: Verdict, pool: str, since: datetime) -> None:
    while rest.seconds_left:
        if is_online(rest, verdict, pool, since):
            return
        time.sleep(min(_LOOK_SECONDS, rest.seconds_left))
    raise GateError(
        f"worker {verdict.worker} is not ONLINE in pool {pool} with a heartbeat after {since.isoformat()} "
        f"(last heartbeat: {verdict.heartbeat or 'none'}); look at its journal"
    )


def is_online(rest: Rest, verdict: Verdict, pool: str, since: datetime) -> bool:
    """Whether the worker is ONLINE now, with a heartbeat after that instant by this host's clock."""
    worker = workers(rest, pool).get(verdict.worker)
    # The server's clock and this host's may differ; whole seconds is as exact as HTTP tells it.
    fresh_from = rest.server_time(since) - timedelta(seconds=1)
    if worker and worker.heartbeat:
        verdict.heartbeat = worker.heartbeat
        verdict.online = worker.status == "ONLINE" and datetime.fromisoformat(worker.heartbeat) >= fresh_from
    return verdict.online


def runs_of(rest: Rest, worker: str, life: str) -> list[dict[str, Any]]:
    """The probe's flow runs that were made for this worker in this life of its container, the latest first."""
    body = {
        "flow_runs": {"name": {"any_": [f"probe-{worker}"]}, "tags": {"all_": [FLOW]}},
        "sort": "EXPECTED_START_TIME_DESC",
    }
    found = rest.pages("/flow_runs/filter", body)
    return [run for run in found if (run.get("idempotency_key") or "").startswith(key_of(worker, life))]


def key_of(worker: str, life: str) -> str:
    """How the keys of those runs begin. Two containers of one host may begin in the same instant."""
    return f"{FLOW}-{worker}-{life}-"


def create_run(rest: Rest, worker: str, pool: str, key: str) -> str:
    """Have the worker run the probe's flow; the same key is the same run."""
    deployment = _deployment(rest, pool)
    run = rest.post(
        f"/deployments/{deployment}/create_flow_run",
        {
            "name": f"probe-{worker}",
            "idempotency_key": key,
            "parameters": {"worker": worker},
            "work_queue_name": probe_queue(worker),
            "tags": [FLOW],
            "state": {"type": "SCHEDULED"},
        },
    )
    if run is None:
        raise ApiError(f"deployment {FLOW}/{FLOW}: gone between its registration and its use; probe again")
    return str(run["id"])


def _deployment(rest: Rest, pool: str) -> str:
    """The id of the probe's deployment in this pool; registered when missing.

    Both writes are "create or leave as it is" at the server, by name, so that probes may run side by side.
    """
    for name in (FLOW, f"{FLOW}-{pool}"):
        found = rest.get(f"/deployments/name/{FLOW}/{name}")
        if found is None or (found["work_pool_name"], found["entrypoint"]) == (pool, ENTRYPOINT):
            return str((found or _register(rest, name, pool))["id"])
    return str(_register(rest, f"{FLOW}-{pool}", pool)["id"])


def _register(rest: Rest, name: str, pool: str) -> Any:
    flow = rest.post("/flows/", {"name": FLOW})
    body = {
        "name": name,
        "flow_id": flow["id"],
        "entrypoint": ENTRYPOINT,
        "work_pool_name": pool,
        # A queue that nobody polls: a run put there by mistake does no harm.
        "work_queue_name": FLOW,
        "enforce_parameter_schema": False,
        "description": "Put on one worker's own queue by the gate of a deploy.",
        "tags": [FLOW],
    }
    return rest.post("/deployments/", body)


def follow(rest: Rest, verdict: Verdict) -> Any:
    """The probe's flow run once it has ended, or as it is at the time limit.

    Raises:
        GateError: it was deleted.
    """
    while True:
        run = rest.get(f"/flow_runs/{verdict.flow_run_id}")
        if run is None:
            raise GateError(f"the probe's flow run {verdict.flow_run_id} was deleted")
        verdict.state = run["state"]["type"]
        if verdict.state in ENDED:
            return run
        time.sleep(min(_LOOK_SECONDS, rest.seconds_left))
        if not rest.seconds_left:
            return run


def _wait_for_end(rest: Rest, verdict: Verdict) -> Any:
    run = follow(rest, verdict)
    if verdict.state in ENDED:
        return run
    # Not taken: a worker that comes later must not find it. Taken: its worker would wait for it before it stops.
    withdrawn = "CANCELLED" if verdict.state == "SCHEDULED" else "CANCELLING"
    state = {"type": withdrawn, "message": "The gate has given up."}
    rest.try_post(f"/flow_runs/{verdict.flow_run_id}/set_state", {"state": state})
    raise GateError(
        f"the probe's flow run is still {verdict.state}; is anything polling {probe_queue(verdict.worker)}?"
    )


def _instant(text: str) -> datetime:
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def main(arguments: Sequence[str] | None = None) -> int:
    """Probe one worker. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m worker.probe", description=__doc__)
    parser.add_argument("--worker", required=True, metavar="NAME")
    parser.add_argument("--pool", required=True)
    parser.add_argument("--since", type=_instant, required=True, metavar="WHEN", help="ISO 8601, by this host's clock")
    parser.add_argument("--timeout", type=float, default=180, metavar="SECONDS")
    options = parser.parse_args(arguments)
    began = time.monotonic()
    verdict = Verdict(options.worker, prefect=version("prefect"))
    try:
        with Rest(connection(os.environ), options.timeout) as rest:
            probe(rest, verdict, options.pool, options.since)
    except (GateError, ApiError, ValueError) as error:
        verdict.error = str(error)
    verdict.seconds = round(time.monotonic() - began, 2)
    sys.stdout.write(json.dumps(asdict(verdict)) + "\n")
    return 0 if verdict.ok else 1


if __name__ == "__main__":
    sys.exit(main())
