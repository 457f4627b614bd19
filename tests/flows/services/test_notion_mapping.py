"""Where each property is in the operator's workspace: what the file may say, and what is made of it. Pure."""

from __future__ import annotations

import tomllib
from types import SimpleNamespace
from typing import Any

import pytest

from flows.operator import notion_setup
from flows.recipients import contact
from flows.services import notion_schema as schema
from flows.services.errors import NotionError
from flows.services.notion_mapping import FITS, NEEDED, MappingError, NotionMapping
from sandbox.standins.notion_definitions import altered
from sandbox.standins.notion_store import NotionStore

SAMPLES: dict[str, Any] = {
    "title": "Ada",
    "rich_text": "2025-12-01T10:00:00Z",
    "email": "ada@salon.example",
    "select": "CRITICAL",
    "number": 52.5,
    "date": "2025-12-01",
    "checkbox": True,
}
# A property of each kind that the flows write.
OURS = {
    "title": (schema.PROJECTS, "Name"),
    "rich_text": (schema.SEQUENCE, "Scheduled Time"),
    "email": (schema.PROJECTS, "Email"),
    "select": (schema.SEQUENCE, "Segment"),
    "number": (schema.SEQUENCE, "Assessment Score"),
    "date": (schema.SEQUENCE, "Payment Date"),
    "checkbox": (schema.SEQUENCE, "Assessment Completed"),
}


def stored(kind: str, value: Any) -> Any:
    """What Notion shows of a value that was written."""
    if kind in {"title", "rich_text"}:
        return [{"type": "text", "plain_text": piece["text"]["content"]} for piece in value]
    return value


@pytest.mark.parametrize(("kind", "there"), [(ours, one) for ours in OURS for one in sorted(FITS[ours])])
def test_a_value_goes_into_every_kind_that_may_stand_for_its_own_and_comes_back(kind: str, there: str) -> None:
    block, name = OURS[kind]
    mapping = NotionMapping({schema.TITLES[block]: {name: {"name": "elsewhere", "kind": there}}})
    written = mapping.written(block, {"Email": None, name: SAMPLES[kind]})
    key = "title" if there == "title" else "elsewhere"
    assert list(written) == [key]
    assert list(written[key]) == [there]
    shown = {"id": "title" if there == "title" else "x", "type": there, there: stored(there, written[key][there])}
    page = mapping.shown(
        block, {"id": "1", "properties": {"elsewhere": shown, "Their Own": {"type": "url", "url": "u"}}}
    )
    assert schema.read(page, name) == SAMPLES[kind]
    assert page["properties"][name]["type"] == kind
    assert set(page["properties"]) == {name, "Their Own"}
    empty = {"title": [], "rich_text": [], "multi_select": [], "checkbox": False}.get(there)
    page = mapping.shown(
        block, {"properties": {"elsewhere": {"id": "title" if there == "title" else "x", "type": there, there: empty}}}
    )
    assert not schema.read(page, name)


@pytest.mark.parametrize("kind", ["select", "status", "multi_select", "rich_text", "title"])
@pytest.mark.parametrize("shown", ["Abgemeldet", "abgemeldet ", "VIP, Abgemeldet", "abgemeldet,Gebucht, fest"])
@pytest.mark.parametrize("rolled_up", [True, False])
def test_who_has_left_or_booked_is_known_by_one_of_several_options_that_are_called_otherwise(
    kind: str, shown: str, rolled_up: bool
) -> None:
    """As without a mapping: several at once, and however somebody has written it."""
    options = {"Unsubscribed": "Abgemeldet", "Booked": "Gebucht"}
    mapping = NotionMapping({"BusinessX contacts": {contact.STATUS: {"kind": kind, "options": options}}})
    several = [{"name": part.strip()} for part in shown.split(",")]
    values = {"select": {"name": shown}, "status": {"name": shown}, "multi_select": several}
    there = {"id": "x", "type": kind, kind: values.get(kind, [{"plain_text": shown}])}
    if rolled_up:
        rollup = {"type": "rollup", "rollup": {"type": "array", "array": [there]}}
        page = mapping.shown(schema.SEQUENCE, {"properties": {"Contact Status": rollup}})
        (found,) = schema.read(page, "Contact Status")
    else:
        name = "its title" if kind == "title" else contact.STATUS
        found = schema.read(mapping.shown(schema.CONTACTS, {"properties": {name: there}}), contact.STATUS)
    assert "Unsubscribed" in found.split(", ")
    assert ("Booked" in found.split(", ")) is ("Gebucht" in shown)
    assert ("VIP" in found.split(", ")) is ("VIP" in shown)


