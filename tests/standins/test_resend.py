"""The stand-in for Resend takes what Resend's documentation has, and refuses the rest."""

from __future__ import annotations

import email
import email.policy
import json
import re
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from sandbox.standins import delivery
from sandbox.standins.delivery import fate
from sandbox.standins.mime import original
from sandbox.standins.resend_payload import Refused
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from sandbox.standins.serve import StandIns
    from tests.standins.conftest import Service

MAIL: dict[str, Any] = {
    "from": "Hublab <hello@hublab.test>",
    "to": ["delivered+a@resend.dev"],
    "subject": "A word",
    "html": "<p>Grüße</p>",
    "text": "Grüße",
    "headers": {"List-Unsubscribe": "<https://h.test/u>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
    "tags": [{"name": "step", "value": "1"}],
}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown key": ({"subjekt": "x"}, "`subjekt` field is not one of"),
    "scheduled": ({"scheduled_at": "2026-01-01T00:00:00Z"}, "`scheduled_at` is not modelled"),
    "template": ({"template": {"id": "x"}}, "`template` is not modelled"),
    "topic": ({"topic_id": "x"}, "`topic_id` is not modelled"),
    "no cc": ({"cc": None}, "`cc` field must be a string or an array"),
    "no reply": ({"reply_to": None}, "`reply_to` field must be"),
    "no headers": ({"headers": None}, "`headers` field must be an object"),
    "no tags": ({"tags": None}, "`tags` field must be an array"),
    "neither": ({"html": "", "text": ""}, "Missing `html` or `text`"),
    "no text": ({"text": None}, "`text` field must be a string"),
    "attachment": ({"attachments": []}, "`attachments` is not modelled"),
    "line break": ({"subject": "a\nb"}, "`\\n` is not allowed in the `subject`"),
    "carriage return": ({"subject": "a\rb"}, "`\\n` is not allowed in the `subject`"),
    "subject's type": ({"subject": 7}, "`subject` field must be a string"),
    "html's type": ({"html": ["x"]}, "`html` field must be a string"),
    "to's type": ({"to": {"a": 1}}, "`to` field must be a string or an array"),
    "nobody": ({"to": []}, "Missing `to` field"),
    "fifty-one": ({"to": ["delivered@resend.dev"] * 51}, "maximum of 50"),
    "fifty-one copies": ({"cc": ["delivered@resend.dev"] * 51}, "maximum of 50"),
    "cc": ({"cc": ["nobody"]}, "Invalid `cc` field"),
    "bcc": ({"bcc": "x@example.com"}, "Invalid `bcc` field"),
    "reply": ({"reply_to": 3}, "`reply_to` field must be"),
    "address": ({"to": "a@b.test>"}, "Invalid `to` field"),
    "headers' type": ({"headers": [["a", "b"]]}, "`headers` field must be an object"),
    "header's value": ({"headers": {"X-A": 1}}, "`X-A` must be one line"),
    "header's line break": ({"headers": {"X-A": "a\r\nBcc: x@y.z"}}, "`X-A` must be one line"),
    "header's name": ({"headers": {"X A": "a"}}, "`X A` must be one line"),
    "header twice": ({"headers": {"X-A": "1", "x-a": "2"}}, "`x-a` is there twice"),
    "own header": ({"headers": {"Bcc": "x@y.z"}}, "`Bcc` is not modelled"),
    "tags' type": ({"tags": {"a": "b"}}, "`tags` field must be an array"),
    "tag's key": ({"tags": [{"name": "a", "value": "b", "x": 1}]}, "an object with `name` and `value`"),
    "tag's sign": ({"tags": [{"name": "a", "value": "b c"}]}, "ASCII letters"),
    "tag's end": ({"tags": [{"name": "a", "value": "b\n"}]}, "ASCII letters"),
    "two fates": ({"to": ["delivered@resend.dev", "bounced@resend.dev"]}, "another fate is not modelled"),
    "a copy's fate": ({"cc": "complained@resend.dev"}, "another fate is not modelled"),
    "not ASCII": ({"to": "jörg@hublab.test"}, "jörg@hublab.test is not modelled"),
    "unknown test address": ({"to": "whoever@resend.dev"}, "whoever@resend.dev is not modelled"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_standin_of_resend_refuses_what_resend_refuses(resend: Service, both: StandIns, what: str) -> None:
    change, said = REFUSED[what]
    status, answer = resend.ask("POST", "/emails", MAIL | change)
    assert (status, answer["statusCode"]) == (422, 422)
    assert said in answer["message"]
    assert both.resend.store.mails == []


@pytest.mark.parametrize("body", [[], "x", None, 3])
def test_body_that_is_no_object_is_refused(resend: Service, body: Any) -> None:
    assert resend.ask("POST", "/emails", body)[0] == 422


def test_answer_has_who_gets_a_copy_and_the_original_its_headers(resend: Service, both: StandIns) -> None:
    more = {"cc": "delivered+b@resend.dev", "bcc": ["delivered+c@resend.dev"], "reply_to": "r@hublab.test"}
    _, made = resend.ask("POST", "/emails", MAIL | more)
    _, shown = resend.ask("GET", f"/emails/{made['id']}")
    assert shown["cc"] == ["delivered+b@resend.dev"]
    assert shown["bcc"] == ["delivered+c@resend.dev"]
    assert shown["reply_to"] == ["r@hublab.test"]
    raw = original(both.resend.store.find(made["id"]))
    leaves = email.message_from_bytes(raw, policy=email.policy.default)
    assert leaves["Message-ID"] == shown["message_id"]
    assert leaves["List-Unsubscribe"] == "<https://h.test/u>"
    assert leaves["Cc"] == "delivered+b@resend.dev"
    assert leaves["Bcc"] is None
    html = leaves.get_body(("html",))
    assert html is not None
    assert html.get_content().strip() == "<p>Grüße</p>"


def test_only_the_test_domain_simulates(resend: Service, both: StandIns) -> None:
    for to, event in (
        ("bounced@hublab.test", "delivered"),
        ("suppressed@hublab.test", "delivered"),
        ("bounced+x@resend.dev", "bounced"),
        ("Ada <bounced@resend.dev>", "bounced"),
        ("complained@resend.dev", "complained"),
        ("suppressed+x@resend.dev", "suppressed"),
    ):
        resend.ask("POST", "/emails", MAIL | {"to": to})
        assert fate(both.resend.store.mails[-1])[-1] == event


def test_key_that_only_sends_reads_nothing(resend: Service) -> None:
    resend.ask("POST", "/_standin/settings", {"keys": {"re_send": "sending_access"}})
    sending = {"Authorization": "Bearer re_send"}
    assert resend.ask("POST", "/emails", MAIL, **sending)[0] == 200
    status, answer = resend.ask("GET", "/emails", **sending)
    assert (status, answer["name"]) == (401, "restricted_api_key")
    assert resend.ask("GET", "/emails", Authorization="Bearer other")[1]["name"] == "invalid_api_key"


def test_second_request_with_the_key_of_one_in_flight_is_told_so(resend: Service, both: StandIns) -> None:
    both.resend.handling = 600.0
    failures: list[Exception] = []

    def first() -> None:
        try:
            resend.ask("POST", "/emails", MAIL, **{"Idempotency-Key": "k"})
        except Exception as error:  # noqa: BLE001 - it ends with the stand-in
            failures.append(error)

    thread = threading.Thread(target=first, daemon=True)
    thread.start()
    wait_for(lambda: "k" in both.resend.store.in_flight, "the first request is in flight")
    status, answer = resend.ask("POST", "/emails", MAIL, **{"Idempotency-Key": "k"})
    assert (status, answer["name"]) == (409, "concurrent_idempotent_requests")
    assert both.resend.store.mails == []


def test_one_key_is_one_mail_for_a_day(resend: Service, both: StandIns) -> None:
    def sent(subject: str, key: str = "k") -> tuple[int, Any]:
        return resend.ask("POST", "/emails", MAIL | {"subject": subject}, **{"Idempotency-Key": key})

    first = sent("A")
    assert sent("A") == first
    assert sent("B")[1]["name"] == "invalid_idempotent_request"
    assert sent("A", "k" * 257)[1]["name"] == "invalid_idempotency_key"
    both.resend.store.clock.advance(24 * 3600)
    assert sent("B")[0] == 200
    assert len(both.resend.store.mails) == 2


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/emails?page=2"),
        ("GET", "/emails?limit=0"),
        ("GET", "/emails?limit=101"),
        ("GET", "/emails?limit=x"),
        ("GET", "/emails?after=nobody"),
        ("GET", "/emails?before=b"),
        ("GET", "/domains?limit=1"),
        ("POST", "/emails/batch"),
        ("GET", "/suppressions"),
        ("DELETE", "/emails"),
    ],
)
def test_request_that_is_not_documented_or_not_modelled_is_refused(resend: Service, method: str, path: str) -> None:
    status, answer = resend.ask(method, path)
    assert (status, answer["name"]) in {(422, "validation_error"), (400, "validation_error")}


