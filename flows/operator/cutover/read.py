"""What is there, read from Prefect, Notion and Resend: nothing is changed."""

from __future__ import annotations

import time
from collections import defaultdict
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any

from flows.campaigns import plan as plans
from flows.campaigns.clock import instant
from flows.campaigns.model import MAX_STEPS, CampaignError, normalised
from flows.campaigns.model import sequences as all_sequences
from flows.operator.cutover import decide, stage
from flows.operator.cutover.facts import Contact, Facts, Mail, OldRun, OurRun, Record
from flows.recipients import contact
from flows.recipients.mailbox import beginnings, mailbox
from flows.recipients.reading import CONDITIONS
from flows.sending import frozen
from flows.services import notion_schema as schema
from flows.services.clients import resend_client
from flows.services.prefect_api import MAIL_FLOW, NotRegisteredError, Prefect

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from flows.services.notion_gateway import NotionGateway
    from flows.services.settings import Settings

GENTLE_SECONDS = 0.4  # between two calls, before the shared limits are there
MOST_MAILS = 100_000
EARLIER = timedelta(days=1)
DONE = {"COMPLETED", "CANCELLED"}
PARTS = frozenset({"key", "email", "page", "variables"})  # of an enrolment, which nothing here can do without


class Looking(Prefect):
    """A client that only reads: what others would keep for later runs is not kept, and a limit may be missing."""

    def wait_for(self, limit: str, *more: str) -> None:
        """As Prefect's own, or gently where the limit is not there yet."""
        try:
            super().wait_for(limit, *more)
        except NotRegisteredError:
            time.sleep(GENTLE_SECONDS)

    def remember(self, name: str, value: dict[str, Any], tags: tuple[str, ...] = ()) -> None:
        """Keep nothing."""


def facts(
    prefect: Prefect,
    notion: NotionGateway,
    settings: Settings,
    now: datetime,
    ordinary: tuple[datetime, str] | None = None,
) -> Facts:
    """Everything as it is now; a handler's run that came after the time and into the pool of `ordinary` is no past.

    Raises:
        NotionError, ResendFailedError: one of them could not be asked; httpx.HTTPError: Prefect could not.
        UnreadableRecordError: who has left or booked, cannot be read.
    """
    runs, ours = _runs(prefect, ordinary)
    records = _records(notion)
    emails = {normalised(run.email) for run in runs} | {normalised(record.email) for record in records}
    emails -= {""}
    begins = [one.started for one in records] + [one.due for one in runs]
    since = min(begins, default=now) - EARLIER
    mails, listed = _mails(prefect, settings, since, emails)
    return Facts(
        now,
        tuple(runs),
        tuple(records),
        _contacts(notion, emails),
        mails,
        listed,
        ours,
        _subjects(notion),
        frozenset(settings.get("TESTING_ADDRESS").lower().split(",") if settings.has("TESTING_ADDRESS") else ()),
    )


def _runs(prefect: Prefect, ordinary: tuple[datetime, str] | None) -> tuple[list[OldRun], dict[str, OurRun]]:
    old, ours, begun = list[OldRun](), dict[str, OurRun](), list[str]()
    handlers = {one.handler: (one.campaign, one.name) for one in decide.sequences()}
    those = {"flows": {"name": {"any_": [MAIL_FLOW, *handlers]}}}
    flows = {one["id"]: one["name"] for one in prefect.pages("/flows/filter", those)}
    beside = {one["id"] for one in stage.beside(prefect, stage.deployments(prefect))}
    for run in prefect.pages("/flow_runs/filter", those | {"sort": "ID_DESC"}):
        flow, key = flows.get(run["flow_id"], ""), str(run.get("idempotency_key") or "")
        if _is_ours(run.get("parameters") or {}):
            ours[key] = _our_run(run)
            begun += [key] if run.get("run_count") else []
        elif flow not in handlers or not _is_ordinary(run, ordinary):
            found, apart = _old_run(run, key, handlers.get(flow)), run.get("deployment_id") in beside
            # Under our deployment, as all are since the take-over began but those apart, it only waited.
            here = ordinary is not None and not apart and instant(run.get("start_time") or run["created"]) > ordinary[0]
            old.append(replace(found, apart=apart, begun=found.begun and not here))
    return old, _with_mails(prefect, ours, begun)


def _with_mails(prefect: Prefect, ours: dict[str, OurRun], begun: Iterable[str]) -> dict[str, OurRun]:
    """The same; of mails that had `begun` and are not done, with what Prefect knows of their content."""
    given = {key: ours[key].parameters for key in begun if ours[key].state not in DONE}
    names = {key: frozen.place(one["enrolment"]["key"], one["step"]) for key, one in given.items() if "step" in one}
    there = frozen.kept(prefect, names.values())
    known = {key: there[name] for key, name in names.items() if name in there}
    return ours | {key: replace(ours[key], frozen=at, accepted=accepted) for key, (at, accepted) in known.items()}


def _is_ours(given: dict[str, Any]) -> bool:
    """Whether parameters are what this release gives; by hand anybody starts a run with others, which only fails."""
    enrolment = given.get("enrolment")
    if not isinstance(enrolment, dict):
        return isinstance(given.get("payload"), dict)
    try:
        sequence = all_sequences().get((enrolment["campaign"], enrolment["sequence"]))
        found = plans.planned(plans.of(sequence, enrolment), int(given["step"])) if sequence else True
    except (CampaignError, KeyError, TypeError, ValueError):
        return False
    return bool(found) and enrolment.keys() >= PARTS


def _is_ordinary(run: dict[str, Any], ordinary: tuple[datetime, str] | None) -> bool:
    """Whether somebody signed up after the take-over began, where our workers are."""
    if ordinary is None or run.get("work_pool_name") != ordinary[1]:
        return False
    return instant(run["created"]) > ordinary[0]


