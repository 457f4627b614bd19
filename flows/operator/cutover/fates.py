"""What becomes of one mail of somebody who is taken over: by what shows that it went out, and by its runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from flows.operator.cutover.facts import BUSY, ENDED, JOURNAL, OPEN, STOPPED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.operator.cutover.facts import Mail, OldRun

OUT, COMES, WITHHELD, WAITS = "out", "comes", "withheld", "waits"
# A mail that is known not to have gone out is still worth sending for so long after its time.
GRACE = timedelta(hours=48)
# One that still waits for a worker was promised to somebody: it is given more.
PATIENCE = timedelta(days=7)
# Theirs takes seconds: after so long its worker is gone, and nobody sends it any more.
STALE = timedelta(minutes=15)
MARGIN = timedelta(minutes=10)  # their clocks, and marks to the minute
TESTED, PLANNED = timedelta(hours=1), timedelta(hours=12)


@dataclass(frozen=True)
class Seen:
    """What is known of one step: `due` by the campaign's file, its `runs`, `mark` in Notion, `mail` at Resend.

    `unknown` are mails to the person of which no subject tells which they are; `later` says that a later step is out;
    `tested` that the mails were scheduled minutes apart; `recent` that the enrolment is young.
    """

    number: int
    template: str
    due: datetime
    runs: tuple[OldRun, ...]
    mark: datetime | None
    mail: Mail | None
    unknown: tuple[Mail, ...]
    later: bool = False
    tested: bool = False
    recent: bool = False


@dataclass(frozen=True)
class Fate:
    """One step's: `kind`, when it is `due`, `why` in words, since when it is out (`at`), and a `doubt`, where one is.

    `unrecorded` says that Resend has the mail and Notion no mark.
    """

    number: int
    template: str
    kind: str
    due: datetime
    why: str
    at: datetime | None = None
    doubt: str = ""
    unrecorded: bool = False


def due_of(runs: Iterable[OldRun], planned: datetime) -> datetime:
    """When a step is due: as the first of its runs says that still counts, else the last that has run."""
    for those in ((OPEN, BUSY, JOURNAL), (ENDED, STOPPED)):
        found = sorted(run.due for run in runs if run.standing in those)
        if found:
            return found[0] if those[0] == OPEN else found[-1]
    return planned


def tested(planned: dict[int, datetime], dues: dict[int, datetime]) -> bool:
    """Whether mails were scheduled as in a test: every two that follow each other minutes apart, and planned days."""
    numbers = sorted(dues)
    pairs = [(abs(dues[b] - dues[a]), planned[b] - planned[a]) for a, b in pairwise(numbers)]
    far = [gap for gap, wanted in pairs if wanted >= PLANNED]
    return bool(far) and all(gap < TESTED for gap in far)


def is_busy(run: OldRun, now: datetime) -> bool:
    """Whether a worker is at a run; one that has been for long is lost."""
    return (run.standing == BUSY or run.state == "CANCELLING") and now - run.since < STALE


def of(seen: Seen, now: datetime, listed_since: datetime | None) -> Fate:
    """What becomes of a step."""
    due = due_of(seen.runs, seen.due)

    def fate(kind: str, why: str, *, doubt: str = "", at: datetime | None = None, unrecorded: bool = False) -> Fate:
        return Fate(seen.number, seen.template, kind, due, why, at, doubt, unrecorded)

    if seen.mark or seen.mail:
        at = seen.mark or (seen.mail.at if seen.mail else None)
        return fate(OUT, _shown(seen), at=at, doubt=_mismatch(seen, listed_since), unrecorded=not seen.mark)
    if any(is_busy(run, now) for run in seen.runs):
        return fate(WAITS, "a worker of theirs is at it", doubt="it is in flight; run this again in a minute")
    kind, why, doubt = _not_out(seen, due, now)
    return fate(kind, why, doubt=doubt)


def _shown(seen: Seen) -> str:
    shown = [f"Notion {seen.mark:%Y-%m-%d %H:%M}"] if seen.mark else []
    shown += [f"Resend {seen.mail.at:%Y-%m-%d %H:%M}"] if seen.mail else []
    return ", ".join(shown)


def _mismatch(seen: Seen, listed_since: datetime | None) -> str:
    if not seen.mark:
        return "Resend has it and Notion no mark: it counts as sent, and the mark is written"
    if seen.mail or listed_since is None or seen.mark < listed_since:
        return ""
    if any(abs(mail.at - seen.mark) < MARGIN for mail in seen.unknown):
        return ""  # its subject was edited since
    return (
        f"Notion has a mark and Resend lists no such mail: it counts as sent. Was it not: empty 'Email {seen.number} "
        f"Sent' in Notion, and run this again"
    )


def _not_out(seen: Seen, due: datetime, now: datetime) -> tuple[str, str, str]:
    """A step that nothing shows as sent: its kind, why, and the doubt."""
    standings = {run.standing for run in seen.runs}
    late = f"{due:%Y-%m-%d %H:%M} UTC"
    if seen.tested:
        return WITHHELD, "scheduled minutes apart: left over from a test", "scheduled minutes apart, as in a test"
    maybe = [mail for mail in seen.unknown if mail.at >= due - MARGIN]
    if maybe and (standings & {ENDED, BUSY} or any(run.begun for run in seen.runs)):
        words = f"Resend lists {maybe[0].subject!r} of {maybe[0].at:%Y-%m-%d %H:%M}, which may be this mail"
        return WITHHELD, "may have gone out", f"{words}: it is not sent"
    if standings & {OPEN, JOURNAL}:
        if now - due > PATIENCE:
            return WITHHELD, f"due for over {PATIENCE.days} days", f"was due on {late} and waited since: it is not sent"
        doubt = f"was due on {late} and waited since: it is sent now" if now - due > GRACE else ""
        return COMES, "late: due as soon as a worker is free" if due < now else "scheduled", doubt
    if STOPPED in standings:
        return WITHHELD, "its run was cancelled by a person", "its run was cancelled by hand: it is not sent"
    return _without_a_run(seen, due, now, late)


def _without_a_run(seen: Seen, due: datetime, now: datetime, late: str) -> tuple[str, str, str]:
    """A step that no run waits for: lost by a crash, or never scheduled."""
    if seen.runs:
        how = f"its run of {late} ended as {seen.runs[-1].state_name} and neither Notion nor Resend has the mail"
        if seen.later:
            return WITHHELD, "lost, and later ones are out", f"{how}; later mails are out: it is not sent"
        if now - due > GRACE:
            return WITHHELD, "lost too long ago", f"{how}: it is not sent after so long"
        return COMES, "lost by a run that ended badly", f"{how}: it is sent now"
    if seen.recent and not seen.later:
        return COMES, "never scheduled", "no run was there for it, and the enrolment is young: it is scheduled"
    return WITHHELD, "never scheduled", "no run is there for it: it is not sent"
