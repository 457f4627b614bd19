"""What is there, as typed data. Pure; `look.py` asks the host."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploy import deployments, spec

if TYPE_CHECKING:
    from deploy.spec import WorkerHost


def question(host: WorkerHost, *, kept: bool = False) -> dict[str, Any]:
    """What `inspect_host.py` is asked for one host; with `kept`, also for the units of former releases."""
    return {
        "before": spec.BEFORE,
        "kept_units": spec.KEPT_UNITS,
        "kept": kept,
        "base": spec.BASE,
        "config": spec.CONFIG,
        "user": spec.USER,
        "units": spec.UNITS,
        "unit": spec.UNIT,
        "webhooks": spec.WEBHOOKS_UNIT,
        "webhooks_port": {"bind": host.webhooks.bind, "port": host.webhooks.port} if host.webhooks else None,
        "files": [*spec.PATHS, *host.read_paths, *host.write_paths],
        "audit": spec.AUDIT,
        "pool": host.work_pool,
        "environment": spec.ENVIRONMENT,
        "lock_folder": spec.LOCK,
        **host.api_access(),
    }


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
class Legacy:
    """One worker that was started by other means, and is proven to be one; `ticks`: when, on the kernel's clock.

    `how`: `unit` or `wrapper` where `unit` is there for this worker alone, starting it directly or not; else empty.
    """

    pid: int
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
    ticks: int


@dataclass(frozen=True)
class LegacyUnit:
    """A system unit of others whose own ExecStart starts a worker."""

    name: str
    file: str = ""
    active: bool = False
    enabled: bool = False


@dataclass(frozen=True)
class Starter:
    """A line of a file that starts a worker again, at a boot or a login; `user`: whose, empty for the system's."""

    file: str
    line: int
    user: str


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
class HostState:
    """All that the plan needs to know of one host. Sizes in bytes, times in seconds since the epoch.

    `landlock`: the version that its kernel has, 0 for none.
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
    files: dict[str, dict[str, Any] | None] = field(default_factory=dict)
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
    deployments: tuple[deployments.Deployment, ...] = ()
    deploys: tuple[dict[str, Any], ...] = ()

    def failure(self, release: str) -> dict[str, Any] | None:
        """The last deploy towards a release, by the host's record, if it failed."""
        tried = [line for line in self.deploys if line.get("to") == release]
        return tried[-1] if tried and tried[-1].get("result") != "ok" else None


def parse(raw: dict[str, Any]) -> HostState:
    """Pure: the JSON of `inspect_host.py` as typed data."""
    if "problem" in raw:
        told = (str(raw.get(key, "")) for key in ("problem", "found", "machine", "libc"))
        problem, found, machine, libc = told
        return HostState(problem=problem, found=found, machine=machine, libc=libc)
    return HostState(
        **{
            key: raw[key]
            for key in (
                "hostname",
                "machine",
                "libc",
                "systemd",
                "landlock",
                "booted",
                "free",
                "current",
                "previous",
                "files",
                "environment",
                "lock",
                "rollout_open",
                "unfinished",
                "kept",
            )
        },
        users=frozenset(raw["users"]),
        reach=tuple(raw["reach"]),
        python=raw["python"]["executable"],
        python_prefix=raw["python"]["prefix"],
        python_version=raw["python"]["version"],
        python_fits=raw["python"]["fits"],
        releases={name: _release(name, item) for name, item in raw["releases"].items()},
        wheels=frozenset(raw["wheels"]),
        workers={int(number): _worker(int(number), item) for number, item in raw["workers"].items()},
        webhooks=_worker(0, raw["webhooks"]) if raw["webhooks"] else None,
        webhooks_port=PortFault(**raw["webhooks_port"]) if raw["webhooks_port"] else None,
        faults=raw["faults"],
        doubts=tuple(raw["doubts"]),
        skew=raw["api"].get("skew", 0.0),
        legacy=tuple(_legacy(item) for item in raw["former"]["workers"]),
        claims=tuple(Claim(**item) for item in raw["former"]["claims"]),
        legacy_units=tuple(LegacyUnit(**item) for item in raw["former"]["units"]),
        strangers=tuple(raw["former"]["strangers"]),
        starters=tuple(Starter(**item) for item in raw["former"]["starters"]),
        api_status=raw["api"]["status"],
        api_error=raw["api"].get("error", ""),
        api_version=raw["api"].get("version", ""),
        api_open=raw["api"].get("open", False),
        testing=raw["api"].get("testing"),
        pool=_pool(raw["api"]),
        online=frozenset(raw["api"].get("online", ())),
        automations=raw["api"].get("automations"),
        deployments=deployments.parse(raw["api"].get("deployments")),
        deploys=tuple(raw["deploys"]),
    )


def _pool(api: dict[str, Any]) -> Pool | None:
    if "pool" not in api:
        return None
    found = api["pool"]
    if found is None:
        return Pool(there=False)
    return Pool(there=True, **{**found, "paused_queues": tuple(found["paused_queues"])})


def _legacy(item: dict[str, Any]) -> Legacy:
    return Legacy(**{**item, "uvloop": tuple(Uvloop(**one) for one in item["uvloop"])})


def _release(name: str, item: dict[str, Any]) -> Release:
    if not item["complete"]:
        return Release(name, complete=False)
    return Release(
        name,
        complete=True,
        added=tuple(item["added"]),
        missing=tuple(item["missing"]),
        code_changed=item["code_changed"],
        guard=item["guard"],
        prefect=item["revision"].get("prefect", ""),
        python_prefix=item["prefix"],
    )


def _worker(number: int, item: dict[str, Any]) -> Worker:
    environment = item.get("environment", {})
    return Worker(
        number,
        unit_sha256=item["sha256"],
        active=item.get("active", "inactive"),
        pid=item.get("pid", 0),
        restarts=item.get("restarts", 0),
        needs_reload=item.get("needs_reload", False),
        enabled=item.get("enabled", ""),
        release=environment.get("HUBLAB_RELEASE", ""),
        unit_digest=environment.get("HUBLAB_UNIT", ""),
        uvloop=item.get("uvloop", False),
        drop_ins=tuple(item.get("drop_ins", ())),
        doing=item.get("doing", ""),
        unit_text=item.get("text", ""),
        folders_ready=item.get("folders_ready", True),
        credentials=item.get("credentials", {}),
    )
