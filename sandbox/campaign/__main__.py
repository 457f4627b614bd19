"""The command line: `python -m sandbox.campaign demo | chaos`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox import Sandbox
from sandbox.campaign import board, chaos, own, table
from sandbox.campaign.contacts import PROJECTS, address
from sandbox.campaign.setup import start
from sandbox.command import status_of
from sandbox.shell import say

if TYPE_CHECKING:
    from flows.campaigns.model import Sequence
    from sandbox.campaign.core import Campaign

_SLACK_SECONDS = 300.0


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; 0 when every mail arrived once, 1 otherwise, 130 when interrupted."""
    asked = _parser().parse_args(arguments)
    return status_of(lambda: _run(asked))


def _run(asked: argparse.Namespace) -> int:
    if asked.command == "demo":
        sequences = own.of(asked.campaign)  # what cannot be shown is said before minutes of booting
        return demo(Sandbox.up(root=asked.root), asked.speed, sequences)
    return storm(Sandbox.up(root=asked.root), asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox.campaign", description="The campaign, in the sandbox.")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the sandbox's folder (default: .sandbox)")
    commands = parser.add_subparsers(dest="command", required=True)
    once = commands.add_parser("demo", help="one contact in each sequence of a campaign")
    once.add_argument("--campaign", default=PROJECTS, metavar="NAME", help="another one, of HUBLAB_CAMPAIGNS")
    once.add_argument("--speed", type=float, default=1.0, help="times faster than a mail a minute (default 1)")
    many = commands.add_parser("chaos", help="many contacts, all that runs is killed, services that misbehave")
    many.add_argument("--enrolments", type=int, default=200, help="signups of seven mails (default 200)")
    many.add_argument("--every", type=float, default=5.0, help="seconds between two strikes (default 5)")
    many.add_argument("--notion", type=int, default=180, help="Notion's limit per minute (default 180)")
    many.add_argument("--seed", type=int, default=0, help="of what is struck when")
    many.add_argument("--most", type=int, default=0, help="how many strikes at the most (default: until the last mail)")
    many.add_argument("--table", type=Path, metavar="FILE", help="add a row to the table of storms in this file")
    many.add_argument("--out", type=Path, help="write the outcome to this file, as JSON")
    return parser


def demo(sandbox: Sandbox, speed: float, sequences: list[Sequence]) -> int:
    """One contact in each sequence through the real webhooks; shows the mails until all are delivered."""
    campaign = start(sandbox, speed=speed)
    look(campaign)
    stamp = int(time.time())  # an address enters a sequence once: each demo has its own
    keys = [campaign.post(one, own.payload(one, address(f"{one.name}-{stamp}"))) for one in sequences]
    minutes = max(one.testing_first_minute + len(one.steps) - 1 for one in sequences)
    mails = board.watch(campaign, keys, minutes * 60 / speed + _SLACK_SECONDS)
    look(campaign)
    missing = [mail for mail in mails if mail.state != "delivered"]
    for mail in missing:
        say(f"not delivered: {mail.template} is {mail.state}")
    return 1 if missing else 0


def storm(sandbox: Sandbox, asked: argparse.Namespace) -> int:
    """Many contacts in a storm; says what was lost, what was doubled, and what is left to be done."""
    plan = chaos.Plan(asked.enrolments, asked.every, asked.seed, asked.notion, asked.most)
    outcome = chaos.run(sandbox, plan)
    if asked.out:
        asked.out.write_text(outcome.document())
    if asked.table:
        table.add(asked.table, plan, outcome)
    sys.stdout.write(outcome.text() + "\n")
    return 0 if outcome.clean else 1


def look(campaign: Campaign) -> None:
    """Say where to look."""
    user, _, password = campaign.sandbox.auth.partition(":")
    say(f"Prefect's page   {campaign.prefect_url}/runs  (user {user}, password {password})")
    say(f"the inbox        {campaign.inbox_url}/")
    say(f"the webhooks     {campaign.webhooks_url}/health")


if __name__ == "__main__":
    sys.exit(main())
