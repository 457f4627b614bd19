"""Schedules the mails of one enrolment, once: whatever is retried, killed or delivered twice."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prefect import runtime
from prefect.states import Completed

from flows.campaigns import payloads
from flows.campaigns.model import sequence as find_sequence
from flows.enrolment import records
from flows.recipients import control
from flows.services import notion_schema as schema
from flows.services.clients import notion_client
from flows.services.log import log
from flows.services.postpone import or_later
from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from flows.campaigns.model import Sequence
    from flows.services.settings import Settings

SEND = "christmas-send-email/christmas-send-email"


class NotEnrolledError(Exception):
    """A contact who is not enrolled, with the reason: not an error of the system."""


def enrol(campaign: str, name: str, payload: dict[str, Any], received_at: str | None) -> State[Any]:
    """Enrol one contact: contact and record in Notion, one run per mail at Prefect. The body of every handler.

    `received_at` (ISO 8601) is when the webhook came in: the delays count from then, also when this is run again.

    Raises:
        pydantic.ValidationError, CampaignError, NotionError, NotRegisteredError: what they say; safe to run again.
    """
    sequence = find_sequence(campaign, name)
    details = payloads.checked(sequence, payload)
    enrolled = datetime.fromisoformat(received_at) if received_at else datetime.now(UTC)

    def work() -> State[Any]:
        with Prefect() as prefect:
            settings = prefect.settings()
            try:
                page = record(prefect, settings, sequence, details, enrolled)
            except NotEnrolledError as reason:
                return Completed(name="Skipped", message=f"not enrolled: {reason}")
            first = _schedule(prefect, settings, sequence, details, page, enrolled)
        return Completed(message=f"{len(sequence.steps)} mails of {sequence.name}, from {first:%Y-%m-%d %H:%M} UTC")

    return or_later(work)


def record(
    prefect: Prefect, settings: Settings, sequence: Sequence, details: dict[str, Any], enrolled: datetime
) -> str:
    """The id of the enrolment's page, made or found.

    Raises:
        NotEnrolledError: the contact is not to be enrolled; says why.
        NotionError: Notion could not be read or written.
    """
    key, again = sequence.key(details["email"]), (runtime.flow_run.run_count or 1) > 1
    first = prefect.run_of(f"{key}:1") if again else None
    if first is not None:
        return str(first.parameters["enrolment"]["page"])
    if again:
        # The earlier attempt may have written pages that a query does not show yet.
        time.sleep(settings.number("HUBLAB_NOTION_LAG_SECONDS"))
    with notion_client(prefect, settings) as notion:
        contact = records.find_contact(notion, details["email"])
        status = schema.read(contact, "Christmas Campaign Status") if contact else None
        if status in control.SUPPRESSING:
            raise NotEnrolledError(f"the contact is {str(status).lower()}")
        booking = schema.read(contact, "Booking Status") if contact else None
        if booking in sequence.stop_on_booking and "Booking Status" not in sequence.contact:
            raise NotEnrolledError(f"a booking is made: {booking}")
        contact = records.write_contact(notion, sequence, details, contact)
        # Only who was in a campaign before can have a page: Prefect may have forgotten the run that made it.
        page = records.find_enrolment(notion, key) if again or status else None
        if page is None:
            page = records.create_enrolment(notion, sequence, details, contact, enrolled)
        records.write_project(notion, sequence, details, enrolled)
        log().info("%s: recorded with %d calls to Notion", key, notion.calls)
        return str(page["id"])


def described(sequence: Sequence, details: dict[str, Any], page: str, enrolled: datetime) -> dict[str, Any]:
    """What the run of each mail is given: everything that is not in Notion, and the id of what is."""
    return {
        "key": sequence.key(details["email"]),
        "campaign": sequence.campaign,
        "sequence": sequence.name,
        "email": details["email"],
        "page": page,
        "enrolled_at": enrolled.isoformat(),
        "variables": payloads.values(sequence, details),
    }


def _schedule(  # noqa: PLR0913 - what an enrolment consists of
    prefect: Prefect,
    settings: Settings,
    sequence: Sequence,
    details: dict[str, Any],
    page: str,
    enrolled: datetime,
) -> datetime:
    enrolment = described(sequence, details, page, enrolled)
    key = enrolment["key"]
    testing, minute = settings.testing, settings.number("HUBLAB_TESTING_MINUTE_SECONDS")
    due = [sequence.due(step.number, enrolled, testing=testing, minute=minute) for step in sequence.steps]
    for step, when in zip(sequence.steps, due, strict=True):
        prefect.start_once(
            SEND,
            {"enrolment": enrolment, "step": step.number},
            f"{key}:{step.number}",
            due=when,
            name=f"{step.template} {key.rpartition('-')[2][:8]}",
            tags=(f"campaign:{sequence.campaign}", f"sequence:{sequence.name}", f"enrolment:{key}"),
        )
    return due[0]
