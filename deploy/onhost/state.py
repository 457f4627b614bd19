"""What is there, as typed data: a host answers with it. Pure; `inspect_host.py` looks. Standard library only."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from deploy.onhost.record import Line


@dataclass(frozen=True)
class Worker:
    """One worker unit as it is; `doing`: in the worker's own words.

    `credentials`: name → digest of each that the running process was started with. `folders_ready`: its state folders
    are as systemd takes them, in a folder of root's.
    """

    number: int
    unit_sha256: str
    active: str = "inactive"
    pid: int = 0
    restarts: int = 0
    needs_reload: bool = False
    enabled: str = ""
    release: str = ""
    unit_digest: str = ""
    uvloop: bool = False
    drop_ins: tuple[str, ...] = ()
    doing: str = ""
    unit_text: str = ""
    folders_ready: bool = True
    credentials: dict[str, str] = field(default_factory=dict)

    @property
    def in_flight(self) -> int:
        """How many flow runs it has, by its own words."""
        found = re.search(r"(\d+) runs? in flight", self.doing) if self.active == "active" else None
        return int(found[1]) if found else 0


@dataclass(frozen=True)
class Uvloop:
    """A uvloop that a legacy worker would import, in a folder of packages; `stays`: why it is not removed, or empty."""

    site: str
    version: str
    stays: str


@dataclass(frozen=True)
class Process:
    """One process; `ticks`: when it started, on the kernel's clock. No other ever had the same of both."""

    pid: int
    ticks: int


@dataclass(frozen=True)
class Legacy(Process):
    """One worker that was started by other means, and is proven to be one.

    `how`: `unit` or `wrapper` where `unit` is there for this worker alone, starting it directly or not; else empty.
    """

    user: str
    uid: int
    unit: str | None
    user_unit: str | None
    how: str
    origin: str
    name: str
    python: str
    prefect: str
    uvloop: tuple[Uvloop, ...]


@dataclass(frozen=True)
class LegacyUnit:
    """A system unit of others whose own ExecStart starts a worker."""

    name: str
    file: str = ""
    active: bool = False
    enabled: bool = False


@dataclass(frozen=True)
class Starter:
    """A line of a file that starts a worker again, at a boot or a login; `user`: whose, empty for the system's.

    `unit`: what is to be disabled, where the line is a system unit's.
    """

    file: str
    line: int
    user: str
    unit: str = ""


@dataclass(frozen=True)
class Claim:
    """A process that says that it is a worker; `claim`: why that is not believed, or, in a `container`, not tried."""

    pid: int
    user: str
    name: str
    claim: str
    container: bool = False


@dataclass(frozen=True)
class PortFault:
    """Why the webhooks cannot listen where they shall: an `error`, or, where it is empty, who listens there.

    `pid` is 0 where that process is not seen.
    """

    error: str
    pid: int
    unit: str | None
    command: str


@dataclass(frozen=True)
class Pool:
    """The work pool at the server; `there`: it exists. `template`: its base job template, whatever that is."""

    there: bool
    type: str = ""
    paused: bool = False
    limit: int | None = None
    paused_queues: tuple[str, ...] = ()
    template: Any = None


@dataclass(frozen=True)
class FileFacts:
    """One file: its mode in octal digits, its owner, and the digest of what is in it; none of a folder."""

    mode: str
    uid: int
    gid: int
    sha256: str


@dataclass(frozen=True)
class Release:
    """One release folder as it is."""

    id: str
    complete: bool
    added: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    code_changed: bool = False
    guard: bool = True
    prefect: str = ""
    python_prefix: str = ""

    @property
    def intact(self) -> bool:
        """Finished, and still what it was when it was finished."""
        return self.complete and self.guard and not (self.added or self.missing or self.code_changed)


