"""The difference between what is wanted and what is there, in words and in steps. Pure."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from deploy import spec
from deploy.release import identity
from deploy.service import unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.state import HostState, Legacy, Release, Worker

# A release takes 420 MB with its byte code, the wheels 45 MB once, and their archive as much again.
NEEDED_BYTES = 700 * 1024 * 1024
SPARE_BYTES = 50 * 1024 * 1024
OLDEST_SYSTEMD = 250  # %d in Environment= came with 250
MODES = {
    spec.CONFIG: "0755",
    spec.STATE: "0755",
    spec.PROFILES: "0600",
    spec.BASE: "0755",
    spec.RELEASES: "0755",
    spec.ROOT_FOLDER: "0755",
}
HTTP_OK = 200


@dataclass(frozen=True)
class Problem:
    """What stands in the way of a deploy, where, and what to do about it."""

    what: str
    remedy: str


@dataclass(frozen=True)
class WorkerStep:
    """What happens to one worker: its unit file and the reasons for a restart; no reasons: it goes on as it is."""

    number: int
    name: str
    unit: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All that a deploy will do on one host."""

    address: str
    problems: tuple[Problem, ...] = ()
    release: str = ""
    previous: str | None = None
    build: bool = False
    create_user: bool = False
    fix_paths: tuple[str, ...] = ()
    workers: tuple[WorkerStep, ...] = ()
    surplus: tuple[int, ...] = ()
    legacy: tuple[Legacy, ...] = ()
    legacy_units: tuple[str, ...] = ()
    prune: tuple[str, ...] = ()
    switch: bool = False
    words: tuple[str, ...] = field(default=())

    @property
    def restarts(self) -> tuple[WorkerStep, ...]:
        """The workers that are not as wanted."""
        return tuple(step for step in self.workers if step.reasons)

    @property
    def activates(self) -> bool:
        """Whether anything that runs is touched."""
        return bool(self.restarts or self.surplus or self.legacy or self.legacy_units or self.switch or self.prune)

    @property
    def changes(self) -> bool:
        """Whether the deploy will do anything at all."""
        return bool(self.build or self.create_user or self.fix_paths or self.activates)


def make(host: spec.WorkerHost, state: HostState) -> Plan:
    """What to do on a host, or why nothing can be done."""
    problems = tuple(_problems(host, state))
    if problems:
        return Plan(host.address, problems)
    release, build = identity.choose(identity.release_id(state.python_version), state.releases)
    if build and state.free.get(spec.BASE, 0) < NEEDED_BYTES:
        return Plan(host.address, (_disk(spec.BASE, state.free[spec.BASE], NEEDED_BYTES),))
    steps = tuple(_worker_step(host, state, number, release) for number in range(1, host.workers + 1))
    return _worded(
        Plan(
            address=host.address,
            release=release,
            previous=state.current,
            build=build,
            create_user=not state.user,
            fix_paths=tuple(_paths_to_fix(host, state)),
            workers=steps,
            surplus=tuple(sorted(number for number in state.workers if number > host.workers)),
            legacy=tuple(item for item in state.legacy if not item.container),
            legacy_units=state.legacy_units,
            prune=tuple(_prunable(state, release)),
            switch=state.current != release,
        ),
        state,
    )


def _problems(host: spec.WorkerHost, state: HostState) -> list[Problem]:
    early = {
        "sudo": Problem(
            f"sudo is refused to user {state.found or '?'}",
            "give the user sudo without a password, or name root in HUBLAB_HOSTS",
        ),
        "python": Problem(
            f"HUBLAB_PYTHON: no Python {host.python} on the host (found: {state.found or 'none'})",
            "install Python 3.12 or 3.13 there, or give the interpreter's absolute path in HUBLAB_PYTHON",
        ),
        "silent": Problem("the host answered nothing to the first question", "run with -vvv to see what it printed"),
    }
    if state.problem:
        return [early[state.problem]]
    found = []
    if not state.booted or state.systemd < OLDEST_SYSTEMD:
        found.append(
            Problem(
                f"systemd {state.systemd} is not running as process 1, or older than {OLDEST_SYSTEMD}",
                "use Debian 12 or later",
            )
        )
    if state.python_prefix.startswith(("/root", "/home")):
        found.append(
            Problem(
                f"HUBLAB_PYTHON: {state.python} lies in a home folder, which the workers' sandbox hides",
                "install Python under /usr/local or /opt",
            )
        )
    if state.api_status != HTTP_OK:
        found.append(_api_problem(host, state))
    found += [_disk(path, free, SPARE_BYTES) for path, free in state.free.items() if free < SPARE_BYTES]
    return found


def _api_problem(host: spec.WorkerHost, state: HostState) -> Problem:
    if state.api_status in (401, 403):
        key = "PREFECT_API_AUTH_STRING" if host.auth_string or not host.api_key else "PREFECT_API_KEY"
        return Problem(
            f"{key}: {host.api_url} refuses it ({state.api_status})",
            "put the credential that the server was started with into .env",
        )
    seen = (
        f"answered {state.api_status}"
        if state.api_status
        else f"could not be reached from the host ({state.api_error})"
    )
    return Problem(
        f"PREFECT_API_URL: {host.api_url} {seen}", "check the URL, the server, and the way from the host to it"
    )


