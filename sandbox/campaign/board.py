"""The live table of a demo: one line per mail, as it becomes scheduled, sent and delivered."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.campaign.core import Campaign
    from sandbox.campaign.mails import Mail

_LOOK_EVERY = 2.0
_COLOURS = {"waiting": "dim", "scheduled": "cyan", "running": "yellow", "sent": "blue", "delivered": "green"}


def table(mails: Sequence[Mail], now: datetime) -> Table:
    """All mails at one moment. Pure."""
    done = sum(mail.state == "delivered" for mail in mails)
    found = Table(title=f"{done} of {len(mails)} mails delivered", title_justify="left")
    for column in ("sequence", "mail", "template", "due", "state"):
        found.add_column(column)
    before = ""
    for mail in mails:
        colour = _COLOURS.get(mail.state, "red")
        name = mail.sequence if mail.sequence != before else ""
        found.add_row(name, str(mail.step), mail.template, _due(mail, now), f"[{colour}]{mail.state}[/{colour}]")
        before = mail.sequence
    return found


def _due(mail: Mail, now: datetime) -> str:
    if mail.due is None or mail.accepted:
        return ""
    seconds = (mail.due - now).total_seconds()
    return f"in {seconds:.0f} s" if seconds > 0 else "now"


def watch(campaign: Campaign, keys: Sequence[str], seconds: float) -> list[Mail]:
    """Show the table until every mail is delivered, or for so many seconds; the mails at the end."""
    deadline = time.monotonic() + seconds
    # Where nobody looks (a log, a pipe), only the last table is printed.
    with Live(console=Console(file=sys.stdout), auto_refresh=False, transient=False) as live:
        while True:
            mails = campaign.mails(keys)
            live.update(table(mails, datetime.now(UTC)), refresh=live.console.is_terminal)
            if all(mail.state == "delivered" for mail in mails) or time.monotonic() > deadline:
                break
            time.sleep(_LOOK_EVERY)
    sys.stdout.write("" if sys.stdout.isatty() else "\n")  # else what comes next would stand in its last line
    return mails
