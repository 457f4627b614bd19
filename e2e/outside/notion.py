"""Notion, by its REST API: the templates, and the records of enrolments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from e2e.outside import workspace
from e2e.outside.api import Api, moment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from e2e.target import Target

VERSION = "2025-09-03"
TEMPLATES, SEQUENCE = "Email Templates", "Email Sequence"
_MOST_STEPS = 7


@dataclass(frozen=True)
class Template:
    """A mail's template: its subject and its HTML, variables as `{{name}}`."""

    subject: str
    html: str


@dataclass(frozen=True)
class Page:
    """An enrolment's page. `sent`: step → the value of `Email n Sent`; `values`: property → text."""

    url: str
    to: str
    completed: bool
    sent: dict[int, datetime] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)


class Notion:
    """The workspace."""

    def __init__(self, target: Target) -> None:
        """The token and the databases that `.env` names, and what is called how there.

        Raises:
            RefusedError: as `workspace.read`.
        """
        self._there = workspace.read(target.source.parent)
        headers = {"Authorization": f"Bearer {target['NOTION_TOKEN']}", "Notion-Version": VERSION}
        self.api = Api("Notion", f"{target['HUBLAB_NOTION_URL']}/v1", headers)
        self._templates, self._sequence = target["NOTION_EMAIL_TEMPLATES_DB_ID"], target["NOTION_EMAIL_SEQUENCE_DB_ID"]
        self._sources: dict[str, str] = {}

    def templates(self) -> dict[str, Template]:
        """All templates by name. Raises AwayError."""
        found = {}
        for page in self._query(self._templates, {}):
            values = self._there.values(TEMPLATES, page)
            found[values["Template Name"]] = Template(values["Subject Line"], values["Email Body HTML"])
        return found

    def enrolments(self, tag: str) -> list[Page]:
        """The pages of a run's enrolments: those whose address has the run's tag. Raises AwayError."""
        wanted = {"filter": self._there.asked(SEQUENCE, "Email", "contains", tag)}
        return [parsed(page, self._there) for page in self._query(self._sequence, wanted)]

    def ping(self) -> None:
        """Ask who the token belongs to. Raises AwayError."""
        self.api.ask("GET", "/users/me")

    def _query(self, database: str, wanted: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if database not in self._sources:
            self._sources[database] = self.api.ask("GET", f"/databases/{database}")["data_sources"][0]["id"]
        path, cursor = f"/data_sources/{self._sources[database]}/query", dict[str, str]()
        while True:
            answer = self.api.ask("POST", path, {**wanted, "page_size": 100, **cursor})
            yield from answer["results"]
            if not answer.get("has_more"):
                return
            cursor = {"start_cursor": answer["next_cursor"]}


def parsed(page: dict[str, Any], there: workspace.Workspace) -> Page:
    """An enrolment's page as this module shows it. Pure."""
    values = there.values(SEQUENCE, page)
    noted = {step: moment(values.get(f"Email {step} Sent")) for step in range(1, _MOST_STEPS + 1)}
    return Page(
        url=str(page.get("url") or f"https://www.notion.so/{page['id'].replace('-', '')}"),
        to=values.get("Email", "").lower(),
        completed=values.get("Sequence Completed") == "True",
        sent={step: at for step, at in noted.items() if at},
        values=values,
    )
