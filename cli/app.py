"""All commands under their names."""

from __future__ import annotations

import os

import typer

from cli import campaign, coolify, fleet, proof, sandbox

app = typer.Typer(
    name="hublab",
    help="Hardened Prefect worker hosts, the campaign they run, and the proof of both.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)
for room in (fleet, coolify, proof):
    room.add_to(app)
app.add_typer(campaign.app, name="campaign")
app.add_typer(coolify.app, name="coolify")
app.add_typer(sandbox.app, name="sandbox")


def main() -> None:
    """What the command line says; ends with the status of what it started, 2 for a line that cannot be meant."""
    if named := os.environ.get("HUBLAB_ENV_FILE"):
        # Of the folder where it was typed: the programs run in the checkout, which may have a file of that name.
        os.environ["HUBLAB_ENV_FILE"] = os.path.abspath(named)  # noqa: PTH100 - what it leads to is not of interest
    app(prog_name="hublab")
