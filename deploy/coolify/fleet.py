"""status, history, unlock and run-again for an application: asked from here, since nothing of ours runs there."""

from __future__ import annotations

from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Concatenate

from deploy.coolify.ledger import Ledger
from deploy.coolify.look import client, look
from deploy.coolify.plan import make
from deploy.coolify.prefect import Prefect
from deploy.coolify.wanted import kind
from deploy.fleet.connect import FleetError
from deploy.fleet.standing import UNTOLD, Status, last_deploy, late_words, left_words
from deploy.onhost import report_host, run_again
from deploy.onhost.api_facts import online, testing
from deploy.onhost.common import harmless
from deploy.onhost.left_runs import left_runs
from deploy.onhost.prefect_api import ApiError
from deploy.onhost.report_host import Report
from deploy.onhost.untrusted import printable
from deploy.problems import REFUSED, credential
from deploy.words import mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.coolify.plan import ApplicationPlan
    from deploy.coolify.state import ApplicationState
    from deploy.onhost.left_runs import LeftRun
    from deploy.onhost.report_host import Queue
    from deploy.spec import WorkerHost


UNHEALTHY = "running:unhealthy"


def told[**More, Answer](
    question: Callable[Concatenate[WorkerHost, More], Answer],
) -> Callable[Concatenate[WorkerHost, More], Answer]:
    """A server that does not answer is said as that of a host that cannot be reached."""

    @wraps(question)
    def asked(wanted: WorkerHost, /, *more: More.args, **named: More.kwargs) -> Answer:
        try:
            return question(wanted, *more, **named)
        except (OSError, ValueError) as error:
            if isinstance(error, ApiError) and error.status in REFUSED:
                raise FleetError(str(credential(wanted, error.status))) from None
            raise FleetError(f"did not answer: {printable(str(error))}") from None

    return asked


def judge(
    wanted: WorkerHost,
    plan: ApplicationPlan,
    state: ApplicationState,
    queue: Queue | None,
    left: tuple[LeftRun, ...],
) -> Status:
    """One application against its plan. Pure."""
    runs, app = kind(wanted), state.app
    trouble = [str(problem) for problem in plan.problems]
    if not (state.online or plan.problems):
        trouble.append(f"it {runs.down}")
    if app and app.status == UNHEALTHY:
        trouble.append("its health check fails -> ./hublab logs shows what it says")
    if queue is None:
        trouble.append(UNTOLD)
    elif queue.late:
        trouble.append(late_words(queue.late))
    trouble += left_words(left)
    if state.lock and state.lock_orphaned:
        trouble.append(f"{state.lock}: its owner is gone -> the next ./hublab deploy takes it over")
    return Status(
        host=f"{app.name} ({plan.address})" if app and app.name else plan.address,
        release=state.release or "none",
        workers=tuple((item.name, f"{runs.up}, release {item.release or 'unknown'}") for item in state.online),
        due=queue.depth if queue else None,
        late=queue.late if queue else None,
        last=last_deploy(state),
        lock=state.lock,
        drift=plan.words,
        trouble=tuple(trouble),
        online=tuple(item.name for item in state.online),
        in_flight=None,
        deployed=state.deploys[-1] if state.deploys else None,
        address=plan.address,
        pool="" if wanted.webhooks else wanted.work_pool,
        others=tuple(sorted(state.others)),
    )


@told
def status(wanted: WorkerHost) -> Status:
    """For `./hublab status`."""
    access, pool = wanted.api_access(), wanted.work_pool
    with client(wanted) as coolify:
        state = look(wanted, coolify, Prefect(access))
    left = left_runs(access, pool, online(access, pool)) if not state.problem else ()
    queue = report_host.queue(access, pool) if not state.problem else None
    plan = make(wanted, state)
    found = judge(wanted, plan, state, queue, left or ())
    said = mode(wanted, on=testing(access) if not state.problem else None)
    return replace(found, warnings=(*wanted.exposed, *plan.warnings, *said))


@told
def history(wanted: WorkerHost) -> Report:
    """For `./hublab history`."""
    return Report(history=_ledger(wanted).history())


@told
def unlock(wanted: WorkerHost) -> str:
    """For `./hublab unlock`."""
    return _ledger(wanted).unlock()


def again(wanted: WorkerHost, runs: list[str]) -> str:
    """For `./hublab run-again`: what it says goes to the screen at once.

    Raises:
        FleetError: one could not be scheduled.
    """
    if run_again.main(run_again.RunAgain(runs=tuple(runs), access=wanted.api_access())):
        raise FleetError("some of the flow runs could not be scheduled")
    return ""


def _ledger(wanted: WorkerHost) -> Ledger:
    return Ledger(Prefect(wanted.api_access()), wanted.application)


@told
def logs(wanted: WorkerHost, lines: int) -> str:
    """What its running container has said last; empty when none runs."""
    with client(wanted) as coolify:
        return harmless(coolify.logs(wanted.application, lines))