def test_a_filter_asks_in_the_workspaces_own_words() -> None:
    said = {
        "Email Analytics": {
            "Email": {"name": "to", "kind": "title"},
            "Status": {"name": "state", "kind": "multi_select", "options": {"Failed": "failed"}},
            "Email Number": {"name": "no", "kind": "rich_text"},
        }
    }
    asked = [("Email", "email", "a@b.c"), ("Status", "select", "Failed"), ("Email Number", "number", 2)]
    parts = [{"property": name, kind: {"equals": value}} for name, kind, value in asked]
    assert NotionMapping(said).condition(schema.ANALYTICS, {"and": parts}) == {
        "and": [
            {"property": "title", "title": {"equals": "a@b.c"}},
            {"property": "state", "multi_select": {"contains": "failed"}},
            {"property": "no", "rich_text": {"equals": "2"}},
        ]
    }
    filled = {"property": "Email", "email": {"is_not_empty": True}}
    assert NotionMapping(said).condition(schema.ANALYTICS, filled) == {
        "property": "title",
        "title": {"is_not_empty": True},
    }
    with pytest.raises(NotionError, match=r"notion\.toml: 'Email Sequence': 'Segment' is false"):
        NotionMapping({"Email Sequence": {"Segment": False}}).condition(
            schema.SEQUENCE, {"property": "Segment", "select": {"equals": "URGENT"}}
        )


def test_options_are_translated_both_ways_also_where_a_rollup_shows_them() -> None:
    options = {"Unsubscribed": "Opted out", "Signed Up": False}
    mapping = NotionMapping(
        {"BusinessX contacts": {"Christmas Campaign Status": {"options": options, "kind": "status"}}}
    )
    status = "Christmas Campaign Status"
    assert mapping.written(schema.CONTACTS, {status: "Unsubscribed"}) == {status: {"status": {"name": "Opted out"}}}
    assert mapping.written(schema.CONTACTS, {status: "Signed Up"}) == {}
    item = {"type": "status", "status": {"name": "Opted out"}}
    rollup = {"id": "r", "type": "rollup", "rollup": {"type": "array", "array": [item]}}
    record = mapping.shown(schema.SEQUENCE, {"properties": {"Contact Status": rollup}})
    assert schema.read(record, "Contact Status") == ["Unsubscribed"]
    contact = mapping.shown(schema.CONTACTS, {"properties": {status: item}})
    assert schema.read(contact, status) == "Unsubscribed"


def test_the_title_is_the_title_whatever_it_is_called_and_gives_way_to_who_has_it() -> None:
    title = {"id": "title", "type": "title", "title": [{"plain_text": "Ada"}]}
    plain, said = NotionMapping(), NotionMapping({"BusinessX contacts": {"First Name": {"kind": "title", "name": "n"}}})
    assert list(plain.written(schema.CONTACTS, {"Name": "Ada", "First Name": "Ada"})) == ["title", "First Name"]
    assert schema.read(plain.shown(schema.CONTACTS, {"properties": {"Whatever": title}}), "Name") == "Ada"
    assert said.written(schema.CONTACTS, {"Name": "Ada, Salon", "First Name": "Ada"}) == {
        "title": {"title": schema.pieces("Ada")}
    }
    assert schema.read(said.shown(schema.CONTACTS, {"properties": {"Whatever": title}}), "First Name") == "Ada"
    assert schema.read(said.shown(schema.CONTACTS, {"properties": {"Whatever": title}}), "Name") is None


