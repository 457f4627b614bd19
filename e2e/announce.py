"""Says what a run will do, and asks. Pure, but for the question."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from e2e.errors import RefusedError
from e2e.watch import minutes

if TYPE_CHECKING:
    from e2e.record import Record
    from e2e.target import Target


def words(target: Target, record: Record, tag: str) -> str:
    """What it will do, to what, and what it leaves behind."""
    ways = [
        f"fill in the form at {target['FUNNEL_URL']}"
        if one.entry == "form"
        else f"post to the webhook of {one.sequence} at {target['HUBLAB_PUBLIC_URL']}"
        for one in record.enrolments
    ]
    name, _, domain = target.mailbox.partition("@")
    return "\n".join(
        [
            f"Against {record.against}, by {target.source}:",
            *(f"  - {way}" for way in ways),
            f"  - follow {len(record.mails)} mails at {target['PREFECT_API_URL']}, at Notion and at Resend,",
            f"    for about {minutes(record) / 60 + 1:.0f} minutes.",
            f"Every mail goes to {target.mailbox}, as {name}+{tag}-…@{domain}.",
            f"In Notion remain {len(record.enrolments)} pages in Email Sequence and as many contacts, a project and",
            f"{len(record.mails)} rows of analytics; search for {tag} to find and remove them.",
        ]
    )


def agreed(text: str, *, yes: bool) -> None:
    """Say it, and go on only with a yes.

    Raises:
        RefusedError: somebody said no, or nobody is there who could.
    """
    sys.stderr.write(f"{text}\n")
    if yes:
        return
    if not sys.stdin.isatty():
        raise RefusedError(["nobody is there to be asked; --yes (./hublab e2e --yes) starts without asking"])
    sys.stderr.write("Go on? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise RefusedError(["not started: the answer was not yes"])