@dataclass(frozen=True)
class Step:
    """A pull step; `requires`: packages that it asks for, `lacks`: programs that the host does not have."""

    name: str
    requires: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Deployment:
    """What the API says of one, and the host of its file.

    `fetched`: its code comes from elsewhere as a run begins. `place`: else where its file lies, and `there`: whether it
    does, None for a place that cannot be told. `folder`: in which its runs start. `packages`: of EXTRA_PIP_PACKAGES.
    `installs`: its runs bring packages of their own (PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES).
    """

    name: str
    entrypoint: str
    fetched: bool = False
    place: str = ""
    there: bool | None = None
    folder: str = ""
    steps: tuple[Step, ...] = ()
    packages: tuple[str, ...] = ()
    installs: bool = False


@dataclass(frozen=True)
class HostState:
    """All that the plan needs to know of one host. Sizes in bytes, times in seconds since the epoch.

    `landlock`: the version that its kernel has, 0 for none.
    `root`: where the folder lies that a unit sees as its root, and `python_prefix` the interpreter: behind any links.
    `reach`: the addresses of the API and of the name servers, as the host resolves them now.
    `lock`: who holds the host, in words; empty when nobody does.
    `rollout_open`: a rollout began and has not ended. `unfinished`: unit → digest of the text with which it passed its
    gate in that rollout. `kept`: release → unit → text, when asked for. `deploys`: the host's record, the oldest first.
    `faults`: what could not be looked at, and why.
    `doubts`: who else than root decides what is where the deploy keeps things.
    `skew`: how far its clock is ahead of the server's.
    `python_fits`: a release can be built for the interpreter that answered. `brings`: where it cannot, the version that
    a deploy brings; `python`, `python_prefix` and `python_version` are that one's then.
    `api_open`: the server answers without a credential.
    `deployments`: those of the work pool.
    `testing`: the campaign's testing mode is on there. `pool`: None where it was not asked for.
    `environment`: name → digest of each variable of HUBLAB_ENVIRONMENT that lies there.
    `strangers`: units that go by the name of one of ours and are neither ours nor a worker's.
    """

    problem: str = ""
    found: str = ""
    hostname: str = ""
    machine: str = ""
    libc: str = ""
    systemd: int = 0
    landlock: int = 0
    booted: bool = True
    python: str = ""
    python_prefix: str = ""
    root: str = ""
    python_version: str = ""
    python_fits: bool = True
    brings: str = ""
    free: dict[str, int] = field(default_factory=dict)
    users: frozenset[str] = frozenset()
    reach: tuple[str, ...] = ()
    releases: dict[str, Release] = field(default_factory=dict)
    current: str | None = None
    previous: str | None = None
    wheels: frozenset[str] = frozenset()
    files: dict[str, FileFacts | None] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    lock: str = ""
    rollout_open: bool = False
    unfinished: dict[str, str] = field(default_factory=dict)
    kept: dict[str, dict[str, str]] = field(default_factory=dict)
    webhooks: Worker | None = None
    webhooks_port: PortFault | None = None
    faults: dict[str, str] = field(default_factory=dict)
    doubts: tuple[str, ...] = ()
    skew: float = 0.0
    legacy: tuple[Legacy, ...] = ()
    claims: tuple[Claim, ...] = ()
    legacy_units: tuple[LegacyUnit, ...] = ()
    strangers: tuple[str, ...] = ()
    starters: tuple[Starter, ...] = ()
    api_status: int | None = None
    api_error: str = ""
    api_version: str = ""
    api_open: bool = False
    testing: bool | None = None
    pool: Pool | None = None
    online: frozenset[str] = frozenset()
    automations: dict[str, str] | None = None
    deployments: tuple[Deployment, ...] = ()
    deploys: tuple[Line, ...] = ()

    def failure(self, release: str) -> Line | None:
        """The last deploy towards a release, by the host's record, if it failed."""
        tried = [line for line in self.deploys if line.to == release]
        return tried[-1] if tried and tried[-1].result != "ok" else None
