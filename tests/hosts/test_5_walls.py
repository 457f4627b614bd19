"""A flow run against its host, its neighbours and the next start of its worker: it is tried, on a real host."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import runs
from sandbox.past import FLOWS
from tests.hosts.conftest import first_run, main_pids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator

KEY = 0x48554221
IPC = """
import ctypes, sys
libc, key, mode = ctypes.CDLL(None), int(sys.argv[1], 0), int(sys.argv[2], 0)
made = [libc.shmget(key, 1, mode), libc.msgget(key, mode), libc.semget(key, 1, mode)]
made.append(libc.mq_open(b"/hublab-host", 0o100, 0o666, None) if mode else libc.mq_unlink(b"/hublab-host"))
sys.exit(min(made) < 0)
"""
METADATA = "169.254.169.254"
NEAR = ["127.0.0.1", "127.8.8.8", METADATA, "192.168.77.7", "10.255.255.1", "::1", "fd00:ec2::254"]


@pytest.fixture(autouse=True)
def _flow_and_addresses(deployed: Operator, machine: Machine) -> Iterator[None]:
    """The flow on the host; and addresses that are near and answer: what is refused must be refused, not absent."""
    machine.put(f"{FLOWS}/walls_flow.py", Path(__file__).with_name("walls_flow.py").read_text())
    v4, v6 = [item for item in NEAR if "." in item], [item for item in NEAR if ":" in item]
    own = [f"ip address add {item}/32 dev lo" for item in v4[2:]] + [f"ip address add {v6[1]}/128 dev lo"]
    machine.ssh("; ".join(own))
    yield
    machine.ssh("; ".join(line.replace(" add ", " delete ") for line in own), check=False)


def start(sandbox: Sandbox, machine: Machine, name: str, **parameters: Any) -> str:
    """A run on the first worker's own queue."""
    with sandbox.api() as api:
        queue = f"probe-{machine.name}-1"
        deployment = runs.register(api, f"walls_flow.py:{name}", directory=str(FLOWS), queue=queue)
        return runs.start(api, deployment, parameters)


def run(sandbox: Sandbox, machine: Machine, name: str, **parameters: Any) -> Any:
    """What it says at its end."""
    started = start(sandbox, machine, name, **parameters)
    with sandbox.api() as api:
        ended = runs.await_state(api, started, timeout=180)
    assert ended.type == "COMPLETED", ended
    return json.loads(ended.message)


def reached_from_the_host(machine: Machine) -> None:
    """The control: without the unit's rules each of them is reached."""
    send = "import socket,sys\nfor a in sys.argv[1:]: socket.socket(10 if ':' in a else 2, 2).sendto(b'x', (a, 9))"
    machine.ssh(f'python3 -c "{send}" {" ".join(item for item in NEAR if item != "10.255.255.1")}')
    for host in (METADATA, machine.address):
        assert "SSH" in machine.ssh(f"timeout 5 bash -c 'head -c 7 < /dev/tcp/{host}/22'").stdout


@pytest.fixture
def ipc_of_the_host(machine: Machine) -> Iterator[None]:
    """Shared memory, semaphores and messages for everybody: in the unit they are not there."""
    machine.ssh(f"python3 -c {shlex.quote(IPC)} {KEY} 0o1666")
    yield
    machine.ssh(f"ipcrm -M {KEY} -S {KEY} -Q {KEY}; python3 -c {shlex.quote(IPC)} {KEY} 0", check=False)


@pytest.mark.usefixtures("ipc_of_the_host")
def test_what_a_run_tries_is_refused(sandbox: Sandbox, machine: Machine) -> None:
    reached_from_the_host(machine)
    hosts = ("127.0.0.1", "0.0.0.0", "::1", "::ffff:127.0.0.1", METADATA, machine.address)
    ssh = [(host, 22) for host in hosts]
    found = run(sandbox, machine, "attack", tcp=ssh, udp=[item for item in NEAR if item != "10.255.255.1"])
    seen = {name: found.pop(name) for name in ("shared memory of others", "credentials of others")}
    assert seen["credentials of others"] == "done: ['prefect-worker@1.service']"
    assert seen["shared memory of others"] == "done: []"
    assert {name: came for name, came in found.items() if came.startswith("done")} == {}
    for name, came in found.items():
        if name.startswith(("tcp", "udp")):
            assert came == ("TimeoutError" if name.startswith("tcp") else "PermissionError"), name
        elif name.startswith(("replace", "link", "write")):
            assert came in {"ReadOnly", "PermissionError"}, name


def test_what_flows_ordinarily_do_works_but_for_callbacks_from_c(sandbox: Sandbox, machine: Machine) -> None:
    """Each package of the release is imported in the unit. A callback is code that is written as the program runs:

    what libffi, as this Python has it, and cffi make of it needs memory that can be written and executed.
    """
    assert {name: came.partition(":")[0] for name, came in run(sandbox, machine, "ordinary").items()} == {
        "ctypes": "MemoryError",
        "cffi": "MemoryError",
    }


def test_what_a_run_leaves_keeps_no_worker_from_starting_and_is_not_run(sandbox: Sandbox, machine: Machine) -> None:
    written = run(sandbox, machine, "plant")
    assert len(written) > 20, "nothing was planted: this would prove nothing"
    machine.ssh("systemctl restart prefect-worker@1", timeout=180)
    shown = "systemctl show --property=ActiveState,NRestarts prefect-worker@1"
    assert machine.ssh(shown).stdout.split() == ["NRestarts=0", "ActiveState=active"]
    assert first_run(sandbox, f"{machine.name}-1").type == "COMPLETED"
    assert "PLANTED" not in machine.ssh("journalctl -u prefect-worker@1 -o cat --since -10min").stdout


def test_a_workers_user_can_end_that_worker_alone(sandbox: Sandbox, machine: Machine) -> None:
    """What a run could do where the kernel has no Landlock for signals: all that its user may."""
    before = main_pids(machine)
    kill = "setpriv --reuid=hublab-worker-1 --regid=hublab --clear-groups bash -c 'kill -KILL -- -1'"
    machine.ssh(kill, check=False)
    machine.ssh("until [ $(systemctl show -P NRestarts prefect-worker@1) -gt 0 ]; do sleep 0.5; done", timeout=120)
    after = main_pids(machine)
    assert {number for number in before if after[number] != before[number]} == {1}
    assert first_run(sandbox, f"{machine.name}-1").type == "COMPLETED"


def test_a_run_that_listens_is_not_reached_from_its_own_host(sandbox: Sandbox, machine: Machine) -> None:
    """Nor from its networks; the API's address is open in both directions."""
    started = start(sandbox, machine, "listen", until="30")
    with sandbox.api() as api:
        runs.await_state(api, started, {"RUNNING"})
        listening = "ss -Hltne | grep -w uid:$(id -u hublab-worker-1)"
        machine.ssh(f"until {listening}; do sleep 0.1; done")
        port = machine.ssh(listening).stdout.split()[3].rpartition(":")[2]
        for address in ("127.0.0.1", machine.address):
            reach = machine.ssh(f"timeout 5 bash -c 'cat < /dev/tcp/{address}/{port}'", check=False)
            assert (reach.returncode, reach.stdout) == (124, "")
        assert runs.await_state(api, started).type == "COMPLETED", "somebody came"
