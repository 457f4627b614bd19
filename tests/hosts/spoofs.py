"""Processes that say that they are Prefect workers, on a real host; each offers root something to run."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from sandbox import runs
from sandbox.past import FLOWS

if TYPE_CHECKING:
    from sandbox import Machine, Sandbox

# Whoever runs what a spoof offers leaves a file here.
MARKS = "/var/tmp/spoofs"
TRAP = "#!/bin/sh\ntouch {marks}/{who}-run-by-$(id -u)\n"
FLOW = f'''
import os, subprocess, time

from prefect import flow


@flow
def spoof(seconds: float = 600):
    """Row 1 of the list: a shell whose first word is a program in the unit's own folder."""
    folder = os.environ["TMPDIR"]
    trap = f"{{folder}}/python"
    with open(trap, "w") as stream:
        stream.write({TRAP.format(marks=MARKS, who="flow")!r})
    os.chmod(trap, 0o755)
    words = [trap, "-c", f"sleep {{seconds}}; :", "prefect", "worker", "start", "--name", "spoof-flow"]
    subprocess.Popen(words, executable="/bin/sh")
    time.sleep(seconds)
'''
# In a virtual environment of its own, whose interpreter runs a .pth before it answers anything.
VENV = f"""set -e
python=$(readlink -f "$(command -v python3.12 python3.13 | head -n 1)")
$python -m venv --without-pip {MARKS}.venv
site=$(echo {MARKS}.venv/lib/python3*/site-packages)
mkdir $site/prefect-3.4.1.dist-info $site/uvloop $site/uvloop-0.21.0.dist-info
echo 'import os; os.getuid() == 65534 or open(f"{MARKS}/venv-run-by-{{os.getuid()}}", "w")' > $site/spoof.pth
echo 'import time; time.sleep(600)' > {MARKS}.venv/bin/prefect
"""
BOXED = """
import os, sys
os.unshare(os.CLONE_NEWPID | os.CLONE_NEWNS)
if os.fork() == 0:
    os.chroot("/srv/box")
    os.chdir("/")
    os.execv("/bin/sh", [*sys.argv[1:2], "-c", "read line; :", *sys.argv[2:]])
os.wait()
"""
BOX = """set -e
mkdir -p /srv/box/bin /srv/box/lib64
cp /bin/sh /srv/box/bin/
for file in $(ldd /bin/sh | grep -o '/[^ ]*'); do mkdir -p /srv/box$(dirname $file); cp $file /srv/box$file; done
"""


def trap(machine: Machine, who: str) -> str:
    """A program called `python` that leaves a mark; returns its path."""
    path = f"/var/tmp/{who}/python"
    machine.put(path, TRAP.format(marks=MARKS, who=who), mode=0o755)
    return path


def start(machine: Machine, command: str) -> None:
    """In the background, with a standard input that never ends."""
    machine.ssh(f"(sleep 900 | setsid {command}) > /dev/null 2>&1 < /dev/null &")


def of_nobody(machine: Machine) -> None:
    """A shell, as a user who may do nothing; its name writes on terminals."""
    words = [trap(machine, "nobody"), "-c", "read line; :", "prefect", "worker", "start", "--name", "spoof\x1b[2J"]
    code = f"import os; os.execv('/bin/sh', {words!r})"
    start(machine, f"setpriv --reuid=65534 --regid=65534 --clear-groups $(command -v python3) -c {shlex.quote(code)}")


def of_a_venv(machine: Machine) -> None:
    """What passes for a worker by every sign: its environment is nobody's own."""
    machine.ssh("setpriv --reuid=65534 --regid=65534 --clear-groups sh -s", stdin=VENV)
    venv = f"{MARKS}.venv/bin"
    words = f"{venv}/python {venv}/prefect worker start --name spoof-venv"
    start(machine, f"setpriv --reuid=65534 --regid=65534 --clear-groups {words}")


def of_a_container(machine: Machine) -> None:
    """A root of its own, and a program in a folder that container and host share."""
    machine.ssh("sh -s", stdin=BOX)
    words = [trap(machine, "container"), "prefect", "worker", "start", "--name", "spoof-container"]
    start(machine, shlex.join(["/usr/local/bin/python3.12", "-c", BOXED, *words]))


def of_a_flow(machine: Machine, sandbox: Sandbox, queue: str) -> str:
    """A flow run in one of our own units; returns its id."""
    machine.put(f"{FLOWS}/spoof.py", FLOW)
    with sandbox.api() as api:
        run = runs.start(api, runs.register(api, "spoof.py:spoof", directory=str(FLOWS), queue=queue))
        runs.await_state(api, run, {"RUNNING"})
    return run


def marks(machine: Machine) -> list[str]:
    """Who ran something of a spoof's."""
    return machine.ssh(f"ls {MARKS}").stdout.split()


def states(machine: Machine) -> dict[str, str]:
    """The spoofs' names and the states of their processes: `T` is one that somebody has stopped."""
    lines = machine.ssh("ps -eo stat=,args=").stdout.splitlines()
    found = (re.fullmatch(r"(\S+) .* worker start --name (spoof\S*)", line.strip()) for line in lines)
    return {match[2]: match[1] for match in found if match}
