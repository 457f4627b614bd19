"""Somebody in the campaign, and who works in its Notion; in memory."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from flows.enrolment import enrol
from flows.recipients import edits
from flows.sending import ahead, one_mail
from flows.services import notion_schema as schema
from flows.services.notion_mapping import NotionMapping
from sandbox.campaign.contacts import PAYLOADS
from sandbox.standins.workspace import TEMPLATES, put_template
from tests.flows.in_memory import Services, Try, installed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from flows.services.prefect_api import Prefect as RealPrefect
    from tests.flows.in_memory import Prefect

EMAIL = "ada.lovelace@gmail.com"
SAME = [EMAIL, "Ada.Lovelace@Gmail.com", "adalovelace@gmail.com", "ada.lovelace+x@googlemail.com"]


class Campaign:
    """Somebody in the campaign, and who works in its Notion."""

    def __init__(self, services: Services, prefect: Prefect) -> None:
        self.all, self.prefect = services, cast("RealPrefect", prefect)
        for name, line in TEMPLATES.items():
            body = f"<p>{line}<a href='{{{{unsubscribe_url}}}}'>x</a></p>"
            put_template(services.notion, services.sources[schema.TEMPLATES], name, f"{name}: a word", body)

    def enrols(self, sequence: str = "signup", email: str = EMAIL) -> dict[str, Any]:
        at = self.all.clock.now().isoformat()
        state = enrol.enrol("christmas", sequence, PAYLOADS[sequence] | {"email": email}, at)
        assert state.name == "Completed", state.message
        return cast("dict[str, Any]", list(self.all.runs.values())[-1].parameters["enrolment"])

    def contact(self, email: str, **more: Any) -> dict[str, Any]:
        return self.all.notion.create_page(self.all.sources[schema.CONTACTS], self.written(Email=email, **more))

    def edit(self, page: dict[str, Any], **more: Any) -> None:
        self.all.notion.update_page(page["id"], {"properties": self.written(**more)})

    def written(self, **more: Any) -> dict[str, Any]:
        values = {name.replace("_", " "): value for name, value in more.items()}
        return NotionMapping().written(schema.CONTACTS, values)

    def retype(self, kind: str, name: str, block: str = schema.CONTACTS) -> None:
        """Make a property one of another kind, as a person does; Notion takes over nothing of what it showed."""
        self.all.sources[block].schema[name] = {kind: {}}
        for page in self.all.notion.pages.values():
            if page["source"] == self.all.sources[block].id:
                page["values"].pop(name, None)

    def put(self, page: dict[str, Any], name: str, value: Any) -> None:
        """Show a value that no program may write."""
        self.all.notion.page(page["id"])["values"][name] = value
        self.all.notion.update_page(page["id"], {})

    def send(self, enrolment: dict[str, Any], step: int = 2) -> str:
        """What became of a mail, in words; empty when it was sent."""
        before = len(self.all.resend.mails)
        state = one_mail.send(enrolment, step)
        assert (len(self.all.resend.mails) > before) is (state.name == "Completed"), state
        return "" if state.name == "Completed" else str(state.message)

    def look(self, **more: Any) -> int:
        notion = self.all.gateway()
        return edits.look(self.prefect, notion, more.pop("now", self.all.clock.now()), **more).gone


@pytest.fixture
def campaign() -> Iterator[Campaign]:
    services = Services()
    with installed(services) as prefect:
        yield Campaign(services, prefect)


class Read(Campaign):
    """With a reader that looks once a minute."""

    def looks(self) -> None:
        """Once, as the reader does."""
        ahead.look(self.prefect, self.all.gateway(), self.all.clock.now())

    def until(self, when: datetime) -> None:
        """Time passes, and the reader looks each minute of the last five."""
        self.all.clock.at = max(self.all.clock.at, when - timedelta(minutes=5))
        while self.all.clock.at < when:
            self.looks()
            self.all.clock.advance(min(60, (when - self.all.clock.at).total_seconds()))

    def calls(self, enrolment: dict[str, Any], step: int) -> list[str]:
        """The calls to Notion of a mail that goes out."""
        mine = Try({})
        self.all.tries.append(mine)
        try:
            assert self.send(enrolment, step) == ""
        finally:
            self.all.tries.pop()
        return [one for one in mine.calls if one.startswith("notion")]


@pytest.fixture
def campaign_read_ahead(monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
    services = Services()

    def due(_: Any, until: datetime) -> list[dict[str, Any]]:
        there = [run for run in services.runs.values() if run.state.is_pending() and run.due < until]
        return [{"parameters": run.parameters} for run in there][: ahead.MOST]

    monkeypatch.setattr(ahead, "due", due)
    with installed(services) as prefect:
        yield Read(services, prefect)
