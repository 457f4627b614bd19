"""The stand-in for Notion takes what Notion's documentation has, and refuses the rest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from flows.services.notion_schema import pieces
from sandbox.standins.notion_values import units

if TYPE_CHECKING:
    from sandbox.standins.serve import StandIns
    from tests.standins.conftest import Service

SEQUENCE = "notion-email-sequence-db-id"
NOBODY = "01234567-0123-4123-8123-0123456789ab"


@pytest.fixture
def source(both: StandIns) -> str:
    one = both.notion.store.database(both.databases[SEQUENCE])
    contacts = both.notion.store.database(both.databases["notion-businessx-db-id"])
    one.schema["Contact"] = {"relation": {"data_source_id": contacts.id}}
    return one.id


def text(content: Any, **more: Any) -> dict[str, Any]:
    return {"rich_text": [{"text": {"content": content}, **more}]}


WRITES: dict[str, tuple[str, dict[str, Any], str]] = {
    "a week": ("Email 1 Sent", {"date": {"start": "2025-W49-1"}}, "valid ISO 8601"),
    "no hyphens": ("Email 1 Sent", {"date": {"start": "20251201"}}, "valid ISO 8601"),
    "a space": ("Email 1 Sent", {"date": {"start": "2025-12-01 10:00"}}, "valid ISO 8601"),
    "no such day": ("Email 1 Sent", {"date": {"start": "2025-02-30"}}, "valid ISO 8601"),
    "a number": ("Email 1 Sent", {"date": {"start": "2025-12-01", "end": 5}}, "valid ISO 8601"),
    "end first": ("Email 1 Sent", {"date": {"start": "2025-12-02", "end": "2025-12-01"}}, "before the start"),
    "date's key": ("Email 1 Sent", {"date": {"start": "2025-12-02", "until": "x"}}, "until should be not present"),
    "zone": ("Email 1 Sent", {"date": {"start": "2025-12-02", "time_zone": "UTC"}}, "time_zone is not modelled"),
    "1001 emoji": ("First Name", text("🎄" * 1001), "instead was `2002`"),
    "text's key": ("First Name", text("x", bold=True), "bold should be not present"),
    "a mention": ("First Name", text("x", type="mention"), "'mention' is not modelled"),
    "text's type": ("First Name", text(3), "should be a string"),
    "no list": ("First Name", {"rich_text": "x"}, "should be an array"),
    "another type": ("First Name", {"number": 3}, "expected to be rich_text"),
    "a truth": ("Red Systems", {"number": True}, "expected to be number"),
    "option's type": ("Segment", {"select": "CRITICAL"}, "should be an object"),
    "option's key": ("Segment", {"select": {"name": "A", "colour": "red"}}, "colour should be not present"),
    "option's comma": ("Segment", {"select": {"name": "A, B"}}, "commas not allowed"),
    "a word": ("Sequence Completed", {"checkbox": "yes"}, "expected to be checkbox"),
    "unknown": ("Nothing", {"number": 1}, "is not a property that exists"),
}


@pytest.mark.parametrize("what", WRITES)
def test_refuses_to_write(notion: Service, source: str, both: StandIns, what: str) -> None:
    name, value, said = WRITES[what]
    before = len(both.notion.store.pages)
    body = {"parent": {"data_source_id": source}, "properties": {name: value}}
    status, answer = notion.ask("POST", "/pages", body)
    assert (status, answer["code"]) == (400, "validation_error")
    assert said in answer["message"]
    assert len(both.notion.store.pages) == before


FILTERS: dict[str, tuple[dict[str, Any], str]] = {
    "not empty": ({"property": "Email", "email": {"is_empty": False}}, "should be `true`"),
    "a number's word": ({"property": "Red Systems", "number": {"equals": "2"}}, "should be a int"),
    "a text's number": ({"property": "First Name", "rich_text": {"equals": 2}}, "should be a str"),
    "a tick's word": ({"property": "Sequence Completed", "checkbox": {"equals": "yes"}}, "should be a bool"),
    "a week": ({"property": "Email 1 Sent", "date": {"before": "2025-W49-1"}}, "valid ISO 8601"),
    "not modelled": ({"property": "Email 1 Sent", "date": {"past_week": {}}}, "should be one of"),
    "a stamp": ({"timestamp": "edited", "edited": {"before": "2025-01-01"}}, "created_time or last_edited_time"),
    "no list": ({"or": {"property": "Email"}}, "should be an array"),
    "another type": ({"property": "Email", "rich_text": {"equals": "x"}}, "does not match filter"),
}


@pytest.mark.parametrize("what", FILTERS)
def test_refuses_to_filter(notion: Service, source: str, what: str) -> None:
    wanted, said = FILTERS[what]
    status, answer = notion.ask("POST", f"/data_sources/{source}/query", {"filter": wanted})
    assert (status, answer["code"]) == (400, "validation_error")
    assert said in answer["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "said"),
    [
        ("POST", "/pages", {"parent": {"data_source_id": "SOURCE"}, "childs": []}, "body.childs should be not present"),
        ("POST", "/pages", {"parent": {"data_source_id": "SOURCE"}, "children": []}, "children is not modelled"),
        ("POST", "/pages", {"parent": {"data_source_id": "SOURCE", "page": "x"}}, "body.parent.page should be"),
        ("POST", "/data_sources/SOURCE/query", {"filtr": {}}, "body.filtr should be not present"),
        ("PATCH", "/data_sources/SOURCE", {"props": {}}, "body.props should be not present"),
        ("POST", "/pages", [], "body should be an object"),
    ],
)
def test_body_has_known_keys_alone(notion: Service, source: str, method: str, path: str, body: Any, said: str) -> None:
    if isinstance(body, dict) and "parent" in body:
        body["parent"]["data_source_id"] = source
    status, answer = notion.ask(method, path.replace("SOURCE", source), body)
    assert (status, answer["code"]) == (400, "validation_error")
    assert said in answer["message"]


def test_number_that_json_does_not_have_is_refused(notion: Service, source: str) -> None:
    body = f'{{"parent": {{"data_source_id": "{source}"}}, "properties": {{"Red Systems": {{"number": NaN}}}}}}'
    answer = notion.client.post("/pages", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


def test_relation_leads_to_a_page_that_is_there(notion: Service, source: str, both: StandIns) -> None:
    def related(identity: str) -> int:
        value = {"Contact": {"relation": [{"id": identity}]}}
        return notion.ask("POST", "/pages", {"parent": {"data_source_id": source}, "properties": value})[0]

    store = both.notion.store
    contact = store.create_page(store.database(both.databases["notion-businessx-db-id"]), {})
    own = store.create_page(store.sources[source], {})
    assert related(NOBODY) == 404
    assert related(own["id"]) == 404
    assert related(contact["id"].replace("-", "")) == 200


def test_each_property_has_an_id_of_its_own(notion: Service, source: str) -> None:
    _, shown = notion.ask("GET", f"/data_sources/{source}")
    names = [one["id"] for one in shown["properties"].values()]
    assert len(set(names)) == len(names) > 20
    assert shown["properties"]["Name"]["id"] == "title"


@pytest.mark.parametrize("content", ["🎄" * 2001, "x" + "🎄" * 1500, "a" * 4001, "", "é" * 2000])
def test_product_cuts_text_as_notion_counts_it(notion: Service, source: str, content: str) -> None:
    """Every piece is as long as Notion takes, none ends within a character, and together they are the text."""
    made = pieces(content)
    assert "".join(one["text"]["content"] for one in made) == content
    assert all(0 < units(one["text"]["content"]) <= 2000 for one in made)
    body = {"parent": {"data_source_id": source}, "properties": {"First Name": {"rich_text": made}}}
    status, page = notion.ask("POST", "/pages", body)
    assert status == 200
    shown = page["properties"]["First Name"]["rich_text"]
    assert "".join(one["plain_text"] for one in shown) == content


def test_a_property_goes_by_its_name_or_by_its_id_and_not_by_both(notion: Service, source: str, both: StandIns) -> None:
    _, shown = notion.ask("GET", f"/data_sources/{source}")
    number = shown["properties"]["Red Systems"]["id"]
    body = {"parent": {"data_source_id": source}, "properties": {"title": {"title": []}, number: {"number": 3}}}
    status, page = notion.ask("POST", "/pages", body)
    assert (status, page["properties"]["Red Systems"]["number"]) == (200, 3)
    asked = {"filter": {"and": [{"property": number, "number": {"equals": 3}}]}}
    assert [one["id"] for one in notion.ask("POST", f"/data_sources/{source}/query", asked)[1]["results"]] == [
        page["id"]
    ]
    twice = {"properties": {number: {"number": 1}, "Red Systems": {"number": 2}}}
    assert notion.ask("PATCH", f"/pages/{page['id']}", twice)[0] == 400


def test_options_a_select_gains_them_a_status_does_not_and_a_filter_knows_only_what_is_there(
    notion: Service, source: str, both: StandIns
) -> None:
    both.notion.store.sources[source].schema["State"] = {"status": {"options": [{"name": "Done"}]}}
    asked = {"filter": {"property": "Segment", "select": {"equals": "URGENT"}}}
    status, answer = notion.ask("POST", f"/data_sources/{source}/query", asked)
    assert (status, answer["message"]) == (400, 'select option "URGENT" not found for property "Segment".')
    parent = {"parent": {"data_source_id": source}}
    chosen = {"Segment": {"select": {"name": "URGENT"}}, "State": {"status": {"name": "Done"}}}
    assert notion.ask("POST", "/pages", parent | {"properties": chosen})[0] == 200
    assert len(notion.ask("POST", f"/data_sources/{source}/query", asked)[1]["results"]) == 1
    status, answer = notion.ask("POST", "/pages", parent | {"properties": {"State": {"status": {"name": "New"}}}})
    assert (status, "does not exist" in answer["message"]) == (400, True)
