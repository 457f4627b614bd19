"""Small makers of what a plan is made from: a wanted host, a bare one, and one that a finished deploy left."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

from deploy.release import identity
from deploy.secret import Secret
from deploy.service import unit
from deploy.spec import WorkerHost
from deploy.state import FileFacts, HostState, Legacy, Release, Uvloop, Worker

SENTINEL = "sentinel-5d1c"
PYTHON = "3.12.1"
GIB = 1024**3
# Literals: the tests must not learn from the deploy which modes are right.
FILES = {
    "/etc/hublab": "0755",
    "/etc/hublab/profiles.toml": "0600",
    "/etc/hublab/environment.json": "0600",
    "/var/lib/hublab": "0755",
    "/opt/hublab": "0755",
    "/opt/hublab/releases": "0755",
    "/opt/hublab/root": "0755",
}


def wanted(**changes: Any) -> WorkerHost:
    host = WorkerHost(
        address="hublab-1.example.com",
        workers=3,
        work_pool="default",
        work_queues=("default",),
        concurrency=4,
        drain_seconds=900,
        gate_seconds=180,
        memory_max="4G",
        python="3.12",
        read_paths=(),
        wheels="push",
        api_url="https://prefect.example.com/api",
        auth_string=Secret(f"admin:{SENTINEL}"),
        api_key=None,
    )
    return replace(host, **changes)


def bare(**changes: Any) -> HostState:
    """A Debian 12 that no deploy has seen yet; the server answers it."""
    state = HostState(
        hostname="hublab-1",
        machine="x86_64",
        libc="glibc-2.36",
        systemd=252,
        landlock=7,
        python="/usr/local/bin/python3.12",
        python_prefix="/usr/local",
        python_version=PYTHON,
        free={"/opt/hublab": 20 * GIB, "/var/lib": 20 * GIB, "/etc": 20 * GIB},
        files=dict.fromkeys(FILES),
        api_status=200,
        automations={},
    )
    return replace(state, **changes)


def release_name() -> str:
    return identity.release_id(PYTHON, "/usr/local")


def prefect_version() -> str:
    """The lock's, which a release bears in front of its name."""
    return release_name().partition("-")[0]


def finished(name: str, **changes: Any) -> Release:
    return replace(Release(name, complete=True, prefect=prefect_version()), **changes)


def file_fact(path: str, content: str = "", **changes: Any) -> FileFacts:
    digest = hashlib.sha256(content.encode()).hexdigest() if content else ""
    return replace(FileFacts(FILES[path], 0, 0, digest), **changes)


def running(host: WorkerHost, number: int, release: str = "", **changes: Any) -> Worker:
    """A worker that serves as the deploy of this host left it."""
    release = release or release_name()
    text = unit.render(host, hostname="hublab-1", number=number, release=release, python_prefix="/usr/local")
    worker = Worker(
        number,
        unit_sha256=hashlib.sha256(text.encode()).hexdigest(),
        active="active",
        pid=1_000 + number,
        enabled="enabled",
        release=release,
        unit_digest=unit.digest_of(text),
        credentials={
            path.rpartition("/")[2]: hashlib.sha256(content.encode()).hexdigest()
            for path, content in host.secret_files().items()
            if path in FILES
        },
    )
    return replace(worker, **changes)


def converged(host: WorkerHost, release: str = "", **changes: Any) -> HostState:
    """What a finished deploy leaves: nothing to do."""
    release = release or release_name()
    state = bare(
        users=frozenset(host.users()),
        releases={release: finished(release)},
        current=release,
        files={path: file_fact(path, host.secret_files().get(path, "")) for path in FILES},
        environment={name: hashlib.sha256(value.reveal().encode()).hexdigest() for name, value in host.environment},
        workers={number: running(host, number, release) for number in range(1, host.workers + 1)},
        online=frozenset(f"hublab-1-{number}" for number in range(1, host.workers + 1)),
    )
    return replace(state, **changes)


def legacy(**changes: Any) -> Legacy:
    item = Legacy(
        pid=77,
        user="deploy",
        uid=1000,
        unit="prefect-worker.service",
        user_unit=None,
        how="unit",
        origin="unit prefect-worker.service",
        name="old",
        python="/srv/venv/bin/python",
        prefect="3.4.1",
        uvloop=(Uvloop("/srv/venv/lib/python3.12/site-packages", "0.21.0", ""),),
        ticks=500,
    )
    return replace(item, **changes)
