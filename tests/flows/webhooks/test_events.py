"""What becomes of a mail afterwards: one row for each in Email Analytics, whoever is killed and however Notion lags."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from flows.sending import analytics
from flows.services import notion_schema as schema
from flows.services.errors import NotionError
from flows.webhooks import events
from flows.webhooks.forwarding import Forwarder
from flows.webhooks.spool import Spool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows.world import World


def event(mail: str, email: str, kind: str = "email.delivered") -> dict[str, Any]:
    tags = {"campaign": "christmas", "sequence": "signup", "step": "2"}
    body = {"to": [email], "email_id": mail, "tags": tags}
    return {"type": kind, "created_at": "2025-12-01T00:00:00Z", "data": body}


def spooled(folder: Path, bodies: list[dict[str, Any]]) -> Forwarder:
    """A process that finds these events on its disk at its start."""
    forwarder = Forwarder(Spool(folder))
    for number, body in enumerate(bodies):
        forwarder.spool.put(f"event-{number}-{body['type']}", {"kind": "event", "event": events.understood(body)})
    return forwarder


def test_events_that_wait_together_share_a_query_and_each_mail_has_one_row(world: World, tmp_path: Path) -> None:
    email = world.address()
    mails = [f"mail-{number}-{time.time_ns()}" for number in range(5)]
    bodies = [event(mail, email, kind) for mail in mails for kind in ("email.delivered", "email.opened")]
    world.forget_calls()
    assert spooled(tmp_path, bodies).once() == 10
    assert {schema.read(row, "Status") for row in world.rows(schema.ANALYTICS, email)} == {"Opened"}
    assert sorted(schema.read(row, "Resend Email ID") for row in world.rows(schema.ANALYTICS, email)) == mails
    calls = world.services.notion.book.calls
    assert sum(path.endswith("/query") for _, path in calls) == 1
    assert len(calls) <= 11 + 4  # and, for the first who asks, which data source a database has


def test_a_row_that_queries_do_not_show_yet_is_not_made_twice(world: World, tmp_path: Path) -> None:
    world.services.notion.store.lag = 2.0
    world.setenv("HUBLAB_NOTION_LAG_SECONDS", "2.2")
    email, mail = world.address(), f"mail-{time.time_ns()}"
    forwarder = spooled(tmp_path / "first", [event(mail, email)])
    assert forwarder.once() == 1
    forwarder.spool.put(
        "event-opened", {"kind": "event", "event": events.understood(event(mail, email, "email.opened"))}
    )
    assert forwarder.once() == 1
    # The next process knows nothing of it, and begins within Notion's lag.
    assert spooled(tmp_path / "second", [event(mail, email, "email.clicked")]).once() == 1
    (row,) = world.rows(schema.ANALYTICS, email)
    assert schema.read(row, "Status") == "Clicked"


def test_a_row_that_was_not_asked_for_in_a_long_time_is_not_forgotten_while_it_is(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of many rows the oldest are forgotten: not that of a mail which is opened as a new one is delivered."""
    monkeypatch.setattr(analytics, "MOST_ROWS", 2)
    email, stamp = world.address(), time.time_ns()
    old, *others, new = (f"mail-{number}-{stamp}" for number in range(4))
    forwarder = spooled(tmp_path, [])
    first = [[(one, "email.delivered")] for one in (old, *others)]
    for at_once in (*first, [(new, "email.delivered"), (old, "email.opened")]):
        for mail, kind in at_once:
            told = {"kind": "event", "event": events.understood(event(mail, email, kind))}
            forwarder.spool.put(f"{mail}-{kind}", told)
        forwarder.once()
    rows = {schema.read(row, "Resend Email ID"): row for row in world.rows(schema.ANALYTICS, email)}
    assert len(world.rows(schema.ANALYTICS, email)) == len(rows) == 4
    assert schema.read(rows[old], "Status") == "Opened"


def test_what_a_strange_mail_server_says_of_a_bounce_holds_nothing_up(world: World, tmp_path: Path) -> None:
    """Its words come from whoever owns the domain of an address."""
    email, mail = world.address(), f"mail-{time.time_ns()}"
    body = event(mail, email, "email.bounced")
    body["data"]["bounce"] = {"type": "Permanent", "message": "550 \ud800no\x00 \x1b[2Jsuch user\r\nX" + "!" * 50_000}
    assert spooled(tmp_path, [body]).once() == 1
    (row,) = world.rows(schema.ANALYTICS, email)
    assert schema.read(row, "Status") == "Bounced"
    said = schema.read(row, "Error Message")
    assert said.startswith("550 no")
    assert "\x00" not in said
    assert "\x1b" not in said
    assert len(said) <= 2_000


@pytest.mark.parametrize(
    ("place", "value"),
    [("email_id", None), ("email_id", ""), ("email_id", 7), ("created_at", None), ("created_at", "yesterday")],
)
def test_an_event_without_its_mail_or_time_is_refused(place: str, value: Any) -> None:
    """Called `None`, all of them would share a row; a time that is none Notion refuses, and it would wait for ever."""
    body = event("mail-1", "a@b.ca")
    (body["data"] if place in body["data"] else body)[place] = value
    with pytest.raises(ValueError, match="not an event of Resend's"):
        events.understood(body)


@pytest.mark.parametrize("bounce", ["x", ["x"], 5, {"type": 5, "message": {"a": 1}}, None])
def test_whatever_is_said_of_a_bounce_it_suppresses(bounce: Any) -> None:
    body = event("mail-1", "a@b.ca", "email.bounced")
    body["data"]["bounce"] = bounce
    found = events.understood(body)
    assert found
    assert (events.cause(found), found["email"], found["detail"]) == ("Bounced", "a@b.ca", "")


@pytest.mark.parametrize(("to", "email"), [("Ada <Ada@b.ca>", "ada@b.ca"), ("", None), (" ", None), (None, None)])
def test_an_event_is_about_an_address(to: Any, email: str | None) -> None:
    body = event("mail-1", to, "email.complained")
    if email is None:
        with pytest.raises(ValueError, match="not an event of Resend's"):
            events.understood(body)
    else:
        assert (events.understood(body) or {})["email"] == email


@pytest.mark.parametrize("step", [None, "x", "", "-1", "0", "99"])
def test_an_event_of_a_step_that_no_mail_has_means_nothing(step: Any) -> None:
    """Whoever else sends with the same account may use the same names for tags: it would wait in the spool for ever."""
    body = event("mail-1", "a@b.ca")
    body["data"]["tags"] |= {"step": step, "template": "theirs"}
    assert events.understood(body) is None


def test_a_row_that_was_thrown_away_is_made_anew(world: World, tmp_path: Path) -> None:
    email, mail = world.address(), f"mail-{time.time_ns()}"
    forwarder = spooled(tmp_path, [event(mail, email)])
    assert forwarder.once() == 1
    (row,) = world.rows(schema.ANALYTICS, email)
    world.services.notion.store.update_page(row["id"], {"in_trash": True})
    forwarder.spool.put(
        "event-opened", {"kind": "event", "event": events.understood(event(mail, email, "email.opened"))}
    )
    with pytest.raises(NotionError):
        forwarder.once()
    assert forwarder.once() == 1
    assert [schema.read(one, "Status") for one in world.rows(schema.ANALYTICS, email) if not one["in_trash"]] == [
        "Opened"
    ]
