"""What is there when a production is taken over: its runs, its records, its mails, and what is ours already. Types."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

TAKEN, HANDED = "TakenOver", "HandedBack"  # names of states: a run of theirs that we took; one of ours that they got
KEPT = "not handed back: "  # how the state of a run begins that ended here, and that theirs did not get
BACK = "back:"  # how the idempotency key of a run begins that was created for them, on the way back
OPEN, BUSY, ENDED, STOPPED, JOURNAL = "open", "busy", "ended", "stopped", "taken"


class BlockedError(Exception):
    """Something is in the way; nothing was changed."""


def standing(kind: str, name: str) -> str:
    """How a run of theirs stands, by the type and the name of its state.

    `open` waits for its time, `busy` is in a worker's hands, `ended` has run (which does not mean sent), `stopped` was
    cancelled by a person, whether or not its worker has ended it, `taken` was cancelled by us and tells what it was.
    """
    if kind in {"CANCELLED", "CANCELLING"}:
        return JOURNAL if name == TAKEN else STOPPED
    if kind in {"SCHEDULED", "PAUSED"}:
        return OPEN
    return ENDED if kind in {"COMPLETED", "FAILED", "CRASHED"} else BUSY


@dataclass(frozen=True)
class OldRun:
    """A run with flat parameters: of a mail (`step` from 1), or of a handler (`step` 0).

    `sequence` is campaign and name, None where they cannot be told; `since` is when its state began, `message` what it
    says; `begun`, that a worker had it once, wherever it stands now; `apart`, that its deployment is not renewed: the
    code of before goes on in it.
    """

    id: str
    email: str
    sequence: tuple[str, str] | None
    step: int
    due: datetime
    state: str
    state_name: str
    since: datetime
    parameters: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    pool: str = ""
    message: str = ""
    begun: bool = False
    apart: bool = False

    @property
    def standing(self) -> str:
        """As `standing`."""
        return standing(self.state, self.state_name)


@dataclass(frozen=True)
class OurRun:
    """A run under a key of ours; `since` is when its state began, `message` what it says.

    `frozen` is when its mail's content was kept to be sent, `accepted` when Resend had it, as Prefect knows.
    """

    id: str
    state: str
    state_name: str
    created: datetime
    since: datetime
    due: datetime | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
    message: str = ""
    frozen: datetime | None = None
    accepted: datetime | None = None


@dataclass(frozen=True)
class Record:
    """A page of Email Sequence; `sent` has, by step, when a mail went out; `details` are fields of the payload.

    `linked` says that it leads to a contact, `stopped` that a person has ended it.
    """

    page: str
    email: str
    key: str
    campaign: str
    type: str
    started: datetime
    sent: dict[int, datetime]
    details: dict[str, Any]
    linked: bool
    stopped: bool = False


@dataclass(frozen=True)
class Contact:
    """A page of the contacts, and when it was `edited`."""

    page: str
    status: str
    booking: str
    edited: datetime | None = None

    @property
    def bookings(self) -> list[str]:
        """Each option that the property of its bookings shows."""
        return [one.strip() for one in self.booking.split(",")]


@dataclass(frozen=True)
class Mail:
    """A mail that Resend lists; `to` is normalised."""

    id: str
    to: str
    subject: str
    at: datetime


@dataclass(frozen=True)
class Facts:
    """Everything that the decision needs, as it was at `now`.

    `records` are the oldest first; `contacts` (of every address of a mailbox, whichever of them is in a sequence) and
    `mails` by normalised address; `ours` by idempotency key; `subjects` are
    the subject lines of every template by its name; `testers` the addresses that are only for tests.
    """

    now: datetime
    runs: tuple[OldRun, ...] = ()
    records: tuple[Record, ...] = ()
    contacts: dict[str, tuple[Contact, ...]] = field(default_factory=dict)
    mails: dict[str, tuple[Mail, ...]] = field(default_factory=dict)
    mails_since: datetime | None = None
    ours: dict[str, OurRun] = field(default_factory=dict)
    subjects: dict[str, str] = field(default_factory=dict)
    testers: frozenset[str] = frozenset()
