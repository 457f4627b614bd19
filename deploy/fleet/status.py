"""Every host against its plan, and what its workers do. Exit status 0 only if all is as planned.

`python -m deploy.fleet status [words | json | openmetrics | watch]`
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from deploy import others, spec
from deploy import plan as planning
from deploy.fleet import applications, report
from deploy.fleet.connect import Reply, ask_all
from deploy.fleet.standing import UNTOLD, Status, last_deploy, late_words, left_words
from deploy.table import grouped
from deploy.words import for_several, warnings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from deploy.fleet.connect import Host
    from deploy.onhost.report_host import Report
    from deploy.planned import Plan
    from deploy.state import HostState


WATCH_SECONDS = 2
WAITS = "waiting for Prefect's API"  # worker.lifecycle's words


def judge(wanted: spec.WorkerHost, plan: Plan, now: Report) -> Status:
    """One host against its plan. Pure."""
    state = now.state
    names = {spec.unit_name(step.number): step.name for step in plan.workers}
    trouble = [str(problem) for problem in plan.problems]
    trouble += [
        f"{step.name} is not ONLINE at Prefect's server -> ./hublab logs {wanted.address} {step.number} says why"
        for step in plan.workers
        if step.name not in state.online
    ]
    if now.queue is None:
        trouble.append(UNTOLD)
    elif now.queue.late:
        trouble.append(late_words(now.queue.late))
    trouble += left_words(now.left)
    trouble += [
        f"{names.get(unit, unit)} is {words} -> see to the server at {wanted.api_url}; nothing is to be done here"
        for unit, words in sorted(now.doing.items())
        if words.startswith(WAITS)
    ]
    if now.lock and now.lock.orphaned:
        trouble.append(f"{now.lock.words}: its owner is gone -> the next ./hublab deploy takes it over")
    trouble += [
        f"{path} changes the units of this deploy, and no deploy removes it -> remove it on the host, ./hublab deploy"
        for path in _foreign_drop_ins(state)
    ]
    return Status(
        host=f"{state.hostname} ({wanted.address})" if state.hostname else wanted.address,
        release=state.current or "none",
        workers=tuple((names.get(unit, unit), words) for unit, words in sorted(now.doing.items())),
        due=now.queue.depth if now.queue else None,
        late=now.queue.late if now.queue else None,
        last=last_deploy(state),
        lock=now.lock.words if now.lock else "",
        drift=plan.words,
        trouble=tuple(trouble),
        online=tuple(sorted(name for name in names.values() if name in state.online)),
        in_flight=sum(worker.in_flight for worker in state.workers.values()),
        deployed=state.deploys[-1] if state.deploys else None,
        address=wanted.address,
        warnings=warnings(wanted, state),
        pool=wanted.work_pool,
        others=tuple(sorted(others.of(state, names.values()))),
    )


def _foreign_drop_ins(state: HostState) -> list[str]:
    """Drop-ins for all services of the host, but for those that came with it."""
    services = [*state.workers.values(), *([state.webhooks] if state.webhooks else [])]
    found = {path for service in services for path in service.drop_ins}
    return sorted(path for path in found if not (spec.owns_drop_in(path) or path.startswith(("/usr/lib/", "/lib/"))))


def ask(host: Host) -> Status:
    """One host, in one round trip."""
    now = report.ask(host, whole=True)
    return judge(host.wanted, planning.make(host.wanted, now.state), now)


def render(status: Status) -> str:
    """One host as text. Pure."""
    lines = [f"{status.host}  {'as planned' if status.as_planned else 'NOT as planned'}  release {status.release}"]
    lines += [f"  {name}: {words}" for name, words in status.workers]
    lines.append(f"  due: {_number(status.due)}, late: {_number(status.late)}")
    lines.append(f"  last: {status.last}")
    lines += [f"  lock: {status.lock}"] if status.lock else []
    lines += [f"  drift: {words}" for words in status.drift]
    lines += ["  -> ./hublab deploy does what is named under drift"] * bool(status.drift)
    lines += [f"  trouble: {words}" for words in status.trouble]
    lines += [f"  warning: {words}" for words in status.warnings]
    return "\n".join(lines)


def summary(found: Sequence[Status]) -> str:
    """The last line, when there is more than one host: which of them somebody has to look at. Pure."""
    wrong = [item.host for item in found if not item.as_planned]
    return f"{len(found) - len(wrong)} of {len(found)} hosts as planned" + (
        f"; not: {', '.join(wrong)}" if wrong else ""
    )


def vanished(found: Sequence[Status]) -> list[str]:
    """That workers of nobody go on, a line for each pool; none where not all hosts were asked."""
    whole = "LIMIT" not in os.environ and all(item.reachable for item in found)
    return others.told(others.Polled(item.pool, item.others) for item in found if item.pool and whole)


def _number(count: int | None) -> str:
    return "unknown" if count is None else str(count)


def unreachable(reply: Reply[Status]) -> Status:
    """A host that did not answer is not as planned. Pure."""
    return Status(
        host=reply.address,
        release="unknown",
        last="unknown",
        trouble=(reply.error,),
        address=reply.address,
        reachable=False,
    )


def look() -> list[Status]:
    """Every host that is meant, asked at once."""
    return [reply.answer or unreachable(reply) for reply in ask_all(ask, applications.status)]


def as_words(found: Sequence[Status]) -> str:
    """All hosts as text; what several are warned of is said once."""
    warned = grouped({item.host: item.warnings for item in found})
    common = {words: hosts for words, hosts in warned.items() if len(hosts) > 1}
    lines = [render(replace(item, warnings=tuple(one for one in item.warnings if one not in common))) for item in found]
    lines += [for_several(hosts, words) for words, hosts in common.items()]
    return "\n".join([*lines, *[summary(found)] * (len(found) > 1), *vanished(found)]) + "\n"


def as_json(found: Sequence[Status]) -> str:
    """All hosts as a JSON array. Pure."""
    return json.dumps([_as_data(item) for item in found]) + "\n"


def _as_data(item: Status) -> dict[str, Any]:
    deployed = item.deployed.kept() if item.deployed else {}
    return asdict(item) | {"deployed": deployed, "as_planned": item.as_planned}


def as_openmetrics(found: Sequence[Status]) -> str:
    """All hosts as metrics. Pure."""
    from deploy.fleet.metrics import exposition  # noqa: PLC0415 - only this form pays for it

    return exposition(found)


FORMS: dict[str, Callable[[Sequence[Status]], str]] = {
    "words": as_words,
    "json": as_json,
    "openmetrics": as_openmetrics,
}


def main() -> int:
    """0 when every host is as planned, else 1; 130 when a watch was ended by the keyboard."""
    form = sys.argv[2] if sys.argv[2:] else "json" if os.environ.get("JSON") else "words"
    if form == "watch":
        return watch()
    found = look()
    sys.stdout.write(FORMS[form](found))
    return 0 if all(item.as_planned for item in found) else 1


def watch() -> int:
    """Asks again and again, each time when the last answers are in."""
    from rich.live import Live  # noqa: PLC0415 - only this form pays for it
    from rich.text import Text  # noqa: PLC0415

    try:
        with Live(auto_refresh=False, screen=sys.stdout.isatty()) as screen:
            while True:
                text = as_words(look())
                screen.update(Text(f"{datetime.now().astimezone():%H:%M:%S}\n{text}"), refresh=True)
                time.sleep(WATCH_SECONDS)
    except KeyboardInterrupt:
        return 130
