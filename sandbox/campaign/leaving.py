"""People who unsubscribe in the midst of a storm, by the link of their mails; and whether one got a mail after it.

From when on nothing may go out: a run that begins after Prefect has the record finds it there. A mail whose run looked
before may still be on its way to Resend.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from flows.recipients import suppression, unsubscribe

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from random import Random

    from sandbox.campaign.core import Campaign

CAUSE = "Unsubscribed"
_CHANCE = 0.3  # at each look, so that some leave before their first mail and some after their last


@dataclass
class Leavers:
    """Who is to leave, by address: the enrolment's key; and since when they have been told that they have."""

    campaign: Campaign
    wanted: dict[str, str] = field(default_factory=dict)
    told: dict[str, datetime] = field(default_factory=dict)

    @property
    def keys(self) -> set[str]:
        """The enrolments of who was told that he has left."""
        return {self.wanted[email] for email in self.told}

    def some(self, dice: Random) -> None:
        """Some of them leave, or try to."""
        for email in sorted(set(self.wanted) - set(self.told)):
            if dice.random() < _CHANCE:
                self._leave(email)

    def all(self, seconds: float) -> None:
        """Whoever has not left yet does; nobody waits longer than so many seconds for an answer."""
        deadline = time.monotonic() + seconds
        while (left := set(self.wanted) - set(self.told)) and time.monotonic() < deadline:
            for email in sorted(left):
                self._leave(email)
            time.sleep(1)

    def _leave(self, email: str) -> None:
        """One click; who gets no answer, or another than 202, clicks again later."""
        settings = self.campaign.environment
        link = unsubscribe.url(settings["HUBLAB_PUBLIC_URL"], settings["UNSUBSCRIBE_SECRET"], email)
        try:
            answer = httpx.post(link, timeout=30, trust_env=False)
        except httpx.TransportError:
            return
        if answer.status_code == httpx.codes.ACCEPTED:
            self.told[email] = datetime.now(UTC)

    def recorded(self, variables: Iterable[Mapping[str, Any]]) -> dict[str, datetime]:
        """Since when Prefect knows it, by address, from its variables."""
        created = {one["name"]: datetime.fromisoformat(one["created"]) for one in variables}
        names = {email: suppression.record_name(email, CAUSE) for email in self.told}
        return {email: created[name] for email, name in names.items() if name in created}


def too_late(accepted: datetime, begun: Iterable[datetime], recorded: datetime) -> bool:
    """Whether a mail went to somebody who had left. Pure.

    Args:
        accepted: When Resend took it.
        begun: When its run was begun, each time.
        recorded: Since when Prefect knew that its recipient had left.
    """
    last = max((one for one in begun if one < accepted), default=accepted)
    return accepted > recorded and last > recorded
