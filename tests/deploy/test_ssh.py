"""A host is reached as the operator's `ssh` reaches it: by OpenSSH itself, and by pyinfra from what that says."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyinfra.connectors.sshuserclient.client import SSHClient

from deploy import ssh
from deploy.hosts_file import Target
from deploy.settings import Settings, SettingsError

THEIRS = """
Host inner
  HostName 10.0.0.7
  Port 2222
  User ada
  IdentityFile {folder}/of-theirs
  IdentityAgent {folder}/agent.sock
  ProxyJump gate:2200,eve@last
Host last
  HostName 192.0.2.9
Host by-four
  ProxyJump eve@192.0.2.9
Host by-four-and-port
  ProxyJump 192.0.2.9:2200
Host by-six
  ProxyJump eve@[fd00::9]
Host by-six-and-port
  ProxyJump [fd00::9]:2200
Host by-name
  ProxyJump gate
Host odd
  ProxyCommand cat -- %h %p
"""


@pytest.fixture
def theirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The operator's own ssh_config, and the one of the machine, which are all there is."""
    file = tmp_path / "their config"
    file.write_text(THEIRS.format(folder=tmp_path))
    (tmp_path / "of-theirs").touch()
    monkeypatch.setattr(ssh, "FOLDER", tmp_path / "made")
    monkeypatch.setattr(ssh.config, "__defaults__", ((f'"{file}"',),))
    return file


def settings(*hosts: str, **changes: Any) -> Settings:
    return Settings(Path("env"), tuple(Target(host) for host in hosts), "", **changes)


def as_pyinfra(given: Settings, target: Target) -> tuple[str, dict[str, Any], Any]:
    """Host name, what paramiko is called with, and the agent, as pyinfra's own client makes it of what it is given."""
    data = ssh.connection(given, target)
    client: Any = SSHClient()
    host, found, _, policy, _, _, agent = client.parse_config(
        target.address, {}, ssh_config_file=data["ssh_config_file"], strict_host_key_checking="yes"
    )
    assert type(policy).__name__ == "StrictPolicy"
    return host, found, agent


@pytest.mark.usefixtures("theirs")
def test_host_that_nothing_is_said_of_is_roots_at_22() -> None:
    found = ssh.resolved(settings("h1"), Target("h1"))
    assert (found["user"], found["port"], found["hostname"]) == (["root"], ["22"], ["h1"])
    assert (found["stricthostkeychecking"], found["batchmode"]) in ((["true"], ["yes"]), (["yes"], ["yes"]))
    assert ssh.connection(settings("h1"), Target("h1"))["_sudo"] is False


def test_what_ssh_config_says_is_so_for_every_command(theirs: Path) -> None:
    given, target = settings("inner"), Target("inner")
    found = ssh.resolved(given, target)
    assert (found["user"], found["port"], found["hostname"]) == (["ada"], ["2222"], ["10.0.0.7"])
    host, made, agent = as_pyinfra(given, target)
    assert (host, made["port"], made["username"]) == ("10.0.0.7", 2222, "ada")
    assert made["key_filename"] == [str(theirs.parent / "of-theirs")]
    assert agent == str(theirs.parent / "agent.sock")
    file = ssh.config_file(given)
    assert made["sock"].cmd == ["ssh", "-F", str(file), "-J", "gate:2200", "-W", "[10.0.0.7]:2222", "eve@last"]
    made["sock"].close()
    assert ssh.connection(given, target)["_sudo"] is True
    assert ssh.user(given, target) == "ada"


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize(
    ("alias", "host", "port", "who"),
    [
        ("by-four", "192.0.2.9", "22", "eve"),
        ("by-four-and-port", "192.0.2.9", "2200", getpass.getuser()),
        ("by-six", "fd00::9", "22", "eve"),
        ("by-six-and-port", "fd00::9", "2200", getpass.getuser()),
        ("by-name", "gate", "22", getpass.getuser()),
    ],
)
def test_hop_is_the_one_that_ssh_config_names(alias: str, host: str, port: str, who: str) -> None:
    """By OpenSSH's own reading of what pyinfra would start."""
    _, made, _ = as_pyinfra(settings(alias), Target(alias))
    command = made["sock"].cmd
    made["sock"].close()
    shown = subprocess.run([command[0], "-G", *command[1:]], capture_output=True, text=True, check=True).stdout
    told = dict(line.split(" ", 1) for line in shown.splitlines() if " " in line)
    assert (told["hostname"], told["port"], told["user"]) == (host, port, who)


@pytest.mark.usefixtures("theirs")
def test_inventory_beats_ssh_config() -> None:
    given, target = settings("inner"), Target("inner", "root", 22)
    found = ssh.resolved(given, target)
    assert (found["user"], found["port"], found["hostname"]) == (["root"], ["22"], ["10.0.0.7"])
    assert ssh.arguments(given, target)[3:] == ("-p", "22", "-l", "root", "inner")
    assert ssh.connection(given, target)["_sudo"] is False


@pytest.mark.usefixtures("theirs")
def test_host_on_the_way_keeps_its_own_user_and_keys(tmp_path: Path) -> None:
    """Root, and the key of `.env`, are the hosts' of `.env` alone."""
    file = ssh.config_file(settings("inner", ssh_key=str(tmp_path / "of-env"), ssh_known_hosts="/of env/known"))
    shown = subprocess.run(["ssh", "-G", "-F", file, "gate"], capture_output=True, text=True, check=True).stdout
    assert f"user {getpass.getuser()}\n" in shown
    assert "of-env" not in shown
    assert "identitiesonly no" in shown
    inner = subprocess.run(["ssh", "-G", "-F", file, "inner"], capture_output=True, text=True, check=True).stdout
    assert f"identityfile {tmp_path / 'of-env'}" in inner
    assert "identitiesonly yes" in inner
    assert "/of env/known" in inner


@pytest.mark.usefixtures("theirs")
def test_other_ways_are_taken_with_their_tokens() -> None:
    _, made, _ = as_pyinfra(settings("odd"), Target("odd"))
    assert made["sock"].cmd == ["sh", "-c", "cat -- odd 22"]
    made["sock"].close()


@pytest.mark.usefixtures("theirs")
@pytest.mark.parametrize("address", ["fd00::7", "::1"])
def test_literal_address_of_ipv6(address: str) -> None:
    given, target = settings(address), Target(address, "", 2222)
    host, made, _ = as_pyinfra(given, target)
    assert (host, made["port"], made["username"]) == (address, 2222, "root")
    assert ssh.resolved(given, target)["hostname"] == [address]


@pytest.mark.usefixtures("theirs")
def test_key_with_a_passphrase_is_the_agents(tmp_path: Path) -> None:
    """Nobody is asked for it in the midst of a deploy; one without a passphrase needs no agent, which may hold many."""
    for name, phrase in (("plain", ""), ("locked", "a phrase")):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", phrase, "-f", str(tmp_path / name)]
        subprocess.run(command, check=True)
    asks = {
        name: ssh.connection(settings("h1", ssh_key=str(tmp_path / name)), Target("h1"))["ssh_allow_agent"]
        for name in ("plain", "locked")
    }
    assert asks == {"plain": False, "locked": True}
    assert ssh.connection(settings("h1"), Target("h1"))["ssh_allow_agent"]


def test_what_ssh_cannot_read_is_said(theirs: Path) -> None:
    theirs.write_text("Host inner\n  Prot 22\n")
    with pytest.raises(SettingsError, match=r"inner: ssh_config: .*[Bb]ad configuration option: prot"):
        ssh.connection(settings("inner"), Target("inner"))
