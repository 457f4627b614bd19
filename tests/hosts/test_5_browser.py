"""Debian's Chromium in a worker's unit and in a run's domain, as they are: nothing is opened for it."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import apt
from tests.deploy.units import RELEASE, render
from tests.hosts.conftest import ROOT, SCRATCH

if TYPE_CHECKING:
    from sandbox import Machine

NUMBER = 64  # no deploy of the tests has so many workers
PLACE = "/srv/browser"
UNIT, SAID = "hublab-browser.service", "/run/hublab-browser.json"
AS_IT_IS = ("--no-sandbox", "--no-zygote", "--js-flags=--jitless")
# Of a worker's unit: what belongs to the worker's own life, and to files that a deploy puts on the host.
LIFE = re.compile(
    r"^(Type|NotifyAccess|Restart|WatchdogSec|RestartPreventExitStatus|LoadCredential|User|Group|Environment=\w+=%d).*$",
    re.MULTILINE,
)


@pytest.fixture(scope="module")
def browser(machine: Machine) -> Machine:
    """A host with Debian's package of it, and with what enters a run's domain."""
    folder = SCRATCH / "chromium"
    if machine.ssh("test -e /usr/lib/chromium/chromium", check=False).returncode:
        apt.download(["chromium"], machine.layers[-1] / "var/lib/dpkg/status", folder)
        send(machine, folder, "/var/tmp/chromium")
        machine.ssh("dpkg --force-unsafe-io --install /var/tmp/chromium/*.deb; rm -r /var/tmp/chromium", timeout=600)
    send(machine, ROOT / "worker", f"{PLACE}/worker")
    machine.put(f"{PLACE}/browser.py", Path(__file__).with_name("browser.py").read_text())
    machine.ssh(f"mkdir -p /opt/hublab/root {PLACE}/venv")
    return machine


def send(machine: Machine, folder: Path, there: str) -> None:
    """A folder's files."""
    receive = shlex.join([*machine.ssh_command(), f"mkdir -p {there} && tar -xC {there}"])
    subprocess.run(["sh", "-c", f'tar -cC "$1" . | {receive}', "sh", folder], check=True, timeout=600)


def tried(machine: Machine, *arguments: str, allow: tuple[str, ...] = ()) -> dict[str, Any]:
    """What came of it in a unit of these allowances."""
    text = LIFE.sub("", render(NUMBER, prefix="/usr/local", allow=allow))
    text = text.replace(f"/opt/hublab/releases/{RELEASE}", PLACE)
    begin = f"/usr/bin/python3 {PLACE}/browser.py {' '.join(arguments)}"
    run = f"Type=oneshot\nUser=operator\nStandardOutput=truncate:{SAID}\nExecStart={begin}"
    machine.put(f"/run/systemd/system/{UNIT}", re.sub(r"^ExecStart=.*$", run, text, flags=re.MULTILINE))
    state = f"/var/lib/hublab/worker-{NUMBER}"
    machine.ssh(f"rm -rf {state} {SAID}; systemctl daemon-reload; systemctl start {UNIT}", timeout=300, check=False)
    told = machine.ssh(
        f"journalctl -u {UNIT} -o cat -n 20; cat {SAID}; rm -rf {state} /run/systemd/system/{UNIT}"
    ).stdout
    found = told.splitlines()[-1]
    assert found.startswith("{"), told
    return dict(json.loads(found))


def test_page_is_pictured_with_nothing_opened_and_its_scripts_not_compiled(browser: Machine) -> None:
    assert tried(browser, *AS_IT_IS) == {"status": 0, "picture": True}


def test_its_scripts_are_compiled_where_jit_is_allowed(browser: Machine) -> None:
    assert tried(browser, *AS_IT_IS[:2], allow=("jit",)) == {"status": 0, "picture": True}


def test_its_own_sandbox_is_not_to_be_had(browser: Machine) -> None:
    """It takes user namespaces, which RestrictNamespaces= refuses: a page that breaks out of its process is the run."""
    found = tried(browser, *AS_IT_IS[2:])
    assert (found["status"] == 0, found["picture"]) == (False, False)
    assert "sandbox" in found["said"]
