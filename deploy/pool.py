"""What of a work pool would let no flow run complete, seen before anything is changed. Pure."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any

from packaging.version import InvalidVersion, Version

from deploy import spec
from deploy.problem import Problem
from deploy.release import requirements

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.state import HostState

TYPE = "process"


def problems(host: spec.WorkerHost, state: HostState) -> Iterator[Problem]:
    """Why its workers would be ONLINE and run nothing."""
    if state.pool is None:
        return
    name, found = host.work_pool, state.pool
    if not found.there:
        yield Problem(
            f"HUBLAB_WORK_POOL: the server at {host.api_url} has no work pool {name}",
            f"create it there: prefect work-pool create {name} --type {TYPE}; or correct the name",
        )
        return
    if found.type != TYPE:
        yield Problem(
            f"HUBLAB_WORK_POOL: {name} is a pool of type {found.type}, and these workers are of type {TYPE}",
            f"name a pool of that type, or create one: prefect work-pool create NAME --type {TYPE}",
        )
        return
    if found.paused:
        yield Problem(f"HUBLAB_WORK_POOL: {name} is paused", f"prefect work-pool resume {name}")
    if found.limit == 0:
        yield Problem(
            f"HUBLAB_WORK_POOL: {name} has a concurrency limit of 0, so that no flow run starts",
            f"prefect work-pool clear-concurrency-limit {name}",
        )
    for queue in found.paused_queues:
        if queue in host.work_queues and queue not in host.campaign_queues:
            yield Problem(
                f"HUBLAB_WORK_QUEUES: {queue} of the pool {name} is paused",
                f"prefect work-queue resume {queue} --pool {name}",
            )
    for fault in template_faults(host, found.template):
        yield Problem(
            f"HUBLAB_WORK_POOL: the base job template of {name} {fault}",
            f"correct it at the server: prefect work-pool update {name} --base-job-template FILE; what a pool of this "
            f"type has by default says prefect work-pool get-default-base-job-template --type {TYPE}",
        )


def template_faults(host: spec.WorkerHost, template: Any) -> list[str]:
    """What in a base job template makes each flow run fail that says nothing of it itself."""
    if not isinstance(template, dict) or not all(
        isinstance(template.get(part), dict) for part in ("job_configuration", "variables")
    ):
        return ["has no job_configuration with its variables"]
    variables = template["variables"]
    properties = variables.get("properties", {})
    if not isinstance(properties, dict):
        return ["has variables without properties"]
    faults = [
        f"requires the variable {key} and gives it no value: a run of a deployment that sets none fails"
        for key in variables.get("required", [])
        if not _given(properties.get(key))
    ]
    if (started := folder(template)) and not is_seen(host, started):
        faults.append(
            f"starts flow runs in {started}, which the workers' sandbox does not show them: "
            "name it in HUBLAB_READ_PATHS or HUBLAB_WRITE_PATHS, or leave working_dir out"
        )
    return faults


def _given(variable: Any) -> bool:
    return isinstance(variable, dict) and variable.get("default") is not None


def _value(template: dict[str, Any], key: str) -> Any:
    """What a run gets that says nothing itself: the template's own value, or its variable's default."""
    value = template["job_configuration"].get(key)
    if isinstance(value, str) and value.replace(" ", "") == f"{{{{{key}}}}}":
        variable = template["variables"].get("properties", {}).get(key)
        return variable.get("default") if isinstance(variable, dict) else None
    return value


def folder(template: Any) -> str:
    """In which flow runs start that say nothing of it themselves; nothing where that is each run's own."""
    try:
        found = _value(template, "working_dir")
    except (TypeError, KeyError, AttributeError):  # of another shape, which is a problem of its own
        return ""
    return found if isinstance(found, str) else ""


def is_seen(host: spec.WorkerHost, folder: str) -> bool:
    """Whether the workers' sandbox shows a folder of the host."""
    path = posixpath.normpath(folder)
    seen = ("/usr", "/tmp", spec.STATE, *host.read_paths, *host.write_paths)  # noqa: S108 - each unit's own
    return "{{" in folder or any(posixpath.commonpath((path, item)) == item for item in seen if path.startswith("/"))


def server_problems(host: spec.WorkerHost, state: HostState) -> Iterator[Problem]:
    """A server that these workers cannot speak to at all."""
    ours = Version(requirements.locked_versions()["prefect"])
    try:
        theirs = Version(state.api_version)
    except InvalidVersion:  # it did not say, or is a build of somebody's own
        return
    if theirs.major != ours.major:
        yield Problem(
            f"PREFECT_API_URL: the server at {host.api_url} is Prefect {theirs}, the workers are {ours}: "
            "the API of another major version is another one",
            f"upgrade the server to Prefect {ours.major}",
        )
