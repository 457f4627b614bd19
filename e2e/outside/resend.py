"""Resend, by its REST API: what was accepted, for whom, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from e2e.errors import AwayError
from e2e.outside.api import Api, moment

if TYPE_CHECKING:
    from e2e.target import Target

_PAGE = 100
_MARGIN = timedelta(minutes=2)


@dataclass(frozen=True)
class Sent:
    """A mail that was accepted; `event` is the last that Resend saw of it."""

    id: str
    to: tuple[str, ...]
    subject: str
    accepted: datetime
    event: str


class Resend:
    """The team's account."""

    def __init__(self, target: Target) -> None:
        """The key that `.env` names."""
        headers = {"Authorization": f"Bearer {target['RESEND_API_KEY']}", "User-Agent": "hublab-e2e"}
        self.api = Api("Resend", target["HUBLAB_RESEND_URL"], headers)
        self._bodies: dict[str, str] = {}

    def sent_since(self, began: datetime) -> list[Sent]:
        """What was accepted after a moment, the oldest first. Raises AwayError."""
        found: list[Sent] = []
        after: dict[str, str] = {}
        while True:
            answer = self.api.ask("GET", "/emails", limit=_PAGE, **after)
            page = [parsed(raw) for raw in answer["data"]]
            found += [one for one in page if one.accepted >= began - _MARGIN]
            if not page or page[-1].accepted < began - _MARGIN or not answer.get("has_more"):
                return sorted(found, key=lambda one: one.accepted)
            after = {"after": page[-1].id}

    def body(self, mail: str) -> str:
        """The HTML of a mail; asked for once. Raises AwayError."""
        if mail not in self._bodies:
            self._bodies[mail] = self.api.ask("GET", f"/emails/{mail}").get("html") or ""
        return self._bodies[mail]

    def ping(self) -> None:
        """Ask for the sending domains. Raises AwayError."""
        self.api.ask("GET", "/domains")


def parsed(raw: dict[str, Any]) -> Sent:
    """A mail of Resend's list as this module shows it. Pure. Raises AwayError."""
    accepted = moment(raw.get("created_at"))
    if accepted is None:
        raise AwayError(f"Resend: the mail {raw.get('id')} has no created_at")
    to = raw["to"] if isinstance(raw["to"], list) else [raw["to"]]
    return Sent(
        str(raw["id"]), tuple(one.lower() for one in to), str(raw["subject"]), accepted, raw.get("last_event") or ""
    )
