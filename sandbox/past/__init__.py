"""The past of a worker host: workers that crash every flow run they start, and one that nobody remembers.

It takes four things together, and `requirements.lock` of this folder has them all: a worker started with
``--with-healthcheck``, uvicorn up to 0.35, uvloop, Prefect up to 3.6.5. Uvicorn then sets uvloop's policy for the
whole process, and the next subprocess asks that for a child watcher: ``NotImplementedError``.

Each host n gets ``legacy-n``, a unit that polls the queue ``default`` and crashes, and ``stray-n``, started with
``nohup`` by an ordinary user, that polls the queue ``stray`` and, without the health check, can run flows: so a run can
be in flight on a host of the past. Two queues, so that a test decides which of the two gets a run.
"""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox import interpreter, runs, server, venv
from sandbox.build import builders, together
from sandbox.errors import SandboxError
from sandbox.shell import step
from sandbox.teardown import folder_locked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.core import Sandbox
    from sandbox.layout import Layout
    from sandbox.machine import Machine

HOME = Path("/opt/prefect")
VENV = HOME / "venv"
FLOWS = HOME / "flows"
UNIT = "prefect-worker.service"
STRAY_USER = "operator"
STRAY_QUEUE = "stray"
_HERE = Path(__file__).parent
_LOCK = _HERE / "requirements.lock"
_START_SECONDS = 180.0  # limit; 15 s on an idle machine

# Prefect 3.4 keeps its runs' files in one folder of the temporary one, and the first user to come owns it.
_STRAY = (
    "cd && mkdir -p tmp && export TMPDIR=$HOME/tmp PREFECT_API_URL={api_url} && {{ "
    f"nohup {{venv}}/bin/prefect worker start --pool {server.POOL} --work-queue {STRAY_QUEUE} --name {{name}}"
    " > worker.log 2>&1 < /dev/null & }}"
)
_STARTED = (
    f"for i in $(seq {_START_SECONDS:.0f}); do curl -fso /dev/null http://127.0.0.1:8080/health"
    f" && grep -q 'started!' ~{STRAY_USER}/worker.log && exit 0; sleep 1; done; tail -30 ~{STRAY_USER}/worker.log; "
    "exit 1"
)


def legacy(machine: Machine) -> str:
    """Name of the worker on ``machine`` that crashes its runs."""
    return f"legacy-{_number(machine)}"


def stray(machine: Machine) -> str:
    """Name of the worker on ``machine`` that was started by hand."""
    return f"stray-{_number(machine)}"


def give(sandbox: Sandbox, hosts: Sequence[Machine]) -> None:
    """Turn hosts into what they were before, whatever they are now; both workers of each poll on return.

    The environment is a layer below the machine's own writes, so a host that lacks it, or changed it, is rebooted.

    Raises:
        SandboxError: The environment could not be built, or a worker did not start in time.
    """
    below = layer(sandbox.layout)
    with step(f"the past of {' '.join(host.name for host in hosts)}"):
        api_url = server.open_api(sandbox.server)
        together([partial(_give, host, below, api_url) for host in hosts])
        with sandbox.api() as api:
            names = {name(host) for host in hosts for name in (legacy, stray)}
            runs.await_online(api, names, timeout=_START_SECONDS)


def put_flows(host: Machine) -> None:
    """Put the flows of before on a host, whatever runs them."""
    host.ssh(f"install -d -m 755 {HOME} {FLOWS}")
    host.put(str(FLOWS / "flows.py"), (_HERE / "flows.py").read_text())


def greet(sandbox: Sandbox, *, queue: str = "default", timeout: float = 120.0) -> runs.RunState:
    """Run the smallest flow there is and return its terminal state: CRASHED at the workers of before.

    The deployment is registered when it is not there; its code is the hosts' own ``/opt/prefect/flows/flows.py``.
    """
    with sandbox.api() as api:
        deployment = runs.register(api, "flows.py:greet", directory=str(FLOWS), queue=queue)
        return runs.await_state(api, runs.start(api, deployment), timeout=timeout)


