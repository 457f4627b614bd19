"""The campaign: what Prefect, Notion and Resend are told, what each mail looks like, who gets it."""

from __future__ import annotations

import re
from pathlib import Path  # noqa: TC003 - typer reads it at run time
from typing import Annotated, NoReturn

import typer

from cli.start import become, campaign_files, deciding, module, refuse, server, settings_file

app = typer.Typer(help="The campaign: register it, look at its mails, see how it does.", no_args_is_help=True)

# One address, bare: with a name or brackets around it nobody would have it.
PART = r'[^@\s<>()\[\]:;,"]+'
PLAIN = re.compile(rf"{PART}@{PART}\.{PART}")
Template = Annotated[str, typer.Argument(metavar="TEMPLATE", help="A template's name in Notion.")]


def _address(given: str | None) -> str | None:
    """An address, or what could be one: a typing error would stop, or erase, nobody, and say that it is done."""
    if given is not None and not PLAIN.fullmatch(given):
        raise typer.BadParameter(f"{given!r} is no address; write it as ada@example.com")
    return given


Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="A person's address.", callback=_address)]


def _operator(name: str, *arguments: str | Path, file: Path | None = None) -> NoReturn:
    """One of the operator's programs takes over, at the server that `file` names, or else a deploy's."""
    become(module(f"flows.operator.{name}", *arguments), **campaign_files(), **server(file), **settings_file(file))


@app.command()
def secrets(
    env: Annotated[
        Path | None, typer.Option("--env", exists=True, dir_okay=False, resolve_path=True, metavar="FILE")
    ] = None,
) -> None:
    """Secret blocks at Prefect from .env (or --env FILE); prints names only.

    Example: ./hublab campaign secrets
    """
    _operator("secret_blocks", "--env", env or deciding(), file=env)


@app.command()
def register() -> None:
    """Deployments and rate limits at Prefect.

    Example: ./hublab campaign register
    """
    _operator("register")


@app.command()
def notion_setup(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only name what would be added.")] = False,
) -> None:
    """Add the project's own properties to the Notion workspace.

    Example: ./hublab campaign notion-setup --dry-run
    """
    _operator("notion_setup", *(["--dry-run"] if dry_run else []))


@app.command()
def preflight() -> None:
    """Is everything there that the next mail needs?

    Example: ./hublab campaign preflight
    """
    _operator("preflight")


@app.command()
def preview(template: Template) -> None:
    """The mail as HTML, text and PNG.

    Example: ./hublab campaign preview noshow_recovery_email_1
    """
    _operator("preview", template)


@app.command()
def test_send(template: Template, to: Address) -> None:
    """Send one mail to one address.

    Example: ./hublab campaign test-send noshow_recovery_email_1 me@example.com
    """
    _operator("preview", template, "--to", to)


@app.command()
def pause() -> None:
    """Stop all sends; none is lost.

    Example: ./hublab campaign pause
    """
    _operator("operate", "pause")


@app.command()
def resume() -> None:
    """Continue all sends.

    Example: ./hublab campaign resume
    """
    _operator("operate", "resume")


@app.command()
def retry_failed(
    only_list: Annotated[bool, typer.Option("--list", help="Name it only.")] = False,
    customers: Annotated[bool, typer.Option(help="Also what customers must get and was skipped.")] = False,
) -> None:
    """Run again what failed, once its cause is mended.

    Example: ./hublab campaign retry-failed --list
    """
    _operator("retry_failed", *(["--list"] if only_list else []), *(["--customers"] if customers else []))


@app.command()
def stop(person: Address) -> None:
    """Nothing more goes to this person.

    Example: ./hublab campaign stop ada@example.com
    """
    _operator("operate", "stop", person)


@app.command()
def allow(
    person: Address,
    complained: Annotated[bool, typer.Option("--complained", help="Also who has called a mail spam.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """This person gets mail again: who was stopped, or left by mistake. Says what it lifts, and asks.

    Example: ./hublab campaign allow ada@example.com
    """
    _operator("operate", "allow", person, *(["--complained"] if complained else []), *(["--yes"] if yes else []))


@app.command()
def forget(
    mail: Annotated[str, typer.Argument(metavar="KEY:STEP", help="A mail, as its run's messages name it.")],
) -> None:
    """Let go of a mail that is frozen and wrong: the next try makes it anew. Refused where Resend has it.

    Example: ./hublab campaign forget christmas-signup-0123456789abcdef:3
    """
    _operator("operate", "forget", mail)


@app.command()
def erase(person: Address) -> None:
    """Remove what is kept of a person, to whom nothing goes from then on.

    Example: ./hublab campaign erase ada@example.com
    """
    _operator("erase", person)


@app.command()
def status(
    json_: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    html: Annotated[Path | None, typer.Option(resolve_path=True, metavar="FILE", help="A page with a chart.")] = None,
) -> None:
    """Enrolled, due, sent, delivered, … per step. Exit 1 when it needs somebody.

    Example: ./hublab campaign status
    """
    page: list[str | Path] = ["--html", html] if html else []
    _operator("campaign_status", *(["--json"] if json_ else []), *page)


@app.command()
def alert_test() -> None:
    """Send one message to every URL of ALERT_URLS.

    Example: ./hublab campaign alert-test
    """
    _operator("alerting")


@app.command()
def cutover(
    person: Annotated[
        str | None, typer.Option("--person", metavar="ADDRESS", help="Show one person.", callback=_address)
    ] = None,
    json_: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Do it; again and again without harm.")] = False,
    back: Annotated[bool, typer.Option("--back", help="Give back what was taken over.")] = False,
) -> None:
    """Take over the campaign that another production runs: a plan, unless it is told to apply it.

    Example: ./hublab campaign cutover --person ada@example.com
    """
    if apply and back:
        refuse("--apply and --back: one of them.")
    flags = {"--json": json_, "--apply": apply, "--back": back}
    chosen = [flag for flag, given in flags.items() if given]
    _operator("cutover", *(["--person", person] if person else []), *chosen)
