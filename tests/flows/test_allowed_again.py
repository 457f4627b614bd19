"""An operator lets an address get mail again: what Notion still says is in the way, and is named; in memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from flows.operator import operate
from flows.recipients import suppression
from flows.recipients.contact import STATUS
from flows.recipients.mailbox import conditions, mailbox
from flows.services.errors import NotionError
from flows.services.notion_gateway import NotionGateway
from flows.services.notion_mapping import NotionMapping
from tests.flows import test_edits
from tests.flows.test_edits import EMAIL, SAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.flows.test_edits import Campaign

campaign = test_edits.campaign  # the fixture


@pytest.fixture
def operator(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """Somebody who was unsubscribed, and who takes it back."""
    sources = {source.database: source.id for source in campaign.all.sources.values()}

    @contextmanager
    def client(*_: Any) -> Iterator[NotionGateway]:
        yield NotionGateway(campaign.all.settings, lambda: None, sources, NotionMapping())

    monkeypatch.setattr(operate, "Prefect", lambda: campaign.prefect)
    monkeypatch.setattr(operate, "notion_client", client)
    suppression.record(campaign.prefect, EMAIL, "Unsubscribed", "2026-01-05T12:00:00+00:00", "test")
    return campaign


@pytest.mark.parametrize("email", SAME)
def test_while_notion_says_that_he_has_left_nothing_is_lifted_and_what_to_change_is_named(
    operator: Campaign, capsys: pytest.CaptureFixture[str], email: str
) -> None:
    page = operator.contact(email, **{STATUS: "Unsubscribed"})
    assert operate.main(["allow", EMAIL]) == 1
    said = capsys.readouterr().err
    assert f"{email}: '{STATUS}' is 'Unsubscribed', https://www.notion.so/{page['id'].replace('-', '')}" in said
    assert f"change '{STATUS}' there, then run this again" in said
    assert suppression.causes(operator.prefect, EMAIL) == ["Unsubscribed"]
    operator.edit(page, **{STATUS: "Signed Up"})
    assert operate.main(["allow", EMAIL]) == 0
    assert "lifted: Unsubscribed" in capsys.readouterr().out
    assert operator.look(whole=True) == 0  # and the next look leaves it so
    assert operator.send(operator.enrols()) == ""


def test_what_somebody_else_says_or_who_is_in_the_trash_is_not_in_the_way(operator: Campaign) -> None:
    operator.contact("ada@salon.net", **{STATUS: "Unsubscribed"})
    gone = operator.contact(SAME[2], **{STATUS: "Bounced"})
    operator.all.clock.advance(60)
    operator.all.notion.update_page(gone["id"], {"in_trash": True})
    operator.all.notion.lag = 30.0  # a query shows it still
    assert operate.main(["allow", EMAIL]) == 0
    assert suppression.causes(operator.prefect, EMAIL) == []


def test_where_notion_cannot_be_asked_nothing_is_lifted(
    operator: Campaign, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise NotionError("query BusinessX contacts: 503")

    monkeypatch.setattr(NotionGateway, "find", away)
    assert operate.main(["allow", EMAIL]) == 1
    assert "503" in capsys.readouterr().err
    assert suppression.causes(operator.prefect, EMAIL) == ["Unsubscribed"]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada.l@gmail.com", "A.DAL+x@googlemail.com"),
        ("adal@pm.me", "ada.l@proton.me"),
        ("ada@bücher.example", "ada+x@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ADA@BÜCHER.example"),
        ("+x@salon.net", "+x@Salon.NET"),
        ("ada@xn--.example", "ada+y@xn--.example"),
    ],
)
def test_notion_is_asked_so_that_every_writing_of_a_mailbox_is_found(campaign: Campaign, one: str, other: str) -> None:
    assert mailbox(one) == mailbox(other)
    page = campaign.contact(other)
    campaign.contact("bea@salon.net")
    sources = {source.database: source.id for source in campaign.all.sources.values()}
    notion = NotionGateway(campaign.all.settings, lambda: None, sources)
    found = notion.find("notion-businessx-db-id", conditions(one))
    assert [each["id"] for each in found] == [page["id"]]