def test_what_nobody_has_is_left_out_and_read_as_nothing() -> None:
    mapping = NotionMapping({"Email Sequence": {"Template Type": False}})
    assert mapping.written(schema.SEQUENCE, {"Template Type": "Onboarding"}) == {}
    # What has the name there and is not meant is not taken for it.
    there = {"Template Type": {"id": "x", "type": "rich_text", "rich_text": [{"plain_text": "another's"}]}}
    assert schema.read(mapping.shown(schema.SEQUENCE, {"properties": there}), "Template Type") is None


WRONG = {
    '["BusinesX contacts"]\n"Email" = "email"': r"\['BusinesX contacts'\] is no database of the flows; name one of",
    '"Email Sequence" = 3': r"\['Email Sequence'\] is 3, not a table",
    '["Email Sequence"]\n"Emial" = "email"': r"'Email Sequence': 'Emial' is no property of the flows; name one of",
    '["Email Sequence"]\n"Email" = false': r"'Email' is false, but the flows cannot do without",
    '["Email Sequence"]\n"Email 7 Sent" = false': r"'Email 7 Sent' is false, but the flows cannot do without",
    '["Email Sequence"]\n"Segment" = true': r"'Segment': True is neither a name, nor false",
    '["Email Sequence"]\n"Segment" = { called = "x" }': r"is neither a name, nor false, nor a table",
    '["Email Sequence"]\n"Segment" = ""': r"'Segment': name = '' is no property's name",
    '["Email Sequence"]\n"Segment" = { name = 3 }': r"'Segment': name = 3 is no property's name",
    '["Email Sequence"]\n"Email" = { kind = "number" }': r"kind = 'number' cannot stand for a email; it may be one of",
    '["Email Sequence"]\n"Email" = { kind = ["email"] }': r"kind = \['email'\] cannot stand for a email",
    '["Email Sequence"]\n"Email" = { options = { a = "b" } }': r"'Email': options are for what is chosen from a list",
    '["Email Sequence"]\n"Segment" = { options = { a = 3 } }': r"'Segment': options = .* write our option = theirs",
    '["Email Sequence"]\n"Segment" = { options = { a = "x", b = "x" } }': r"two options are written as 'x'",
    '["Email Sequence"]\n"First Name" = "Email"': r"'First Name' and 'Email' are both 'Email'",
    '["Email Sequence"]\n"Segment" = "s"\n"Campaign" = "s"': r"are both 's'; one is wrong",
}


@pytest.mark.parametrize("text", WRONG)
def test_a_mapping_that_cannot_be_used_is_refused_with_key_value_and_remedy(text: str) -> None:
    with pytest.raises(MappingError, match=rf"^notion\.toml: .*{WRONG[text]}"):
        NotionMapping(tomllib.loads(text))


def test_what_the_flows_ask_by_is_what_they_cannot_do_without() -> None:
    for block, names in NEEDED.items():
        assert names <= set(schema.SCHEMA[block])


def test_what_is_rolled_up_goes_by_its_name_and_a_title_by_its_id() -> None:
    """In a rollup's definition an id where a name belongs is a property that does not exist."""
    store = NotionStore()
    contacts = store.create_database("contacts", {"Full name": {"title": {}}, "Booked": {"rich_text": {}}})
    linked = {"Contact": {"relation": {"data_source_id": contacts.id}}}
    records = store.create_database("records", linked)
    there = {schema.ROLLUPS["Contact Status"]: {"kind": "title"}, schema.ROLLUPS["Contact Booking"]: "Booked"}
    notion: Any = SimpleNamespace(mapping=NotionMapping({schema.TITLES[schema.CONTACTS]: there}))
    for name in schema.ROLLUPS:
        altered(store, records, {name: notion_setup._definition(notion, name, "rollup")})
    rolled = {name: records.schema[name]["rollup"]["rollup_property_name"] for name in schema.ROLLUPS}
    assert rolled == {"Contact Status": "Full name", "Contact Booking": "Booked"}