def _our_run(run: dict[str, Any]) -> OurRun:
    due = run.get("next_scheduled_start_time") or run.get("expected_start_time")
    kind, name = str(run.get("state_type")), str(run.get("state_name"))
    state = run.get("state") or {}
    since, says = instant(state.get("timestamp") or run["created"]), str(state.get("message") or "")
    return OurRun(
        run["id"], kind, name, instant(run["created"]), since, instant(due) if due else None, run["parameters"], says
    )


def _old_run(run: dict[str, Any], key: str, handled: tuple[str, str] | None) -> OldRun:
    given, state = run.get("parameters") or {}, run.get("state") or {}
    kind, name = str(run.get("state_type")), str(run.get("state_name"))
    # One that waits for another try (under our deployment too) or for a place was moved; the first time stays.
    moved = kind != "SCHEDULED" or name in {"AwaitingRetry", "AwaitingConcurrencySlot"}
    due = run.get("expected_start_time") if moved else run.get("next_scheduled_start_time")
    due = due or run.get("expected_start_time") or run["created"]
    step = 0 if handled else _number(given.get("email_number"))
    sequence = handled or _sequence(given)
    since = instant(state.get("timestamp") or run["created"])
    email = str(given.get("email") or "")
    known = step and sequence in all_sequences() and step <= len(all_sequences()[sequence].steps)
    told = sequence if email and (handled or known) else None
    return OldRun(
        run["id"], email, told, step, instant(due), kind, name, since, given, key, str(run.get("work_pool_name")),
        str(state.get("message") or ""), bool(run.get("run_count")),
    )  # fmt: skip


def _number(value: Any) -> int:
    text = str(int(value) if isinstance(value, float) and value.is_integer() else value)
    return int(text) if text.isdecimal() and len(text) <= len(str(MAX_STEPS)) else 0


def _sequence(given: dict[str, Any]) -> tuple[str, str] | None:
    """The sequence of a flat mail: by its template or its type; one that names neither is of the one without a type."""
    template, kind = str(given.get("template_id") or ""), str(given.get("template_type") or "")
    for one in decide.sequences():
        named = template in one.templates if template else (one.type or "") == kind
        if named:
            return one.campaign, one.name
    return None


def _records(notion: NotionGateway) -> list[Record]:
    pages = notion.find(schema.SEQUENCE, {"property": "Email", "email": {"is_not_empty": True}})
    return [_record(page) for page in pages]


def _record(page: dict[str, Any]) -> Record:
    def text(name: str) -> str:
        return str(schema.read(page, name) or "")

    campaign, kind, key = text("Campaign"), text("Template Type"), text("Enrolment Key")
    sequence = decide.sequence_of(campaign, kind, key)
    fields = {source: name for name, source in sequence.record.items()} if sequence else {}
    created = instant(page["created_time"])
    started = _when(text(sequence.started if sequence else "Signup Date"), created)
    marks = {number: text(f"Email {number} Sent") for number in range(1, MAX_STEPS + 1)}
    return Record(
        page["id"],
        text("Email"),
        key,
        campaign,
        kind,
        started,
        {number: _when(mark, started) for number, mark in marks.items() if mark},
        {source: schema.read(page, name) for source, name in fields.items() if not source.startswith("=")},
        bool(schema.read(page, "Contact")),
        bool(schema.read(page, "Cancelled") or schema.read(page, "Sequence Completed")),
    )


def _when(mark: Any, otherwise: datetime) -> datetime:
    """A time that people may have typed: a mark that no clock reads is a mark all the same."""
    try:
        return instant(str(mark))
    except ValueError:
        return otherwise


def _contacts(notion: NotionGateway, emails: Collection[str]) -> dict[str, tuple[Contact, ...]]:
    boxes, pages = {mailbox(one) for one in emails}, dict[str, dict[str, Any]]()
    for some in batched(beginnings(emails), CONDITIONS):
        # Notion compares without regard to case.
        parts = [{"property": "Email", "email": {"starts_with": one}} for one in some]
        pages |= {page["id"]: page for page in notion.find(schema.CONTACTS, {"or": parts})}
    found = defaultdict[str, list[Contact]](list)
    for page in pages.values():
        if mailbox(contact.address(page)) in boxes:
            said, edited = contact.of([page]), instant(page["last_edited_time"])
            one = Contact(page["id"], ", ".join(said.statuses), ", ".join(said.bookings), edited)
            found[normalised(contact.address(page))].append(one)
    return {email: tuple(those) for email, those in found.items()}


def _mails(
    prefect: Prefect, settings: Settings, since: datetime, emails: set[str]
) -> tuple[dict[str, tuple[Mail, ...]], datetime]:
    """The mails to these people, and since when the list is whole."""
    found, oldest = defaultdict[str, list[Mail]](list), None
    for mail in resend_client(prefect, settings).listed(since, MOST_MAILS):
        oldest = mail["created_at"]
        for to in mail["to"] if isinstance(mail["to"], list) else [mail["to"]]:
            address = normalised(to.rpartition("<")[2].rstrip("> "))
            if address in emails:
                found[address].append(Mail(mail["id"], address, mail["subject"] or "", mail["created_at"]))
    return {to: tuple(those) for to, those in found.items()}, max(since, oldest or since)


def _subjects(notion: NotionGateway) -> dict[str, str]:
    pages = notion.find(schema.TEMPLATES, {"property": "Template Name", "title": {"is_not_empty": True}})
    return {str(schema.read(page, "Template Name")).strip(): notion.text(page, "Subject Line") for page in pages}
