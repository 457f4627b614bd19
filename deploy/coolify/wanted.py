"""What is wanted of one application: its settings at Coolify and its container's environment. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import TYPE_CHECKING, Any

from deploy.coolify.environment import Entry
from deploy.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deploy.coolify.answers import Application
    from deploy.spec import WorkerHost
    from deploy.webhooks import Webhooks

DOCKERFILE = "/deploy/container/Dockerfile"
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


@dataclass(frozen=True)
class Kind:
    """What an application runs, a worker or the webhooks, and all in which the two differ.

    `target`: a stage of the Dockerfile; `image`: its name, where it comes from a registry. `grace_seconds`: how long
    Docker waits for a container that was told to stop. `down`, `up`: what is said of one. `fields`: its own settings.
    """

    target: str
    health_command: str
    image: str
    grace_seconds: int
    down: str
    up: str
    entries: tuple[Entry, ...]
    warnings: tuple[str, ...]
    fields: Mapping[str, Any] = field(default_factory=dict)
    volume: str = ""


def kind(wanted: WorkerHost) -> Kind:
    """What it runs."""
    image = wanted.coolify.image[0] if wanted.coolify else ""
    return _webhooks(wanted.webhooks, image) if wanted.webhooks else _worker(wanted, image)


def _worker(wanted: WorkerHost, image: str) -> Kind:
    told = {
        "HUBLAB_WORK_POOL": wanted.work_pool,
        "HUBLAB_WORK_QUEUES": ",".join(wanted.queues),
        "HUBLAB_CONCURRENCY": wanted.concurrency,
        "HUBLAB_DRAIN_SECONDS": wanted.drain_seconds,
        "HUBLAB_ALLOW_LISTEN": "yes" if wanted.allow_listen else "no",
    }
    return Kind(
        target="worker",
        health_command="python -m worker.healthy",
        image=image,
        grace_seconds=wanted.drain_seconds + DRAIN_SPARE_SECONDS,
        down="is not ONLINE at Prefect's server",
        up="ONLINE",
        entries=tuple(Entry.plain(key, value) for key, value in told.items()),
        warnings=tuple(_not_held(wanted)),
    )


def _not_held(wanted: WorkerHost) -> Iterator[str]:
    """What flow runs have on a host, and not in a container."""
    if wanted.read_paths or wanted.write_paths:
        yield "HUBLAB_READ_PATHS and HUBLAB_WRITE_PATHS do not hold in its container"
    if wanted.environment:
        names = ", ".join(name for name, _ in wanted.environment)
        yield f"HUBLAB_ENVIRONMENT does not reach its container: set {names} in Coolify, literal and at run time alone"
    if wanted.allow:
        yield f"HUBLAB_ALLOW does not hold there: {', '.join(wanted.allow)} is as the container has it"
    if wanted.allow_networks:
        yield "HUBLAB_ALLOW_NETWORKS does not hold there: its runs reach what the container reaches"


def _webhooks(webhooks: Webhooks, image: str) -> Kind:
    """The same image with another command."""
    told = {"WEBHOOK_PROXIES": Secret(PROXIES)} | webhooks.variables
    return Kind(
        target="webhooks",
        # It asks /health by HTTP; Coolify's own kind would run curl or wget in the container, and neither is there.
        health_command="python -m flows.webhooks.healthy",
        # As `./hublab image --target webhooks` calls it, beside the worker's.
        image=image and f"{image.rpartition('/')[0]}/webhooks".lstrip("/"),
        grace_seconds=WEBHOOKS_GRACE_SECONDS,
        down="does not run",
        up="serves",
        entries=tuple(Entry(key, value, secret=key not in PLAIN) for key, value in told.items()),
        warnings=tuple(f"{route} stays closed (401) until .env has {key}" for key, route in webhooks.closed.items()),
        fields={"ports_exposes": str(webhooks.port), "domains": webhooks.domain},
        volume=VOLUME_PATH,
    )


def fields(wanted: WorkerHost, app: Application, source: str) -> dict[str, Any]:
    """The settings of an application that runs `source`: a commit, or an image's tag."""
    runs = kind(wanted)
    if app.image:
        name = {"docker_registry_image_name": runs.image} if runs.image else {}
        place = {"docker_registry_image_tag": source} | name
    else:
        place = {"git_commit_sha": source, "dockerfile_location": DOCKERFILE, "dockerfile_target_build": runs.target}
    return {
        **place,
        **runs.fields,
        "stop_grace_period": runs.grace_seconds,
        "health_check_enabled": True,
        "health_check_type": "cmd",
        "health_check_command": runs.health_command,
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
    credentials = {"PREFECT_API_AUTH_STRING": wanted.auth_string, "PREFECT_API_KEY": wanted.api_key}
    secrets = (Entry(key, value, secret=True) for key, value in credentials.items() if value)
    return (*kind(wanted).entries, Entry.plain("PREFECT_API_URL", wanted.api_url), *secrets)
