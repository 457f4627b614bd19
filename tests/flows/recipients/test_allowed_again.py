"""An operator lets an address get mail again: what Notion still says is in the way, and is named; in memory."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from flows.operator import operate, server
from flows.recipients import suppression
from flows.recipients.contact import STATUS
from flows.recipients.mailbox import conditions, mailbox
from flows.sending import frozen, one_mail
from flows.services.errors import NotionError, ResendFailedError
from flows.services.notion_gateway import NotionGateway
from flows.services.resend_operations import ResendOperations
from sandbox.standins.workspace import text
from tests.flows import in_the_campaign
from tests.flows.in_memory import Killed, Try
from tests.flows.in_the_campaign import EMAIL, SAME
from tests.flows.test_attacked import killed_once_it_is_sent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.flows.in_the_campaign import Campaign

campaign = in_the_campaign.campaign  # the fixture


@pytest.fixture
def operator(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """Somebody who was unsubscribed, and who takes it back."""

    @contextmanager
    def client(*_: Any) -> Iterator[NotionGateway]:
        yield campaign.all.gateway()

    monkeypatch.setattr(operate, "Prefect", lambda: campaign.prefect)
    monkeypatch.setattr(server, "check", lambda: None)  # it is in memory
    monkeypatch.setattr(operate, "notion_client", client)
    monkeypatch.setattr(operate, "resend_client", lambda *_: ResendOperations(campaign.all.settings, lambda: None))
    suppression.record(campaign.prefect, EMAIL, "Unsubscribed", "2026-01-05T12:00:00+00:00", "test")
    return campaign


@pytest.mark.parametrize("email", SAME)
def test_while_notion_says_that_he_has_left_nothing_is_lifted_and_what_to_change_is_named(
    operator: Campaign, capsys: pytest.CaptureFixture[str], email: str
) -> None:
    page = operator.contact(email, **{STATUS: "Unsubscribed"})
    assert operate.main(["allow", EMAIL, "--yes"]) == 1
    said = capsys.readouterr().err
    assert f"{email}: '{STATUS}' is 'Unsubscribed', https://www.notion.so/{page['id'].replace('-', '')}" in said
    assert f"change '{STATUS}' there, then run this again" in said
    assert suppression.causes(operator.prefect, EMAIL) == ["Unsubscribed"]
    operator.edit(page, **{STATUS: "Signed Up"})
    assert operate.main(["allow", EMAIL, "--yes"]) == 0
    assert "lifted: Unsubscribed" in capsys.readouterr().out
    assert operator.look(whole=True) == 0  # and the next look leaves it so
    assert operator.send(operator.enrols()) == ""


def test_what_somebody_else_says_or_who_is_in_the_trash_is_not_in_the_way(operator: Campaign) -> None:
    operator.contact("ada@salon.net", **{STATUS: "Unsubscribed"})
    gone = operator.contact(SAME[2], **{STATUS: "Bounced"})
    operator.all.clock.advance(60)
    operator.all.notion.update_page(gone["id"], {"in_trash": True})
    operator.all.notion.lag = 30.0  # a query shows it still
    assert operate.main(["allow", EMAIL, "--yes"]) == 0
    assert suppression.causes(operator.prefect, EMAIL) == []


def test_where_notion_cannot_be_asked_nothing_is_lifted(
    operator: Campaign, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise NotionError("query BusinessX contacts: 503")

    monkeypatch.setattr(NotionGateway, "find", away)
    assert operate.main(["allow", EMAIL, "--yes"]) == 1
    assert "503" in capsys.readouterr().err
    assert suppression.causes(operator.prefect, EMAIL) == ["Unsubscribed"]


class Terminal(io.StringIO):
    """Somebody at a terminal, who types a line."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("typed", "lifted"),
    [
        (Terminal("allow\n"), True),
        (Terminal(" Allow \n"), True),
        (Terminal("yes\n"), False),
        (Terminal(""), False),
        (io.StringIO("allow\n"), False),
    ],
    ids=["the word", "as people write it", "another", "nothing", "no terminal"],
)
def test_it_says_what_it_lifts_and_asks_for_a_word(
    operator: Campaign,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    typed: io.StringIO,
    lifted: bool,
) -> None:
    monkeypatch.setattr("sys.stdin", typed)
    assert operate.main(["allow", EMAIL]) == (0 if lifted else 1)
    said = capsys.readouterr()
    assert f"{EMAIL}: lifts Unsubscribed, for every writing of the mailbox. Notion stays as it is" in said.err
    assert ("lifted: Unsubscribed" in said.out) is lifted
    assert ("nothing is lifted" in said.err) is not lifted
    assert suppression.causes(operator.prefect, EMAIL) == ([] if lifted else ["Unsubscribed"])


