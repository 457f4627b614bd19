"""Resend, by its REST API: what was accepted, for whom, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from e2e.errors import AwayError
from e2e.letter import parsed as parsed_letter
from e2e.letter import several
from e2e.outside.api import Api, moment

if TYPE_CHECKING:
    from e2e.letter import Letter
    from e2e.target import Target

_PAGE = 100
_MARGIN = timedelta(minutes=2)


@dataclass(frozen=True)
class Sent:
    """A mail that was accepted; `event` is the last that Resend saw of it, `copied` who is in cc and bcc."""

    id: str
    to: tuple[str, ...]
    subject: str
    accepted: datetime
    event: str
    copied: tuple[str, ...] = ()


class Resend:
    """The team's account."""

    def __init__(self, target: Target) -> None:
        """The key that `.env` names."""
        headers = {"Authorization": f"Bearer {target['RESEND_API_KEY']}", "User-Agent": "hublab-e2e"}
        self.api = Api("Resend", target["HUBLAB_RESEND_URL"], headers)

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

    def letter(self, mail: str) -> Letter:
        """A mail as Resend took it, without the headers that only its reader sees. Raises AwayError."""
        return parsed_letter(self.api.ask("GET", f"/emails/{mail}"))

    def ping(self) -> None:
        """Ask for the sending domains. Raises AwayError."""
        self.api.ask("GET", "/domains")


def parsed(raw: dict[str, Any]) -> Sent:
    """A mail of Resend's list as this module shows it. Pure. Raises AwayError."""
    accepted = moment(raw.get("created_at"))
    if accepted is None:
        raise AwayError(f"Resend: the mail {raw.get('id')} has no created_at")
    to, *copied = (tuple(one.lower() for one in several(raw.get(name))) for name in ("to", "cc", "bcc"))
    event = raw.get("last_event") or ""
    return Sent(str(raw["id"]), to, str(raw["subject"]), accepted, event, copied=copied[0] + copied[1])
