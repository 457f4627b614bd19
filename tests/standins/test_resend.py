"""The stand-in for Resend takes what Resend's documentation has, and refuses the rest."""

from __future__ import annotations

import email
import email.policy
import threading
from typing import TYPE_CHECKING, Any

import pytest

from sandbox.standins.delivery import fate
from sandbox.standins.mime import original
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
    "attachment": ({"attachments": []}, "`attachments` is not modelled"),
    "line break": ({"subject": "a\nb"}, "`\\n` is not allowed in the `subject`"),
    "subject's type": ({"subject": 7}, "`subject` field must be a string"),
    "html's type": ({"html": ["x"]}, "`html` field must be a string"),
    "to's type": ({"to": {"a": 1}}, "`to` field must be a string or an array"),
    "nobody": ({"to": []}, "Missing `to` field"),
    "fifty-one": ({"to": ["delivered@resend.dev"] * 51}, "maximum of 50"),
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
    "unknown test address": ({"to": "whoever@resend.dev"}, "whoever@resend.dev is not modelled"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refuses(resend: Service, both: StandIns, what: str) -> None:
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


def test_strict_batch_is_taken_whole_or_not_at_all(resend: Service, both: StandIns) -> None:
    assert resend.ask("POST", "/emails/batch", [MAIL, MAIL | {"to": "x"}])[0] == 422
    assert both.resend.store.mails == []
    assert resend.ask("POST", "/emails/batch", [MAIL], **{"x-batch-validation": "permissive"})[0] == 422
    assert len(resend.ask("POST", "/emails/batch", [MAIL, MAIL])[1]["data"]) == 2
