"""Hosts and workers: plan, deploy, roll back, and see what is there."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Annotated
from uuid import UUID  # noqa: TC003 - typer reads it at run time

import typer

from cli.start import CHECKOUT, become, hosts_file, limit_to, module, refuse, run
from deploy import env_file
from deploy.fleet import where
from deploy.settings import SettingsError, load

TO_DO = 2


def _hosts(incomplete: str) -> list[str]:
    """What the shell may complete --limit and HOST to."""
    try:
        return [host.address for host in load().hosts if host.address.startswith(incomplete)]
    except SettingsError:
        return []


Limit = Annotated[
    str | None,
    typer.Option(
        "--limit", "-l", metavar="HOST,…", help="These of HUBLAB_HOSTS alone; web-* works.", autocompletion=_hosts
    ),
]
Wave = Annotated[
    int, typer.Option("--wave", min=0, metavar="N", help="Hosts side by side at the most; 0 for no bound.")
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; for CI.")]
Json = Annotated[bool, typer.Option("--json", help="For programs.")]


def add_to(app: typer.Typer) -> None:
    """Make them commands of the program."""
    for command in (plan, deploy, rollback, status, history, logs, verify, unlock, run_again, decommission):
        app.command(rich_help_panel="Hosts")(command)


def plan(limit: Limit = None, wave: Wave = 0, json_: Json = False) -> None:
    """What a deploy would do; changes nothing. Exit 0: nothing to do, 2: something, 1: it could not be deployed.

    Example: ./hublab plan --limit h1
    """
    limit_to(limit)
    with tempfile.TemporaryDirectory(prefix="hublab-") as folder:
        found = Path(folder) / "plan.json"
        command = _pyinfra("workers", wave, "--dry", "--data", f"plan_file={found}")
        failed = run([*_to_stderr(command)] if json_ else command)
        plans = json.loads(found.read_text(encoding="utf-8")) if found.exists() else []
    if json_:
        typer.echo(json.dumps(plans))
    if failed or not plans:
        raise typer.Exit(1)
    raise typer.Exit(TO_DO if any(host["changes"] for host in plans) else 0)


def deploy(
    limit: Limit = None,
    wave: Wave = 0,
    yes: Yes = False,
    hosts: Annotated[
        int | None, typer.Option(min=1, max=99, metavar="N", help="Where the sandbox is meant: its worker hosts.")
    ] = None,
    past: Annotated[
        bool, typer.Option("--past", help="Where the sandbox is meant: with the workers of before.")
    ] = False,
) -> None:
    """Turn the hosts of .env (without one: a sandbox that it boots) into worker hosts. Asks once.

    Example: ./hublab deploy --limit h1 --yes
    """
    limit_to(limit)
    if hosts_file():
        if hosts or past:
            refuse("--hosts and --past are the sandbox's, and .env names hosts. Leave them out.")
        become(_pyinfra("workers", wave, *_asking(yes=yes)))
    where.say_so(CHECKOUT)
    size = ["--hosts", str(hosts)] if hosts else []
    if failed := run(module("sandbox", "up", *size, *(["--past"] if past else []))):
        raise typer.Exit(failed)
    become(_pyinfra("workers", wave, "-y"), HUBLAB_ENV_FILE=str(env_file.sandbox_file(CHECKOUT)))


def rollback(
    limit: Limit = None,
    wave: Wave = 0,
    yes: Yes = False,
    to: Annotated[str | None, typer.Option("--to", metavar="RELEASE", help="Its id, as `history` shows it.")] = None,
) -> None:
    """Back to the release before; builds and downloads nothing. Asks once.

    Example: ./hublab rollback --to 3.9.1-c3dffce85e-3385db
    """
    limit_to(limit)
    release = ["--data", f"release={to}"] if to else []
    become(_pyinfra("rollback", wave, *release, *_asking(yes=yes)))


def status(
    limit: Limit = None,
    json_: Json = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Again and again, until Ctrl-C.")] = False,
    openmetrics: Annotated[
        bool, typer.Option("--openmetrics", help="For node_exporter's text file collector.")
    ] = False,
) -> None:
    """What each host and worker does, and how it differs from the plan. Exit 0 only if it does not.

    Example: ./hublab status --watch
    """
    if json_ + watch + openmetrics > 1:
        refuse("--json, --watch and --openmetrics: one of them at a time.")
    limit_to(limit)
    form = "json" if json_ else "watch" if watch else "openmetrics" if openmetrics else "words"
    become(module("deploy.fleet", "status", form))


def history(limit: Limit = None, json_: Json = False) -> None:
    """Who deployed what, when, and how it ended.

    Example: ./hublab history
    """
    limit_to(limit)
    become(module("deploy.fleet", "history"), **({"JSON": "1"} if json_ else {}))


def logs(
    host: Annotated[str, typer.Argument(metavar="HOST", help="One of HUBLAB_HOSTS.", autocompletion=_hosts)],
    unit: Annotated[str, typer.Argument(metavar="[WORKER]", help="A worker's number, or webhooks.")] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on as lines come in.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many to begin with.")] = 100,
) -> None:
    """The journal of a host's workers, or of one of them.

    Example: ./hublab logs h1 2 -f
    """
    limit_to(host)
    become(module("deploy.fleet", "logs", unit, str(lines), "follow" if follow else ""))


def verify(limit: Limit = None) -> None:
    """Prove that the hosts are as they must be (testinfra).

    Example: ./hublab verify --limit h1
    """
    limit_to(limit)
    report = CHECKOUT / ".hublab" / "verify.xml"
    report.unlink(missing_ok=True)
    # What they say is told below, each thing once.
    found = run(module("pytest", "-q", "--tb=no", "-rN", "tests/infra", f"--junit-xml={report}"))
    told = run(module("e2e.status", report)) if report.exists() else 0
    raise typer.Exit(found or told)


def unlock(limit: Limit = None) -> None:
    """Remove the locks of deploys that are known to be dead.

    Example: ./hublab unlock --limit h1
    """
    limit_to(limit)
    become(module("deploy.fleet", "unlock"))


def run_again(runs: Annotated[list[UUID], typer.Argument(metavar="ID…", help="As `status` names them.")]) -> None:
    """Have flow runs run again that are lost or were given up.

    Example: ./hublab run-again 0b9f6e0e-8a55-4a1e-9a35-1a0f2f5f0c11
    """
    become(module("deploy.fleet", "again"), RUNS=" ".join(map(str, runs)))


def decommission(
    hosts: Annotated[str, typer.Argument(metavar="HOST,…", help="Those that leave.", autocompletion=_hosts)],
    yes: Yes = False,
) -> None:
    """Drain hosts that leave, remove all that deploys put there, and say what is left. Asks once.

    Example: ./hublab decommission h1
    """
    limit_to(hosts)
    become(_pyinfra("decommission", 0, *_asking(yes=yes)))


def _pyinfra(what: str, wave: int, *flags: str) -> list[str]:
    """Pyinfra's command line for one of the deploy files."""
    bound = ["--data", f"wave={wave}"] if wave else []
    return [str(Path(sys.executable).with_name("pyinfra")), *bound, *flags, "deploy/inventory.py", f"deploy/{what}.py"]


def _asking(*, yes: bool) -> list[str]:
    """Pyinfra asks by itself, below the plan, unless it is told not to; without a terminal nobody could answer.

    A sandbox is nobody's production: nobody is asked.
    """
    if yes or not hosts_file():
        return ["-y"]
    if not sys.stdin.isatty():
        refuse("this changes the hosts of .env, and there is no terminal to ask on. Say --yes.")
    return []


def _to_stderr(command: list[str]) -> list[str]:
    """The same with its words on standard error, so that standard output is JSON alone."""
    return ["/bin/sh", "-c", 'exec "$@" >&2', "sh", *command]
