"""What is wanted of one application: its settings at Coolify and its container's environment. Pure."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from deploy.coolify.environment import Entry

if TYPE_CHECKING:
    from deploy.coolify.answers import Application
    from deploy.spec import WorkerHost

DOCKERFILE = "/deploy/container/Dockerfile"
TARGET = "worker"
HEALTH_COMMAND = "python -m worker.healthy"
# What Docker takes of Coolify's line. It drops --read-only, --tmpfs, --pids-limit, --user and -v without a word, and
# turns --security-opt into one that the container does not start with.
OPTIONS = "--cap-drop=ALL --init"
INTERVAL_SECONDS = 5
TIMEOUT_SECONDS = 15
START_SECONDS = 10
# Docker kills after the grace; the worker hands its runs back before.
DRAIN_SPARE_SECONDS = 30
# Coolify ends a command after an hour and then removes the new container by force while the old one is stopping.
LONGEST_SECONDS = 3000
BUILD_SPARE_SECONDS = 600


def grace_seconds(wanted: WorkerHost) -> int:
    """How long Docker waits for a worker that was told to stop."""
    return wanted.drain_seconds + DRAIN_SPARE_SECONDS


def fields(wanted: WorkerHost, app: Application, source: str) -> dict[str, Any]:
    """The settings of an application that runs `source`: a commit, or an image's tag."""
    name = wanted.coolify.image[0] if wanted.coolify else ""
    if app.image:
        place = {"docker_registry_image_tag": source} | ({"docker_registry_image_name": name} if name else {})
    else:
        place = {"git_commit_sha": source, "dockerfile_location": DOCKERFILE, "dockerfile_target_build": TARGET}
    return {
        **place,
        "stop_grace_period": grace_seconds(wanted),
        "health_check_enabled": True,
        "health_check_type": "cmd",
        "health_check_command": HEALTH_COMMAND,
        "health_check_interval": INTERVAL_SECONDS,
        "health_check_timeout": TIMEOUT_SECONDS,
        "health_check_start_period": START_SECONDS,
        "health_check_retries": ceil(wanted.gate_seconds / INTERVAL_SECONDS),
        "limits_memory": wanted.memory_max.lower(),
        "custom_docker_run_options": OPTIONS,
    }


def present(app: Application, names: list[str]) -> dict[str, Any]:
    """The same settings as they are."""
    return {name: getattr(app.settings if name == "stop_grace_period" else app, name) for name in names}


def environment(wanted: WorkerHost) -> tuple[Entry, ...]:
    """What the container is told; who it is, it knows by the name that Coolify gives it."""
    entries = [
        Entry.plain("HUBLAB_WORK_POOL", wanted.work_pool),
        Entry.plain("HUBLAB_WORK_QUEUES", ",".join(wanted.queues)),
        Entry.plain("HUBLAB_CONCURRENCY", wanted.concurrency),
        Entry.plain("HUBLAB_DRAIN_SECONDS", wanted.drain_seconds),
        Entry.plain("HUBLAB_ALLOW_LISTEN", "yes" if wanted.allow_listen else "no"),
        Entry.plain("PREFECT_API_URL", wanted.api_url),
    ]
    credentials = {"PREFECT_API_AUTH_STRING": wanted.auth_string, "PREFECT_API_KEY": wanted.api_key}
    return (*entries, *(Entry(key, value, secret=True) for key, value in credentials.items() if value))
