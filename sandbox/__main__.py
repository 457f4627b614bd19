"""The command line: ``python -m sandbox up | down | status | boot | kill | ssh | past``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from sandbox import Sandbox, env_file
from sandbox.command import status_of
from sandbox.shell import say


def main() -> int:
    """Do what the command line says and return its exit status: 0, 1 for an error, 130 when interrupted."""
    arguments = _parser().parse_args()
    return status_of(lambda: _run(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A whole Hublab on one machine.")
    parser.add_argument(
        "--root", type=Path, metavar="DIR", help="folder for its state (default: .sandbox of the checkout)"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="boot it, or what is missing of it")
    up.add_argument("--hosts", type=int, default=1, metavar="N", help="worker hosts (default 1)")
    up.add_argument("--past", action="store_true", help="with the crashing workers of before on each host")
    up.add_argument("--suite", metavar="NAME", help="Debian of its new hosts: bookworm or trixie")
    commands.add_parser("down", help="remove it whole")
    commands.add_parser("status", help="what runs, and where")
    for name, text in (
        ("boot", "switch on"),
        ("kill", "cut the power of"),
        ("past", "give the crashing workers of before to"),
    ):
        commands.add_parser(name, help=f"{text} a machine").add_argument("host")
    ssh = commands.add_parser("ssh", help="a shell on a machine, or one command")
    ssh.add_argument("host")
    ssh.add_argument("cmd", nargs=argparse.REMAINDER)
    return parser


def _short(path: Path) -> str:
    """A path as an operator in this folder would type it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _run(arguments: argparse.Namespace) -> int:
    sandbox = Sandbox.at(arguments.root)
    match arguments.command:
        case "up":
            began = time.monotonic()
            Sandbox.up(arguments.hosts, past=arguments.past, root=arguments.root, suite=arguments.suite)
            say(f"up after {time.monotonic() - began:.1f} s; the deploy reads {_short(sandbox.env_file)}")
        case "down":
            sandbox.down()
            say("gone")
        case "status":
            return status(sandbox)
        case "boot":
            sandbox.machine(arguments.host).boot()
        case "kill":
            sandbox.machine(arguments.host).kill()
        case "past":
            from sandbox import past  # noqa: PLC0415 - only this command needs it

            past.give(sandbox, [sandbox.machine(arguments.host)])
        case "ssh":
            return sandbox.machine(arguments.host).shell(arguments.cmd)
    return 0


def status(sandbox: Sandbox) -> int:
    """Print a line per machine, and where to look; exit status 3, as of ``systemctl status``, when it is not up."""
    for machine in sandbox.machines:
        if machine.prepared:
            print(f"{machine.name:<12} {machine.address:<16} {'running' if machine.running else 'no power'}")
    if sandbox.is_up:
        user, _, password = sandbox.auth.partition(":")
        print(f"Prefect      {sandbox.api_url.removesuffix('/api')}  (user {user}, password {password})")
        campaign = sandbox.layout.campaign_file
        if inbox := (env_file.read(campaign) if campaign.is_file() else {}).get("HUBLAB_RESEND_URL"):
            print(f"inbox        {inbox}/")
        return 0
    print("not up; `./hublab sandbox up` boots it")
    return 3


if __name__ == "__main__":
    sys.exit(main())
