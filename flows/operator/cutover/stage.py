"""Around the people: the deployments as they were and as they are to be, and what stands in the way."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.campaigns.clock import instant
from flows.enrolment.takeover import VARIABLE
from flows.operator import deployments as at_prefect
from flows.operator import preflight, register
from flows.operator.cutover import lock
from flows.operator.cutover.decide import sequences
from flows.services.prefect_api import MAIL_FLOW
from flows.services.words import env_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect
    from flows.services.settings import Settings

SNAPSHOT, KIND = "hublab-takeover-deployments", "hublab-takeover"
# What a deployment is made of, beside its name: `at_prefect.wanted` has the same parts.
PARTS = (
    *("entrypoint", "path", "pull_steps", "storage_document_id", "infrastructure_document_id", "job_variables"),
    *("parameters", "parameter_openapi_schema", "enforce_parameter_schema", "tags", "concurrency_options", "paused"),
    *("work_pool_name", "work_queue_name", "description", "version"),
)

SCHEDULE = ("schedule", "active", "parameters", "slug")

TELLING = {"do-nothing", "call-webhook", "send-notification"}  # what an automation does to nobody's runs


@dataclass(frozen=True)
class Stage:
    """How things stand: the `phase` of the take-over and when it `opened`, and what is in the way.

    `theirs` are deployments that are not ours, with what differs; `blockers` keep it from being applied.
    """

    phase: str
    opened: datetime | None
    theirs: dict[str, str]
    pool: str
    pools: tuple[str, ...]
    blockers: tuple[str, ...]
    warnings: tuple[str, ...]


def phase(prefect: Prefect) -> tuple[str, datetime | None]:
    """How far the take-over is, and when it was opened; empty and None where it was not."""
    kept = prefect.variable(VARIABLE) or {}
    return str(kept.get("phase") or ""), instant(kept["at"]) if kept.get("at") else None


def enter(prefect: Prefect, wanted: str) -> datetime:
    """Let the take-over be in a phase; when it was opened."""
    _, opened = phase(prefect)
    opened = opened or datetime.now(UTC)
    prefect.remember(VARIABLE, {"phase": wanted, "at": opened.isoformat()})
    return opened


def names() -> tuple[str, ...]:
    """The deployments that the production before had."""
    return (*(one.handler for one in sequences()), MAIL_FLOW)


def deployments(prefect: Prefect) -> dict[str, dict[str, Any]]:
    """Those of them that are there, as Prefect shows them."""
    found = {name: at_prefect.found(prefect, name) for name in names()}
    return {name: one for name, one in found.items() if one is not None}


def beside(prefect: Prefect, there: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Deployments of the same flows under names of their own, which stay as they are."""
    renewed = {one["id"] for one in there.values()}
    asked = {"flows": {"name": {"any_": list(names())}}, "sort": "NAME_ASC"}
    return [one for one in prefect.pages("/deployments/filter", asked) if one["id"] not in renewed]


