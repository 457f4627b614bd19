"""Renders the sandboxed unit of one worker. Pure."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template

from deploy import spec

TEMPLATE = Path(__file__).with_name("prefect-worker.service.j2")
# A leading dash: absent is fine. The C library and its name service, certificates, time zones, the notification socket.
SYSTEM_PATHS = (
    "/usr",
    "-/bin",
    "-/lib",
    "-/lib64",
    "-/etc/ld.so.cache",
    "-/etc/hosts",
    "-/etc/resolv.conf",
    "-/etc/nsswitch.conf",
    "-/etc/host.conf",
    "-/etc/gai.conf",
    "-/etc/passwd",
    "-/etc/group",
    "-/etc/localtime",
    "-/etc/ssl",
    "-/etc/ca-certificates",
    "/run/systemd/notify",
)
EXECUTABLE = ("/usr/bin", "/bin", "/usr/lib", "/lib", "/lib64", "/usr/lib64", "/usr/local/bin", "/usr/local/lib")
TASKS_PER_RUN = 64


@cache
def _template() -> Template:
    # Not HTML: a unit file knows no entities.
    environment = Environment(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)  # noqa: S701
    return environment.from_string(TEMPLATE.read_text())


def escape(value: str) -> str:
    """A value for `Environment=` in double quotes: `%` is systemd's specifier sign."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def render(host: spec.WorkerHost, *, hostname: str, number: int, release: str, python_prefix: str) -> str:
    """The unit file of one worker.

    Args:
        host: what is wanted there.
        hostname: as the host calls itself; part of the worker's name.
        number: of the worker on this host, from 1.
        release: the release's id.
        python_prefix: where the host's interpreter lives; made visible inside the sandbox.
    """
    folder = f"{spec.RELEASES}/{release}"
    values = {
        "name": spec.worker_name(hostname, number),
        "number": number,
        "release": release,
        "folder": folder,
        "state": f"{spec.STATE}/worker-{number}",
        "root": spec.ROOT_FOLDER,
        "user": spec.USER,
        "pool": escape(host.work_pool),
        "queues": escape(",".join(host.work_queues)),
        "concurrency": host.concurrency,
        "drain_seconds": host.drain_seconds,
        "api_url": escape(host.api_url),
        "profiles": spec.PROFILES,
        "memory_max": host.memory_max,
        "tasks_max": TASKS_PER_RUN * (host.concurrency + 2),
        "read_only": [folder, *_outside_usr(python_prefix), *host.read_paths, *SYSTEM_PATHS],
        "executable": [f"-+{path}" for path in (f"{folder}/venv", *_outside_usr(python_prefix), *EXECUTABLE)],
    }
    digest = hashlib.sha256(_template().render(**values, digest="").encode()).hexdigest()[:12]
    return _template().render(**values, digest=digest)


def digest_of(unit: str) -> str:
    """The digest that a rendered unit carries, and its worker in its environment."""
    return unit.partition("Environment=HUBLAB_UNIT=")[2].partition("\n")[0]


def _outside_usr(prefix: str) -> list[str]:
    return [] if prefix == "/usr" or prefix.startswith("/usr/") else [prefix]
