"""Proof: the whole way from the form to the mail, and what happens when things break."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.start import become, campaign_files, module


def add_to(app: typer.Typer) -> None:
    """Make them commands of the program."""
    for command in (e2e, chaos, audit):
        app.command(rich_help_panel="Proof")(command)


def e2e(
    speed: Annotated[float | None, typer.Option(min=0.1, help="Times a mail a minute; 4 by default.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before production.")] = False,
    in_sandbox: Annotated[bool, typer.Option("--sandbox", help="In a sandbox, whatever .env names.")] = False,
) -> None:
    """From the form to sixteen delivered mails, in a browser, with a report.

    Example: ./hublab e2e --speed 4
    """
    flags = [*(["--speed", str(speed)] if speed else []), *(["--yes"] if yes else [])]
    become(module("e2e", *flags, *(["--sandbox"] if in_sandbox else [])))


def chaos(
    enrolments: Annotated[int, typer.Option(min=1, help="Signups of seven mails.")] = 200,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two faults.")] = 5.0,
) -> None:
    """Workers killed, services that misbehave, in a sandbox: nothing lost, nothing doubled.

    Example: ./hublab chaos --enrolments 20
    """
    options = ["--enrolments", str(enrolments), "--every", str(every)]
    become(module("sandbox.campaign", "chaos", *options), **campaign_files())


def audit() -> None:
    """Is a vulnerability known in what the lock names?

    Example: ./hublab audit
    """
    become(module("deploy.release.audit"))
