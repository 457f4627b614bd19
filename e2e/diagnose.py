"""Which hop a mail did not pass, and why: never "timed out". Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING

from e2e.record import ARRIVED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from e2e.record import Enrolment, Mail, Record

_ENDED_BADLY = frozenset({"Failed", "Cancelled", "TimedOut", "Skipped"})
_UNDELIVERABLE = frozenset({"bounced", "complained", "failed", "suppressed", "canceled"})
# Whose fault a state's message tells. Only Notion and Resend make a run wait to be tried again.
_RESEND = re.compile(r"resend|UncertainSend|^postponed: (send|get|list|domains):", re.IGNORECASE)
_NOTION = re.compile(r"notion|template|^postponed:", re.IGNORECASE)


@dataclass(frozen=True)
class Stand:
    """Where a mail is: at which hop, since when it may be expected to pass it, and whether it is lost for certain.

    `hop` is empty when it passed all; `since` is in the future while it is not due. Where nobody tells since when, it
    is not waited for.
    """

    hop: str
    words: str = ""
    since: datetime | None = None
    final: bool = False

    def lost(self, now: datetime, patience: float) -> bool:
        """Whether it is lost, or has been waited for long enough: `patience` is in seconds."""
        overdue = self.since is None or (now - self.since).total_seconds() > patience
        return bool(self.hop) and (self.final or overdue)


def stand(one: Enrolment, mail: Mail) -> Stand:
    """Where a mail is, by what was seen of it."""
    return _enrolled(one) or _scheduled(one, mail) or _run(mail) or _sent(one, mail)


def _enrolled(one: Enrolment) -> Stand | None:
    """The hops before there can be a run for the mail."""
    if one.refused_at:
        return Stand(one.refused_at, one.refusal, final=True)
    if not one.handler_id:
        answer = "the page thanked for the answers" if one.entry == "form" else "the webhook answered 202"
        return Stand("webhook", f"{answer}, and Prefect has no run of its handler", one.answered)
    state = f"its handler's run is {one.handler_state}{_because(one.reason)}"
    if one.handler_state in _ENDED_BADLY:
        return Stand(_blamed(one.reason, "handler"), state, final=True)
    if one.handler_state == "Completed":
        return None
    if one.handler_started is None:
        return Stand("worker", f"{state} and was not started", one.answered)
    return Stand(_blamed(one.reason, "handler"), state, one.handler_started)


def _scheduled(one: Enrolment, mail: Mail) -> Stand | None:
    if not mail.run_id:
        words = "its handler's run is Completed, and Prefect has no run of this mail"
        return Stand("schedule", words, one.handler_ended)
    if mail.started is None and mail.state not in _ENDED_BADLY:
        return Stand("worker", f"its run is {mail.state} and was not started", mail.due)
    return None


def _run(mail: Mail) -> Stand | None:
    if mail.accepted is not None:
        return None
    words = f"its run is {mail.state}{_because(mail.reason)}"
    if mail.state in _ENDED_BADLY:
        return Stand(_blamed(mail.reason, "worker"), words, final=True)
    if mail.state == "Completed":
        return Stand("Resend", f"{words}, and Resend lists no mail of it", mail.ended)
    return Stand(_blamed(mail.reason, "worker"), words, mail.started)


def _sent(one: Enrolment, mail: Mail) -> Stand:
    if mail.event in _UNDELIVERABLE:
        return Stand("delivery", f"Resend accepted it, and it is {mail.event}", final=True)
    if mail.event not in ARRIVED:
        since = f"the last that Resend saw of it is {mail.event!r}" if mail.event else "Resend saw nothing of it since"
        return Stand("delivery", f"Resend accepted it, and {since}", mail.accepted)
    if not mail.in_mailbox:
        return Stand("mailbox", "Resend says that it was delivered, and the mailbox does not hold it", mail.accepted)
    if mail.noted is None:
        where = f"'Email {mail.step} Sent' is empty" if one.page else "there is no page of its enrolment"
        run = "" if mail.state == "Completed" else f"; its run is {mail.state}{_because(mail.reason)}"
        return Stand("Notion", f"it was delivered, and in Notion {where}{run}", mail.accepted)
    all_noted = all(other.noted for other in one.mails)
    if mail is one.mails[-1] and all_noted and not one.completed:
        return Stand("Notion", "all were sent, and the page in Notion is not completed", mail.accepted)
    return Stand("")


def _because(reason: str) -> str:
    return f" ({' '.join(reason.split())[:300]})" if reason else ""


def _blamed(reason: str, otherwise: str) -> str:
    if _RESEND.search(reason):
        return "Resend"
    return "Notion" if _NOTION.search(reason) else otherwise


def settled(record: Record, now: datetime, patience: float) -> bool:
    """Whether every mail arrived and is recorded, or is lost."""
    found = [stand(one, mail) for one in record.enrolments for mail in one.mails]
    return all(not each.hop or each.lost(now, patience) for each in found)


def diagnose(record: Record, facts: Mapping[str, list[str]]) -> list[str]:
    """Name the hop that each mail did not pass, in the mail and in sentences: one for all mails of the same fate.

    Args:
        record: What was seen; its mails are given their `lost_at`.
        facts: Hop → what is known to be wrong there, in sentences with a remedy.
    """
    sentences = []
    for one in record.enrolments:
        for (hop, words), mails in _fates(one):
            known = "; ".join(facts.get(hop, []))
            sentences.append(
                f"{one.sequence} {_numbers(mails)}: lost at the hop “{hop}”: {words.rstrip('.')}"
                + (f". There: {known}." if known else ".")
            )
    return sentences


def _fates(one: Enrolment) -> Iterator[tuple[tuple[str, str], list[Mail]]]:
    stands = []
    for mail in one.mails:
        found = stand(one, mail)
        mail.lost_at = found.hop
        if found.hop:
            stands.append((found, mail))
    for (hop, words), group in groupby(stands, lambda pair: (pair[0].hop, pair[0].words)):
        yield (hop, words), [mail for _, mail in group]


def _numbers(mails: list[Mail]) -> str:
    first, last = mails[0].step, mails[-1].step
    return f"{first}" if first == last else f"{first} to {last}"