@pytest.fixture
def told(both: StandIns, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The events that a subscriber is told, each at once."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(delivery, "_Message", lambda _, body, __: found.append(json.loads(body)))
    both.resend.delivery.subscribe("http://127.0.0.1:9", "whsec_eA==")
    both.resend.store.delivery = 0.0
    return found


def test_answers_and_events_have_what_is_documented(resend: Service, told: list[dict[str, Any]]) -> None:
    _, made = resend.ask("POST", "/emails", MAIL | {"to": "bounced@resend.dev"})
    wait_for(lambda: len(told) == 2, "both events")
    assert [one["type"] for one in told] == ["email.sent", "email.bounced"]
    assert set(told[0]["data"]) == {"email_id", "created_at", "from", "to", "subject", "tags", "headers"}
    assert told[0]["data"]["headers"][0] == {"name": "List-Unsubscribe", "value": "<https://h.test/u>"}
    assert set(told[1]["data"]["bounce"]) == {"diagnosticCode", "message", "subType", "type"}
    _, shown = resend.ask("GET", f"/emails/{made['id']}")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}\+00", shown["created_at"])
    whole = {
        "object",
        "id",
        "message_id",
        "to",
        "from",
        "created_at",
        "subject",
        "html",
        "text",
        "bcc",
        "cc",
        "reply_to",
    }
    assert set(shown) == whole | {"last_event"}
    assert resend.ask("GET", "/emails")[1]["data"][0].keys() == set(shown) - {"object", "html", "text"}


