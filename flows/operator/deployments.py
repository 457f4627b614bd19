"""What a deployment of the campaign is at Prefect, part by part; how it differs; who else is in its work pool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
from prefect.settings import PREFECT_API_URL
from prefect.utilities.callables import parameter_schema

from flows.campaigns.model import sequences
from flows.enrolment import flat
from flows.operator import watch_schedule
from flows.services.words import env_file

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from flows.services.prefect_api import Prefect
    from flows.services.settings import Settings

# Says to the workers that to run such a run a second time does no harm, at any moment, even while the first is still
# at it: see `sending/one_mail.py`. A lost or crashed one is then run again, within bounds.
RUN_AGAIN = "run-again"
SEND_ENTRYPOINT = "flows.send_email_flow.send_email"
# A worker of this project polls a queue that bears its name: its gate's.
GATE_QUEUE = "probe-{}"
NOT_OURS = "is not what this release registers"
# Prefect shows some parts that nobody has set as the one, some as the other. Zero is no such: it lets nothing through.
EMPTY: tuple[Any, ...] = (None, [], {}, "")
ANSWERS_ANYBODY = (
    "Prefect's API answers without a credential: whoever reaches it runs code on the workers and reads every secret; "
    f"set PREFECT_SERVER_API_AUTH_STRING at the server and PREFECT_API_AUTH_STRING in {env_file()}"
)


def wanted(flow: Any, entrypoint: str, pool: str, settings: Settings) -> dict[str, Any]:
    """Every part of a flow's deployment: what is not named here would stay as somebody else has left it.

    The schema is shown and not enforced: the website passes over a refusal in silence, and a signup would be lost that
    a run can correct or at least name. Raises CampaignError.
    """
    handled = next((one for one in sequences().values() if one.handler == flow.name), None)
    own = handled is not None and isinstance(flow, flat.HandlerFlow)
    schema = flat.parameter_schema(handled) if own else parameter_schema(flow).model_dump_for_openapi()
    watch = watch_schedule.of(pool, settings) if entrypoint == watch_schedule.ENTRYPOINT else {}
    return {
        "name": flow.name,
        "entrypoint": entrypoint,
        "path": None,
        "pull_steps": [],
        "storage_document_id": None,
        "infrastructure_document_id": None,
        "job_variables": {},
        "parameters": watch.get("parameters", {}),
        "parameter_openapi_schema": schema,
        "enforce_parameter_schema": False,
        "tags": [RUN_AGAIN],
        "concurrency_limit": None,
        "concurrency_options": None,
        "schedules": [one.model_dump(mode="json", exclude_unset=True) for one in watch.get("schedules", ())],
        "paused": False,
        "work_pool_name": pool,
        "work_queue_name": settings.mails_queue if entrypoint == SEND_ENTRYPOINT else settings.handlers_queue,
    }


def differences(there: Mapping[str, Any], wanted_: Mapping[str, Any]) -> list[str]:
    """The parts in which a deployment, as Prefect shows it, is not what is wanted, in words. Pure."""
    found = []
    for part, wish in wanted_.items():
        shown = there.get(part)
        if part == "concurrency_limit":
            shown = (there.get("global_concurrency_limit") or {}).get("limit")
        if part == "schedules":
            ours, theirs = _schedules(wish), _schedules(shown or [])
            changed = sorted(slug for slug in ours | theirs if ours.get(slug) != theirs.get(slug))
            found += [f"schedules: {', '.join(changed)} {NOT_OURS}"] if changed else []
        elif shown != wish and not (shown in EMPTY and wish in EMPTY):
            # What is large, or may hold somebody's credential (a token in an address or a variable), is not shown.
            plain = not isinstance(shown, dict | list) or part == "tags"
            found.append(f"{part} is {shown!r}, not {wish!r}" if plain else f"{part} {NOT_OURS}")
    return found


def _schedules(those: list[dict[str, Any]]) -> dict[str, Any]:
    """What matters of schedules, by slug: Prefect adds times of its own to them."""
    return {
        str(one.get("slug")): (
            one.get("active", True),
            one.get("parameters") or {},
            {key: one["schedule"].get(key) for key in ("interval", "cron", "rrule", "timezone")},
        )
        for one in those
    }


def found(prefect: Prefect, name: str) -> dict[str, Any] | None:
    """The deployment of a flow of that name, as Prefect shows it."""
    there: dict[str, Any] | None = _answer(prefect, "GET", f"/deployments/name/{name}/{name}")
    return there


def _answer(prefect: Prefect, method: Any, path: Any, body: dict[str, Any] | None = None) -> Any:
    """What Prefect answers; None where it has no such thing."""
    try:
        return prefect.client.request(method, path, json=body).json()
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return None


def write(prefect: Prefect, flow: Any, parts: Mapping[str, Any]) -> None:
    """Create a deployment, or renew one that differs, in one request, whole. Its id stays.

    Raises:
        NotOursError: something is not as it was written.
    """
    there = found(prefect, flow.name)
    if there is not None and not differences(there, parts):
        return
    body = {"flow_id": str(prefect.client.create_flow_from_name(flow.name))} | dict(parts)
    prefect.client.request("POST", "/deployments/", json=body)
    if left := differences(found(prefect, flow.name) or {}, parts):
        raise NotOursError(f"{flow.name}: Prefect shows something else than was registered: {'; '.join(left)}")


class NotOursError(LookupError):
    """A deployment that Prefect does not show as it was registered; names the parts."""


def foreign(prefect: Prefect, pool: str, ours: Collection[str]) -> Iterator[tuple[str, str]]:
    """Deployments of somebody else in the pool: their name, and what a worker needs to run them. Left alone."""
    asked = {"sort": "NAME_ASC", "work_pools": {"name": {"any_": [pool]}}}
    for one in prefect.pages("/deployments/filter", asked):
        if one["name"] not in ours:
            steps = [key.rpartition(".")[2] for step in one.get("pull_steps") or [] for key in step]
            code = f"its pull steps ({', '.join(steps)})" if steps else f"the folder {one.get('path') or '.'}"
            yield one["name"], f"needs its code, {one.get('entrypoint')}, from {code}, and its packages on each worker"


def workers(prefect: Prefect, pool: str) -> list[dict[str, Any]]:
    """The workers of a pool, as Prefect shows them; none where there is no such pool."""
    return _listed(prefect, f"/work_pools/{pool}/workers/filter") or []


def queues(prefect: Prefect, pool: str) -> list[dict[str, Any]] | None:
    """The queues of a pool, as Prefect shows them; None where there is no such pool."""
    return _listed(prefect, f"/work_pools/{pool}/queues/filter")


def _listed(prefect: Prefect, path: str) -> list[dict[str, Any]] | None:
    """Everything that a path lists; None where what it names is not there."""
    try:
        return list(prefect.pages(path, {}))
    except httpx.HTTPStatusError as error:
        if error.response.status_code != httpx.codes.NOT_FOUND:
            raise
        return None


def online(prefect: Prefect, pool: str) -> list[str]:
    """The names of a pool's workers that are online."""
    return sorted(one["name"] for one in workers(prefect, pool) if one["status"] == "ONLINE")


def strangers(prefect: Prefect, pool: str) -> list[str]:
    """The workers online in a pool that this project has not deployed: they would take its runs and fail them."""
    names = online(prefect, pool)
    gates = {one["name"] for one in (queues(prefect, pool) if names else None) or ()}
    return [name for name in names if GATE_QUEUE.format(name) not in gates]


def answers_anybody() -> bool:
    """Whether Prefect's API tells somebody who shows no credential what there is."""
    url = f"{str(PREFECT_API_URL.value()).rstrip('/')}/work_pools/filter"
    try:
        return httpx.post(url, json={"limit": 1}, timeout=10).is_success
    except httpx.HTTPError:
        return False
