"""Renders the sandboxed unit of one worker. Pure."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from deploy import spec
from deploy.service import allowances, network

if TYPE_CHECKING:
    from collections.abc import Iterable

TEMPLATE = "prefect-worker.service.j2"
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
# Beside its own folders, where a unit can write, or could if it were root.
SCRATCH = ("+/", "+/tmp", "+/var/tmp", "-+/dev/hugepages")
EXECUTABLE = ("/usr/bin", "/bin", "/usr/lib", "/lib", "/lib64", "/usr/lib64", "/usr/local/bin", "/usr/local/lib")
TASKS_PER_RUN = 192  # a Chromium that shows one page was seen with 140, its threads among them
QUEUES = re.compile(r'^(Environment="?HUBLAB_WORK_QUEUES=)([^"\n]*)("?)$', re.MULTILINE)
# What follows from other settings, or differs whenever anything does.
DERIVED = ("HUBLAB_UNIT", "HUBLAB_RELEASE", "Description", "TimeoutStopSec", "TasksMax")
LONGEST_VALUES = 120


@cache
def _template(name: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        autoescape=False,  # noqa: S701 - not HTML: a unit file knows no entities
    )
    return environment.get_template(name)


def fill(template: str, /, **values: object) -> str:
    """A template of this folder with its values and the digest of it all, which tells what a process carries."""
    digest = hashlib.sha256(_template(template).render(**values, digest="").encode()).hexdigest()[:12]
    return _template(template).render(**values, digest=digest)


def visible(
    folder: str, python_prefix: str, writable: list[str], *more: str, allow: Iterable[str] = ()
) -> dict[str, list[str]]:
    """What a unit of ours sees and writes, and what of it can be executed; for `hardening.j2`.

    Args:
        folder: of the release.
        python_prefix: where the host's interpreter lives; made visible inside the sandbox.
        writable: the folders that it writes.
        more: further folders to read.
        allow: of HUBLAB_ALLOW.
    """
    prefix = [] if python_prefix == "/usr" or python_prefix.startswith("/usr/") else [python_prefix]
    return {
        "read_only": [folder, *prefix, *more, *SYSTEM_PATHS],
        "writable": writable,
        "allow": [*allow],
        "not_executable": [*SCRATCH, *(f"+{path}" for path in writable)],
        "executable": [f"-+{path}" for path in (f"{folder}/venv", *prefix, *EXECUTABLE)],
    }


def escape(value: str) -> str:
    """A value for `Environment=` in double quotes: `%` is systemd's specifier sign."""
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")


def render(  # noqa: PLR0913 - all that the text depends on
    host: spec.WorkerHost,
    *,
    hostname: str,
    number: int,
    release: str,
    python_prefix: str,
    reach: Iterable[str] = (),
    root: str = "",
) -> str:
    """The unit file of one worker.

    Args:
        host: what is wanted there.
        hostname: as the host calls itself; part of the worker's name.
        number: of the worker on this host, from 1.
        release: the release's id.
        python_prefix: where the host's interpreter lives; made visible inside the sandbox.
        reach: addresses that it cannot do without: the API's and the name servers'.
        root: where the empty folder lies: systemd takes no root of a unit's behind a link, as of /opt.
    """
    folder, state = f"{spec.RELEASES}/{release}", f"{spec.STATE}/worker-{number}"
    writable = [f"{state}/{name}" for name in ("tmp", "prefect")] + list(host.write_paths)
    values = {
        "name": spec.worker_name(hostname, number),
        "number": number,
        "release": release,
        "folder": folder,
        "state": state,
        "root": root or spec.ROOT_FOLDER,
        "user": spec.worker_user(number),
        "group": spec.USER,
        "write_paths": escape(":".join(host.write_paths)),
        "denied": network.denied(host.allow_networks),
        "allowed": network.allowed(host.allow_networks, reach),
        "listen": host.allow_listen,
        "pool": escape(host.work_pool),
        "queues": escape(",".join(host.queues)),
        "concurrency": host.concurrency,
        "drain_seconds": host.drain_seconds,
        "api_url": escape(host.api_url),
        "profiles": spec.PROFILES,
        "environment": spec.ENVIRONMENT,
        "trust_store": allowances.TRUST_STORE,
        "memory_max": host.memory_max,
        "tasks_max": TASKS_PER_RUN * (host.concurrency + 2),
    }
    return fill(TEMPLATE, **values, **visible(folder, python_prefix, writable, *host.read_paths, allow=host.allow))


def difference(old: str, new: str) -> str:
    """Which settings of two units differ, in words; empty when that cannot be told."""
    before, after = _directives(old), _directives(new)
    changed = [key for key in after if old and before.get(key) != after[key]]
    changed += [key for key in before if key not in after]
    told = [_change(key, before.get(key, "none"), after.get(key, "none")) for key in changed if key not in DERIVED]
    return f" ({', '.join(told)})" if told else ""


def _change(key: str, old: str, new: str) -> str:
    """One directive; of a long list only what came and what went."""
    if len(old) + len(new) <= LONGEST_VALUES:
        return f"{key} {old} → {new}"
    before, after = old.split(), new.split()
    moved = [f"+{word}" for word in after if word not in before] + [f"-{word}" for word in before if word not in after]
    return f"{key} {' '.join(moved)}"


def _directives(text: str) -> dict[str, str]:
    """Directive → value; of the environment, variable → value."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        key, _, value = line.partition("=")
        if key == "Environment":
            key, _, value = value.strip('"').partition("=")
        if value and not key.startswith("#"):
            found[key] = f"{found[key]} {value}" if key in found else value
    return found


def polling(unit: str, queues: Iterable[str]) -> str:
    """A unit of before whose worker polls these queues as well: runs wait in them that no worker of then knew of."""
    found = QUEUES.search(unit)
    there = found[2].split(",") if found else []
    more = [queue for queue in map(escape, queues) if queue not in there]
    return QUEUES.sub(lambda match: match[1] + ",".join([*there, *more]) + match[3], unit) if more else unit


def digest_of(unit: str) -> str:
    """The digest that a rendered unit carries, and its worker in its environment."""
    return unit.partition("Environment=HUBLAB_UNIT=")[2].partition("\n")[0]