def test_mail_is_asked_for_by_an_id(resend: Service) -> None:
    status, answer = resend.ask("GET", "/emails/None")
    assert (status, answer["name"]) == (422, "invalid_parameter")
    assert resend.ask("GET", f"/emails/{uuid4()}")[0] == 404


def test_suppressed_mail_says_what_came_before_it(resend: Service, both: StandIns, told: list[dict[str, Any]]) -> None:
    both.resend.delivery.suppress("delivered+gone@resend.dev", "complaint")
    _, refused = resend.ask("POST", "/emails", MAIL | {"cc": "delivered+gone@resend.dev"})
    assert "another fate is not modelled" in refused["message"]
    assert resend.ask("POST", "/emails", MAIL | {"to": "delivered+gone@resend.dev"})[0] == 200
    wait_for(lambda: [one for one in told if one["type"] == "email.suppressed"], "it is told")
    assert told[-1]["data"]["suppressed"]["reason"] == "previous_complaint"


def test_ten_a_second_and_no_more(both: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
    team, now = both.resend, datetime(2026, 1, 1, tzinfo=UTC)
    team.per_second = 10

    def ask(seconds: float) -> None:
        monkeypatch.setattr(team.store.clock, "now", lambda: now + timedelta(seconds=seconds))
        team._limited()

    for _ in range(10):
        ask(0.5)
    with pytest.raises(Refused, match="Too many requests"):
        ask(1.4)
    ask(1.5)
