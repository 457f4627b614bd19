"""A workspace with more contacts, or more edits at once, than one of Notion's queries answers."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flows.operator import alerting, concerns
from flows.recipients import contact, edits, reading, suppression
from flows.recipients.contact import BOOKING, STATUS
from flows.sending import ahead
from flows.services import notion_gateway
from flows.services import notion_schema as schema
from flows.services.errors import NotionError, NotionTooManyError
from flows.services.prefect_api import Prefect
from flows.watch_flow import watch
from sandbox.standins.notion_store import MAX_RESULTS
from sandbox.standins.notion_values import EMPTY
from tests.flows import in_the_campaign
from tests.flows.in_memory import Try
from tests.flows.in_the_campaign import EMAIL, SAME

if TYPE_CHECKING:
    from tests.flows.in_the_campaign import Campaign
    from tests.flows.world import World

campaign = in_the_campaign.campaign  # the fixture
MOST, PORTION = 20, 10
NOBODY = "nobody@salon.net"


@pytest.fixture
def few(campaign: Campaign, monkeypatch: pytest.MonkeyPatch) -> Campaign:
    """Notion answers few rows, so that few are many."""
    campaign.all.notion.most = MOST
    monkeypatch.setattr(notion_gateway, "PAGE_SIZE", 5)
    monkeypatch.setattr(reading, "PORTION", PORTION)
    return campaign


def many(campaign: Campaign, count: int, *, a_minute: int = 3) -> list[dict[str, Any]]:
    """Contacts, some of them each minute."""
    found = []
    for number in range(count):
        found.append(campaign.contact(f"{number}@many.net"))
        campaign.all.clock.advance(60 if number % a_minute == a_minute - 1 else 0)
    return found


def enrolled_among_many(campaign: Campaign) -> dict[str, Any]:
    """Somebody's enrolment, a day after more contacts than a look reads."""
    many(campaign, 40)
    campaign.all.clock.advance(86_400)
    return campaign.enrols()


def later(campaign: Campaign, looks: int) -> None:
    """The reader looks once a minute."""
    for _ in range(looks):
        campaign.all.clock.advance(60)
        campaign.look(whole=True)


def quietens(campaign: Campaign, looks: int) -> None:
    """Some time later somebody edits a contact, by which Notion's time is known, and the reader looks."""
    campaign.all.clock.advance(600)
    campaign.contact(NOBODY)
    later(campaign, looks)


def unfinished(campaign: Campaign) -> bool:
    """Whether not everything was read yet."""
    return bool(campaign.all.kept[edits.SEEN].get("walk"))


def calls(campaign: Campaign, looks: int = 1) -> int:
    """The calls to Notion of so many looks."""
    mine = Try({})
    campaign.all.tries.append(mine)
    later(campaign, looks)
    campaign.all.tries.pop()
    return len([one for one in mine.calls if one.startswith("notion")])


@pytest.mark.parametrize(
    ("looks", "email", "change"),
    [
        (0, SAME[2], {BOOKING: "Booked"}),
        (0, SAME[3], {STATUS: "Unsubscribed"}),
        (1, SAME[2], {BOOKING: "Booked"}),
        (12, SAME[2], {STATUS: "Unsubscribed"}),
    ],
)
def test_more_contacts_than_one_answer_holds_are_read_a_portion_at_a_look(
    few: Campaign, email: str, change: dict[str, str], looks: int
) -> None:
    """Mails go out meanwhile, and none to who has left."""
    many(few, 30)
    few.contact(email, **change)
    few.all.clock.advance(86_400)
    many(few, 30)
    few.all.clock.advance(86_400)
    enrolment, other = few.enrols(), few.enrols(email="bea@salon.net")
    later(few, looks)
    assert few.send(enrolment)
    assert few.send(other) == ""
    later(few, 12)
    assert not unfinished(few)
    assert few.send(enrolment)
    assert few.send(other, 3) == ""


def test_who_had_left_before_the_first_look_is_known_when_it_is_through(few: Campaign) -> None:
    gone = few.contact(SAME[2], **{STATUS: "Unsubscribed"})
    many(few, 40)
    quietens(few, 9)
    assert not unfinished(few)
    few.all.notion.update_page(gone["id"], {"in_trash": True})
    assert suppression.record_name(EMAIL, "Unsubscribed") in few.all.kept


