"""A plan in words that a person reads. Pure."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from packaging.version import InvalidVersion, Version

from deploy import deployments, spec, variables
from deploy.legacy.words import legacy
from deploy.onhost.common import counted
from deploy.release import identity, requirements
from deploy.service import allowances
from deploy.table import first

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from deploy.coolify.state import ApplicationState
    from deploy.onhost.record import Line
    from deploy.planned import Plan
    from deploy.spec import WorkerHost
    from deploy.state import HostState, Release, Worker

NOT_HELD = {
    1: "writing in folders of other runs and reading the memory of its worker",
    3: "emptying files of other runs",
    4: "listening at TCP ports of its choice",
    6: "sending signals to its worker and to other runs",
}
"""What Landlock holds from which version on."""
MOST_NAMED = 3
TAKES_EVENTS = Version("3.6.14")
"""Since when Prefect's server answers the handshake with which a client of today opens its stream of events."""


def for_several(hosts: Sequence[str], warning: str) -> str:
    """What several hosts are warned of, said once; by status and by a plan alike."""
    return f"warning for {first(hosts, MOST_NAMED)}: {warning}"


def describe(plan: Plan, state: HostState) -> tuple[str, ...]:
    """What a deploy will do on one host, a sentence for each thing."""
    words = [*brings(state), *_release_words(plan, state), *_host_words(plan, state), *legacy(plan, state)]
    for step in plan.restarts:
        verb = "drained and restarted" if _is_up(state.workers.get(step.number)) else "started"
        words.append(f"{step.name} will be {verb}: {', '.join(step.reasons)}{_waiting(state, step.number)}")
    words += _webhooks_words(plan, state)
    words += [
        f"{spec.unit_name(number)} will be drained and removed: only {counted(len(plan.workers), 'is', 'are')} wanted; "
        f"its user {spec.worker_user(number)} and its folder stay"
        for number in plan.surplus
    ]
    words += [f"release {name} will be removed{_why(state, name)}" for name in plan.prune]
    removed = "will be removed from the Prefect server: the workers look at the runs themselves"
    words += [f"automation '{name}' {removed}" for name in plan.automations]
    if plan.unfinished:
        words.append("a rollout that was cut off will be brought to its end")
    return tuple(words)


def warnings(host: WorkerHost, state: HostState) -> tuple[str, ...]:
    """What is not as it should be, and keeps no deploy from its work."""
    return (
        *open_api(host, state),
        *host.exposed,
        *mode(host, on=state.testing),
        *allowances.told(host.allow),
        *deployments.warnings(host, state),
    )


def open_api(wanted: WorkerHost, state: HostState | ApplicationState) -> tuple[str, ...]:
    """That Prefect's server asks nobody for a credential; not of one that this machine alone can reach."""
    if not state.api_open or is_loopback(urlsplit(wanted.api_url).hostname or ""):
        return ()
    what = f"the API at {wanted.api_url} answers without a credential"
    risk = "whoever reaches it starts code on the workers and reads every secret"
    there = f"put it into {wanted.env_file} as PREFECT_API_AUTH_STRING"
    remedy = f"start the server with PREFECT_SERVER_API_AUTH_STRING, and {there}"
    return (f"{what}: {risk} -> {remedy}",)


def mode(host: WorkerHost, *, on: bool | None) -> tuple[str, ...]:
    """The campaign's testing mode: lasts at Prefect until `campaign secrets` takes it out. `on`: None if unknown."""
    if on and host.testing:
        remedy = f"when the test is over, take TESTING_MODE out of {host.env_file} and run `./hublab campaign secrets`"
        return (f"testing mode is on: mails to TESTING_ADDRESS go out minutes apart -> {remedy}",)
    if on:
        remedy = "`./hublab campaign secrets` takes it out there"
        return (f"testing mode is on at Prefect, and {host.env_file} does not have it -> {remedy}",)
    if on is False and host.testing:
        remedy = "`./hublab campaign secrets`"
        return (f"TESTING_MODE of {host.env_file} is not at Prefect: nobody's mails go out minutes apart -> {remedy}",)
    return ()


def _is_up(worker: Worker | None) -> bool:
    return worker is not None and worker.pid > 0


def short(release: str) -> str:
    """A commit by its first ten digits, which every command takes; what a host or an image calls its release, whole."""
    return release[:10] if re.fullmatch(r"[0-9a-f]{40}", release) else release


def is_loopback(name: str) -> bool:
    """Whether a name in an address leads whoever follows it to himself."""
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name.lower() == "localhost"


def brings(state: HostState) -> tuple[str, ...]:
    """That an interpreter is brought, and why; of a host without any, nothing else can be told yet."""
    if not state.brings:
        return ()
    had = f"it has {state.found.removeprefix('Python ')}" if re.match(r"(Python )?\d", state.found) else "it has none"
    what = f"Python {state.brings} will be brought to {spec.PYTHON}: {had}"
    return (what, "what else is to be done is seen when it is there") if state.problem else (what,)


