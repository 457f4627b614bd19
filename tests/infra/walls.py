"""How tightly a unit is shut in: by systemd's own judgement, by the kernel's, and seen from within."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from deploy import spec

if TYPE_CHECKING:
    from testinfra.host import Host


def exposure(host: Host, unit: str) -> float:
    """systemd's own judgement, 0 (shut) to 10 (open), of the unit as it runs."""
    text = host.check_output("systemd-analyze security --no-pager %s", unit)
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", text)
    assert found
    return float(found[1])


def privileges(host: Host, pid: str) -> tuple[str, str, str, set[str]]:
    """User, NoNewPrivs, Seccomp (2: filtered) and all capability sets of a process (proc(5))."""
    lines = host.check_output("cat /proc/%s/status", pid).splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    sets = {status[name] for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
    return host.check_output("ps -o user= -p %s", pid).strip(), status["NoNewPrivs"], status["Seccomp"], sets


def inside(host: Host, pid: str, script: str, user: str = "") -> tuple[int, str]:
    """Runs a shell in the mount namespace of the worker: as its user, or as root, whom only the sandbox stops.

    Its exit status and all that it says. That no shell came to run there is no refusal, and raises AssertionError.
    """
    uid = host.check_output("id -u %s", user) if user else host.check_output("stat -c %%u /proc/%s", pid)
    enter = "nsenter --target %s --mount --root --setuid %s --setgid %s -- /bin/sh -c %s"
    done = host.run(enter, pid, uid, uid, f"echo {_ARRIVED}\n{script}")
    arrived, _, said = done.stdout.partition(f"{_ARRIVED}\n")
    assert f"{_ARRIVED}\n" in done.stdout, f"no shell ran beside process {pid}: {arrived}{done.stderr}"
    return done.rc, said + done.stderr


def hidden(host: Host, pid: str, path: str, user: str = "") -> tuple[bool, str]:
    """Whether nothing of what the host has there is visible inside, and what `ls` says."""
    rc, text = inside(host, pid, f"ls -A {path}", user)
    refused = f"{path}': No such file or directory" in text or f"{path}': Permission denied" in text
    return (refused if rc else not text.strip()), text


_ARRIVED = "inside"


# The kernel holds a control group to its network rules: whoever enters a unit's is held to those of the unit.
ENTER = """
echo $$ > "$(findmnt -fno TARGET -t cgroup2)$(sed -n "s/^0:://p" "/proc/$1/cgroup")/cgroup.procs"
shift; exec "$@"
"""


def asked(host: Host, program: str, argument: Any, pid: str = "") -> Any:
    """What a Python program says as JSON: run by root on the host, or, with `pid`, held to that process's network."""
    command = ["/bin/sh", "-c", ENTER, "sh", pid] if pid else []
    command += [f"{spec.CURRENT}/venv/bin/python", "-I", "-c", program, json.dumps(argument)]
    return json.loads(host.check_output(" ".join(["%s"] * len(command)), *command))
