"""How a command becomes a program: which one, with which environment, in which folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from deploy import campaigns, env_file
from deploy.env_values import Reader

if TYPE_CHECKING:
    from collections.abc import Sequence

CHECKOUT = Path(__file__).resolve().parent.parent
USAGE = 2
SERVER = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY")


def module(name: str, *arguments: str | Path) -> list[str]:
    """The command that runs a module of this checkout."""
    return [sys.executable, "-m", name, *map(str, arguments)]


def become(command: Sequence[str], **environment: str) -> NoReturn:
    """Run it in the place of this process, in the checkout: its signals and its status are its own."""
    sys.stdout.flush()
    os.chdir(CHECKOUT)
    os.execve(command[0], list(command), {**os.environ, **environment})  # noqa: S606 - no shell is what is wanted


def run(command: Sequence[str], **environment: str) -> int:
    """Run it, wait for it, and return its status; what the operator's keys send reaches it as well."""
    sys.stdout.flush()
    try:
        return subprocess.run(command, cwd=CHECKOUT, env={**os.environ, **environment}, check=False).returncode
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def refuse(fault: object) -> NoReturn:
    """Say what is wrong with the command line or the settings, and do nothing.

    Raises:
        typer.Exit: with status 2.
    """
    typer.echo(f"hublab: {fault}", err=True)
    raise typer.Exit(USAGE)


def hosts_file() -> Path | None:
    """The file that names the hosts; None where the sandbox is meant."""
    try:
        return env_file.decide(CHECKOUT)
    except env_file.SettingsError as error:
        refuse(error)


def campaign_files() -> dict[str, str]:
    """The environment of a command that reads the operator's own campaigns."""
    try:
        return {campaigns.KEY: str(campaigns.folder() or "")}
    except env_file.SettingsError as error:
        refuse(error)


def deciding() -> Path:
    """The file that settings stand in, from whatever folder a command is typed; the sandbox's where there is no other.

    Raises:
        typer.Exit: that one is another user's.
    """
    if (named := Path(os.environ.get("HUBLAB_ENV_FILE") or CHECKOUT / ".env")).exists():
        return named
    try:
        return env_file.sandbox_file(CHECKOUT) or named
    except env_file.SettingsError as error:
        refuse(error)


def settings_file(file: Path | None = None) -> dict[str, str]:
    """The environment by which a program of the campaign knows what its remedies are to name."""
    return {"HUBLAB_ENV_FILE": env_file.shown(file or deciding(), CHECKOUT)}


def server(file: Path | None = None) -> dict[str, str]:
    """Prefect's address and credential: of the environment, of `file` where it names a server, else as for a deploy.

    An address of the environment, where no file decides, has the credential of the environment: not the sandbox's.

    What is not there is empty, so that no profile of Prefect's own leads a command to a server that no deploy knows; an
    address that a deploy refuses is refused.
    """
    try:
        sandbox = env_file.decide(CHECKOUT) is None
        named = os.environ | {"HUBLAB_ENV_FILE": str(file)} if file else os.environ
        environ = named if env_file.asked(SERVER[0], CHECKOUT, named) else os.environ
        typed = sandbox and not file and os.environ.get(SERVER[0])
        found = {key: os.environ.get(key, "") if typed else env_file.asked(key, CHECKOUT, environ) for key in SERVER}
    except env_file.SettingsError as error:
        refuse(error)
    read = Reader(found)
    read.api_url(SERVER[0])
    if found[SERVER[0]] and read.faults:  # with some addresses Prefect itself cannot even be imported
        refuse(read.faults[0])
    return found


def limit_to(hosts: str | None) -> None:
    """Let the programs see only these hosts of the inventory."""
    if hosts is not None:
        os.environ["LIMIT"] = hosts
