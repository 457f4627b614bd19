"""What a storm does to the sandbox's machines. A strike also mends what does not mend itself there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox import server

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from sandbox.core import Sandbox

WORKERS = 3
_KILL = "systemctl kill --signal=KILL --kill-whom={whom} {unit}"
# Debian's unit does not start PostgreSQL again.
_DATABASE = (
    "units=$(systemctl list-units --plain --no-legend 'postgresql@*' | cut -d' ' -f1); "
    "systemctl kill --signal=KILL --kill-whom=all $units; sleep {seconds}; systemctl reset-failed; "
    "systemctl start $units && systemctl start prefect-server"
)
_PARTITION = "ip route add unreachable {server} && sleep {seconds}; ip route del unreachable {server}"


@dataclass(frozen=True)
class Strike:
    """What is struck, how often of a hundred times, and how; it returns False when nobody was hit."""

    what: str
    weight: int
    hit: Callable[[Sandbox, Random], bool]


def _on_host(command: str) -> Callable[[Sandbox, Random], bool]:
    """A command on the first host; `{n}` is one of its workers."""

    def hit(sandbox: Sandbox, dice: Random) -> bool:
        done = sandbox.hosts[0].ssh(command.replace("{n}", str(dice.randint(1, WORKERS))), check=False)
        return done.returncode == 0

    return hit


def _database(sandbox: Sandbox, dice: Random) -> bool:
    sandbox.server.ssh(_DATABASE.format(seconds=dice.choice([1, 2, 10, 30])), check=False, timeout=180)
    return True


def _server(sandbox: Sandbox, _: Random) -> bool:
    command = _KILL.format(whom="all", unit="prefect-server")
    return sandbox.server.ssh(command, check=False).returncode == 0


def _host_power(sandbox: Sandbox, _: Random) -> bool:
    sandbox.hosts[0].kill()
    sandbox.hosts[0].boot()
    return True


def _server_power(sandbox: Sandbox, _: Random) -> bool:
    sandbox.server.kill()
    sandbox.server.boot()
    server.await_ready(sandbox.server, sandbox.auth)
    return True


def _partition(sandbox: Sandbox, dice: Random) -> bool:
    command = _PARTITION.format(server=sandbox.server.address, seconds=dice.choice([5, 20, 60, 120]))
    return sandbox.hosts[0].ssh(command, check=False, timeout=300).returncode == 0


STRIKES = (
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
