"""Who must get no mail: a record of its own at Prefect, one variable per mailbox and cause.

A variable's name is unique there, and reading it does not lag behind writing it: what Notion shows of a contact is for
people, and may be stale, trashed, doubled or renamed. The name has a digest of the mailbox, not the address.
Not readable means not sent.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import httpx

from flows.recipients.mailbox import former, mailbox
from flows.services.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.campaigns.model import Sequence
    from flows.services.prefect_api import Prefect

MARKETING, TRANSACTIONAL = "marketing", "transactional"
# A cause, as the contact's status in Notion says it → the kinds of sequence that it ends. Who has unsubscribed from the
# campaign and becomes a customer still gets what a customer must get.
ENDS = {
    "Unsubscribed": frozenset({MARKETING}),
    "Bounced": frozenset({MARKETING, TRANSACTIONAL}),
    "Complained": frozenset({MARKETING, TRANSACTIONAL}),
    "Suppressed": frozenset({MARKETING, TRANSACTIONAL}),
    "Cancelled": frozenset({MARKETING, TRANSACTIONAL}),
}
TAG = "hublab-suppression"
ERASED = "erased"  # the source of a cause that was recorded because the person is to be forgotten


class SuppressionUnreadableError(UnavailableError):
    """Whether an address may get mail cannot be told now: nothing is sent, and the run is tried again later."""


def ends(cause: str, kind: str) -> bool:
    """Whether a cause (a contact's status) ends a kind of sequence; any other status ends none."""
    return kind in ENDS.get(_written(cause), ())


def ended_by(status: str | None, kind: str) -> str | None:
    """Which of a contact's statuses, with commas between several, ends a kind of sequence; None when none does."""
    return next((one for one in causes_of((status or "").split(",")) if kind in ENDS[one]), None)


def causes_of(statuses: Iterable[str]) -> list[str]:
    """Those of a contact's statuses that end a sequence, as `ENDS` has them."""
    return [written for one in statuses if (written := _written(one)) in ENDS]


def _written(cause: str) -> str:
    """As `ENDS` has it: people write an option as they like."""
    return cause.strip().capitalize()


def record_name(email: str, cause: str) -> str:
    """The variable that keeps one cause for one mailbox."""
    return _name(mailbox(email), cause)


def _name(box: str, cause: str) -> str:
    return f"suppressed-{hashlib.sha256(box.encode()).hexdigest()[:32]}-{cause.lower()}"


def _names(email: str, causes: Iterable[str]) -> dict[str, str]:
    """The variables that keep these causes for a mailbox, with those of an earlier release; which cause each keeps."""
    return {_name(box, cause): cause for cause in causes for box in (mailbox(email), former(email))}


def booking_name(email: str) -> str:
    """The variable that keeps the latest that is known of a person's bookings."""
    return f"booking-{hashlib.sha256(mailbox(email).encode()).hexdigest()[:32]}"


def record(prefect: Prefect, email: str, cause: str, at: str, source: str) -> None:
    """Keep that an address gets no more mail; done twice it is the same as once. Raises httpx.HTTPError."""
    prefect.claim(record_name(email, cause), {"cause": cause, "at": at, "source": source}, tags=(TAG,))


def erase(prefect: Prefect, email: str, at: str) -> None:
    """Keep that a person is forgotten, to whom nothing more goes. Raises httpx.HTTPError."""
    prefect.remember(record_name(email, "Cancelled"), {"cause": "Cancelled", "at": at, "source": ERASED}, tags=(TAG,))


def erased(prefect: Prefect, emails: Iterable[str]) -> dict[str, str]:
    """Those of these addresses whose person is forgotten, and since when. Raises httpx.HTTPError."""
    names = {email: record_name(email, "Cancelled") for email in emails}
    there = prefect.variables(sorted(set(names.values()))) if names else {}
    found = {email: there.get(name) or {} for email, name in names.items()}
    return {email: str(one["at"]) for email, one in found.items() if one.get("source") == ERASED}


def convert(prefect: Prefect, email: str, campaign: str, at: str) -> None:
    """Keep that an address belongs to a customer, whom the campaign's marketing has reached. Raises httpx.HTTPError."""
    record(prefect, email, customer(campaign), at, "enrolled as a customer")


def customer(campaign: str) -> str:
    """The cause that ends one campaign's marketing for who has become a customer."""
    return f"Customer-{campaign}"


def causes(prefect: Prefect, email: str, *more: str) -> list[str]:
    """Why an address must get no mail, `more` causes among them; empty when nothing is recorded.

    Raises:
        SuppressionUnreadableError: Prefect did not give a whole answer.
    """
    return _read(prefect, email, more)[0]


def _read(
    prefect: Prefect, email: str, more: Iterable[str], beside: Iterable[str] = ()
) -> tuple[list[str], dict[str, Any]]:
    names = _names(email, (*ENDS, *more))
    try:
        there = prefect.variables([*names, *beside])
        return list(dict.fromkeys(cause for name, cause in names.items() if name in there)), there
    except (httpx.HTTPError, ValueError, TypeError, KeyError) as error:
        raise SuppressionUnreadableError(f"suppression cannot be read at Prefect: {error!r}") from error


def why_not(prefect: Prefect, email: str, sequence: Sequence) -> str | None:
    """The reason why a mail of a sequence must not go to an address, or None. Raises as `causes`."""
    return look(prefect, email, sequence)[0]


def look(prefect: Prefect, email: str, sequence: Sequence, *beside: str) -> tuple[str | None, dict[str, Any]]:
    """As `why_not`; with the same answer other variables as well, those of them that there are."""
    bought = customer(sequence.campaign)
    found, there = _read(prefect, email, [bought], beside)
    for cause in found:
        if cause == bought and sequence.kind == MARKETING:
            return f"the contact has become a customer of {sequence.campaign}", there
        if ends(cause, sequence.kind):
            return f"the address is suppressed: {cause.lower()}", there
    return None, there


def lift(prefect: Prefect, email: str, lifted: Iterable[str]) -> None:
    """Let an address get mail again as far as these causes go, because a person says so. Raises httpx.HTTPError."""
    for name in _names(email, lifted):
        prefect.forget(name)
