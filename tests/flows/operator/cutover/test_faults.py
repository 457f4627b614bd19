"""A service goes wrong, or a person throws a page away, in the midst of a take-over: it says so, and goes on."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flows.operator.cutover.__main__ import main
from flows.services.notion_gateway import NotionGateway
from flows.services.resend_operations import ResendOperations
from tests.flows.in_memory import Services, installed
from tests.flows.operator.cutover.test_takes_over import key_of, live

if TYPE_CHECKING:
    from tests.flows.past import Past

WRITE = {"method": "PATCH", "path": "/v1/pages/"}
LIST = {"method": "GET", "path": "/emails"}
AGAIN = {"times": 2, "headers": {"Retry-After": "1"}}
# What happens, to whom, and what the command then says; nothing where it goes on by itself.
FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "token revoked": ("notion", {"kind": "refuse", "status": 401, "code": "unauthorized"} | WRITE, "401"),
    "too many calls": ("notion", {"kind": "refuse", "status": 429, "code": "rate_limited"} | WRITE | AGAIN, ""),
    "saved, and an error": ("notion", {"kind": "saved-but-refused", "status": 503} | WRITE, ""),
    "no answer": ("notion", {"kind": "drop-after"} | WRITE, ""),
    "overloaded": ("notion", {"kind": "refuse", "status": 529, "times": None} | WRITE, "529"),
    "key revoked": ("resend", {"kind": "refuse", "status": 401, "code": "restricted_api_key"} | LIST, "restricted"),
    "too fast": ("resend", {"kind": "refuse", "status": 429, "code": "rate_limit_exceeded"} | LIST | AGAIN, ""),
    "away": ("resend", {"kind": "refuse", "status": 500, "code": "application_error", "times": None} | LIST, "500"),
}


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS)
def test_a_service_goes_wrong_in_the_midst(past: Past, capsys: pytest.CaptureFixture[str], fault: str) -> None:
    people = [past.person(3), past.person(5)]
    past.world.setenv("HUBLAB_RETRY_SECONDS", "3")
    whose, rule, said = FAULTS[fault]
    (past.world.notion_fault if whose == "notion" else past.world.resend_fault)(**rule)
    assert main(["--apply"]) == (1 if said else 0)
    if said:
        told = capsys.readouterr().err
        assert said in told
        assert "what was written stays, run it again" in told
        for book in (past.world.services.notion.book, past.world.services.resend.book):
            book.rules.clear()
        assert main(["--apply"]) == 0
    for email, left in zip(people, ({4, 5, 6, 7}, {6, 7}), strict=True):
        assert set(live(past, email)) == left
        assert past.world.record(email)["properties"]["Enrolment Key"]["rich_text"][0]["plain_text"] == key_of(email)


@pytest.mark.long
@pytest.mark.parametrize("when", ["between plan and apply", "before its first write"])
def test_a_record_that_is_thrown_away_meanwhile_ends_its_sequence_and_no_other(
    past: Past, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    gone, stays = past.person(3), past.person(3)
    page, store = past.world.record(gone), past.world.services.notion.store
    assert main(["--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["people"]) == 2
    update = NotionGateway.update

    def thrown_away(self: NotionGateway, block: str, identity: str, values: Any) -> dict[str, Any]:
        if identity == page["id"] and not store.pages[identity]["in_trash"]:
            store.update_page(identity, {"in_trash": True})
        return update(self, block, identity, values)

    if when == "between plan and apply":
        store.update_page(page["id"], {"in_trash": True})
    else:
        monkeypatch.setattr(NotionGateway, "update", thrown_away)
    if main(["--apply"]):
        assert "run it again" in capsys.readouterr().err
        assert main(["--apply"]) == 0
    assert live(past, gone) == {}
    assert set(live(past, stays)) == {4, 5, 6, 7}


def test_a_list_of_mails_is_read_to_its_last_page_and_no_further_than_asked() -> None:
    services = Services()
    with installed(services):
        for number in range(250):
            payload = {"from": "Hublab <hello@hublab.test>", "to": ["ada@salon.net"], "subject": str(number)}
            services.resend.accept(payload | {"html": "<p>x</p>"}, None)
            services.clock.advance(60)
        operations, now = ResendOperations(services.settings, lambda: None), services.clock.now()
        everything = [mail["subject"] for mail in operations.listed(now - timedelta(days=1))]
        assert everything == [str(number) for number in reversed(range(250))]
        some = [mail["subject"] for mail in operations.listed(now - timedelta(minutes=150))]
        assert some[0] == "249"
        assert 150 <= len(some) < 170
