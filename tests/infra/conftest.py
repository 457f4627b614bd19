"""The proof, over SSH, against whatever the inventory names: a sandbox, or production. `./hublab verify` runs it.

It changes nothing but its own traces: one flow run of the gate's own flow for each worker.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from testinfra.host import Host

from deploy import settings as deploy_settings
from deploy import spec, ssh
from deploy.limit import limited
from deploy.remedies import remedy_for
from deploy.settings import worker_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.coolify.answers import Application
    from deploy.coolify.state import ApplicationState

try:
    SETTINGS = limited(deploy_settings.load())
except deploy_settings.SettingsError as error:
    sys.stderr.write(f"{error}\n")  # an error of pytest's own would come with a traceback
    sys.exit(2)
APPLICATIONS = [target for target in SETTINGS.hosts if target.application and target.address not in SETTINGS.webhooks]
SERVING = [target for target in SETTINGS.hosts if target.application and target.address in SETTINGS.webhooks]


def pytest_configure(config: pytest.Config) -> None:
    """Takes hosts, key and known_hosts from the deploy's own inventory, and lets all checks share one connection."""
    folder = Path(tempfile.mkdtemp(prefix="hublab-verify-"))
    config.add_cleanup(lambda: _disconnect(folder))
    ssh_config = folder / "ssh_config"
    shared = ["Host *", "ControlMaster auto", f"ControlPath {folder}/%C", "ControlPersist 60"]
    # The deploy's own way to its hosts.
    ssh_config.write_text("\n".join(shared) + "\n" + ssh.config(SETTINGS))
    config.option.ssh_config = str(ssh_config)
    config.option.hosts = ",".join(_uri(item) for item in SETTINGS.ssh_hosts)
    config.option.sudo = any(ssh.user(SETTINGS, item) != "root" for item in SETTINGS.ssh_hosts)


def _uri(item: deploy_settings.Target) -> str:
    """A host in testinfra's words; an IPv6 address has brackets there."""
    address = f"[{item.address}]" if ":" in item.address else item.address
    return f"ssh://{item.user}{'@' * bool(item.user)}{address}{f':{item.port}' if item.port else ''}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out what is about a kind of host that is not there; without one, testinfra would take this machine."""

    def beyond(item: pytest.Item) -> bool:
        """A worker that this very host is not to have."""
        chosen = getattr(getattr(item, "callspec", None), "params", {})
        there = next((given for given in chosen.values() if isinstance(given, Host)), None)
        return there is not None and chosen.get("number", 0) > _of(there).workers

    kinds = {"host": SETTINGS.ssh_hosts, "application": APPLICATIONS, "serving": SERVING}
    absent = {name for name, there in kinds.items() if not there}
    out = [item for item in items if absent & set(getattr(item, "fixturenames", ())) or beyond(item)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def _disconnect(folder: Path) -> None:
    """Ends the shared connections, which would outlive the checks by a minute, and removes their folder."""
    for path in folder.iterdir():
        if path.is_socket():
            command = ["ssh", "-F", "/dev/null", "-o", f"ControlPath={path}", "-O", "exit", "all"]
            subprocess.run(command, capture_output=True, check=False, timeout=20)
    shutil.rmtree(folder, ignore_errors=True)


def _of(host: Host) -> spec.Workers:
    """What is wanted of a host's workers; testinfra's hosts know the address that they were given."""
    return SETTINGS.own.get(host.backend.hostname.strip("[]"), SETTINGS)


@cache
def _silent(host: Host) -> str:
    """Why a host cannot be asked, and what to do; empty where it can."""
    try:
        host.run("true")
    except RuntimeError as error:  # testinfra's, for an ssh that has failed
        said = error.args[0].stderr.strip()
        remedy = remedy_for(said)
        return f"cannot be reached: {said}" + (f" -> {remedy}" if remedy else "")
    return ""


@pytest.fixture(autouse=True)
def reached(request: pytest.FixtureRequest) -> None:
    """A host that cannot be reached is said to be that, by each of its checks."""
    if "host" in request.fixturenames and (why := _silent(request.getfixturevalue("host"))):
        pytest.fail(why, pytrace=False)


@pytest.fixture
def settings(host: Host) -> deploy_settings.Settings:
    """With what this host has otherwise."""
    return replace(SETTINGS, **_of(host).of_workers())


@pytest.fixture(
    params=range(1, max(SETTINGS.of(item).workers for item in SETTINGS.hosts) + 1), ids=lambda number: f"worker{number}"
)
def number(request: pytest.FixtureRequest) -> int:
    """Each worker that the settings ask for."""
    return int(request.param)


@pytest.fixture(params=APPLICATIONS, ids=lambda target: target.address)
def application(request: pytest.FixtureRequest) -> spec.WorkerHost:
    """Each application of Coolify's, and what is wanted of it."""
    return worker_host(SETTINGS, request.param)


@pytest.fixture(params=SERVING, ids=lambda target: target.address)
def serving(request: pytest.FixtureRequest) -> spec.WorkerHost:
    """Each application of Coolify's that serves the webhooks."""
    return worker_host(SETTINGS, request.param)


@pytest.fixture
def app(there: ApplicationState) -> Application:
    """What Coolify has of the application that a module looks at."""
    assert there.app is not None
    return there.app


@pytest.fixture
def unit(number: int) -> str:
    return spec.unit_name(number)


@pytest.fixture
def properties(host: Host, unit: str) -> dict[str, str]:
    """What systemd says of the running unit."""
    text = host.check_output("systemctl show %s", unit)
    return dict(line.partition("=")[::2] for line in text.splitlines())


@pytest.fixture
def pid(properties: dict[str, str]) -> str:
    """The worker's process; a unit that is active has one."""
    assert properties["MainPID"] != "0", f"{properties['Id']} has no process"
    return properties["MainPID"]


@pytest.fixture
def release(properties: dict[str, str]) -> str:
    """The release folder that the unit starts from."""
    return properties["ExecStart"].partition("path=")[2].partition("/venv/")[0]


@pytest.fixture
def api(host: Host) -> Callable[..., Any]:
    """Asks the Prefect server from the host itself, with the credential that lies there."""
    script = """
import base64, json, sys, tomllib, urllib.request
profile = tomllib.load(open(sys.argv[1], "rb"))["profiles"]["hublab"]
ask = urllib.request.Request(profile["PREFECT_API_URL"] + sys.argv[2], data=sys.argv[3].encode() or None)
ask.add_header("Content-Type", "application/json")
if "PREFECT_API_AUTH_STRING" in profile:
    ask.add_header("Authorization", "Basic " + base64.b64encode(profile["PREFECT_API_AUTH_STRING"].encode()).decode())
if "PREFECT_API_KEY" in profile:
    ask.add_header("Authorization", "Bearer " + profile["PREFECT_API_KEY"])
print(urllib.request.urlopen(ask, timeout=20).read().decode())
"""

    def ask(path: str, body: dict[str, Any] | None = None) -> Any:
        data = json.dumps(body) if body is not None else ""
        python = f"{spec.CURRENT}/venv/bin/python"
        return json.loads(host.check_output("%s -I -c %s %s %s %s", python, script, spec.PROFILES, path, data))

    return ask