def _disk(path: str, free: int, needed: int) -> Problem:
    mib = 1024 * 1024
    return Problem(
        f"{path}: {free // mib} MiB free, {needed // mib} MiB are needed",
        "make room there, or give the file system more space",
    )


def _paths_to_fix(host: spec.WorkerHost, state: HostState) -> list[str]:
    """Folders and files of ours that are absent, or not as they must be."""
    wrong = []
    for path, mode in MODES.items():
        facts = state.files.get(path)
        if not facts or facts["mode"] != mode or facts["uid"] != 0 or facts["gid"] != 0:
            wrong.append(path)
    profiles = state.files.get(spec.PROFILES)
    if (
        profiles
        and spec.PROFILES not in wrong
        and profiles["sha256"] != hashlib.sha256(host.profiles().encode()).hexdigest()
    ):
        wrong.append(spec.PROFILES)
    return wrong


def _worker_step(host: spec.WorkerHost, state: HostState, number: int, release: str) -> WorkerStep:
    rendered = unit.render(
        host, hostname=state.hostname, number=number, release=release, python_prefix=state.python_prefix
    )
    reasons = tuple(_reasons(host, state, state.workers.get(number), rendered, release))
    return WorkerStep(number, spec.worker_name(state.hostname, number), rendered, reasons)


def _reasons(host: spec.WorkerHost, state: HostState, worker: Worker | None, rendered: str, release: str) -> list[str]:
    """Why a worker is not as wanted: decided by what its process carries, not by which file this run will write."""
    if worker is None:
        return ["new"]
    if worker.active != "active" or not worker.pid:
        return [f"is {worker.active}"]
    reasons = []
    if worker.release != release:
        reasons.append(f"runs release {worker.release or 'unknown'}")
    elif worker.unit_digest != unit.digest_of(rendered):
        reasons.append("its settings changed")
    if worker.uvloop:
        reasons.append("has uvloop loaded")
    if worker.unit_sha256 != hashlib.sha256(rendered.encode()).hexdigest() and not reasons:
        reasons.append("its unit file was edited")
    if worker.needs_reload and not reasons:
        reasons.append("systemd has not read its unit file")
    if worker.enabled != "enabled":
        reasons.append("does not start at boot")
    profiles = state.files.get(spec.PROFILES)
    if profiles and (spec.PROFILES in _paths_to_fix(host, state) or profiles["mtime"] > worker.started):
        reasons.append("the credential or the API's address changed")
    return reasons


def _prunable(state: HostState, release: str) -> list[str]:
    """Releases that nothing needs: not the wanted, not the one before it, none that a worker runs; or half-built."""
    before = state.current if state.current != release else state.previous
    kept = {release, before, *(worker.release for worker in state.workers.values())}
    return sorted(name for name in state.releases if name not in kept)


def _worded(plan: Plan, state: HostState) -> Plan:
    words = [*_release_words(plan, state), *_host_words(plan, state), *_legacy_words(plan, state)]
    for step in plan.restarts:
        verb = "started" if step.reasons == ("new",) else "drained and restarted"
        words.append(f"{step.name} will be {verb}: {', '.join(step.reasons)}")
    surplus = f"will be drained and removed: only {len(plan.workers)} are wanted"
    words += [f"{spec.unit_name(number)} {surplus}" for number in plan.surplus]
    words += [f"release {name} will be removed" for name in plan.prune]
    return replace(plan, words=tuple(words))


def _release_words(plan: Plan, state: HostState) -> Iterator[str]:
    if plan.build:
        wanted = identity.release_id(state.python_version)
        for item in state.releases.values():
            if item.complete and not item.intact and item.id.startswith(wanted):
                yield f"release {item.id} was tampered with ({_damage(item)}): a fresh one is built beside it"
        prefect = identity.locked_versions()["prefect"]
        yield f"release {plan.release} will be built (Prefect {prefect}, Python {state.python_version}, no uvloop)"
    if plan.switch:
        yield f"release of record: {plan.previous or 'none'} → {plan.release}"


def _host_words(plan: Plan, state: HostState) -> Iterator[str]:
    if plan.create_user:
        yield f"user {spec.USER} will be created"
    written = [path for path in plan.fix_paths if state.files.get(path) is None]
    righted = [path for path in plan.fix_paths if path not in written]
    if written:
        yield f"{', '.join(written)} will be written"
    if righted:
        yield f"{', '.join(righted)} will be put right"


def _legacy_words(plan: Plan, state: HostState) -> Iterator[str]:
    for item in plan.legacy:
        where = f"unit {item.unit}" if item.unit else f"started by hand, user {item.user}"
        removed = f"; uvloop {item.uvloop} will be removed from {item.python}" if item.uvloop else ""
        who = f"legacy worker {item.name or '(no name)'} (pid {item.pid}, {where}, Prefect {item.prefect or 'unknown'})"
        yield f"{who} will be retired after its runs{removed}"
    for name in plan.legacy_units:
        yield f"legacy unit {name} will be disabled and masked"
    for item in state.legacy:
        if item.container:
            yield f"worker {item.name or item.pid} runs in a container and is left alone"


def _damage(item: Release) -> str:
    parts = [f"{', '.join(item.added)} was added"] if item.added else []
    parts += [f"{', '.join(item.missing)} is missing"] if item.missing else []
    parts += ["its code changed"] if item.code_changed else []
    return "; ".join(parts) or "its guard against uvloop changed"
