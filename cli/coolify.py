"""Workers in containers that Coolify manages, and their image."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.start import become, module

app = typer.Typer(help="Workers in containers that Coolify manages.", no_args_is_help=True)


def add_to(program: typer.Typer) -> None:
    """Make what needs no Coolify a command of the program."""
    program.command(rich_help_panel="Hosts")(image)


def image(
    base: Annotated[str, typer.Option(metavar="IMAGE@DIGEST", help="To build on; the Dockerfile names one.")] = "",
    target: Annotated[str, typer.Option(metavar="TARGET", help="worker (by default) or webhooks.")] = "",
) -> None:
    """The worker's image of this checkout, as Coolify builds it, by Docker; prints its tag.

    Example: ./hublab image --target webhooks
    """
    become(module("deploy.container.image"), BASE=base, TARGET=target)


@app.command("list")
def list_() -> None:
    """The servers that Coolify manages, and what runs on each.

    Example: ./hublab coolify list
    """
    become(module("deploy.coolify", "list"))


@app.command()
def adopt(
    uuid: Annotated[str, typer.Argument(metavar="UUID", help="Of the stock worker's application.")] = "",
    by: Annotated[str, typer.Option("--by", metavar="UUID", help="Of an application that was made by hand.")] = "",
    only_list: Annotated[bool, typer.Option("--list", help="Only look.")] = False,
) -> None:
    """Replace a stock worker in a container by one of ours; nothing is deleted.

    Example: ./hublab coolify adopt h4sk0gcs8w0kk4go4o8scwcg --list
    """
    become(module("deploy.coolify", "adopt"), APP=uuid, BY=by, LIST="1" if only_list else "")