def _release_words(plan: Plan, state: HostState) -> Iterator[str]:
    if plan.build:
        wanted = identity.release_id(state.python_version, state.python_prefix)
        for item in state.releases.values():
            stays = item.id.startswith(wanted) and item.id not in plan.prune
            if item.complete and not item.intact and stays:
                yield f"release {item.id} was tampered with ({_damage(item)}): a fresh one is built beside it"
        prefect = requirements.locked_versions()["prefect"]
        name = "a release" if plan.brings else f"release {plan.release}"
        yield f"{name} will be built (Prefect {prefect}, Python {state.python_version}, no uvloop){_extra()}"
    if plan.switch:
        to = "the new one" if plan.brings else plan.release
        yield f"release of record: {plan.previous or 'none'} → {to}{_prefect_change(plan, state)}"
    failure = state.failure(plan.release)
    if failure and plan.restarts:
        yield f"release {plan.release} is tried once more: {told(failure)}"


def _extra() -> str:
    """What HUBLAB_EXTRA_REQUIREMENTS adds."""
    found = requirements.extra()
    return f", with {first(found, deployments.MOST_NAMED)} of {requirements.KEY}" if found else ""


def _host_words(plan: Plan, state: HostState) -> Iterator[str]:
    if plan.restarts and (open_to := [what for since, what in NOT_HELD.items() if state.landlock < since]):
        has = f"Landlock {state.landlock}, Linux 6.12 has 6"
        yield f"its kernel cannot keep a flow run from {', '.join(open_to)} ({has})"
    if plan.restarts and _is_before(state.api_version, TAKES_EVENTS):
        yield (
            f"Prefect's server is {state.api_version}, and takes no events of these workers before {TAKES_EVENTS}: its "
            "pages and automations hear nothing of their starts and runs, and no run can be handed to a worker by "
            "`submit`. Runs are started, drained, found again and run again all the same"
        )
    if plan.create_users:
        yield f"{'users' if plan.create_users[1:] else 'user'} {', '.join(plan.create_users)} will be created"
    written = [path for path in plan.fix_paths if state.files.get(path) is None]
    righted = [path for path in plan.fix_paths if path not in written]
    if written:
        yield f"{', '.join(written)} will be written"
    if righted:
        yield f"{', '.join(righted)} will be put right"


def _is_before(version: str, since: Version) -> bool:
    try:
        return Version(version) < since
    except InvalidVersion:  # the server did not say, or it is a build of somebody's own
        return False


def _webhooks_words(plan: Plan, state: HostState) -> Iterator[str]:
    if plan.webhooks_surplus:
        yield f"{spec.WEBHOOKS_UNIT} will be stopped and removed: HUBLAB_WEBHOOKS does not name this host"
    if plan.webhooks and plan.webhooks.reasons:
        verb = "restarted" if _is_up(state.webhooks) else "started"
        yield f"{spec.WEBHOOKS_UNIT} will be {verb}: {', '.join(plan.webhooks.reasons)}"


def given(host: WorkerHost, state: HostState) -> tuple[str, ...]:
    """Which variables flow runs get and lose; by name alone."""
    return tuple(
        f"variables of flow runs ({variables.KEY}), {move}"
        for move in variables.moves(host.environment, state.environment)
    )


def closed(plan: Plan, host: WorkerHost) -> tuple[str, ...]:
    """The routes that stay closed where the webhooks are started: their callers get 401, and nobody else hears."""
    if host.webhooks is None or not plan.restarts_webhooks:
        return ()
    routes = host.webhooks.closed.items()
    return tuple(f"{route} stays closed (401) until {host.env_file} has {key}" for key, route in routes)


def _prefect_change(plan: Plan, state: HostState) -> str:
    known = {item.id: item.prefect for item in state.releases.values()}
    before = known.get(plan.previous or "")
    after = requirements.locked_versions()["prefect"] if plan.build else known.get(plan.release)
    return f" (Prefect {before} → {after})" if before and after and before != after else ""


def _waiting(state: HostState, number: int) -> str:
    worker = state.workers.get(number)
    count = worker.in_flight if worker else 0
    return f"; {counted(count, 'run', 'runs')} in flight will be waited for" if count else ""


def _why(state: HostState, release: str) -> str:
    failure = state.failure(release)
    return f": {told(failure)}" if failure else ""


def told(line: Line) -> str:
    """One line of the host's record that tells of a failure, in words."""
    return f"{line.who}'s {line.what} of {line.at} failed ({line.result})"


def last_failure(state: HostState | ApplicationState) -> str:
    """That the last deploy failed, and where that left the host; empty when it did not fail."""
    last = state.deploys[-1] if state.deploys else None
    if last is None or last.result == "ok":
        return ""
    same = last.to == state.current
    now = "it serves with the settings of before" if same else f"the release of record is {state.current or 'none'}"
    return f"release {last.to}: {told(last)}; {now}"


def _damage(item: Release) -> str:
    parts = [f"{', '.join(item.added)} was added"] if item.added else []
    parts += [f"{', '.join(item.missing)} is missing"] if item.missing else []
    parts += ["its code below worker or flows changed"] if item.code_changed else []
    parts += ["its guard against uvloop changed"] if not item.guard else []
    return "; ".join(parts)