@pytest.mark.parametrize(
    ("looks", "where", "what"),
    [
        (0, 0, {BOOKING: "Booked"}),
        (0, 39, {STATUS: "Unsubscribed"}),
        (1, 20, {BOOKING: "Booked"}),
        (9, 0, {STATUS: "Unsubscribed"}),
    ],
)
def test_more_edits_at_once_than_one_answer_holds_stop_no_other_mail_and_hide_none(
    few: Campaign, what: dict[str, str], where: int, looks: int
) -> None:
    pages = many(few, 39)
    pages.insert(where, few.contact(SAME[3]))
    enrolment, other = few.enrols(), few.enrols(email="bea@salon.net")
    quietens(few, 9)
    assert not unfinished(few)
    assert few.send(enrolment, 1) == ""
    for page in pages:
        few.edit(page, **what)
    few.all.clock.advance(120)
    later(few, looks)
    assert few.send(enrolment, 2)
    assert few.send(other, 2) == ""
    quietens(few, 9)
    assert not unfinished(few)
    assert few.send(enrolment, 3)
    assert few.send(other, 3) == ""


def test_an_edit_of_what_was_read_already_is_seen_while_the_rest_is_read(few: Campaign) -> None:
    first = few.contact(SAME[1])
    many(few, 60)
    quietens(few, 3)
    assert unfinished(few)
    enrolment = few.enrols()
    few.edit(first, **{BOOKING: "Booked"})
    later(few, 9)
    assert not unfinished(few)
    assert "booking" in few.send(enrolment)


def test_more_edits_at_once_while_the_rest_is_read_begin_it_again(few: Campaign) -> None:
    """Those that were read already, and are edited now, are more than a look reads."""
    pages = many(few, 60)
    quietens(few, 5)
    assert unfinished(few)
    enrolment = few.enrols()
    few.all.clock.advance(600)
    for page in pages[:30]:
        few.edit(page, Email=SAME[3] if page is pages[20] else "x@many.net", **{BOOKING: "Booked"})
    quietens(few, 12)
    assert not unfinished(few)
    assert "booking" in few.send(enrolment)


@pytest.mark.parametrize("tick", reading.STOPS)
@pytest.mark.parametrize("looks", [0, 9])
def test_more_records_stopped_at_once_than_one_answer_holds(few: Campaign, tick: str, looks: int) -> None:
    enrolment, other = few.enrols(), few.enrols(email="bea@salon.net")
    source = few.all.sources[schema.SEQUENCE]
    addresses = [*(f"{number}@many.net" for number in range(15)), SAME[2], *(f"{n}@more.net" for n in range(15))]
    records = [few.all.notion.create_page(source, {"Email": {"email": one}}) for one in addresses]
    later(few, 2)
    for one in records:
        few.all.notion.update_page(one["id"], {"properties": {tick: {"checkbox": True}}})
    few.all.clock.advance(120)
    for _ in range(2):
        assert "on another record" in few.send(enrolment)
        quietens(few, looks)
        assert unfinished(few) is (looks == 0)
    assert few.send(other) == ""


@pytest.mark.parametrize("same", [False, True])
def test_a_minute_that_is_too_full_by_itself(few: Campaign, same: bool) -> None:
    """An import makes many contacts within a minute; many of one address and minute are nobody's."""
    few.contact(SAME[2], **{BOOKING: "Booked"})
    for number in range(3 * MOST):
        few.contact(NOBODY if same else f"{chr(97 + number % 26)}{number}@many.net")
    enrolment, other = few.enrols(), few.enrols(email="bea@salon.net")
    few.all.clock.advance(600)
    few.contact(NOBODY)
    if same:
        with pytest.raises(NotionError, match="created within one minute"):
            later(few, 5)
    else:
        later(few, 9)
    assert unfinished(few) is same
    assert "booking" in few.send(enrolment)
    assert few.send(other) == ""


