"""What Calendly and Cal.com tell of a booking, in one form. Pure."""

from __future__ import annotations

import json
import unicodedata
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError

from flows.campaigns.clock import instant
from flows.campaigns.values import MAX_NAME, TYPES, line
from flows.recipients.contact import BOOKED

CANCELLED, NO_SHOW = "Cancelled", "No-Show"
CALENDLY = {
    "invitee.created": BOOKED,
    "invitee.canceled": CANCELLED,
    "invitee_no_show.created": NO_SHOW,
    "invitee_no_show.deleted": BOOKED,
}
CALCOM = {
    "BOOKING_CREATED": BOOKED,
    "BOOKING_RESCHEDULED": BOOKED,
    "BOOKING_CANCELLED": CANCELLED,
    "BOOKING_REJECTED": CANCELLED,
    "BOOKING_NO_SHOW_UPDATED": NO_SHOW,
}
# What an enrolment takes from a booking, beside its address, and as which kind of field.
DETAILS = {
    "first_name": "name",
    "business_name": "text",
    "calendly_event_uri": "link",
    "scheduled_time": "instant",
    "event_type": "text",
    "reschedule_url": "link",
}
_BUSINESS = ("business", "company", "salon")
LONGEST_NAME = 500  # of a booking: both give it an address or a number of their own
ROOM = 3_000  # for the details, as JSON: what is known of a person's bookings is a variable, which holds 5,000
_TYPES = {kind: TypeAdapter[str](TYPES[kind]) for kind in ("address", *DETAILS.values())}


