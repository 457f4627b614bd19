"""What follows from a record: what is missing, what is wrong, how long each hop took. Pure."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING

from e2e.record import ARRIVED, Mail

if TYPE_CHECKING:
    from datetime import datetime

    from e2e.record import Enrolment, Record

# A mail's moments, in order: the attribute, and the word for it.
MOMENTS = {"due": "scheduled", "started": "started", "accepted": "accepted", "delivered": "delivered"}
_P95 = 0.95


def moments(mail: Mail) -> dict[str, datetime]:
    """The moments of a mail that were seen, by attribute, in order."""
    seen = {name: getattr(mail, name) for name in MOMENTS}
    return {name: moment for name, moment in seen.items() if moment is not None}


def missing(mail: Mail) -> list[str]:
    """The words for the moments of a mail that were not seen."""
    return [word for name, word in MOMENTS.items() if getattr(mail, name) is None]


def wrong(one: Mail | Enrolment) -> list[str]:
    """What is wrong, in sentences: the hop at which a mail was lost, and the problems that were found."""
    if not isinstance(one, Mail):
        return list(one.problems)
    lost = [f"It was lost at the hop “{one.lost_at}”."] if one.lost_at else []
    unseen = ["Was not seen as delivered."] if not (lost or one.problems) and one.event not in ARRIVED else []
    return [*lost, *one.problems, *unseen]


def last_moment(record: Record) -> datetime:
    """The end of the run; where it has none, or something was seen still later, the last that was seen."""
    ends = [record.ended] if record.ended else []
    of_mails = [moment for mail in record.mails for moment in moments(mail).values()]
    of_events = [event.at for event in record.events]
    posted = [one.posted for one in record.enrolments if one.posted]
    return max([record.began, *ends, *of_mails, *of_events, *posted])


def between(start: datetime | None, end: datetime | None) -> float | None:
    """The seconds from one moment to another; None when either was not seen."""
    return (end - start).total_seconds() if start and end else None


@dataclass(frozen=True)
class Hop:
    """How long one hop took, each time.

    Attributes:
        name: From where to where.
        seconds: Of each time that both ends were seen.
        of: How many times there should have been.
    """

    name: str
    seconds: tuple[float, ...]
    of: int

    @property
    def median(self) -> float | None:
        """In seconds; None when it was never seen."""
        return statistics.median(self.seconds) if self.seconds else None

    @property
    def p95(self) -> float | None:
        """In seconds, interpolated between the two nearest; None when it was never seen."""
        if not self.seconds:
            return None
        ordered, place = sorted(self.seconds), _P95 * (len(self.seconds) - 1)
        low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
        return low + (high - low) * (place - math.floor(place))

    @property
    def most(self) -> float | None:
        """In seconds; None when it was never seen."""
        return max(self.seconds, default=None)


def hops(record: Record) -> list[Hop]:
    """Every hop from the form to the mailbox, in order."""
    enrolments, mails = record.enrolments, record.mails
    return [
        _hop("form → answer", [between(one.posted, one.answered) for one in enrolments]),
        _hop("answer → handler start", [between(one.answered, one.handler_started) for one in enrolments]),
        _hop("handler start → all scheduled", [between(one.handler_started, one.handler_ended) for one in enrolments]),
        _hop("due → run start", [between(one.due, one.started) for one in mails]),
        _hop("run start → accepted", [between(one.started, one.accepted) for one in mails]),
        _hop("accepted → delivered", [between(one.accepted, one.delivered) for one in mails]),
    ]


def _hop(name: str, seconds: list[float | None]) -> Hop:
    return Hop(name, tuple(one for one in seconds if one is not None), len(seconds))