def test_what_is_not_read_yet_and_cannot_be_asked_for_sends_nothing(
    few: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolment = enrolled_among_many(few)
    later(few, 1)
    assert unfinished(few)
    monkeypatch.setattr(contact, "of_mailbox", lambda *_: (_ for _ in ()).throw(NotionError("away")))
    with pytest.raises(NotionError):
        few.send(enrolment)
    assert few.all.resend.mails == []


def test_look_costs_two_calls_as_soon_as_all_contacts_are_read(few: Campaign) -> None:
    """A look two calls, as soon as all is read; a mail two more, until then."""
    enrolment = enrolled_among_many(few)
    most = 2 * (PORTION // 5 + 1) + 2
    assert max(calls(few) for _ in range(10)) <= most
    assert not unfinished(few)
    quietens(few, 1)
    assert calls(few) == 2
    mine = Try({})
    few.all.tries.append(mine)
    assert few.send(enrolment) == ""
    # its record, the sequence's templates (more than fit into a page here), and what is written
    assert [one for one in mine.calls if one.startswith("notion")] == [
        "notion read page",
        *["notion query"] * 2,
        "notion write page",
    ]


def test_a_send_reads_ahead_for_nobody(few: Campaign) -> None:
    """Where no reader is, a mail costs what it costs; the watch reads the rest."""
    enrolment = enrolled_among_many(few)
    for step in (1, 2, 3):
        few.all.clock.advance(600)
        assert few.send(enrolment, step) == ""
    assert few.all.kept[edits.SEEN]["walk"] == {schema.CONTACTS: [reading.EVER.isoformat()] * 2}


def test_with_notions_own_limit(campaign: Campaign) -> None:
    """More contacts than that are imported, one of them booked: mails go on at once, and all is read in the end."""
    store, source = campaign.all.notion, campaign.all.sources[schema.CONTACTS]
    assert store.most == MAX_RESULTS == 10_000
    campaign.look()
    booked = campaign.contact(SAME[2], **{BOOKING: "Booked"})
    values = {name: EMPTY.get(kind) for name, kind in source.kinds().items()}
    for number in range(MAX_RESULTS + 10):
        at = (campaign.all.clock.now() + timedelta(minutes=number // 2_000)).isoformat()
        page = booked | {"id": f"{number:032x}", "created_time": at, "last_edited_time": at, "order": number}
        page["values"] = values | {"Email": f"{number}@many.net"}
        store.pages[page["id"]] = page
        store.history[page["id"]] = [(campaign.all.clock.now(), page)]
    campaign.all.clock.advance(600)
    query = {"filter": {"property": "Email", "email": {"is_not_empty": True}}}
    assert store.query(source, query)["request_status"]["incomplete_reason"] == "query_result_limit_reached"
    enrolment, other = campaign.enrols(), campaign.enrols(email="bea@salon.net")
    assert "booking" in campaign.send(enrolment)
    assert campaign.send(other) == ""
    looks = next(number for number in itertools.count() if number > 20 or not _on(campaign))
    assert looks <= 20
    assert len([one for one in campaign.all.kept if one.startswith("booked-")]) == 1


def _on(campaign: Campaign) -> bool:
    later(campaign, 1)
    return unfinished(campaign)


def test_a_list_of_mails_that_may_go_is_made_while_the_rest_is_read(
    few: Campaign, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolment = enrolled_among_many(few)
    runs = [{"parameters": run.parameters} for run in few.all.runs.values()]
    monkeypatch.setattr(ahead, "due", lambda *_: runs[:1])
    ahead.look(few.prefect, few.all.gateway(), few.all.clock.now())
    assert unfinished(few)
    assert ahead.cleared(few.all.kept[ahead.LIST], enrolment | {"made": None}, 1, few.all.clock.now())


@pytest.mark.parametrize(
    ("minutes", "error", "said"),
    [
        (59, NotionError("query: 400"), ""),
        (61, None, ""),
        (61, NotionError("query: 400"), "not read since 2026-01-05 12:00 UTC: query: 400"),
        (1, NotionTooManyError("Contacts"), f"not all contacts can be read: {NotionTooManyError('Contacts')}"),
    ],
)
def test_the_operator_hears_that_edits_cannot_be_read(
    campaign: Campaign, minutes: int, error: Exception | None, said: str
) -> None:
    campaign.look()
    now = campaign.all.clock.now() + timedelta(minutes=minutes)
    found = concerns.unread(campaign.prefect, error, now)
    assert [text for one in found for text in one.items.values()] == ([said] if said else [])
    assert edits.not_since(campaign.prefect, now) == ("2026-01-05 12:00 UTC" if minutes > 60 else "")


def test_watch_tells_that_contacts_are_not_all_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def tell(_prefect: Prefect, _settings: Any, found: list[concerns.Concern], _now: datetime) -> str:
        told.extend(one.kind for one in found)
        return "told"

    monkeypatch.setattr(alerting, "tell", tell)
    world.setenv("ALERT_URLS", "json://127.0.0.1:9/")
    now = datetime.now(UTC)
    with Prefect() as prefect:
        looked = {"at": now.isoformat(), "walk": {}, "looked": (now - timedelta(hours=2)).isoformat()}
        prefect.remember(edits.SEEN, looked)
    world.notion_fault("refuse", path="query", status=400, code="validation_error", times=None)
    watch.fn("default")
    assert told.count("edits") == 1
    world.services.notion.book.rules.clear()
    watch.fn("default")
    assert told.count("edits") == 1
