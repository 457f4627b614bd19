"""Looks at the outside again and again, until every mail has arrived or is known to be lost."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from e2e import diagnose, notice, webhooks
from e2e.contract import sequences
from e2e.errors import AwayError

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.outside import Outside
    from e2e.record import Record
    from e2e.target import Target

LOOK_SECONDS = 2.0
# Notion allows 180 calls a minute, and the flows need them.
NOTION_LOOKS = 5


class Watch:
    """One run's looks at the services."""

    def __init__(self, outside: Outside, record: Record, tag: str, say: Callable[[str], None]) -> None:
        """`tag` is in each of the run's addresses; `say` tells the operator what is new."""
        self._outside, self._record, self._tag, self._say = outside, record, tag, say
        self._trouble: dict[str, str] = {}
        self._said = (-1, -1)
        if outside.mailbox:
            record.mailbox = str(outside.mailbox.place)
            for mail in record.mails:
                mail.arrivals = 0

    def until_settled(self, patience: float) -> None:
        """Look until there is nothing more to wait for.

        Args:
            patience: How many seconds a mail may stand at one hop before it counts as lost there.
        """
        looks = 0
        while True:
            self.look(notion=looks % NOTION_LOOKS == 0)
            looks += 1
            now = datetime.now(UTC)
            if diagnose.settled(self._record, now, patience):
                self.look(notion=True)
                if diagnose.settled(self._record, now, patience):
                    return
            time.sleep(LOOK_SECONDS)

    def look(self, *, notion: bool) -> None:
        """Ask each service once; one that is away is asked again at the next look, and the operator is told once."""
        record, outside = self._record, self._outside
        self._try("Prefect", lambda: notice.runs(record.enrolments, outside.prefect.runs_since(record.began)))
        self._try("Resend", self._mails)
        if outside.mailbox and any(mail.accepted for mail in record.mails):
            self._try("mailbox", self._mailbox)
        if notion or record.delivered == len(record.mails):
            self._try("Notion", lambda: notice.pages(record.enrolments, outside.notion.enrolments(self._tag)))
        self._tell()

    def _mails(self) -> None:
        record, resend = self._record, self._outside.resend
        found = resend.sent_since(record.began)
        notice.sent(record.enrolments, found, datetime.now(UTC))
        for mail in record.mails:
            if mail.resend_id and mail.letter is None:
                mail.letter = resend.letter(mail.resend_id)

    def _mailbox(self) -> None:
        if self._outside.mailbox:
            notice.arrived(self._record.enrolments, self._outside.mailbox.since(self._record.began, self._tag))

    def _try(self, service: str, look: Callable[[], None]) -> None:
        try:
            look()
        except AwayError as error:
            if service not in self._trouble:
                self._say(f"{error}; it is asked again")
            self._trouble[service] = str(error)
        else:
            self._trouble.pop(service, None)

    def _tell(self) -> None:
        counts = sum(mail.accepted is not None for mail in self._record.mails), self._record.delivered
        if counts != self._said:
            self._said = counts
            self._say(f"{counts[0]} sent, {counts[1]} delivered of {len(self._record.mails)}")

    def blind(self) -> list[str]:
        """What could not be seen at the last look."""
        return [f"The last look did not show everything: {trouble}." for trouble in self._trouble.values()]

    def strangers(self, target: Target) -> list[str]:
        """Mails of this time that went to another than the one address; whose, is not shown."""
        try:
            found = self._outside.resend.sent_since(self._record.began)
        except AwayError as error:
            return [f"Whether a mail went to another address is not known: {error}."]
        began = self._record.began
        others = [
            one for one in found if one.accepted >= began and not all(map(target.is_mailbox, one.to + one.copied))
        ]
        return [f"The mail {one.id} at Resend went to another address than {target.mailbox}." for one in others]

    def facts(self, target: Target) -> dict[str, list[str]]:
        """What is wrong at each hop right now, as far as it can be asked from outside."""
        outside = self._outside
        found = {"webhook": list(webhooks.health(target).trouble)}
        try:
            obstacles = outside.prefect.obstacles()
        except AwayError as error:
            obstacles = [str(error)]
        found |= dict.fromkeys(("worker", "handler", "schedule"), obstacles)
        if not found["webhook"]:
            # The webhooks are well and hold nothing: then nothing was ever posted, or Prefect has lost what it took.
            found["webhook"] = ["the webhooks are well and hold nothing: did the page post to them?", *obstacles]
        pings = {"Notion": outside.notion.ping, "Resend": outside.resend.ping}
        if outside.mailbox:
            pings["mailbox"] = outside.mailbox.ping
        for hop, ping in pings.items():
            try:
                ping()
            except AwayError as error:
                found[hop] = [str(error)]
        return found


def minutes(record: Record) -> float:
    """How long it takes at least, in seconds, until the last mail is due."""
    longest = (sequences()[one.sequence].after(len(one.mails), record.minute) for one in record.enrolments)
    return max(span.total_seconds() for span in longest)
