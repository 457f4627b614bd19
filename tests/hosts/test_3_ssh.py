"""SSH as an operator has it, against real servers: what ssh_config says holds for plan, status and verify alike.

A host behind another one, at a port and by a user of its own, under an alias; the key has a passphrase, which an agent
knows that `IdentityAgent` names. No deploy: a connection, and one question over it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploy import ssh
from deploy.fleet.connect import FleetError, Host
from deploy.hosts_file import Target
from deploy.settings import Settings, worker_host
from deploy.state import question
from sandbox import env_file
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Machine, Sandbox

ROOT = Path(__file__).resolve().parents[2]
PHRASE, PORT, WHO = "a phrase", 2222, "operator"
INVENTORY = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from deploy import ssh
from deploy.hosts_file import Target
from deploy.settings import Settings
ssh.FOLDER = Path({made!r})
ssh.config.__defaults__ = (({theirs!r},),)
target = Target({alias!r})
settings = Settings(Path("env"), (target,), "")
hosts = [(target.address, {{**ssh.connection(settings, target), "_sudo": False}})]
"""


@pytest.fixture
def agent(sandbox: Sandbox, tmp_path: Path) -> Iterator[Path]:
    """Where an agent listens that has the sandbox's key; on disk it is of no use without its passphrase."""
    key, told = tmp_path / "key", tmp_path / "told"
    shutil.copy(env_file.read(sandbox.env_file)["HUBLAB_SSH_KEY"], key)
    key.chmod(0o600)
    subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", PHRASE, "-f", key], check=True, stdout=subprocess.DEVNULL)
    told.write_text(f"#!/bin/sh\necho '{PHRASE}'\n")
    told.chmod(0o700)
    where = tmp_path / "agent"
    with subprocess.Popen(["ssh-agent", "-D", "-a", where], stdout=subprocess.DEVNULL) as process:
        wait_for(where.exists, lambda: "the agent does not listen", 20, every=0.1)
        asked = os.environ | {"SSH_AUTH_SOCK": str(where), "SSH_ASKPASS": str(told), "SSH_ASKPASS_REQUIRE": "force"}
        subprocess.run(["ssh-add", "-q", key], env=asked, check=True, stdin=subprocess.DEVNULL)
        yield where
        process.terminate()


@pytest.fixture
def _inner(machine: Machine) -> Iterator[None]:
    """A second sshd of the host, at a port of its own, over IPv6 as well."""
    machine.ssh(f"/usr/sbin/sshd -p {PORT} -o PidFile=/run/inner-sshd.pid -o ListenAddress=0.0.0.0 -o ListenAddress=::")
    yield
    machine.ssh("kill $(cat /run/inner-sshd.pid)")


def written(sandbox: Sandbox, machine: Machine, agent: Path, **changes: str) -> Path:
    """The operator's ssh_config: `inner` by way of the server's machine, `six` of the host itself, `near` of none."""
    known = env_file.read(sandbox.env_file)["HUBLAB_SSH_KNOWN_HOSTS"]
    public = next(
        line.partition(" ")[2]
        for line in Path(known).read_text().splitlines()
        if line.startswith(f"{machine.address},")
    )
    ours = agent.with_name("known_hosts")
    ours.write_text(Path(known).read_text() + f"[{machine.address}]:{PORT} {public}\n[::1]:{PORT} {public}\n")
    of_all = {"User": WHO, "IdentityAgent": str(agent), "UserKnownHostsFile": str(ours)} | changes
    hosts: dict[str, dict[str, str]] = {
        "inner": {"HostName": machine.address, "Port": str(PORT), "ProxyJump": f"{WHO}@{sandbox.server.address}"},
        "near": {"HostName": machine.address, "Port": str(PORT)},
        "six": {"HostName": "::1", "Port": str(PORT), "ProxyJump": f"{WHO}@{machine.address}:22"},
    }
    lines = [
        "\n  ".join([f"Host {alias}", *(f"{key} {value}" for key, value in said.items())])
        for alias, said in {**hosts, "*": of_all}.items()
    ]
    file = agent.with_name("config")
    file.write_text("\n".join(lines) + "\n")
    return file


@pytest.mark.usefixtures("_inner")
@pytest.mark.parametrize("alias", ["inner", "six"])
def test_same_way_for_each_command(
    sandbox: Sandbox, machine: Machine, agent: Path, alias: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs, made = written(sandbox, machine, agent), tmp_path / "made"
    monkeypatch.setattr(ssh, "FOLDER", made)
    monkeypatch.setattr(ssh.config, "__defaults__", ((str(theirs),),))
    target = Target(alias)
    settings = Settings(Path("env"), (target,), "")
    # status: plain `ssh`.
    assert asked(settings, target, "hostname; id -un").split() == [machine.name, WHO]
    assert asked(settings, target, "echo $SSH_CONNECTION").endswith(f" {PORT}")
    # deploy: pyinfra.
    inventory = tmp_path / "inventory.py"
    inventory.write_text(INVENTORY.format(root=str(ROOT), made=str(made), theirs=str(theirs), alias=alias))
    pyinfra = [str(Path(sys.executable).with_name("pyinfra")), "-y", str(inventory), "exec", "--", "id -un; hostname"]
    done = subprocess.run(pyinfra, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {WHO, machine.name} <= set((done.stdout + done.stderr).replace("]", " ").split())
    # verify: testinfra.
    checks = tmp_path / "test_there.py"
    checks.write_text(f"def test_there(host):\n    assert host.check_output('hostname') == {machine.name!r}\n")
    file = tmp_path / "ssh_config"
    file.write_text(ssh.config(settings))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull]
    command += [f"--rootdir={tmp_path}", f"--ssh-config={file}", f"--hosts=ssh://{alias}", str(checks)]
    proof = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
    assert proof.returncode == 0, proof.stdout


def asked(settings: Settings, target: Target, command: str) -> str:
    """What the host says over the way that status takes."""
    way = [*ssh.arguments(settings, target), command]
    return subprocess.run(way, capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.mark.usefixtures("_inner")
def test_key_without_its_agent_asks_nobody_and_says_what_to_do(
    sandbox: Sandbox, machine: Machine, agent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = written(sandbox, machine, agent, IdentityAgent="none", IdentityFile=str(agent.with_name("key")))
    monkeypatch.setattr(ssh, "FOLDER", tmp_path / "made")
    monkeypatch.setattr(ssh.config, "__defaults__", ((str(theirs),),))
    target = Target("near")
    settings: Any = Settings(Path("env"), (target,), "http://127.0.0.1:1/api")
    host = Host(worker_host(settings, target), ssh.arguments(settings, target))
    with pytest.raises(FleetError, match=r"cannot be reached: .*Permission denied"):
        host.ask(question(host.wanted))
