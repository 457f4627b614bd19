"""The proof that a container's health check waits for: a heartbeat, and a flow run on the worker's own queue COMPLETED.

The checks come one after another and any of them may be killed: they go on with one flow run, which the server keeps.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from worker import probe
from worker.container import variables
from worker.probe import Verdict
from worker.rest import ApiError, Rest
from worker.settings import SettingError, from_environment

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECK_SECONDS = 10.0
"""For one check; whoever kills it earlier loses nothing."""
AGAIN_SECONDS = 10.0
LONGEST_PAUSE_SECONDS = 600.0
"""Between a probe's flow run that did not complete and the next: twice as long each time, up to this."""


def waits_for(environ: Mapping[str, str], here: str, age: float) -> str:
    """What a container's health check waits for, in words; empty once the worker has passed.

    Args:
        environ: of the container.
        here: its life.
        age: of that life, in seconds.
    """
    try:
        settings = from_environment({**environ, **variables(environ)})
        verdict = Verdict(settings.name)
        with Rest(settings.api, CHECK_SECONDS) as rest:
            if not probe.is_online(rest, verdict, settings.pool, datetime.now(UTC) - timedelta(seconds=age)):
                return (
                    f"waits for a heartbeat of worker {settings.name} in pool {settings.pool} "
                    f"(last: {verdict.heartbeat or 'none'})"
                )
            run = _run(rest, verdict, settings.pool, here)
            return _judge(run, verdict, here, settings.release)
    except (SettingError, probe.GateError, ApiError, ValueError) as error:
        return f"waits for what can be asked: {error}"


def _run(rest: Rest, verdict: Verdict, pool: str, here: str) -> dict[str, Any]:
    """The probe's flow run of this life as it is by the end of the check; a new one where none is there."""
    tried = probe.runs_of(rest, verdict.worker, here)
    if not tried or may_try_again(tried):
        key = f"{probe.key_of(verdict.worker, here)}{len(tried)}"
        verdict.flow_run_id = probe.create_run(rest, verdict.worker, pool, key)
    else:
        verdict.flow_run_id = str(tried[0]["id"])
    run: dict[str, Any] = probe.follow(rest, verdict)
    return run


def may_try_again(tried: list[dict[str, Any]]) -> bool:
    """Whether the last one has failed for long enough. A worker that always fails must not fill the server."""
    if tried[0]["state"]["type"] not in probe.ENDED - {"COMPLETED"}:
        return False
    ended = datetime.fromisoformat(tried[0]["state"]["timestamp"])
    pause = min(AGAIN_SECONDS * 2 ** min(len(tried) - 1, 10), LONGEST_PAUSE_SECONDS)
    return bool((datetime.now(UTC) - ended).total_seconds() > pause)


def _judge(run: dict[str, Any], verdict: Verdict, here: str, release: str) -> str:
    """Why this run is no proof of this container's worker; empty when it is."""
    state, labels = run["state"], run.get("labels") or {}
    if state["type"] != "COMPLETED":
        said = f": {state['message']}" if state.get("message") else ""
        return f"waits for the probe's flow run {verdict.flow_run_id}, which is {state['type']}{said}"[:1000]
    if labels.get("hublab.invocation") != here:
        return (
            f"waits for a probe run of its own: another worker of the name {verdict.worker} took "
            f"{verdict.flow_run_id}. Unset HUBLAB_WORKER_NAME, so that each container has its own"
        )
    if labels.get("hublab.release") != release:
        return f"waits for release {release}; the probe run was taken by {labels.get('hublab.release')}"
    return ""
