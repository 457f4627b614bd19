"""What a storm does to the sandbox's machines. A strike also mends what does not mend itself there."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox import server

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from random import Random

    from sandbox.core import Sandbox

WORKERS = 3
_KILL = "systemctl kill --signal=KILL --kill-whom={whom} {unit}"
DATABASE_UNITS = "units=$(systemctl list-units --all --plain --no-legend 'postgresql@*' | cut -d' ' -f1)"
# Debian's unit does not start PostgreSQL again.
_DATABASE = (
    f"{DATABASE_UNITS}; "
    "systemctl kill --signal=KILL --kill-whom=all $units; sleep {seconds}; systemctl reset-failed; "
    "systemctl start $units && systemctl start prefect-server"
)
_DATABASE_AWAY, _PARTED = (1, 2, 10, 30, 120), (5, 20, 60, 120)  # seconds


@dataclass(frozen=True)
class Strike:
    """What is struck, how often of a hundred times, and how.

    `hit` gets the dice, and the seconds that an outage may last at the most; it returns False when nobody was hit.
    """

    what: str
    weight: int
    hit: Callable[[Sandbox, Random, float], bool]


def _on_host(command: str) -> Callable[[Sandbox, Random, float], bool]:
    """A command on the first host; `{n}` is one of its workers."""

    def hit(sandbox: Sandbox, dice: Random, _: float) -> bool:
        done = sandbox.hosts[0].ssh(command.replace("{n}", str(dice.randint(1, WORKERS))), check=False)
        return done.returncode == 0

    return hit


def _lasting(choices: Sequence[int], dice: Random, longest: float) -> int:
    return dice.choice([seconds for seconds in choices if seconds <= longest] or [min(choices)])


def _database(sandbox: Sandbox, dice: Random, longest: float) -> bool:
    seconds = _lasting(_DATABASE_AWAY, dice, longest)
    sandbox.server.ssh(_DATABASE.format(seconds=seconds), check=False, timeout=seconds + 180)
    return True


def _server(sandbox: Sandbox, *_: object) -> bool:
    command = _KILL.format(whom="all", unit="prefect-server")
    return sandbox.server.ssh(command, check=False).returncode == 0


def _host_power(sandbox: Sandbox, *_: object) -> bool:
    sandbox.hosts[0].kill()
    sandbox.hosts[0].boot()
    return True


def _server_power(sandbox: Sandbox, *_: object) -> bool:
    sandbox.server.kill()
    sandbox.server.boot()
    server.await_ready(sandbox.server, sandbox.auth)
    return True


def _partition(sandbox: Sandbox, dice: Random, longest: float) -> bool:
    with sandbox.parted(sandbox.server, sandbox.hosts[0]):
        time.sleep(_lasting(_PARTED, dice, longest))
    return True


STRIKES = {
    strike.what: strike
    for strike in (
        Strike("worker", 22, _on_host(_KILL.format(whom="main", unit="prefect-worker@{n}"))),
        Strike("engine", 18, _on_host("pid=$(pgrep -f 'prefect[.]engine' | shuf -n 1) && kill -KILL $pid")),
        Strike("worker and its engines", 12, _on_host(_KILL.format(whom="all", unit="prefect-worker@{n}"))),
        Strike("webhooks", 6, _on_host(_KILL.format(whom="main", unit="hublab-webhooks"))),
        Strike("all workers and their engines", 8, _on_host(_KILL.format(whom="all", unit="'prefect-worker@*'"))),
        Strike("Prefect's server", 14, _server),
        Strike("PostgreSQL", 8, _database),
        Strike("the worker host's power", 4, _host_power),
        Strike("the server host's power", 3, _server_power),
        Strike("the network between host and server", 5, _partition),
    )
}
