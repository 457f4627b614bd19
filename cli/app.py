"""All commands under their names."""

from __future__ import annotations

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
    app(prog_name="hublab")
