"""Somebody leaves: by the link in a mail that is open in a browser, and by one click; neither gets anything more."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from e2e import run
from e2e.browser import opened
from e2e.contract import terms
from e2e.outside import opened as services
from e2e.watch import Watch
from flows.campaigns.model import sequences
from flows.recipients import suppression
from flows.services.prefect_api import Prefect
from sandbox.waiting import wait_for
from tests.e2e.theatre import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.letter import Letter
    from e2e.record import Enrolment
    from tests.e2e.theatre import Theatre

STATUS = "Christmas Campaign Status"


def link(letter: Letter) -> str:
    (given,) = (letter.headers or {})["list-unsubscribe"]
    return given.strip("<>")


def by_browser(letter: Letter) -> None:
    """The mail is open; its link is followed, and the page's button pressed."""
    with opened() as chromium:
        page = chromium.new_page()
        page.set_content(letter.html)
        with page.expect_navigation():
            page.get_by_text("Unsubscribe").click()
        assert page.url == link(letter)
        with page.expect_response(lambda answer: answer.request.method == "POST") as answered:
            page.get_by_role("button").click()
        assert answered.value.ok


def by_one_click(letter: Letter) -> None:
    """As a mail program does it (RFC 8058): a POST to what the header names, and no page."""
    body = {"List-Unsubscribe": "One-Click"}
    httpx.post(link(letter), data=body, timeout=30, trust_env=False).raise_for_status()


def left(email: str) -> bool:
    with Prefect() as prefect:
        return suppression.why_not(prefect, email, sequences()["christmas", "signup"]) is not None


def statuses(theatre: Theatre, email: str) -> list[str]:
    """What the contact's page in Notion says."""
    both = theatre.world.services
    source = both.notion.store.database(both.databases["notion-businessx-db-id"])
    rows = [row["values"] for row in both.notion.store.visible(source) if row["values"].get("Email") == email]
    return [str((values.get(STATUS) or {}).get("name")) for values in rows]


def in_mailbox(watch: Watch, one: Enrolment) -> list[int]:
    """The steps that the mailbox holds."""
    watch.look(notion=False)
    return [mail.step for mail in one.mails for _ in range(mail.arrivals or 0)]


UNDER_WAY = {"", "Scheduled", "Late", "Pending", "Running", "AwaitingRetry"}


# Long, for seven mails are waited for; what is quick asks the same in tests/flows/recipients/test_suppression.py.
@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("leave", [by_browser, by_one_click])
def test_who_leaves_gets_nothing_more(theatre: Theatre, leave: Callable[[Letter], None]) -> None:
    aim = theatre.target()
    record = theatre.entered(aim, "signup")
    (one,) = record.enrolments
    with services(aim) as outside:
        watch = Watch(outside, record, one.to.partition("+")[2].rpartition("-")[0], run.say)

        def state(number: int) -> str:
            watch.look(notion=False)
            return one.mails[number].state

        wait_for(lambda: state(0) == "Completed" and one.mails[0].received, "the first mail is in the mailbox")
        theatre.worker.stop()  # while nobody is at work, the rest waits
        watch.look(notion=False)
        had = [mail.step for mail in one.mails if mail.accepted]
        letter = one.mails[0].received
        assert letter is not None
        assert terms(aim.values).leaves(one.to, link(letter))

        # A scanner that follows links unsubscribes nobody.
        assert "<form" in httpx.get(link(letter), timeout=30, trust_env=False).raise_for_status().text
        assert not [path for path in (theatre.folder / "spool").rglob("*unsubscribe*") if path.is_file()]
        assert not left(one.to)

        leave(letter)
        wait_for(lambda: left(one.to), "it is known that somebody has left")
        theatre.worker = Worker()
        theatre.worker.start()
        wait_for(lambda: not {state(number) for number in range(7)} & UNDER_WAY, "every mail was due")
        assert [mail.step for mail in one.mails if mail.accepted] == had
        wait_for(lambda: in_mailbox(watch, one) == had, "the mailbox holds what went out, and nothing more")
    assert had[0] == 1
    assert [mail.state for mail in one.mails[len(had) :]] == ["Skipped"] * (7 - len(had))
    assert len(had) < 7
    wait_for(lambda: statuses(theatre, one.to) == ["Unsubscribed"], "Notion says so")