def test_who_has_complained_is_allowed_only_where_that_is_said(
    operator: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    suppression.record(operator.prefect, SAME[3], "Complained", "2026-01-05T12:00:00+00:00", "test")
    assert operate.main(["allow", EMAIL, "--yes"]) == 1
    assert "called a mail of yours spam" in capsys.readouterr().err
    assert suppression.causes(operator.prefect, EMAIL) == ["Unsubscribed", "Complained"]
    assert operate.main(["allow", EMAIL, "--yes", "--complained"]) == 0
    assert suppression.causes(operator.prefect, EMAIL) == []


def test_a_complaint_that_comes_while_it_is_asked_stays(operator: Campaign, monkeypatch: pytest.MonkeyPatch) -> None:
    def complains(_: str) -> bool:
        suppression.record(operator.prefect, EMAIL, "Complained", "2026-01-05T12:00:00+00:00", "test")
        return True

    operate.allow(EMAIL, agreed=complains)
    assert suppression.causes(operator.prefect, EMAIL) == ["Complained"]


def test_a_status_that_cannot_be_read_is_in_the_way(operator: Campaign, capsys: pytest.CaptureFixture[str]) -> None:
    operator.contact(EMAIL)
    operator.retype("date", STATUS)
    assert operate.main(["allow", EMAIL, "--yes"]) == 1
    assert f"'{STATUS}' is a date, which shows no option" in capsys.readouterr().err
    assert suppression.causes(operator.prefect, EMAIL) == ["Unsubscribed"]


def killed() -> None:
    raise Killed


def frozen_wrong(operator: Campaign) -> tuple[dict[str, Any], str]:
    """An enrolment whose first mail did not reach Resend, frozen with a text that has been put right since."""
    operate.main(["allow", EMAIL, "--yes"])
    enrolment = operator.enrols()
    operator.all.tries.append(Try({("resend send", "before"): [killed]}))
    with pytest.raises(Killed):
        one_mail.send(enrolment, 1)
    operator.all.tries.clear()
    (page,) = [
        one
        for one in operator.all.notion.pages.values()
        if one["values"].get("Template Name", [{}])[0].get("plain_text") == "christmas_email_1"
    ]
    operator.all.notion.update_page(page["id"], {"properties": {"Subject Line": {"rich_text": text("put right")}}})
    operator.all.clock.advance(600)
    return enrolment, f"{enrolment['key']}:1"


def test_a_mail_that_is_frozen_wrong_is_made_anew_once_it_is_forgotten(
    operator: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolment, key = frozen_wrong(operator)
    assert operate.main(["forget", key]) == 0
    assert f"forgotten: {key}; the next try makes it anew" in capsys.readouterr().out
    assert operator.send(enrolment, 1) == ""
    assert [mail["payload"]["subject"] for mail in operator.all.resend.mails] == ["put right"]
    assert operate.main(["forget", key]) == 1
    assert "Resend has accepted this mail" in capsys.readouterr().err


def test_a_mail_that_resend_has_is_not_forgotten_though_nobody_has_written_it_down(
    operator: Campaign, capsys: pytest.CaptureFixture[str]
) -> None:
    operate.main(["allow", EMAIL, "--yes"])
    enrolment = operator.enrols()
    killed_once_it_is_sent(operator, enrolment)  # type: ignore[arg-type]
    (mail,) = operator.all.resend.mails
    for _ in range(2):
        assert operate.main(["forget", f"{enrolment['key']}:1"]) == 1
        assert f"Resend has accepted this mail ({mail['id']})" in capsys.readouterr().err
        operator.all.clock.advance(86_400 * 2)
    assert one_mail.send(enrolment, 1).name == "Completed"
    assert len(operator.all.resend.mails) == 1


def test_where_resend_cannot_be_asked_no_mail_is_forgotten(
    operator: Campaign, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any) -> Any:
        raise ResendFailedError("list: 503")

    _, key = frozen_wrong(operator)
    monkeypatch.setattr(ResendOperations, "find", away)
    assert operate.main(["forget", key]) == 1
    assert "list: 503" in capsys.readouterr().err
    enrolment, _, step = key.rpartition(":")
    assert frozen.thaw(operator.prefect, enrolment, int(step)) is not None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ada.l@gmail.com", "A.DAL+x@googlemail.com"),
        ("adal@pm.me", "ada.l@proton.me"),
        ("ada@bücher.example", "ada+x@xn--bcher-kva.example"),
        ("ada@xn--bcher-kva.example", "ADA@BÜCHER.example"),
        ("ada@straße.example", "ada@xn--strae-oqa.example"),
        ("ada@xn--strae-oqa.example", "ada+x@STRAßE.example"),
        ("+x@salon.net", "+x@Salon.NET"),
        ("ada@xn--.example", "ada+y@xn--.example"),
    ],
)
def test_notion_is_asked_so_that_every_writing_of_a_mailbox_is_found(campaign: Campaign, one: str, other: str) -> None:
    assert mailbox(one) == mailbox(other)
    page = campaign.contact(other)
    campaign.contact("bea@salon.net")
    notion = campaign.all.gateway()
    found = notion.find("notion-businessx-db-id", conditions(one))
    assert [each["id"] for each in found] == [page["id"]]
