"""One mail. The file to read first: what is looked at, frozen, sent and recorded, in this order.

Stopped at any point and run again, the mail is accepted by Resend once and recorded once:
the run is unique by its key at Prefect, the payload is frozen before the first try, Resend's own idempotency key covers
its 24 hours, and the mail's id is written down as soon as there is one.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from prefect import runtime
from prefect.states import Completed

from flows.campaigns.model import Sequence
from flows.campaigns.model import sequence as find_sequence
from flows.recipients import control
from flows.sending import analytics, frozen, mail, template_store
from flows.sending.templates import UnusableTemplateError
from flows.services import notion_schema as schema
from flows.services.clients import notion_client, resend_client
from flows.services.errors import NotionError
from flows.services.log import log
from flows.services.postpone import or_later, will_postpone
from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

    from flows.sending.frozen import FrozenMail
    from flows.services.notion_gateway import NotionGateway
    from flows.services.settings import Settings

# A record made this short a time ago cannot have been edited by a person; the first mail saves a call to Notion by it.
FRESH = timedelta(seconds=60)


class UncertainSendError(Exception):
    """A mail of which nobody can tell whether it went out: never sent again on a guess."""


def send(enrolment: dict[str, Any], step: int) -> State[Any]:
    """Send one step of an enrolment, or skip it with the reason.

    `enrolment` is what `enrol.described` makes: key, campaign, sequence, email, page, enrolled_at, variables.

    Raises:
        UnusableTemplateError, UncertainSendError, ResendFailedError, NotionError: what they say; the failure is in
            Email Analytics, nothing was sent that is not recorded, and it is safe to run this again.
    """
    sequence = find_sequence(enrolment["campaign"], enrolment["sequence"])
    return or_later(lambda: _one(sequence, enrolment, step))


def _one(sequence: Sequence, enrolment: dict[str, Any], step: int) -> State[Any]:
    with Prefect() as prefect:
        settings = prefect.settings()
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
        """Nothing is called yet."""
        self._prefect, self._notion, self._settings = prefect, notion, settings
        self._sequence, self._enrolment, self._step = sequence, enrolment, step
        self._resend = resend_client(prefect, settings)
        self._key = f"{enrolment['key']}:{step}"
        self._page: dict[str, Any] | None = None

    def run(self) -> State[Any]:
        """Look, freeze, send, record. Raises as `send`."""
        kept = frozen.thaw(self._prefect, self._enrolment["key"], self._step)
        if kept is None or kept.accepted is None:
            reason = self._why_not(kept)
            if kept is None and reason is None:
                kept = self._freeze()
            email_id = self._deliver(kept, reason) if kept else None
            if kept is None or email_id is None:
                return Completed(name="Skipped", message=f"skipped: {reason}")
            kept.record(self._prefect, email_id, datetime.now(UTC))
        self._write_down(kept.accepted_at or datetime.now(UTC))
        message = f"{self._sequence.step(self._step).template} sent: {kept.accepted}"
        log().info("%s; calls: Notion %d, Resend %d", message, self._notion.calls, self._resend.calls)
        return Completed(message=message)

    def _why_not(self, kept: FrozenMail | None) -> str | None:
        enrolled = datetime.fromisoformat(self._enrolment["enrolled_at"])
        first = kept is None and (runtime.flow_run.run_count or 1) <= 1
        if self._step == 1 and first and datetime.now(UTC) - enrolled < FRESH:
            return None
        self._page = self._notion.page(self._enrolment["page"])
        return control.why_not(self._page, self._sequence, self._step)

    def _freeze(self) -> FrozenMail:
        """The mail as it will be sent, however often; a template that fails is read again before it does."""
        try:
            payload = self._compose(fresh=False)
        except UnusableTemplateError:
            payload = self._compose(fresh=True)
        return frozen.freeze(self._prefect, self._enrolment["key"], self._step, payload, runtime.flow_run.id)

    def _compose(self, *, fresh: bool) -> dict[str, Any]:
        name, life = self._sequence.step(self._step).template, self._settings.number("HUBLAB_TEMPLATE_SECONDS")
        template = template_store.get(self._prefect, self._notion, self._sequence, name, fresh=fresh, life=life)
        return mail.compose(self._settings, self._sequence, self._step, self._enrolment, template)

    def _deliver(self, kept: FrozenMail, reason: str | None) -> str | None:
        """Resend's id of the mail, found or new; None when it was not sent and must not be."""
        window = timedelta(hours=self._settings.number("HUBLAB_RESEND_WINDOW_HOURS"))
        expired = datetime.now(UTC) - kept.frozen_at >= window
        if reason is None and not expired:
            return self._resend.send(kept.payload, self._key)
        found = self._resend.find(kept.payload, kept.frozen_at)
        if found is None and reason is None:
            raise UncertainSendError(
                f"{self._key}: a try of {kept.frozen_at:%Y-%m-%d %H:%M} UTC may have been accepted, Resend's "
                f"idempotency key has run out and Resend lists no such mail. Look for it at Resend. Did it go out: "
                f"set the property 'Email {self._step} Sent' in Notion and run this again. Did it not: "
                f"`python -m flows.operator.operate forget {self._key}` and run this again."
            )
        return found

    def _write_down(self, accepted: datetime) -> None:
        """The record that people read; written twice it says the same."""
        number = self._step
        wanted: dict[str, Any] = {f"Email {number} Sent": accepted.isoformat(timespec="seconds")}
        if self._page and self._all_sent(self._page, but=number):
            wanted["Sequence Completed"] = True
        try:
            page = self._notion.update(schema.SEQUENCE, self._enrolment["page"], wanted)
        except NotionError:
            if self._notion.page(self._enrolment["page"]).get("in_trash"):
                return  # a person threw the record away while the mail was on its way
            raise
        if self._all_sent(page) and not schema.read(page, "Sequence Completed"):
            self._notion.update(schema.SEQUENCE, self._enrolment["page"], {"Sequence Completed": True})

    def _all_sent(self, page: dict[str, Any], but: int = 0) -> bool:
        return all(
            step.number == but or schema.read(page, f"Email {step.number} Sent") for step in self._sequence.steps
        )

    def tell(self, error: Exception) -> None:
        """Put a failure into Email Analytics; when that fails too, the run's own error still is the first one."""
        if will_postpone(error):
            return
        try:
            analytics.failed(self._notion, self._sequence, self._step, self._enrolment["email"], error)
        except Exception as second:  # noqa: BLE001 - whatever it is, the first error must come through
            error.add_note(f"and Email Analytics could not be told: {second}")
