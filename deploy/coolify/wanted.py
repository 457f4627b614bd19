"""What is wanted of one application: its settings at Coolify and its container's environment. Pure."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from deploy.coolify.environment import Entry
from deploy.secret import Secret

if TYPE_CHECKING:
    from deploy.coolify.answers import Application
    from deploy.spec import WorkerHost
    from deploy.webhooks import Webhooks

DOCKERFILE = "/deploy/container/Dockerfile"
TARGET = "worker"
HEALTH_COMMAND = "python -m worker.healthy"
# The same image with another command. Its health check asks /health by HTTP; Coolify's own kind would run curl or wget
# in the container, and neither is in the image.
WEBHOOKS_TARGET = "webhooks"
WEBHOOKS_HEALTH_COMMAND = "python -m flows.webhooks.healthy"
# What was answered 202 and is not handed on yet lies there.
VOLUME, VOLUME_PATH = "webhooks", "/var/lib/hublab/webhooks"
# Requests get 15 s to end (flows/webhooks/service.py).
WEBHOOKS_GRACE_SECONDS = 45
# Coolify's proxy is a container of a private network, and says in X-Forwarded-For who calls.
PLAIN = ("WEBHOOK_PROXIES",)
PROXIES = "127.0.0.1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16"
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
    """How long Docker waits for a container that was told to stop."""
    if wanted.webhooks:
        return WEBHOOKS_GRACE_SECONDS
    return wanted.drain_seconds + DRAIN_SPARE_SECONDS


def fields(wanted: WorkerHost, app: Application, source: str) -> dict[str, Any]:
    """The settings of an application that runs `source`: a commit, or an image's tag."""
    name = wanted.coolify.image[0] if wanted.coolify else ""
    target, health, more = TARGET, HEALTH_COMMAND, dict[str, Any]()
    if wanted.webhooks:
        target, health = WEBHOOKS_TARGET, WEBHOOKS_HEALTH_COMMAND
        more = {"ports_exposes": str(wanted.webhooks.port), "domains": wanted.webhooks.domain}
        # As `./hublab image --target webhooks` calls it, beside the worker's.
        name = name and f"{name.rpartition('/')[0]}/{WEBHOOKS_TARGET}".lstrip("/")
    if app.image:
        place = {"docker_registry_image_tag": source} | ({"docker_registry_image_name": name} if name else {})
    else:
        place = {"git_commit_sha": source, "dockerfile_location": DOCKERFILE, "dockerfile_target_build": target}
    return {
        **place,
        **more,
        "stop_grace_period": grace_seconds(wanted),
        "health_check_enabled": True,
        "health_check_type": "cmd",
        "health_check_command": health,
        "health_check_interval": INTERVAL_SECONDS,
        "health_check_timeout": TIMEOUT_SECONDS,
        "health_check_start_period": START_SECONDS,
        "health_check_retries": ceil(wanted.gate_seconds / INTERVAL_SECONDS),
        "limits_memory": wanted.memory_max.lower(),
        "custom_docker_run_options": OPTIONS,
    }


def present(app: Application, names: list[str]) -> dict[str, Any]:
    """The same settings as they are."""
    flat = {**app.model_dump(), "stop_grace_period": app.settings.stop_grace_period, "domains": app.fqdn}
    return {name: flat[name] for name in names}


def environment(wanted: WorkerHost) -> tuple[Entry, ...]:
    """What the container is told; who it is, it knows by the name that Coolify gives it."""
    entries = _of_webhooks(wanted.webhooks) if wanted.webhooks else _of_worker(wanted)
    credentials = {"PREFECT_API_AUTH_STRING": wanted.auth_string, "PREFECT_API_KEY": wanted.api_key}
    secrets = (Entry(key, value, secret=True) for key, value in credentials.items() if value)
    return (*entries, Entry.plain("PREFECT_API_URL", wanted.api_url), *secrets)


def _of_webhooks(webhooks: Webhooks) -> list[Entry]:
    told = {"WEBHOOK_PROXIES": Secret(PROXIES)} | webhooks.variables
    return [Entry(key, value, secret=key not in PLAIN) for key, value in told.items()]


def _of_worker(wanted: WorkerHost) -> list[Entry]:
    return [
        Entry.plain("HUBLAB_WORK_POOL", wanted.work_pool),
        Entry.plain("HUBLAB_WORK_QUEUES", ",".join(wanted.queues)),
        Entry.plain("HUBLAB_CONCURRENCY", wanted.concurrency),
        Entry.plain("HUBLAB_DRAIN_SECONDS", wanted.drain_seconds),
        Entry.plain("HUBLAB_ALLOW_LISTEN", "yes" if wanted.allow_listen else "no"),
    ]