def nap(sandbox: Sandbox, seconds: float, *, queue: str = STRAY_QUEUE) -> str:
    """Start a run that is in flight for ``seconds``, by default at a stray worker; return its id once it is RUNNING."""
    return _in_flight(sandbox, "nap", queue, seconds=seconds)


def talk(sandbox: Sandbox, until: str) -> str:
    """Do the same at a stray worker with a run that says more than a pipe holds, until its host has a file."""
    return _in_flight(sandbox, "talk", STRAY_QUEUE, until=until)


def _in_flight(sandbox: Sandbox, flow: str, queue: str, **parameters: Any) -> str:
    with sandbox.api() as api:
        deployment = runs.register(api, f"flows.py:{flow}", directory=str(FLOWS), queue=queue)
        run = runs.start(api, deployment, parameters)
        runs.await_state(api, run, {"RUNNING"})
        return run


def journal(machine: Machine) -> str:
    """Return what the legacy worker wrote to the journal since boot; a crash's traceback is in it."""
    return machine.ssh(f"journalctl -b -u {UNIT} -o cat --no-pager").stdout


def _number(machine: Machine) -> str:
    return machine.name.rpartition("-")[2]


def layer(layout: Layout) -> Path:
    """Return the layer that has the environment of before; build it when it is not there.

    Raises:
        SandboxError: It could not be built.
    """
    tree = layout.trees / f"past-py{interpreter.find().version}-{server.digest(_LOCK)}"
    with folder_locked(layout.trees):
        if not tree.exists():
            with step("Prefect 3.4.1 with uvloop from sandbox/past"):
                venv.build(tree, VENV, _LOCK, builders(layout), layout.temporary)
    return tree


def equip(host: Machine) -> None:
    """Reboot a host with the environment of before, but none of its workers, unless it has that.

    Raises:
        SandboxError: It could not be built, or the host did not come up again.
    """
    if host.ssh(f"test -x {VENV}/bin/prefect", check=False).returncode:
        _put_below(host, layer(host.layout))
        put_flows(host)


def _put_below(host: Machine, below: Path) -> None:
    host.kill()
    shutil.rmtree(host.upper / HOME.relative_to("/"), ignore_errors=True)  # what a deploy changed there
    needed = [below, interpreter.layer(host.layout)]
    host.set_layers([*needed, *(tree for tree in host.layers if tree not in needed)])
    host.boot()


def _give(host: Machine, below: Path, api_url: str) -> None:
    if host.ssh(f"{VENV}/bin/python -c 'import uvloop'", check=False).returncode:
        _put_below(host, below)
    if host.ssh(f"systemctl is-active {UNIT}", check=False).returncode:
        _start_unit(host, api_url)
    if host.ssh(f"pgrep -f -- '--name {stray(host)}$'", check=False).returncode:
        host.ssh(_STRAY.format(venv=VENV, api_url=api_url, name=stray(host)), user=STRAY_USER)
    # ONLINE is not enough: a worker is that before it has started, also when it is about to fail.
    done = host.ssh(_STARTED, check=False, timeout=_START_SECONDS + 10)
    if done.returncode:
        raise SandboxError(
            f"{host.name}: the workers of before did not start:\n{journal(host)[-1500:]}{done.stdout[-1500:]}"
        )


def _start_unit(host: Machine, api_url: str) -> None:
    host.put("/etc/prefect/worker.env", f"PREFECT_API_URL={api_url}\nWORKER_NAME={legacy(host)}\n")
    put_flows(host)
    # A deploy may have masked it: then there is a link to nowhere where the file goes.
    host.ssh(f"rm -f /etc/systemd/system/{UNIT}")
    host.put(f"/etc/systemd/system/{UNIT}", (_HERE / UNIT).read_text())
    host.ssh(f"systemctl daemon-reload && systemctl enable --quiet --now {UNIT}")
