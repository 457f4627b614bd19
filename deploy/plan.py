"""The difference between what is wanted and what is there, as steps. Pure; `words.py` says it in sentences."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from deploy import lost_runs, problems, spec, words
from deploy.planned import Plan, WorkerStep
from deploy.release import identity
from deploy.service import unit, webhooks_unit

if TYPE_CHECKING:
    from deploy.state import HostState, Worker

MODES = {
    spec.CONFIG: "0755",
    spec.STATE: "0755",
    spec.PROFILES: "0600",
    spec.ENVIRONMENT: "0600",
    spec.WEBHOOK_SECRETS: "0600",
    spec.BASE: "0755",
    spec.RELEASES: "0755",
    spec.ROOT_FOLDER: "0755",
}


def make(host: spec.WorkerHost, state: HostState) -> Plan:
    """What to do on a host, or why nothing can be done."""
    if state.problem == "python" and state.brings:
        return Plan(host.address, brings=state.brings, words=words.brings(state))
    found = (*problems.find(host, state), *problems.webhooks_port(host, state))
    if found:
        return Plan(host.address, found)
    release, build = identity.choose(identity.release_id(state.python_version, state.python_prefix), state.releases)
    if build and state.free[spec.BASE] < problems.NEEDED_BYTES:
        return Plan(host.address, (problems.disk(spec.BASE, state.free[spec.BASE], problems.NEEDED_BYTES),))
    return towards(host, state, release, build=build)


def towards(host: spec.WorkerHost, state: HostState, release: str, *, build: bool = False) -> Plan:
    """The way to one release; workers whose units were kept with it get those, settings and all."""
    kept = state.kept.get(release, {})
    steps = tuple(
        _worker_step(host, state, number, release, kept.get(spec.unit_name(number)))
        for number in range(1, host.workers + 1)
    )
    plan = Plan(
        address=host.address,
        release=release,
        previous=state.current,
        build=build,
        brings=state.brings,
        create_users=tuple(name for name in host.users() if name not in state.users),
        fix_paths=tuple(_paths_to_fix(host, state)),
        workers=steps,
        surplus=tuple(sorted(number for number in state.workers if number > host.workers)),
        webhooks=_webhooks_step(host, state, release, kept.get(spec.WEBHOOKS_UNIT)),
        webhooks_surplus=state.webhooks is not None and host.webhooks is None,
        legacy=state.legacy,
        legacy_units=state.legacy_units,
        prune=tuple(_prunable(state, release)),
        switch=state.current != release,
        unfinished=state.rollout_open,
        lock=state.lock,
        automations=lost_runs.to_remove(host.work_pool, state.automations),
    )
    told = (*words.describe(plan, state), *words.given(host, state), *words.closed(plan, host))
    return replace(plan, words=told)


def _paths_to_fix(host: spec.WorkerHost, state: HostState) -> list[str]:
    """Folders and files of ours that are absent, or not as they must be."""
    secret = host.secret_files()
    wrong = []
    for path, mode in MODES.items():
        if path == spec.WEBHOOK_SECRETS and path not in secret:
            continue
        facts = state.files.get(path)
        if (
            not facts
            or (facts.mode, facts.uid, facts.gid) != (mode, 0, 0)
            or (path in secret and facts.sha256 != hashlib.sha256(secret[path].encode()).hexdigest())
        ):
            wrong.append(path)
    return wrong


def _webhooks_step(host: spec.WorkerHost, state: HostState, release: str, kept: str | None) -> WorkerStep | None:
    if host.webhooks is None:
        return None
    rendered = kept or webhooks_unit.render(
        host,
        host.webhooks,
        release=release,
        python_prefix=state.python_prefix,
        reach=state.reach,
        root=state.root,
    )
    reasons = _reasons(host, state, state.webhooks, rendered, release)
    if not carries(host, state.webhooks, spec.WEBHOOK_SECRETS):
        reasons.append("its secrets changed")
    return WorkerStep(0, "webhooks", rendered, tuple(reasons))


def _worker_step(host: spec.WorkerHost, state: HostState, number: int, release: str, kept: str | None) -> WorkerStep:
    rendered = (
        unit.polling(kept, host.campaign_queues)
        if kept
        else unit.render(
            host,
            hostname=state.hostname,
            number=number,
            release=release,
            python_prefix=state.python_prefix,
            reach=state.reach,
            root=state.root,
        )
    )
    reasons = tuple(_reasons(host, state, state.workers.get(number), rendered, release))
    return WorkerStep(number, spec.worker_name(state.hostname, number), rendered, reasons)


def _reasons(host: spec.WorkerHost, state: HostState, worker: Worker | None, rendered: str, release: str) -> list[str]:
    """Why a worker is not as wanted: decided by what its process carries, not by which file this run will write."""
    if worker is None:
        return ["new"]
    if worker.active != "active" or not worker.pid:
        again = f", started {worker.restarts} times by systemd" if worker.restarts > 1 else ""
        return [f"is {worker.active}{again}"]
    reasons = []
    if worker.release != release:
        reasons.append(f"runs release {worker.release or 'unknown'}")
    elif worker.unit_digest != unit.digest_of(rendered):
        reasons.append(f"its settings changed{unit.difference(worker.unit_text, rendered)}")
    if worker.uvloop:
        reasons.append("has uvloop loaded")
    if worker.unit_sha256 != hashlib.sha256(rendered.encode()).hexdigest() and not reasons:
        reasons.append("its unit file was edited")
    reasons += [f"{path} changes its unit" for path in worker.drop_ins if spec.owns_drop_in(path)]
    if worker.needs_reload and not reasons:
        reasons.append("systemd has not read its unit file")
    at_next_start = {
        "its state folder is not root's alone, or something else stands in it": not worker.folders_ready,
        "does not start at boot": worker.enabled != "enabled",
    }
    reasons += [words for words, wrong in at_next_start.items() if wrong]
    passed = state.unfinished.get(spec.unit_name(worker.number), worker.unit_sha256)
    if passed != worker.unit_sha256 and not reasons:
        reasons.append("its gate was cut off")
    reasons += ["the credential or the API's address changed"] * (not carries(host, worker, spec.PROFILES))
    name = spec.ENVIRONMENT.rpartition("/")[2]  # a worker of a release before may know nothing of it
    knows = name in worker.credentials or (not reasons and f"LoadCredential={name}:" in rendered)
    return reasons + ["HUBLAB_ENVIRONMENT changed"] * (knows and not carries(host, worker, spec.ENVIRONMENT))


def carries(host: spec.WorkerHost, worker: Worker | None, path: str) -> bool:
    """Whether a process was started with the credential that is wanted; true of one that does not run."""
    wanted = hashlib.sha256(host.secret_files()[path].encode()).hexdigest()
    return worker is None or not worker.pid or worker.credentials.get(path.rpartition("/")[2]) == wanted


def _prunable(state: HostState, release: str) -> list[str]:
    """Releases that nothing needs once all is moved: not the wanted, not the one before it; or half-built."""
    before = state.current if state.current != release else state.previous
    return sorted(name for name in state.releases if name not in (release, before))
