"""A workspace whose properties are called otherwise is read by `notion.toml`, as the flows write it."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from e2e.errors import RefusedError
from e2e.outside import notion, workspace
from flows.services import notion_schema as schema
from flows.services.notion_mapping import NotionMapping
from sandbox.standins.clock import Clock
from sandbox.standins.notion_store import NotionStore

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
["Email Templates"]
"Template Name" = "Vorlage"
"Subject Line" = "Betreff"
["Email Sequence"]
"Email" = { name = "Adresse", kind = "rich_text" }
"First Name" = { name = "Vorname", kind = "title" }
"Business Name" = false
"Segment" = { name = "Gruppe", kind = "status", options = { CRITICAL = "Kritisch", OPTIMIZE = false } }
"Email 2 Sent" = { name = "Zweite", kind = "rich_text" }
"""
KINDS: dict[str, dict[str, dict[str, Any]]] = {
    "Email Templates": {"Vorlage": {"title": {}}, "Betreff": {"rich_text": {}}, "Email Body HTML": {"rich_text": {}}},
    "Email Sequence": {
        "Adresse": {"rich_text": {}},
        "Vorname": {"title": {}},
        "Gruppe": {"status": {"options": [{"name": "Kritisch"}, {"name": "Sonst"}]}},
        "Email 1 Sent": {"date": {}},
        "Zweite": {"rich_text": {}},
        "Sequence Completed": {"checkbox": {}},
    },
}


@pytest.fixture
def mapped(tmp_path: Path) -> tuple[workspace.Workspace, NotionMapping]:
    (tmp_path / workspace.FILE).write_text(FILE)
    there = workspace.read(tmp_path)
    return there, NotionMapping(tomllib.loads(FILE))


def page_of(mapping: NotionMapping, block: str, values: dict[str, Any]) -> tuple[NotionStore, Any, dict[str, Any]]:
    store = NotionStore(clock=Clock())
    source = store.create_database(block, KINDS[schema.TITLES[block]])
    return store, source, store.shown(store.create_page(source, mapping.written(block, values)))


def test_a_record_is_found_and_read_by_the_names_there(mapped: tuple[workspace.Workspace, NotionMapping]) -> None:
    there, mapping = mapped
    values = {"Email": "You+abc@example.com", "First Name": "Ada", "Business Name": "Salon", "Segment": "CRITICAL"}
    values |= {"Email 1 Sent": "2025-11-14T05:00:00+00:00", "Email 2 Sent": "2025-11-15T05:00:00+00:00"}
    store, source, _ = page_of(mapping, schema.SEQUENCE, values | {"Sequence Completed": True})
    for tag, count in (("abc", 1), ("xyz", 0)):
        wanted = {"filter": there.asked("Email Sequence", "Email", "contains", tag)}
        assert len(store.query(source, wanted)["results"]) == count
    (found,) = store.query(source, {})["results"]
    page = notion.parsed(found, there)
    assert (page.to, page.completed, sorted(page.sent)) == ("you+abc@example.com", True, [1, 2])
    assert (page.values["First Name"], page.values["Segment"]) == ("Ada", "CRITICAL")
    assert "Business Name" not in page.values


def test_a_template_is_read_by_the_names_there(mapped: tuple[workspace.Workspace, NotionMapping]) -> None:
    there, mapping = mapped
    texts = {"Template Name": "mail_1", "Subject Line": "Hello", "Email Body HTML": "<p>x</p>"}
    _, _, page = page_of(mapping, schema.TEMPLATES, texts)
    assert there.values("Email Templates", page) == texts | {"Vorlage": "mail_1", "Betreff": "Hello"}


def test_without_a_file_everything_has_its_own_name_and_a_bad_one_is_refused(tmp_path: Path) -> None:
    plain = workspace.read(tmp_path)
    assert plain.asked("Email Sequence", "Email", "contains", "x") == {"property": "Email", "email": {"contains": "x"}}
    (tmp_path / workspace.FILE).write_text("nonsense")
    with pytest.raises(RefusedError, match=r"notion\.toml: not TOML"):
        workspace.read(tmp_path)
