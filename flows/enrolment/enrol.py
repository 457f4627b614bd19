"""Schedules the mails of one enrolment, once: whatever is retried, killed or delivered twice."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from prefect import runtime
from prefect.context import FlowRunContext
from prefect.states import Completed

from flows.campaigns import payloads
from flows.campaigns import plan as plans
from flows.campaigns.clock import instant
from flows.campaigns.model import sequence as find_sequence
from flows.enrolment import handlers, records, takeover
from flows.recipients import contact, control, suppression
from flows.services.clients import NOTION, notion_client
from flows.services.log import log
from flows.services.postpone import or_later
from flows.services.prefect_api import MAIL_FLOW, Prefect
from flows.services.words import counted

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun, State

    from flows.campaigns.model import Sequence
    from flows.campaigns.plan import Planned
    from flows.services.settings import Settings

SEND = f"{MAIL_FLOW}/{MAIL_FLOW}"


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
    enrolled = _received(received_at) if received_at else _started()

    def work() -> State[Any]:
        with Prefect() as prefect:
            if _came_without_key(sequence.key_of(details)):
                return _hand_over(prefect, sequence, details, enrolled)
            settings = prefect.settings(*NOTION, takeover.VARIABLE)
            takeover.wait(prefect, settings.beside[takeover.VARIABLE])
            try:
                page, made = record(prefect, settings, sequence, details, enrolled)
            except NotEnrolledError as reason:
                log().warning("%s: not enrolled: %s", sequence.key_of(details), reason)
                return Completed(name="Skipped", message=f"not enrolled: {reason}")
            plan = _schedule(prefect, settings, sequence, details, page, enrolled, made)
        return Completed(
            message=f"{counted(len(plan), 'mail', 'mails')} of {sequence.name}, from {plan[0].due:%Y-%m-%d %H:%M} UTC"
        )

    return or_later(work)


def _received(text: str) -> datetime:
    try:
        return instant(text)
    except ValueError:
        how = "leave it out: the delays count from when the run was asked for"
        raise ValueError(f"received_at: {text!r} is no ISO 8601 time; {how}") from None


def _started() -> datetime:
    """When this run was asked for: of one that waited for a worker, before it began."""
    context = FlowRunContext.get()
    run = context.flow_run if context is not None else None
    return (run.expected_start_time if run is not None else None) or datetime.now(UTC)


def _came_without_key(key: str) -> bool:
    """Whether this run was started by somebody who does not know the enrolment's key, as the website does."""
    context = FlowRunContext.get()
    return context is not None and context.flow_run is not None and context.flow_run.idempotency_key != key


def _hand_over(prefect: Prefect, sequence: Sequence, details: dict[str, Any], enrolled: datetime) -> State[Any]:
    """Have the one run enrol that has the enrolment's key: of two runs for one person, both name the same."""
    run = handlers.start(prefect, sequence, sequence.key_of(details), details, enrolled.isoformat())
    return Completed(message=f"enrolled by the run {run.name}, which has the enrolment's key")


def record(
    prefect: Prefect, settings: Settings, sequence: Sequence, details: dict[str, Any], enrolled: datetime
) -> tuple[str, datetime | None]:
    """The id of the enrolment's page, and when the contact was looked at for it; None for a page that was there.

    Raises:
        NotEnrolledError: the contact is not to be enrolled; says why.
        SuppressionUnreadableError: whether it may be, cannot be told now.
        NotionError: Notion could not be read or written.
    """
    key, again = sequence.key_of(details), (runtime.flow_run.run_count or 1) > 1
    first = prefect.run_of(f"{key}:1") if again else None
    if first is not None:
        return str(first.parameters["enrolment"]["page"]), None
    if reason := suppression.why_not(prefect, details["email"], sequence):
        raise NotEnrolledError(reason)
    if sequence.converts:
        suppression.convert(prefect, details["email"], sequence.campaign, enrolled.isoformat())
    if again:
        # The earlier attempt may have written pages that a query does not show yet.
        time.sleep(settings.number("HUBLAB_NOTION_LAG_SECONDS"))
    looked: datetime | None = prefect.now()
    with notion_client(prefect, settings) as notion:
        contacts = records.find_contacts(notion, details["email"])
        state = contact.of(contacts)
        if "Booking Status" in sequence.contact:
            state = replace(state, bookings=())  # this webhook tells of a newer booking than the contact shows
        if contacts and (reason := control.why_not_contact(state, sequence)):
            raise NotEnrolledError(reason)
        person = records.write_contact(notion, sequence, details, contacts)
        # Only who was in a campaign before can have a page: Prefect may have forgotten the run that made it.
        page = records.find_enrolment(notion, key) if again or state.statuses else None
        if page is None:
            page = records.create_enrolment(notion, sequence, details, person, enrolled)
        else:
            looked = None
        records.write_project(notion, sequence, details, enrolled)
        log().info("%s: recorded with %d calls to Notion", key, notion.calls)
        return str(page["id"]), looked


def described(  # noqa: PLR0913 - what an enrolment consists of
    sequence: Sequence,
    details: dict[str, Any],
    page: str,
    enrolled: datetime,
    *,
    testing: bool = False,
    minute: float = 60,
    zone: str = "UTC",
    made: datetime | None = None,
) -> dict[str, Any]:
    """What the run of each mail is given: everything that is not in Notion, and the id of what is."""
    variables = payloads.variables(sequence, details)
    plan = plans.made(sequence, enrolled, variables.get("segment"), testing=testing, minute=minute, zone=zone)
    return {
        "key": sequence.key_of(details),
        "campaign": sequence.campaign,
        "sequence": sequence.name,
        "email": details["email"],
        "page": page,
        "enrolled_at": enrolled.isoformat(),
        "variables": variables,
        "plan": plans.written(plan),
        "testing": testing,
        "confirm": sequence.confirm,
        "made": made.isoformat() if made else None,
    }


def _schedule(  # noqa: PLR0913 - what an enrolment consists of
    prefect: Prefect,
    settings: Settings,
    sequence: Sequence,
    details: dict[str, Any],
    page: str,
    enrolled: datetime,
    made: datetime | None,
) -> tuple[Planned, ...]:
    """Create the runs of an enrolment's mails; the plan that holds for it.

    The first mail's run decides: what it was given, by whichever try, all others are given too. So a try that goes on
    after the campaign's file was edited mixes nothing.
    """
    testing, minute = settings.tests(details["email"]), settings.number("HUBLAB_TESTING_MINUTE_SECONDS")
    enrolment = described(
        sequence, details, page, enrolled, testing=testing, minute=minute, zone=settings.zone, made=made
    )
    first = start_mail(prefect, sequence, enrolment, plans.of(sequence, enrolment)[0])
    enrolment = first.parameters["enrolment"]
    plan = plans.of(sequence, enrolment)
    for one in plan[1:]:
        start_mail(prefect, sequence, enrolment, one)
    return plan


def start_mail(
    prefect: Prefect, sequence: Sequence, enrolment: dict[str, Any], mail: Planned, *, state: State[Any] | None = None
) -> FlowRun:
    """The one run of a mail; created in `state`, where one is given, else to be run when the mail is due."""
    key = enrolment["key"]
    return prefect.start_once(
        SEND,
        {"enrolment": enrolment, "step": mail.number},
        f"{key}:{mail.number}",
        due=mail.due,
        state=state,
        name=f"{mail.template} {key.rpartition('-')[2][:8]}",
        tags=(f"campaign:{sequence.campaign}", f"sequence:{sequence.name}", f"enrolment:{key}"),
    )
