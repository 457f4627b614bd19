"""The past of a worker host: workers that crash every flow run they start, and one that nobody remembers.

It takes four things together, and `requirements.lock` of this folder has them all: a worker started with
``--with-healthcheck``, uvicorn up to 0.35, uvloop, Prefect up to 3.6.5. Uvicorn then sets uvloop's policy for the whole
process, whose next subprocess asks it for a child watcher: ``NotImplementedError`` from ``get_child_watcher``.

Each host n gets ``legacy-n``, a unit that polls the queue ``default`` and crashes, and ``stray-n``, started with ``nohup``
by an ordinary user, that polls the queue ``stray`` and, without the health check, can run flows: so a run can be in
flight on a host of the past. Two queues, so that a test decides which of the two gets a run.
"""

from __future__ import annotations

import hashlib
import shlex
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import runs, server, venv
from sandbox.cgroup import Cgroup
from sandbox.core import together
from sandbox.layout import Layout
from sandbox.shell import step

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.core import Sandbox
    from sandbox.machine import Machine

HOME = Path("/opt/prefect")
VENV = HOME / "venv"
FLOWS = HOME / "flows"
UNIT = "prefect-worker.service"
STRAY_USER = "operator"
STRAY_QUEUE = "stray"
_HERE = Path(__file__).parent
_LOCK = _HERE / "requirements.lock"
_ONLINE_SECONDS = 90.0

_STRAY = (
    "cd && umask 077 && mkdir -p .prefect && cat > .prefect/profiles.toml && {{ "
    "nohup {venv}/bin/prefect worker start --pool {pool} --work-queue {queue} --name {name} > worker.log 2>&1 < /dev/null & }}"
)


def legacy(machine: Machine) -> str:
    """Name of the worker on ``machine`` that crashes its runs."""
    return f"legacy-{_number(machine)}"


def stray(machine: Machine) -> str:
    """Name of the worker on ``machine`` that was started by hand."""
    return f"stray-{_number(machine)}"


def give(sandbox: Sandbox, hosts: Sequence[Machine]) -> None:
    """Turn hosts into what they were before, whatever they are now; both workers of each are ONLINE on return.

    The environment is a layer below the machine's own writes, so a host that lacks it, or changed it, is rebooted.

    Raises:
        SandboxError: The environment could not be built, or a worker was not ONLINE in time.
    """
    layer = _layer(sandbox.layout)
    with step(f"the past of {' '.join(host.name for host in hosts)}"):
        together([lambda host=host: _give(sandbox, host, layer) for host in hosts])  # type: ignore[misc]
        names = {name(host) for host in hosts for name in (legacy, stray)}
        with sandbox.api() as api:
            runs.await_online(api, names, timeout=_ONLINE_SECONDS)


def crash_traceback(machine: Machine) -> str:
    """Return what the legacy worker wrote to the journal since boot; a crash's traceback is in it."""
    return machine.ssh(f"journalctl -b -u {UNIT} -o cat --no-pager").stdout


def _number(machine: Machine) -> str:
    return machine.name.rpartition("-")[2]


def _layer(layout: Layout) -> Path:
    digest = hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:8]
    tree = layout.trees / f"past-{digest}"
    if not tree.exists():
        with step("Prefect 3.4.1 with uvloop from sandbox/past/requirements.lock"):
            venv.build(tree, VENV, _LOCK, Cgroup(f"{layout.cgroup}/build"))
    return tree


def _give(sandbox: Sandbox, host: Machine, layer: Path) -> None:
    if not _has_it(host):
        host.power_off()
        shutil.rmtree(host.upper / HOME.relative_to("/"), ignore_errors=True)  # what a deploy changed there
        host.set_layers([layer, *(tree for tree in host.layers if tree != layer)])
        host.boot()
    if host.ssh(f"systemctl is-active {UNIT}", check=False).returncode:
        _start_unit(sandbox, host)
    if host.ssh(f"pgrep -f -- '--name {stray(host)}$'", check=False).returncode:
        _start_stray(sandbox, host)


def _has_it(host: Machine) -> bool:
    return host.ssh(f"{VENV}/bin/python -c 'import uvloop'", check=False).returncode == 0


def _start_unit(sandbox: Sandbox, host: Machine) -> None:
    settings = {
        "PREFECT_API_URL": sandbox.api_url,
        "PREFECT_API_AUTH_STRING": sandbox.auth,
        "WORKER_NAME": legacy(host),
    }
    host.put("/etc/prefect/worker.env", "".join(f"{key}={value}\n" for key, value in settings.items()), mode=0o600)
    host.put(str(FLOWS / "flows.py"), (_HERE / "flows.py").read_text())
    # A deploy may have masked it: then there is a link to nowhere where the file goes.
    host.ssh(f"rm -f /etc/systemd/system/{UNIT}")
    host.put(f"/etc/systemd/system/{UNIT}", (_HERE / UNIT).read_text())
    host.ssh(f"systemctl daemon-reload && systemctl enable --now {UNIT}")


def _start_stray(sandbox: Sandbox, host: Machine) -> None:
    profile = f'active = "hublab"\n[profiles.hublab]\nPREFECT_API_URL = "{sandbox.api_url}"\nPREFECT_API_AUTH_STRING = "{sandbox.auth}"\n'
    command = _STRAY.format(venv=shlex.quote(str(VENV)), pool=server.POOL, queue=STRAY_QUEUE, name=stray(host))
    host.ssh(command, user=STRAY_USER, stdin=profile)
