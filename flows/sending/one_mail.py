"""One mail. The file to read first: what is looked at, frozen, sent and recorded, in this order.

Stopped at any point and run again, the mail is accepted by Resend once and recorded once:
the run is unique by its key at Prefect, one payload is frozen before the first try, Resend's own idempotency key covers
its 24 hours, and the mail's id is written down as soon as there is one. Who has left is looked up last.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from prefect import runtime
from prefect.states import Completed

from flows.campaigns import plan as plans
from flows.campaigns.model import sequence as find_sequence
from flows.recipients import confirmation, contact, control, edits, suppression
from flows.sending import ahead, analytics, frozen, mail, pacing, template_store
from flows.sending.delivery import Delivery
from flows.sending.templates import UnusableTemplateError
from flows.services import notion_schema as schema
from flows.services.clients import NOTION, notion_client, resend_client
from flows.services.errors import NotionError
from flows.services.log import log
from flows.services.postpone import NotYetError, or_later, will_postpone
from flows.services.prefect_api import NOTION_LIMIT, Prefect

if TYPE_CHECKING:
    from datetime import datetime

    from prefect.client.schemas.objects import State

    from flows.campaigns.model import Sequence
    from flows.sending.frozen import FrozenMail
    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Artifact
    from flows.services.settings import Settings

# How soon a mail looks again for one that must go before it.
TURN = timedelta(minutes=5)
LONGEST_WINDOW = 23  # hours: Resend keeps an idempotency key 24, whatever the setting says
PAUSE = timedelta(minutes=15)  # the same for a run that finds the campaign paused: few do, see `operate.pause`


def send(enrolment: dict[str, Any], step: int) -> State[Any]:
    """Send one step of an enrolment, or skip it with the reason.

    `enrolment` is what `enrol.described` makes: key, campaign, sequence, email, page, enrolled_at, plan, testing,
    confirm, made, variables.

    Raises:
        UnusableTemplateError, UnreadableRecordError, UncertainSendError, ResendFailedError, NotionError: what they
            say; the failure is in Email Analytics, nothing was sent that is not recorded; safe to run again.
    """
    sequence = find_sequence(enrolment["campaign"], enrolment["sequence"])
    return or_later(lambda: _one(sequence, enrolment, step))


def _one(sequence: Sequence, enrolment: dict[str, Any], step: int) -> State[Any]:
    with Prefect() as prefect:
        place, booked = frozen.place(enrolment["key"], step), edits.booked_name(enrolment["email"])
        settings = prefect.settings(*NOTION, place, ahead.LIST, edits.SEEN, booked)
        if settings.paused:
            raise NotYetError(prefect.now() + PAUSE, "the campaign is paused; `./hublab campaign resume`")
        with notion_client(prefect, settings) as notion:
            sending = Sending(prefect, notion, settings, sequence, enrolment, step)
            try:
                return sending.run()
            except Exception as error:
                sending.tell(error)
                raise


class Sending:
    """One mail on its way."""

    def __init__(  # noqa: PLR0913 - what a mail needs
        self,
        prefect: Prefect,
        notion: NotionGateway,
        settings: Settings,
        sequence: Sequence,
        enrolment: dict[str, Any],
        step: int,
    ) -> None:
        """Nothing is called yet. Raises CampaignError when the enrolment has no such step."""
        self._prefect, self._notion, self._settings = prefect, notion, settings
        self._sequence, self._enrolment = sequence, enrolment
        self._resend = resend_client(prefect, settings, NOTION_LIMIT)
        self._key = f"{enrolment['key']}:{step}"
        self._plan = plans.of(sequence, enrolment)
        self._mail = plans.planned(self._plan, step)
        self._page: dict[str, Any] | None = None

    def run(self) -> State[Any]:
        """Look, freeze, send, record. Raises as `send`."""
        key, step, reason = self._enrolment["key"], self._mail.number, None
        late = self._prefect.now() - self._mail.due > frozen.ARCHIVED_AFTER
        kept = frozen.thaw(self._prefect, key, step, read=self._settings.beside, late=late)
        if kept is None or kept.accepted is None:
            reason = self._why_not()
            if reason is None:
                self._wait_for_the_day()
            if kept is None and reason is None:
                self._wait_for_its_turn()
                kept = self._freeze()
        if kept is not None and kept.accepted is None:  # what another try has frozen may have been sent by it as well
            window = timedelta(hours=min(self._settings.number("HUBLAB_RESEND_WINDOW_HOURS"), LONGEST_WINDOW))
            reason = Delivery(self._prefect, self._resend, key, step, window).deliver(kept, reason, self._last_look)
        if kept is None or kept.accepted is None:
            log().warning("%s skipped: %s", self._key, reason)
            return Completed(name="Skipped", message=f"skipped: {reason}")
        self._write_down(kept.accepted_at or self._prefect.now())
        message = f"{self._mail.template} sent: {kept.accepted}"
        log().info("%s; calls: Notion %d, Resend %d", message, self._notion.calls, self._resend.calls)
        return Completed(message=message)

    def _last_look(self) -> tuple[str | None, Any]:
        """Who has left, and the mail's own variable, with one answer."""
        name = frozen.place(self._enrolment["key"], self._mail.number)
        reason, beside = suppression.look(self._prefect, self._enrolment["email"], self._sequence, name)
        return reason, beside.get(name)

    def _why_not(self) -> str | None:
        if self._mail.template in self._sequence.retired:
            return f"{self._mail.template} is retired from its campaign"
        late = self._prefect.now() - (self._quiet_until(self._mail.due) or self._mail.due)
        if self._sequence.expires is not None and late > self._sequence.expires:
            return f"no longer worth sending: it was due on {self._mail.due:%Y-%m-%d %H:%M} UTC"
        if confirmation.lacking(self._prefect, self._sequence, self._enrolment, self._mail.number):
            return "the enrolment is not confirmed"
        email, now = self._enrolment["email"], self._prefect.now()
        kept = self._settings.beside
        if not ahead.cleared(kept.get(ahead.LIST), self._enrolment, self._mail.number, now):
            page = self._page = self._notion.page(schema.SEQUENCE, self._enrolment["page"])
            state = contact.state(self._notion, page, email)
            if reason := control.why_not(page, state, self._sequence, self._mail.number):
                return reason
        return edits.why_not(self._prefect, self._notion, self._sequence, self._enrolment, kept, now)

    def _wait_for_the_day(self) -> None:
        """Keep the sequence's quiet hours. Raises NotYetError."""
        until = self._quiet_until(self._prefect.now())
        if until is not None:
            raise NotYetError(until, "the quiet hours are not over")

    def _quiet_until(self, when: datetime) -> datetime | None:
        """The end of the quiet hours that a time falls into; None for none, and in testing mode."""
        quiet = None if self._enrolment.get("testing") else self._sequence.quiet
        return quiet.until(when, self._settings.zone) if quiet is not None else None

    def _wait_for_its_turn(self) -> None:
        """Keep the order of a person's mails that are due, and a gap between them. Raises NotYetError."""
        now, number = self._prefect.now(), self._mail.number
        if self._enrolment.get("testing") or self._page is None or now < self._mail.due:
            return
        earliest = pacing.after_the_last(self._page, self._plan, number)
        if earliest is not None and earliest > now:
            raise NotYetError(earliest, "the mail before it went out only just now")
        for one in pacing.still_to_come(self._page, self._plan, number):
            run = self._prefect.run_of(f"{self._enrolment['key']}:{one.number}")
            if run is not None and run.state is not None and not run.state.is_final():
                raise NotYetError(now + TURN, f"{one.template}, which comes before it, has not gone out yet")

    def _freeze(self) -> FrozenMail:
        """The mail as it will be sent, however often; a template that fails is read again before it does."""
        key, number = self._enrolment["key"], self._mail.number
        name, shelf = frozen.place(key, number), template_store.shelf(self._sequence)
        since = self._prefect.now()
        found = self._prefect.artifacts([name, shelf])
        templates = next(iter(found[shelf]), None)
        try:
            payload = self._compose(templates, fresh=False)
        except UnusableTemplateError:
            payload = self._compose(templates, fresh=True)
        return frozen.freeze(self._prefect, key, number, payload, runtime.flow_run.id, found[name], since)

    def _compose(self, kept: Artifact | None, *, fresh: bool) -> dict[str, Any]:
        life = self._settings.number("HUBLAB_TEMPLATE_SECONDS")
        template = template_store.get(
            self._prefect, self._notion, self._sequence, self._mail.template, kept, fresh=fresh, life=life
        )
        return mail.compose(self._settings, self._sequence, self._mail.number, self._enrolment, template)

    def _write_down(self, accepted: datetime) -> None:
        """The record that people read; written twice it says the same."""
        number = self._mail.number
        wanted: dict[str, Any] = {f"Email {number} Sent": accepted.isoformat(timespec="seconds")}
        if self._all_sent(self._page, but=number) if self._page else self._others_accepted():
            wanted["Sequence Completed"] = True
        try:
            page = self._notion.update(schema.SEQUENCE, self._enrolment["page"], wanted)
        except NotionError:
            if self._notion.page(schema.SEQUENCE, self._enrolment["page"]).get("in_trash"):
                return  # a person threw the record away while the mail was on its way
            raise
        if self._all_sent(page) and not schema.read(page, "Sequence Completed"):
            self._notion.update(schema.SEQUENCE, self._enrolment["page"], {"Sequence Completed": True})

    def _all_sent(self, page: dict[str, Any], but: int = 0) -> bool:
        return all(one.number == but or schema.read(page, f"Email {one.number} Sent") for one in self._plan)

    def _others_accepted(self) -> bool:
        """Of the last mail, whose record was not read: whether Resend has all others, as Prefect knows."""
        if self._mail != self._plan[-1]:
            return False
        key, late = self._enrolment["key"], self._prefect.now() - frozen.ARCHIVED_AFTER
        others = {frozen.place(key, one.number): one.due for one in self._plan[:-1]}
        old = [name for name, due in others.items() if due < late]
        missing = sorted(others.keys() - (frozen.archived(self._prefect, old) if old else ()))
        known = self._prefect.variables(missing) if missing else {}
        return all((known.get(name) or {}).get("accepted") for name in missing)

    def tell(self, error: Exception) -> None:
        """Put a failure into Email Analytics; when that fails too, the run's own error still is the first one."""
        if will_postpone(error):
            return
        try:
            analytics.failed(self._notion, self._sequence, self._mail, self._enrolment["email"], error)
        except Exception as second:  # noqa: BLE001 - whatever it is, the first error must come through
            error.add_note(f"and Email Analytics could not be told: {second}")