def theirs(there: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those of the deployments that name code of somebody else. Pure."""
    return {name: one for name, one in there.items() if one.get("entrypoint") not in register.ENTRYPOINTS}


def differing(there: dict[str, dict[str, Any]], settings: Settings, pool: str) -> dict[str, str]:
    """Those that are not what this release registers, with what differs."""
    found = {}
    for entrypoint in register.ENTRYPOINTS:
        flow = register.flow_of(entrypoint)
        if flow.name in there:
            parts = at_prefect.wanted(flow, entrypoint, pool, settings)
            if differs := at_prefect.differences(there[flow.name], parts):
                found[flow.name] = "; ".join(differs)
    return found


def keep(prefect: Prefect) -> None:
    """Write down the deployments as they are, once, and of those only that are not ours already."""
    if prefect.artifact(SNAPSHOT) is not None:
        return
    kept = {}
    for name, one in theirs(deployments(prefect)).items():
        limit = (one.get("global_concurrency_limit") or {}).get("limit")
        schedules = [{key: each[key] for key in SCHEDULE if key in each} for each in one.get("schedules") or []]
        kept[name] = {part: one.get(part) for part in PARTS} | {"concurrency_limit": limit, "schedules": schedules}
    if kept:
        prefect.keep(SNAPSHOT, KIND, kept)


def kept(prefect: Prefect) -> dict[str, dict[str, Any]]:
    """The deployments as they were; empty where nothing was taken over."""
    found = prefect.artifact(SNAPSHOT)
    return dict(found.data) if found else {}


def restore(prefect: Prefect) -> None:
    """Make the deployments again what they were; their ids stay."""
    for name, parts in kept(prefect).items():
        body = {"name": name, "flow_id": str(prefect.client.create_flow_from_name(name))} | parts
        if parts["concurrency_limit"] is None:
            body.pop("concurrency_options")
        prefect.client.request("POST", "/deployments/", json=body)


def forget(prefect: Prefect) -> None:
    """Everything is as it was: a take-over to come begins anew."""
    while (found := prefect.artifact(SNAPSHOT)) is not None:
        prefect.drop(found.id)
    prefect.forget(VARIABLE)


def look(prefect: Prefect, notion: NotionGateway, settings: Settings, pool: str) -> Stage:
    """How things stand. Raises what Prefect's client raises."""
    current, opened = phase(prefect)
    there = deployments(prefect)
    pools = sorted({str(one.get("work_pool_name")) for one in there.values()} - {"None"})
    differ, warnings = differing(there, settings, pool), list(_warnings(prefect, there, pool, pools))
    blockers = _blockers(prefect, notion, settings, there, pool)
    if (holder := lock.holder(prefect)) and holder.alive:
        warnings.append(str(holder))
    if not theirs(there) and prefect.artifact(SNAPSHOT) is None:
        warnings.append("the deployments are this release's, and nobody has kept what they were: no way leads back")
    return Stage(current, opened, differ, pool, tuple(pools), tuple(blockers), tuple(warnings))


def _blockers(
    prefect: Prefect, notion: NotionGateway, settings: Settings, there: dict[str, dict[str, Any]], pool: str
) -> Iterator[str]:
    strangers, online = at_prefect.strangers(prefect, pool), at_prefect.online(prefect, pool)
    remedy = (
        f"stop it, or give the campaign a pool of its own: HUBLAB_WORK_POOL in {env_file()}, "
        "`./hublab deploy`, `./hublab campaign secrets`"
    )
    yield from (f"worker {one} polls the pool {pool} and would fail our runs: {remedy}" for one in strangers)
    if not set(online) - set(strangers):
        yield f"no worker of this project is online in the pool {pool}: `./hublab deploy`"
    for name, one in theirs(there).items():
        if one.get("work_pool_name") is None and one.get("status") == "READY":
            yield (
                f"deployment {name} is in no pool, and a process of its own serves it (`flow.serve()`): whatever the "
                "pool, it would take our runs and fail them: end it; a minute later it counts as gone"
            )
    rows = [*preflight.secrets(settings), *preflight.properties(notion), *preflight.templates(notion, settings)]
    rows.append(preflight.sender(prefect, settings))
    yield from (f"{row.what}: {row.problem}" for row in rows if not row.ok)


def _shared(prefect: Prefect, there: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Workers of ours in a pool of theirs: what they take there is lost."""
    now = theirs(there)
    are = "runs of the production before are" if now else "the way back puts the runs of the production before"
    for pool in sorted({str(one.get("work_pool_name")) for one in (now or kept(prefect)).values()} - {"None"}):
        strangers = at_prefect.strangers(prefect, pool)
        if ours := [one for one in at_prefect.online(prefect, pool) if one not in strangers]:
            yield (
                f"{', '.join(ours)} of this project {'poll' if len(ours) > 1 else 'polls'} the pool {pool}, where "
                f"{are}: a worker of ours cannot run them, and a mail that it takes there is lost. Give the campaign "
                f"a pool of its own first: HUBLAB_WORK_POOL in {env_file()}, `./hublab deploy`, "
                "`./hublab campaign secrets`"
            )


def _warnings(prefect: Prefect, there: dict[str, dict[str, Any]], pool: str, pools: list[str]) -> Iterator[str]:
    if at_prefect.answers_anybody():
        yield at_prefect.ANSWERS_ANYBODY
    yield from _shared(prefect, there)
    for one in beside(prefect, there):
        yield (
            f"deployment {one['name']} ({one['id']}) is one more of the campaign's flows and stays as it is: the code "
            "of before goes on in it. What waits there is withdrawn first; have whoever starts it start the one whose "
            "name is the flow's"
        )
    for automation in prefect.pages("/automations/filter", {"sort": "NAME_ASC"}):
        acts = sorted({action["type"] for action in automation["actions"]} - TELLING)
        if acts and automation["enabled"]:
            yield (
                f"automation {automation['name']!r} ({', '.join(acts)}) may act on the campaign's runs and "
                "deployments, and stays: look at it in Prefect's UI, and switch it off where it does"
            )
    for other in (one for one in pools if one != pool):
        polling = ", ".join(at_prefect.online(prefect, other)) or "nobody"
        yield f"the deployments move from the pool {other} (polled by {polling}) to {pool}, and their runs with them"
