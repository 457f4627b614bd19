"""Every way in which people start a Prefect worker, on one host: what a deploy meets that is nobody's recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox import runs
from sandbox.past import FLOWS, STRAY_USER, VENV
from tests.hosts.conftest import WORKERS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox import Machine, Sandbox

START = f"{VENV}/bin/prefect worker start --pool default --work-queue {{name}} --name {{name}}"
SERVICE = "[Service]\nEnvironmentFile=/etc/prefect/worker.env\n{more}\n\n[Install]\nWantedBy=multi-user.target\n"
# Instances of the operator's own template, under the very names of the deploy's units.
INSTANCES = (1, 4)
NAMES = ("own-1", "own-4", "wrapped", "shell", "by-cron", "of-user")
# A daemon that starts what its table says and lives on, as cron does.
CRON = (
    'ExecStart=/usr/local/bin/python3.12 -c "import subprocess as s; '
    "p = s.Popen(['/bin/sh', '-c', '{start} & wait']); s.Popen(['sleep', 'infinity']).wait()\""
)
SCRIPT = "#!/bin/sh\n# What a host's administrator once wrote.\n{start}\necho it has ended\n"
OWN = "~{user}/.config/systemd/user"
AS_USER = (
    "XDG_RUNTIME_DIR=/run/user/$(id -u {user}) setpriv --reuid={user} --regid=$(id -g {user}) --clear-groups {what}"
)


def start(name: str) -> str:
    return START.format(name=name)


def unit(machine: Machine, name: str, more: str) -> None:
    machine.put(f"/etc/systemd/system/{name}", SERVICE.format(more=more))


def clear_ours(machine: Machine) -> None:
    """A host on which no deploy has left a worker; the release stays, which saves a minute."""
    ours = " ".join(f"prefect-worker@{number}" for number in range(1, WORKERS + 1))
    machine.ssh(f"systemctl disable --quiet --now {ours}", timeout=400)
    machine.ssh("rm -f /etc/systemd/system/prefect-worker@*; systemctl daemon-reload")


def give(machine: Machine, sandbox: Sandbox) -> None:
    """Starts them all; returns when each is ONLINE."""
    unit(machine, "prefect-worker@.service", f"ExecStart={start('own-%i')}\nRestart=always")
    machine.put("/usr/local/bin/start-worker.sh", SCRIPT.format(start=start("wrapped")), mode=0o755)
    unit(machine, "wrapped.service", "ExecStart=/usr/local/bin/start-worker.sh\nRestart=always")
    unit(machine, "shell.service", f"ExecStart=/bin/sh -c 'cd /opt/prefect && exec {start('shell')}'\nRestart=always")
    unit(machine, "cron.service", CRON.format(start=start("by-cron")))
    crontab = f"# m h dom mon dow\n@reboot {start('by-cron')}\n"
    machine.put(f"/var/spool/cron/crontabs/{STRAY_USER}", crontab, mode=0o600)
    names = " ".join(f"prefect-worker@{number}" for number in INSTANCES)
    machine.ssh("systemctl daemon-reload")
    machine.ssh(f"systemctl enable --quiet --now {names} wrapped shell cron")
    of_user(machine)
    with sandbox.api() as api:
        for name in NAMES:
            runs.register(api, "flows.py:nap", directory=str(FLOWS), queue=name)
        runs.await_online(api, NAMES, timeout=400)


def of_user(machine: Machine) -> None:
    """In the systemd of an ordinary user, who need not be logged in."""
    text = SERVICE.format(more=f"Environment=TMPDIR=%h/tmp\nExecStart={start('of-user')}\nRestart=always\nRestartSec=1")
    folder = OWN.format(user=STRAY_USER)
    machine.ssh(f"loginctl enable-linger {STRAY_USER}; mkdir -p {folder} ~{STRAY_USER}/tmp")
    machine.ssh(f"cat > {folder}/prefect-worker@7.service", stdin=text.replace("multi-user", "default"))
    machine.ssh(f"chown -R {STRAY_USER}: ~{STRAY_USER}/.config ~{STRAY_USER}/tmp")
    machine.ssh(f"until test -S /run/user/$(id -u {STRAY_USER})/systemd/private; do sleep 0.2; done")
    what = "sh -c 'systemctl --user daemon-reload && systemctl --user enable --now prefect-worker@7'"
    machine.ssh(AS_USER.format(user=STRAY_USER, what=what))


def take_away(machine: Machine) -> None:
    """Whatever a test has left of them."""
    names = " ".join(f"prefect-worker@{number}" for number in INSTANCES if number > 1)
    machine.ssh(
        f"systemctl disable --quiet --now {names} wrapped shell cron; systemctl unmask {names} shell", check=False
    )
    machine.ssh(
        "cd /etc/systemd/system && rm -f prefect-worker@.service wrapped.service shell.service cron.service; "
        f"rm -f /var/spool/cron/crontabs/{STRAY_USER}; loginctl disable-linger {STRAY_USER}; "
        f"rm -rf ~{STRAY_USER}/.config/systemd; systemctl daemon-reload",
        check=False,
    )


def workers(machine: Machine) -> dict[str, str]:
    """The names of those that run, and the state of each: `T` is a frozen one."""
    found = {}
    for line in machine.ssh("ps -eo stat=,args=").stdout.splitlines():
        state, words = line.split(maxsplit=1)
        if words.startswith(f"{VENV}/bin/python") and " worker start " in words:
            found[words.rpartition("--name ")[2].split()[0]] = state
    return found


def told(machine: Machine, names: Iterable[str], what: str) -> dict[str, str]:
    """One property of units."""
    return {name: machine.ssh(f"systemctl show -p {what} --value {name}").stdout.strip() for name in names}
