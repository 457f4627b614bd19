"""All hosts at once over pyinfra's own connections, in one process; a host that cannot be reached stops no other."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import gevent
from pyinfra.api import Config, Inventory, State
from pyinfra.api.exceptions import ConnectError

from deploy.remedies import remedy_for
from deploy.settings import SettingsError, load
from deploy.spec import connection, worker_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyinfra.api import Host

    from deploy.spec import WorkerHost

USAGE = 2


@dataclass(frozen=True)
class Reply[Answer]:
    """What one host answered, or why it did not."""

    address: str
    answer: Answer | None
    error: str = ""


def ask_all[Answer](question: Callable[[Host, WorkerHost], Answer]) -> list[Reply[Answer]]:
    """Puts a question to every host of the inventory, side by side; the answers are in the inventory's order.

    A wrong setting ends the program with status 2, each fault in a line of its own.
    """
    try:
        settings = load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(USAGE)
    logging.getLogger("pyinfra").setLevel(logging.CRITICAL)
    wanted = {target.address: worker_host(settings, target) for target in settings.hosts}
    hosts = [(target.address, connection(settings, target)) for target in settings.hosts]
    inventory = Inventory((hosts, {}))  # type: ignore[no-untyped-call]
    state = State(inventory, Config(PARALLEL=max(len(hosts), 1)))  # type: ignore[no-untyped-call]
    tasks = {host.name: gevent.spawn(_ask, state, host, wanted[host.name], question) for host in state.inventory}
    gevent.joinall(tasks.values())
    return [tasks[target.address].get() for target in settings.hosts]


def _ask[Answer](
    state: State, host: Host, wanted: WorkerHost, question: Callable[[Host, WorkerHost], Answer]
) -> Reply[Answer]:
    try:
        host.connect(raise_exceptions=True)
        state.activate_host(host)
        return Reply(host.name, question(host, wanted))
    except ConnectError as error:
        remedy = remedy_for(str(error))
        return Reply(host.name, None, f"cannot be reached: {error}" + (f" -> {remedy}" if remedy else ""))
    except Exception as error:  # noqa: BLE001 - whatever one host does, the others are reported
        return Reply(host.name, None, f"did not answer: {error}")
