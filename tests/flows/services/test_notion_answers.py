"""What services answer at the edges: not the whole of it, or after somebody else was first. No server."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx
import pytest

from flows.services import notion_gateway
from flows.services import notion_schema as schema
from flows.services.errors import NotionError
from flows.services.notion_gateway import NotionGateway
from flows.services.prefect_api import Prefect
from tests.flows.in_memory import NotionClient, Services

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def notion(services: Services) -> Iterator[NotionGateway]:
    client = NotionClient(services)
    with patch.object(notion_gateway, "Client", lambda **_: client):
        yield NotionGateway(services.settings, lambda: None)


def test_an_incomplete_query_is_an_error_and_never_taken_for_all_there_is(
    services: Services, notion: NotionGateway
) -> None:
    source = services.sources[schema.CONTACTS]
    for _ in range(3):
        services.notion.create_page(source, {"Email": {"email": "ada@salon.example"}})
    assert len(notion.equals(schema.CONTACTS, Email="ADA@salon.example")) == 3  # Notion's filters know no case
    services.notion.most = 2
    with pytest.raises(NotionError, match="query BusinessX contacts: Notion's answer is incomplete"):
        notion.equals(schema.CONTACTS, Email="ada@salon.example")


def test_an_answer_that_says_there_is_more_and_not_where_is_not_taken_for_all_there_is(
    services: Services, notion: NotionGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = services.notion.query
    monkeypatch.setattr(services.notion, "query", lambda source, body: query(source, body) | {"next_cursor": None})
    for number in range(250):
        services.clock.advance(60 * (number % 2))
        services.notion.create_page(services.sources[schema.CONTACTS], {"Email": {"email": "ada@salon.example"}})
    assert len(notion.equals(schema.CONTACTS, Email="ada@salon.example")) == 250


CONTACT = {"property": "Email", "email": {"equals": "ada@salon.example"}}


@pytest.mark.parametrize("asked", [CONTACT, {"and": [CONTACT]}, {"or": [CONTACT, {"and": [CONTACT, CONTACT]}]}])
@pytest.mark.parametrize("count", [3, 4, 5, 9, 10])
def test_more_pages_than_one_query_answers_are_all_found_once(
    services: Services, notion: NotionGateway, asked: dict[str, Any], count: int
) -> None:
    pages = []
    for number in range(count):
        services.clock.advance(60 * (number % 2))  # two in a minute
        page = services.notion.create_page(services.sources[schema.CONTACTS], {"Email": {"email": "ada@salon.example"}})
        pages.append(page["id"])
    services.notion.most = 4
    assert sorted(one["id"] for one in notion.find(schema.CONTACTS, asked)) == sorted(pages)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ({"markdown": "Dear", "truncated": True, "unknown_block_ids": []}, "is too long: Notion cut it off"),
        (
            {"markdown": "Dear", "truncated": False, "unknown_block_ids": ["b"]},
            "has 1 block that Notion does not show",
        ),
    ],
)
def test_a_page_that_is_not_shown_whole_becomes_no_mail(
    notion: NotionGateway, answer: dict[str, Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notion._client, "pages", SimpleNamespace(retrieve_markdown=lambda _: answer))
    with pytest.raises(NotionError, match=said):
        notion.markdown("page")


def test_a_text_that_is_not_shown_whole_becomes_no_mail(notion: NotionGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    piece = {"type": "rich_text", "rich_text": {"plain_text": "<p>Dear Ada</p>"}}
    answer = {"results": [piece] * 100, "has_more": True, "next_cursor": None}
    shown = SimpleNamespace(properties=SimpleNamespace(retrieve=lambda *_, **__: answer))
    monkeypatch.setattr(notion._client, "pages", shown)
    body = {"id": "b", "type": "rich_text", "rich_text": [piece["rich_text"]] * 25}
    with pytest.raises(NotionError, match="read Email Body HTML: Notion says that there is more, and not where"):
        notion.text({"id": "page", "properties": {"Email Body HTML": body}}, "Email Body HTML")


class Server:
    """Prefect's answers about one variable: `races` times somebody else creates it just before we do."""

    def __init__(self, races: int) -> None:
        self.value: Any = None
        self.races = races

    def request(self, method: str, path: str, **more: Any) -> Any:
        status = 204
        if method == "PATCH":
            status = 404 if self.value is None else 204
            self.value = self.value and more["json"]["value"]
        elif self.races:
            self.races -= 1
            self.value, status = "another's", 409
        else:
            self.value = more["json"]["value"]
        answer = httpx.Response(status, request=httpx.Request(method, f"http://prefect{path}"))
        answer.raise_for_status()
        return answer


@pytest.mark.parametrize("races", [0, 1])
def test_of_two_who_write_a_variable_that_is_not_there_neither_fails(races: int) -> None:
    prefect = Prefect.__new__(Prefect)
    server = Server(races)
    prefect._client = SimpleNamespace(request=server.request)  # type: ignore[assignment]
    prefect.remember("first", {"mine": True})
    assert server.value == {"mine": True}
