"""How a host is reached: as the operator's own `ssh` reaches it, behind what `.env` says; the same for every command.

OpenSSH's client is the one that reads ssh_config: it is given a configuration that includes the operator's, and
pyinfra, which has a reader of its own, is given what OpenSSH made of it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.env_file import ROOT, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from deploy.hosts_file import Target
    from deploy.settings import Settings

FOLDER = ROOT / ".hublab/ssh"
CONNECT_SECONDS = 10
DEFAULT_USER = "root"
HOP = re.compile(r"\[?(.*?)\]?(?::(\d+))?")
# What OpenSSH itself reads, the operator's own first: of each setting the first value counts.
THEIRS = ("~/.ssh/config", "/etc/ssh/ssh_config")


def config(settings: Settings, theirs: Sequence[str] = THEIRS) -> str:
    """The configuration: `.env`'s word, then the operator's ssh_config, then our own defaults. Pure.

    What `.env` says is of its hosts alone, not of those on the way to them.
    """
    ours = " ".join(["Host", *(target.address for target in settings.hosts if not target.application)])
    lines = ["Host *", "BatchMode yes", "StrictHostKeyChecking yes", "LogLevel ERROR", ours]
    if settings.ssh_known_hosts:
        lines.append(f"UserKnownHostsFile {_quoted(settings.ssh_known_hosts)}")
    for target in settings.ssh_hosts:
        if key := target.ssh_key or settings.ssh_key:
            lines += [f"Host {target.address}", f"IdentityFile {_quoted(key)}", "IdentitiesOnly yes"]
    lines += ["Host *", *(f"Include {path}" for path in theirs), ours, f"User {DEFAULT_USER}", "Host *"]
    lines += [f"ConnectTimeout {CONNECT_SECONDS}", f"ServerAliveInterval {CONNECT_SECONDS}"]
    return "\n".join(lines) + "\n"


def config_file(settings: Settings) -> Path:
    """The same in a file of this machine's, by its content's name: commands of several `.env` do not meet."""
    return _kept(config(settings))


def arguments(settings: Settings, target: Target) -> tuple[str, ...]:
    """What `ssh` is called with, up to the host."""
    port = ("-p", str(target.port)) if target.port else ()
    user = ("-l", target.user) if target.user else ()
    return ("ssh", "-F", str(config_file(settings)), *port, *user, target.address)


def resolved(settings: Settings, target: Target) -> dict[str, list[str]]:
    """What OpenSSH makes of it: each setting's values, by its name in small letters.

    Raises:
        SettingsError: a configuration cannot be read; with OpenSSH's reason.
    """
    command = list(arguments(settings, target))
    command.insert(1, "-G")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SettingsError(f"ssh: {error}. Install OpenSSH's client on this machine.") from error
    if done.returncode:
        raise SettingsError(f"{target.address}: ssh_config: {done.stderr.strip()[-400:]}")
    found: dict[str, list[str]] = {}
    for line in done.stdout.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key, []).append(value)
    return found


def user(settings: Settings, target: Target) -> str:
    """Who logs in there."""
    return target.user or resolved(settings, target)["user"][0]


def connection(settings: Settings, target: Target) -> dict[str, Any]:
    """How pyinfra reaches one host, in the words of its SSH connector; nothing for an application of Coolify's.

    Raises:
        SettingsError: as `resolved`.
    """
    if target.application:
        return {}
    found = resolved(settings, target)
    return {
        "ssh_config_file": str(_kept(for_pyinfra(target.address, found, config_file(settings)))),
        # The connector's own default, accept-new, would beat any stricter ssh_config.
        "ssh_strict_host_key_checking": "yes",
        # With IdentitiesOnly the agent's other keys would use up the tries that a host allows.
        "ssh_allow_agent": found["identitiesonly"] != ["yes"] or not _opens(target.ssh_key or settings.ssh_key),
        **({"ssh_known_hosts_file": settings.ssh_known_hosts} if settings.ssh_known_hosts else {}),
        "_sudo": found["user"] != [DEFAULT_USER],
    }


def for_pyinfra(address: str, found: Mapping[str, list[str]], file: Path) -> str:
    """One host's configuration with every question answered, for a reader that knows less than OpenSSH.

    A way through other hosts is OpenSSH's to go: their keys, users and agents are its business.
    """
    hostname, port, who = (found[key][0] for key in ("hostname", "port", "user"))
    lines = [f"Host {address}", f"HostName {hostname}", f"Port {port}", f"User {who}"]
    keys = [_home(path) for path in found.get("identityfile", [])]
    lines += [f"IdentityFile {path}" for path in keys if Path(path).exists()]
    known = [_home(path) for key in ("userknownhostsfile", "globalknownhostsfile") for path in _words(found.get(key))]
    lines.append("UserKnownHostsFile " + (" ".join(path for path in known if Path(path).exists()) or "/dev/null"))
    agent = found.get("identityagent", ["SSH_AUTH_SOCK"])[0]
    if agent not in ("SSH_AUTH_SOCK", "none"):
        lines.append(f"IdentityAgent {_home(agent)}")
    if way := _way(found, file, hostname, port, who, address):
        lines.append(f"ProxyCommand {way}")
    return "\n".join(lines) + "\n"


def _way(found: Mapping[str, list[str]], file: Path, hostname: str, port: str, who: str, address: str) -> str:  # noqa: PLR0913 - ssh_config's tokens
    jump, command = found.get("proxyjump", ["none"])[0], found.get("proxycommand", ["none"])[0]
    if jump != "none":
        *before, last = jump.split(",")
        through = f"-J {shlex.quote(','.join(before))} " if before else ""
        there = shlex.quote(f"[{hostname}]:{port}")
        return f"ssh -F {shlex.quote(str(file))} {through}-W {there} {_hop(last)}"
    if command != "none":
        for token, value in {"%h": hostname, "%p": port, "%r": who, "%n": address, "%%": "%"}.items():
            command = command.replace(token, value)
        return f"sh -c {shlex.quote(command)}"
    return ""


def _hop(told: str) -> str:
    """A hop of ProxyJump, as `ssh -G` tells of it, in the arguments of `ssh`: an address may have brackets there."""
    user, at, place = told.removeprefix("ssh://").rpartition("@")
    found = HOP.fullmatch(place)
    host, port = (found[1], found[2] or "") if found else (place, "")
    if ":" in host and "[" not in place:  # an address of IPv6 whose end is no port
        host, port = place, ""
    return f"{f'-p {port} ' * bool(port)}{shlex.quote(f'{user}{at}{host}')}"


def _words(values: list[str] | None) -> list[str]:
    return [word for value in values or [] for word in value.split()]


def _home(path: str) -> str:
    return str(Path(path).expanduser())


def _quoted(path: str) -> str:
    return f'"{path}"'


def _opens(key: str | None) -> bool:
    """Whether a private key asks for no passphrase; one that does is the agent's to use."""
    if key is None:
        return False
    command = ["ssh-keygen", "-y", "-P", "", "-f", _home(key)]
    return subprocess.run(command, capture_output=True, check=False, timeout=20).returncode == 0


def _kept(text: str) -> Path:
    FOLDER.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = FOLDER / hashlib.sha256(text.encode()).hexdigest()[:16]
    if not file.exists():
        fresh = file.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(text)
        fresh.rename(file)
    return file