def understood(signer: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The bookings that a body tells of, one for each attendee; none for an event that means nothing here.

    Raises:
        ValueError: not an event of Calendly's or Cal.com's at all.
    """
    try:
        return _calendly(body) if signer == "calendly" else _calcom(body)
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError) as error:
        raise ValueError(f"not an event of {signer}: {type(error).__name__} {error}") from None


def is_native(body: dict[str, Any]) -> bool:
    """Whether a body is one of Calendly's own, not a flat one of somebody who posts for it."""
    return isinstance(body.get("event"), str) and isinstance(body.get("payload"), dict)


def _calendly(body: dict[str, Any]) -> list[dict[str, Any]]:
    status, told = CALENDLY.get(body["event"]), body["payload"]
    # A booking that is moved is cancelled and made anew; the new one counts.
    if status is None or (status == CANCELLED and told.get("rescheduled")):
        return []
    event = _table(told.get("scheduled_event"))
    uri = event.get("uri") or told.get("event") or told["uri"]
    details = {
        "first_name": told.get("first_name") or _first(told.get("name")),
        "business_name": _answered(told.get("questions_and_answers")),
        "calendly_event_uri": uri,
        "scheduled_time": event.get("start_time"),
        "event_type": event.get("name"),
        "reschedule_url": told.get("reschedule_url"),
    }
    moved, _, _ = str(told.get("old_invitee") or "").partition("/invitees/")  # an invitee's address has the event's
    return [_booking(told["email"], status, body["created_at"], uri, details) | {"replaces": moved}]


def _calcom(body: dict[str, Any]) -> list[dict[str, Any]]:
    kind, told = body["triggerEvent"], body.get("payload") or {}
    status = CALCOM.get(kind)
    if status is None:
        return []
    uid = told.get("uid") or told["bookingUid"]
    at = body.get("createdAt") or datetime.now(UTC).isoformat()
    details = {
        "calendly_event_uri": f"https://app.cal.com/booking/{uid}",
        "scheduled_time": told.get("startTime"),
        "event_type": told.get("title") or told.get("type"),
        "business_name": _response(told.get("responses")),
    }
    found, fault = [], ""
    for one in map(_table, told["attendees"]):
        # Who was marked by mistake, and is marked back, did come.
        came = status == NO_SHOW and one.get("noShow") is False
        more = {"first_name": one.get("firstName") or _first(one.get("name"))}
        try:
            booking = _booking(one.get("email"), BOOKED if came else status, at, uid, details | more)
            found.append(booking | {"replaces": told.get("rescheduleUid")})
        except ValueError as error:  # of one guest: the others have booked
            fault = str(error)
    if fault and not found:
        raise ValueError(fault)
    return found


def _booking(email: Any, status: str, at: str, identity: Any, details: dict[str, Any]) -> dict[str, Any]:
    when, named = instant(at), line(identity)
    try:
        address = _TYPES["address"].validate_python(email)
    except ValidationError:
        raise ValueError("without the attendee's address") from None
    if not isinstance(named, str) or not named:
        raise ValueError("without the booking's name")
    if len(json.dumps(named)) > LONGEST_NAME or not named.isprintable():
        raise ValueError(f"the booking's name has over {LONGEST_NAME} characters, or one that nothing shows")
    return {
        "email": address,
        "status": status,
        "at": when.astimezone(UTC).isoformat(),
        "booking": named,
        "details": _kept(details),
    }


def _kept(details: dict[str, Any]) -> dict[str, str]:
    """What of it can be kept and shown: whoever books writes what he likes into the form."""
    found: dict[str, str] = {}
    for name, kind in DETAILS.items():
        value = details.get(name)
        if isinstance(value, str):
            with suppress(ValidationError):
                found[name] = _TYPES[kind].validate_python(_short(value) if kind in {"name", "text"} else value)
    while len(json.dumps(found)) > ROOM:
        del found[max(found, key=lambda name: len(json.dumps(found[name])))]
    return found


def _short(value: str) -> str:
    """The beginning of a text, in one line; of an address or a time it would be another one."""
    plain = "".join(" " if unicodedata.category(one) == "Cc" else one for one in value)
    return str(line(plain))[:MAX_NAME]


def _first(name: Any) -> str | None:
    return (line(name).split(" ") or [None])[0] if isinstance(name, str) else None


def _table(found: Any) -> dict[str, Any]:
    """What is optional may be anything: where it is no object, nothing is known of it."""
    return found if isinstance(found, dict) else {}


def _answered(answers: Any) -> Any:
    """What was answered where the booking's form asks for the business."""
    for one in map(_table, answers if isinstance(answers, list) else ()):
        if any(word in str(one.get("question")).casefold() for word in _BUSINESS):
            return one.get("answer")
    return None


def _response(responses: Any) -> Any:
    for name, one in _table(responses).items():
        if any(word in str(name).casefold() for word in _BUSINESS):
            return one.get("value") if isinstance(one, dict) else one
    return None


def counting(known: dict[str, Any] | None, booking: dict[str, Any]) -> dict[str, Any]:
    """The booking that an event leaves: where the latest is cancelled, the one before it if that is still to come."""
    before: dict[str, Any] | None = known.get("before") if known and known["booking"] == booking["booking"] else None
    if booking["status"] != CANCELLED or not before or not _is_to_come(before, booking["at"]):
        return booking
    return booking | before | {"status": BOOKED, "replaces": booking["booking"]}


def kept(known: dict[str, Any] | None, booking: dict[str, Any]) -> dict[str, Any]:
    """What is known of a person's bookings once this one counts; with the one `before` it, where both stand."""
    found = {part: booking[part] for part in ("booking", "status", "at", "details")}
    if known is None:
        return found
    before = known.get("before")
    if known["booking"] == booking["booking"]:
        found["details"] = known["details"] | booking["details"]
    elif known["status"] == BOOKED and known["booking"] != booking.get("replaces"):
        when = known["details"].get("scheduled_time")
        before = {"booking": known["booking"], "details": {"scheduled_time": when}}
    stand = booking["status"] == BOOKED and before and before["booking"] != booking["booking"]
    return found | ({"before": before} if stand else {})


def ends_before(known: dict[str, Any], booking: dict[str, Any]) -> bool:
    """Whether an event cancels the booking before the one that counts."""
    before = known.get("before")
    return bool(before and booking["status"] == CANCELLED and booking["booking"] == before["booking"])


def newer(known: dict[str, Any] | None, booking: dict[str, Any]) -> bool:
    """Whether a booking says more than what is known of its person: events come late, twice and in any order."""
    if known is None:
        return True
    other = known["booking"] != booking["booking"]
    if booking["status"] == CANCELLED and other and known["status"] == BOOKED:
        return False  # an earlier booking is cancelled; the one that counts is not
    if booking["status"] == NO_SHOW and other and known["status"] == BOOKED and _is_to_come(known, booking["at"]):
        return False  # who has missed an earlier call has another one before him
    return bool(known["at"] <= booking["at"])


def _is_to_come(known: dict[str, Any], at: str) -> bool:
    when = known["details"].get("scheduled_time")
    return bool(when) and instant(when) > instant(at)


def payload(known: dict[str, Any] | None, booking: dict[str, Any]) -> dict[str, Any]:
    """What a sequence for no-shows is given: of this event, and of the booking that it is about."""
    earlier = known["details"] if known and known["booking"] == booking["booking"] else {}
    found: dict[str, Any] = {"business_name": "your business"} | earlier | booking["details"]
    return found | {"email": booking["email"]}
