"""A frozen mail goes to Resend: sent once, found again when nobody saw the outcome, dropped when refused."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from flows.sending import frozen
from flows.sending.frozen import LetGoError
from flows.services.errors import ResendConflictError, ResendFailedError, ResendUnavailableError, WithheldError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flows.sending.frozen import FrozenMail
    from flows.services.prefect_api import Prefect
    from flows.services.resend_operations import ResendOperations


# Who has frozen a mail and not begun to send it has slept where it is older; a window may be set shorter.
SLEPT = timedelta(hours=1)

type Look = Callable[[], tuple[str | None, Mapping[str, Any] | None]]


class _AcceptedError(Exception):
    """Another try has had the mail accepted since."""

    def __init__(self, email_id: str) -> None:
        super().__init__(email_id)
        self.email_id = email_id


class _KeyRunOutError(Exception):
    """Another try may have sent the mail, so long ago that Resend's key holds no second one back.

    `unsent`: this one, which has frozen it, has not.
    """

    def __init__(self, *, unsent: bool) -> None:
        super().__init__()
        self.unsent = unsent


class UncertainSendError(Exception):
    """A mail of which nobody can tell whether it went out: never sent again on a guess."""


class Delivery:
    """The way of one step's mail to Resend."""

    def __init__(
        self, prefect: Prefect, resend: ResendOperations, enrolment: str, step: int, window: timedelta
    ) -> None:
        """`window` is for how long Resend surely keeps an idempotency key."""
        self._prefect, self._resend, self._window = prefect, resend, window
        self._enrolment, self._step, self._key = enrolment, step, f"{enrolment}:{step}"

    def deliver(self, kept: FrozenMail, reason: str | None, look: Look) -> str | None:
        """Send a mail, unless there is a reason not to; that Resend has it, now or since earlier, is written down.

        Args:
            kept: the mail.
            reason: why it is not to be sent, if that is known already.
            look: asked in the moment before each try for a reason, and for the mail's variable as it is now.

        Returns:
            The reason for which it was not sent; None when Resend has it.

        Raises:
            UncertainSendError: an earlier try may have sent it, and Resend does not tell any more.
            LetGoError: another try has let go of it before this one began to send, or a day went by.
            ResendFailedError: as the client of Resend.
        """
        sent, tried, unsent = None, not kept.mine, False
        if reason is None:
            try:
                sent = self._send(kept, look)
            except WithheldError as withheld:
                reason, tried = withheld.reason, tried or withheld.tried
            except _KeyRunOutError as late:
                tried, unsent = True, late.unsent
        if kept.accepted is not None:
            return None
        if sent is None and tried:
            sent = self._sent_by_another(kept) if unsent else self._resend.find(kept.payload, kept.frozen_at)
        if sent is not None:
            kept.record(self._prefect, sent, self._prefect.now())
            return None
        if unsent:  # a host slept for a day before it began to send, and nobody else has sent it
            kept.drop(self._prefect)
            raise LetGoError(f"{kept.name}: it was kept a day ago and nothing of it has been sent; it is made anew")
        if reason is None:
            raise UncertainSendError(
                f"{self._key}: a try of {kept.frozen_at:%Y-%m-%d %H:%M} UTC may have been accepted, Resend's "
                f"idempotency key has run out and Resend lists no such mail. Look for it at Resend. Did it go out: "
                f"set the property 'Email {self._step} Sent' in Notion and run this again. Did it not: "
                f"`./hublab campaign forget {self._key}` and run this again."
            )
        if not tried:
            kept.drop(self._prefect)
        return reason

    def _send(self, kept: FrozenMail, look: Look) -> str:
        sending = False

        def check() -> str | None:
            nonlocal sending
            reason = self._last(kept, look, sending=sending)
            sending = True
            return reason

        try:
            return self._resend.send(kept.payload, self._key, check)
        except _AcceptedError as accepted:
            return accepted.email_id
        except ResendConflictError:
            # Another try has sent under this key what was kept then. Has it come as far as to write it down?
            found = frozen.thaw(self._prefect, self._enrolment, self._step)
            if found is None or found.accepted is None:
                raise
            kept.accepted, kept.accepted_at = found.accepted, found.accepted_at
            return found.accepted
        except ResendFailedError as error:
            if not error.nothing_sent:
                raise
            # A definite refusal: what was wrong (the sender, the address, a quota) may be put right, and then the mail
            # is made anew. But a try before this one may have sent it, or one beside it.
            found_id = self._sent_by_another(kept)
            if found_id is None:
                kept.drop(self._prefect)
                raise
            return found_id

    def _sent_by_another(self, kept: FrozenMail) -> str | None:
        """Resend's id of a mail that another try has sent. Raises as its client.

        A key that may not list is no reason to hold on to a mail that only a try beside this one can have sent.
        """
        try:
            return self._resend.find(kept.payload, kept.frozen_at)
        except ResendUnavailableError:
            raise
        except ResendFailedError:
            if not kept.mine:
                raise
            return None

    def _last(self, kept: FrozenMail, look: Look, *, sending: bool) -> str | None:
        """The last look before a call: a reason not to send. Judged behind all waiting: a host may sleep for a day."""
        reason, now = look()
        kept.follow(now, sending=sending)
        if kept.accepted is not None:
            raise _AcceptedError(kept.accepted)
        age, unsent = self._prefect.now() - kept.frozen_at, kept.mine and not sending
        if reason is None and age >= (max(self._window, SLEPT) if unsent else self._window):
            raise _KeyRunOutError(unsent=unsent)
        return reason
