"""The stand-in for Notion takes what Notion's documentation has, and refuses the rest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from flows.services.notion_schema import pieces, value
from sandbox.standins.notion_values import units

if TYPE_CHECKING:
    from sandbox.standins.serve import StandIns
    from tests.standins.conftest import Service

SEQUENCE = "notion-email-sequence-db-id"
NOBODY = "01234567-0123-4123-8123-0123456789ab"
UP = {"direction": "ascending"}


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
    "no start": ("Email 1 Sent", {"date": {"end": "2025-12-01"}}, "start should be a valid ISO 8601"),
    "date's key": ("Email 1 Sent", {"date": {"start": "2025-12-02", "until": "x"}}, "until should be not present"),
    "zone": ("Email 1 Sent", {"date": {"start": "2025-12-02", "time_zone": "UTC"}}, "time_zone is not modelled"),
    "1001 emoji": ("First Name", text("🎄" * 1001), "instead was `2002`"),
    "text's key": ("First Name", text("x", bold=True), "bold should be not present"),
    "plain text": ("First Name", text("x", plain_text="x"), "plain_text should be not present"),
    "a link": ("First Name", {"rich_text": [{"text": {"content": "x", "link": {"url": "u"}}}]}, "link is not modelled"),
    "no content": ("First Name", {"rich_text": [{"text": {}}]}, "content should be defined"),
    "101 pieces": ("First Name", {"rich_text": [{"text": {"content": "x"}}] * 101}, "instead was `101`"),
    "a value's key": ("Red Systems", {"number": 1, "id": "x"}, "expected to be number"),
    "a mention": ("First Name", text("x", type="mention"), "'mention' is not modelled"),
    "text's type": ("First Name", text(3), "should be a string"),
    "no list": ("First Name", {"rich_text": "x"}, "should be an array"),
    "no relations": ("Contact", {"relation": None}, "relation should be defined"),
    "another type": ("First Name", {"number": 3}, "expected to be rich_text"),
    "a truth": ("Red Systems", {"number": True}, "expected to be number"),
    "option's type": ("Segment", {"select": "CRITICAL"}, "should be an object"),
    "option's key": ("Segment", {"select": {"name": "A", "colour": "red"}}, "colour should be not present"),
    "long address": ("Email", {"email": "a" * 201}, "expected to be email"),
    "101 relations": ("Contact", {"relation": [{"id": NOBODY}] * 101}, "should be ≤ `100`"),
    "a relation's key": ("Contact", {"relation": [{"page": NOBODY}]}, "page should be not present"),
    "a relation to no id": ("Contact", {"relation": [{"id": "None"}]}, "relation.id should be a valid uuid"),
    "a relation's type": ("Contact", {"relation": [{"id": 7}]}, "id should be a string"),
    "option's id": ("Segment", {"select": {"id": "x"}}, "select.id is not modelled"),
    "option's color": ("Segment", {"select": {"name": "A", "color": "red"}}, "select.color is not modelled"),
    "option's length": ("Segment", {"select": {"name": "🎄" * 51}}, "select.name should be a string"),
    "option's comma": ("Segment", {"select": {"name": "A, B"}}, "commas not allowed"),
    "a word": ("Sequence Completed", {"checkbox": "yes"}, "expected to be checkbox"),
    "unknown": ("Nothing", {"number": 1}, "is not a property that exists"),
}


@pytest.mark.parametrize("what", WRITES)
def test_standin_of_notion_refuses_a_value_of_another_kind(
    notion: Service, source: str, both: StandIns, what: str
) -> None:
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
    "no property": ({"property": "Mail", "email": {"equals": "x"}}, "Could not find property"),
    "nothing": ({}, "Could not find property"),
    "no id": ({"property": "Contact", "relation": {"contains": "x"}}, "contains should be a valid uuid"),
    "three deep": ({"and": [{"or": [{"and": []}]}]}, "nested too deep"),
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
        ("POST", "/pages", {"parent": {}, "childs": []}, "body.childs should be not present"),
        ("POST", "/pages", {"parent": {}, "children": []}, "children is not modelled"),
        ("POST", "/pages", {"parent": {"page": "x"}}, "body.parent.page should be"),
        ("POST", "/pages", {"parent": {"page_id": "x"}}, "parent.page_id is not modelled"),
        ("POST", "/pages", {"parent": {"type": "page_id"}}, "parent.type should be `data_source_id`"),
        ("POST", "/pages", {"parent": {}}, "body.properties should be defined"),
        ("POST", "/pages", {"parent": {}, "properties": []}, "body.properties should be an object"),
        ("POST", "/pages", {"properties": {}}, "body.parent should be defined"),
        ("POST", "/pages", {"parent": {}, "properties": {}, "icon": None}, "body.icon is not modelled"),
        ("PATCH", "/pages/PAGE", {"property": {}}, "body.property should be not present"),
        ("PATCH", "/pages/PAGE", {"properties": None}, "body.properties should be defined"),
        ("PATCH", "/pages/PAGE", {"archived": "yes"}, "body.archived should be a boolean"),
        ("PATCH", "/pages/PAGE", {"in_trash": None}, "body.in_trash should be defined"),
        ("POST", "/data_sources/SOURCE/query", {"filter": None}, "body.filter should be defined"),
        ("POST", "/data_sources/SOURCE/query", {"start_cursor": "x"}, "start_cursor provided is invalid"),
        ("POST", "/data_sources/SOURCE/query", {"page_size": 101}, "page_size should be"),
        ("POST", "/data_sources/SOURCE/query", {"page_size": "10"}, "page_size should be"),
        ("POST", "/data_sources/SOURCE/query", {"sorts": {}}, "body.sorts should be an array"),
        ("POST", "/data_sources/SOURCE/query", {"sorts": ["Email"]}, "body.sorts should be an object"),
        ("POST", "/data_sources/SOURCE/query", {"sorts": [{"property": "Email"}]}, "direction should be defined"),
        ("POST", "/data_sources/SOURCE/query", {"sorts": [UP | {"timestamp": "edited"}]}, "timestamp should be one of"),
        ("POST", "/data_sources/SOURCE/query", {"sorts": [UP | {"property": "Mail"}]}, "Could not find sort property"),
        ("POST", "/data_sources/SOURCE/query", {"sorts": [UP | {"by": "Email"}]}, "by should be not present"),
        ("POST", "/data_sources/SOURCE/query?filter_properties=x", {}, "filter_properties is not modelled"),
        ("POST", "/data_sources/SOURCE/query?page_size=1", {}, "page_size should be not present"),
        ("GET", "/pages/PAGE/properties/title?page_size=x", None, "page_size should be"),
        ("GET", "/pages/PAGE/properties/title?start_cursor=x", None, "start_cursor provided is invalid"),
        ("GET", "/pages/None", None, 'path.page_id should be a valid uuid, instead was `"None"`'),
        ("GET", "/databases/a-table-0123", None, "path.database_id should be a valid uuid"),
        ("POST", "/data_sources/x/query", {}, "path.data_source_id should be a valid uuid"),
        ("POST", "/pages", {"parent": {"data_source_id": "x"}}, "parent.data_source_id should be a valid uuid"),
        ("PATCH", "/data_sources/SOURCE", {"properties": {"Name": None}}, "Name is the title"),
        ("PATCH", "/data_sources/SOURCE", {"properties": {"title": {"email": {}}}}, "Name is the title"),
        ("PATCH", "/data_sources/SOURCE", {"properties": {"Email": {"number": {}}}}, "another type than email is not"),
        ("POST", "/search", {}, "POST /v1/search is not modelled"),
        ("DELETE", "/pages/PAGE", None, "DELETE /v1/pages/"),
        ("POST", "/data_sources/SOURCE/query", {"filtr": {}}, "body.filtr should be not present"),
        ("PATCH", "/data_sources/SOURCE", {"props": {}}, "body.props should be not present"),
        ("POST", "/pages", [], "body should be an object"),
    ],
)
def test_request_has_what_is_documented_alone(
    notion: Service, source: str, both: StandIns, method: str, path: str, body: Any, said: str
) -> None:
    if isinstance(body, dict) and "parent" in body:
        body = body | {"parent": {"data_source_id": source} | body["parent"]}
    page = both.notion.store.create_page(both.notion.store.sources[source], {})["id"]
    status, answer = notion.ask(method, path.replace("SOURCE", source).replace("PAGE", page), body)
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
    for written in (contact["id"], contact["id"].replace("-", "").upper()):
        asked = {"filter": {"property": "Contact", "relation": {"contains": written}}}
        assert len(notion.ask("POST", f"/data_sources/{source}/query", asked)[1]["results"]) == 1


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


@pytest.mark.parametrize("chosen", ["🎄" * 51, "x" + "🎄" * 100, "é" * 101, "a, b"], ids=range(4))
def test_product_cuts_an_option_as_notion_counts_it(notion: Service, source: str, chosen: str) -> None:
    body = {"parent": {"data_source_id": source}, "properties": {"Segment": value("select", chosen)}}
    status, page = notion.ask("POST", "/pages", body)
    assert status == 200, page
    assert chosen.replace(",", " ").startswith(page["properties"]["Segment"]["select"]["name"])


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


DEFINITIONS: dict[str, tuple[Any, str]] = {
    "unknown": ({"texts": {}}, "texts should be not present"),
    "no object": ("rich_text", "should be an object"),
    "two kinds": ({"email": {}, "number": {}}, "should be of one type"),
    "a status": ({"status": {}}, "status is not modelled"),
    "a format": ({"number": {"format": "euro"}}, "format is not modelled"),
    "to nowhere": ({"relation": {"data_source_id": NOBODY, "single_property": {}}}, "Could not find data_source"),
    "no direction": ({"relation": {"data_source_id": "SOURCE"}}, "single_property should be defined"),
    "other function": ({"rollup": {"function": "sum"}}, "'sum' is not modelled"),
    "no relation": ({"rollup": {"function": "show_original"}}, "relation_property_name, or its id"),
    "an id for a name": (
        {"rollup": {"relation_property_name": "Contact", "rollup_property_name": "title"}},
        "title is not",
    ),
    "none rolled up": ({"rollup": {"relation_property_name": "Contact"}}, "rollup_property_name, or its id"),
    "not a relation": ({"rollup": {"relation_property_name": "Email"}}, "Email is not a relation"),
}


@pytest.mark.parametrize("what", DEFINITIONS)
def test_property_is_defined_as_documented_or_not_at_all(
    notion: Service, source: str, both: StandIns, what: str
) -> None:
    definition, said = DEFINITIONS[what]
    if isinstance(definition, dict) and "rollup" in definition:
        definition = {"rollup": {"function": "show_original"} | definition["rollup"]}
    elif what == "no direction":
        definition = {"relation": {"data_source_id": source}}
    before = dict(both.notion.store.sources[source].schema)
    status, answer = notion.ask(
        "PATCH", f"/data_sources/{source}", {"properties": {"A": {"date": {}}, "B": definition}}
    )
    assert (status, said in answer["message"]) in {(400, True), (404, True)}, answer
    assert both.notion.store.sources[source].schema == before


def test_rollup_is_named_by_names_or_ids_and_a_title_by_its_id(notion: Service, source: str, both: StandIns) -> None:
    store = both.notion.store
    titled = {"Name": {"title": [{"text": {"content": "Ada"}}]}}
    contact = store.create_page(store.database(both.databases["notion-businessx-db-id"]), titled)
    recipe = {"relation_property_name": "Contact", "rollup_property_id": "title", "function": "show_original"}
    assert notion.ask("PATCH", f"/data_sources/{source}", {"properties": {"Who": {"rollup": recipe}}})[0] == 200
    related = {"Contact": {"relation": [{"id": contact["id"]}]}}
    _, page = notion.ask("POST", "/pages", {"parent": {"data_source_id": source}, "properties": related})
    assert page["properties"]["Who"]["rollup"]["array"][0]["title"][0]["plain_text"] == "Ada"
    path = f"/pages/{page['id']}/properties/{page['properties']['Who']['id']}"
    assert "not modelled" in notion.ask("GET", path)[1]["message"]


def test_page_shows_25_of_a_relation_and_of_a_rollup_and_the_property_all(
    notion: Service, source: str, both: StandIns
) -> None:
    store = both.notion.store
    contacts = store.database(both.databases["notion-businessx-db-id"])
    recipe = {"relation_property_name": "Contact", "rollup_property_name": "Email", "function": "show_original"}
    store.sources[source].schema["Who"] = {"rollup": recipe}
    ids = [store.create_page(contacts, {})["id"] for _ in range(26)]
    related = {"Contact": {"relation": [{"id": one} for one in ids]}}
    _, page = notion.ask("POST", "/pages", {"parent": {"data_source_id": source}, "properties": related})
    shown = page["properties"]["Contact"]
    assert (len(shown["relation"]), shown["has_more"]) == (25, True)
    assert len(page["properties"]["Who"]["rollup"]["array"]) == 25
    path = f"/pages/{page['id']}/properties/{shown['id']}"
    _, first = notion.ask("GET", f"{path}?page_size=20")
    _, rest = notion.ask("GET", f"{path}?page_size=20&start_cursor={first['next_cursor']}")
    assert [one["relation"]["id"] for one in first["results"] + rest["results"]] == ids
    assert (first["has_more"], rest["has_more"], rest["next_cursor"]) == (True, False, None)


def test_a_minutes_requests_may_come_at_once_and_no_more(both: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    """180 in each 60 seconds, whenever in them; the answer says when the next is taken."""
    notion, now = both.notion, datetime(2026, 1, 1, tzinfo=UTC)
    notion.per_minute = 180
    request: Any = SimpleNamespace(headers={"authorization": f"Bearer {notion.token}", "notion-version": "2025-09-03"})

    def taken(seconds: float) -> Any:
        monkeypatch.setattr(notion.store.clock, "now", lambda: now + timedelta(seconds=seconds))
        return notion._refusal(request)

    assert all(taken(10) is None for _ in range(180))
    refused = taken(30)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "41")
    assert taken(69.9) is not None
    assert taken(70) is None


@pytest.mark.parametrize("rows", [4, 5])
def test_a_query_answers_so_many_and_each_page_of_it_says_that_there_are_more(
    notion: Service, source: str, both: StandIns, rows: int
) -> None:
    """10,000 there; here as many as the test says."""
    assert both.notion.store.most == 10_000
    httpx.post(f"{both.notion_url}/_standin/settings", json={"most": 4}).raise_for_status()
    for _ in range(rows):
        both.notion.store.create_page(both.notion.store.sources[source], {})
    pages, cursor = list[Any](), dict[str, str]()
    while not pages or pages[-1]["has_more"]:
        pages.append(notion.ask("POST", f"/data_sources/{source}/query", {"page_size": 3} | cursor)[1])
        cursor = {"start_cursor": pages[-1]["next_cursor"]}
    assert [len(page["results"]) for page in pages] == [3, 1]
    assert pages[-1]["next_cursor"] is None
    said = {"type": "incomplete", "incomplete_reason": "query_result_limit_reached"}
    assert [page.get("request_status") for page in pages] == [said if rows > 4 else None] * 2
