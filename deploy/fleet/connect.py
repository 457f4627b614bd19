"""All hosts at once, each over one plain `ssh`; a host that cannot be reached stops no other.

pyinfra reaches the hosts too, but takes more than a second to be imported: more than the answer of all hosts takes.
"""

from __future__ import annotations

import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy import problems
from deploy.limit import limited
from deploy.onhost.wire import WireError, decode
from deploy.release.interpreter import settle
from deploy.remedies import remedy_for
from deploy.remote import last_line, launcher, program
from deploy.settings import SettingsError, load, worker_host
from deploy.ssh import arguments
from deploy.state import HostState

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.onhost.wire import Query
    from deploy.spec import WorkerHost

USAGE = 2
ANSWER_SECONDS = 60
SSH_FAILED = 255
SIDE_BY_SIDE = 64


class FleetError(RuntimeError):
    """A host could not be reached, or did not answer; the message says why, and what to do.

    `lines`: all that a program said that ended with another status than 0, where it had no fault of its own.
    """

    def __init__(self, message: str, lines: str = "") -> None:
        super().__init__(message)
        self.lines = lines


class UnreachableError(FleetError):
    """The way to the host is cut, or its address is wrong."""


@dataclass(frozen=True)
class Reply[Answer]:
    """What one host answered, or why it did not."""

    address: str
    answer: Answer | None
    error: str = ""


@dataclass(frozen=True)
class Host:
    """One host of the inventory, and the command that reaches it."""

    wanted: WorkerHost
    ssh: tuple[str, ...]

    def ask(self, query: Query) -> str:
        """Runs an on-host program and returns what it prints.

        Raises:
            FleetError: with the reason.
        """
        command = [*self.ssh, f"sh -c {shlex.quote(launcher(self.wanted.python))}"]
        try:
            done = subprocess.run(
                command, input=program(query), capture_output=True, text=True, check=False, timeout=ANSWER_SECONDS
            )
        except subprocess.TimeoutExpired:
            raise FleetError(f"did not answer within {ANSWER_SECONDS} s") from None
        except OSError as error:
            raise UnreachableError(f"cannot be reached: {error}. Install OpenSSH's client on this machine.") from error
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        if done.returncode == SSH_FAILED:
            why = said[-1] if said else "ssh gave no reason"
            raise UnreachableError(f"cannot be reached: {why}{_remedy(done.stderr)}")
        if done.returncode:
            words = f"did not answer: {said[-1] if said else f'status {done.returncode}'}"
            raise FleetError(words, "" if done.stderr.strip() else done.stdout)
        if last_line(done.stdout).startswith('{"problem"'):
            state = settle(decode(HostState, last_line(done.stdout)), self.wanted.python)
            (problem,) = problems.find(self.wanted, state)
            raise FleetError(f"{problem.what}\n    -> {problem.remedy}")
        return done.stdout

    def ask_for[Answer](self, kind: type[Answer], query: Query) -> Answer:
        """The same for a program that answers with one dataclass, as JSON.

        Raises:
            FleetError: with the reason.
        """
        text = self.ask(query)
        try:
            return decode(kind, last_line(text))
        except WireError:
            raise FleetError(f"did not answer in JSON: {text.strip()[-400:] or 'it said nothing'}") from None


def _remedy(stderr: str) -> str:
    remedy = remedy_for(stderr)
    return f"\n    -> {remedy}" if remedy else ""


def ask_all[Answer](
    question: Callable[[Host], Answer], of_application: Callable[[WorkerHost], Answer] | None = None
) -> list[Reply[Answer]]:
    """Puts a question to every host of the inventory, or to those that LIMIT names; the answers are in its order.

    An application of Coolify's answers nothing by itself: `of_application` asks about it, where that can be done.

    A wrong setting ends the program with status 2, each fault in a line of its own.
    """
    try:
        settings = limited(load())
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)
    ways = {target: () if target.application else arguments(settings, target) for target in settings.hosts}
    hosts = [Host(worker_host(settings, target), way) for target, way in ways.items()]
    with ThreadPoolExecutor(max_workers=min(len(hosts), SIDE_BY_SIDE)) as pool:
        return list(pool.map(lambda host: _ask(host, question, of_application), hosts))


def _ask[Answer](
    host: Host, question: Callable[[Host], Answer], of_application: Callable[[WorkerHost], Answer] | None
) -> Reply[Answer]:
    if host.wanted.application and of_application is None:
        return Reply(host.wanted.address, None, "is an application of Coolify's, and this is a question to a host")
    try:
        ours = host.wanted.application and of_application
        return Reply(host.wanted.address, ours(host.wanted) if ours else question(host))
    except FleetError as error:
        return Reply(host.wanted.address, None, str(error))
