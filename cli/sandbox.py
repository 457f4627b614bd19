"""A whole Hublab on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.start import become, campaign_files, module

app = typer.Typer(help="A whole Hublab on this machine, to try things on (root).", no_args_is_help=True)

Machine = Annotated[str, typer.Argument(metavar="HOST", help="As `sandbox status` names it.")]


@app.command()
def up(
    hosts: Annotated[int, typer.Option(min=1, max=99, metavar="N", help="Worker hosts.")] = 1,
    past: Annotated[bool, typer.Option("--past", help="With the crashing workers of before.")] = False,
    suite: Annotated[
        str | None, typer.Option(metavar="NAME", help="Debian of its new hosts: bookworm, trixie.")
    ] = None,
) -> None:
    """Boot it, or what is missing of it.

    Example: ./hublab sandbox up --hosts 2
    """
    more = [*(["--past"] if past else []), *(["--suite", suite] if suite else [])]
    become(module("sandbox", "up", "--hosts", str(hosts), *more))


@app.command()
def down() -> None:
    """Remove it whole.

    Example: ./hublab sandbox down
    """
    become(module("sandbox", "down"))


@app.command()
def status() -> None:
    """What runs, and where.

    Example: ./hublab sandbox status
    """
    become(module("sandbox", "status"))


@app.command()
def boot(host: Machine) -> None:
    """Switch a machine on.

    Example: ./hublab sandbox boot hublab-1
    """
    become(module("sandbox", "boot", host))


@app.command()
def kill(host: Machine) -> None:
    """Cut the power of a machine.

    Example: ./hublab sandbox kill hublab-1
    """
    become(module("sandbox", "kill", host))


@app.command()
def past(host: Machine) -> None:
    """Give a machine the crashing workers of before.

    Example: ./hublab sandbox past hublab-1
    """
    become(module("sandbox", "past", host))


@app.command(context_settings={"ignore_unknown_options": True})
def ssh(host: Machine, command: Annotated[list[str] | None, typer.Argument(metavar="[COMMAND]…")] = None) -> None:
    """A shell on a machine, or one command.

    Example: ./hublab sandbox ssh hublab-1 systemctl status
    """
    become(module("sandbox", "ssh", host, *(command or [])))


@app.command()
def demo(
    speed: Annotated[float, typer.Option(min=0.1, help="Times a mail a minute.")] = 1.0,
    campaign: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another than the project's, of HUBLAB_CAMPAIGNS.")
    ] = None,
) -> None:
    """A campaign in a sandbox: one contact in each sequence, each mail live.

    Example: ./hublab sandbox demo --speed 4
    """
    named = ["--campaign", campaign] if campaign else []
    become(module("sandbox.campaign", "demo", "--speed", str(speed), *named), **campaign_files())
