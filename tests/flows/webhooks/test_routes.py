"""The webhook app: who may come, what is kept, and that nothing of it is lost."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import time
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from flows.campaigns.model import sequence as find_sequence
from flows.recipients import unsubscribe
from flows.services import notion_schema as schema
from flows.services.prefect_api import Prefect
from flows.services.settings import BadSettingError, MissingSettingError
from flows.webhooks import forwarding
from flows.webhooks.app import build
from flows.webhooks.bodies import MAX_BODY, Refusal, limited
from flows.webhooks.spool import Spool
from sandbox.campaign.contacts import PAYLOADS
from sandbox.standins.delivery import signature
from sandbox.standins.serve import serving
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.flows.world import World

SECRET = {"x-webhook-secret": "webhook-test"}
PAID = {"x-webhook-secret": "onboarding-test"}
PAGES = {"signup": "christmas-signup", "noshow": "calendly-noshow", "postcall": "postcall-maybe"}


@contextmanager
def opened(world: World, folder: Path) -> Iterator[httpx.Client]:
    """The app behind a real socket, with its spool in that folder."""
    with serving(build(world.settings, folder)) as url, httpx.Client(base_url=url, trust_env=False) as client:
        yield client


@pytest.fixture
def client(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[httpx.Client]:
    """The app with an empty spool, whose rounds come soon."""
    monkeypatch.setattr(forwarding, "PAUSE_MOST", 0.2)
    with opened(world, tmp_path / "spool") as client:
        yield client


def eventually(look: Callable[[], Any], seconds: float = 180) -> Any:
    return wait_for(look, "it comes", seconds, every=0.05)


def run_of(sequence: str, email: str) -> Any:
    with Prefect() as prefect:
        return prefect.run_of(find_sequence("christmas", sequence).key_of(PAYLOADS[sequence] | {"email": email}))


@pytest.mark.parametrize(("sequence", "path"), [*PAGES.items(), ("onboarding", "onboarding-start")])
def test_each_webhook_becomes_one_run_of_its_handler(
    world: World, client: httpx.Client, sequence: str, path: str
) -> None:
    payload, secret = world.payload(sequence), PAID if sequence == "onboarding" else SECRET
    for _ in range(2):
        answer = client.post(f"/webhook/{path}", json=payload | {"unknown": "is kept out"}, headers=secret)
        assert answer.status_code == 202, answer.text
        told = answer.json()
        assert told["status"] == "accepted"
        assert {told["email"], told["campaign"]} == {payload["email"], "Christmas 2025"}
        assert datetime.fromisoformat(told["timestamp"]).tzinfo
        assert told["message"]
    run = eventually(lambda: run_of(sequence, payload["email"]))
    assert run.parameters["payload"] == payload
    eventually(lambda: all(part["waiting"] == 0 for part in client.get("/health").json().values()))


def test_signatures_of_our_callers_and_of_calendly_are_accepted(world: World, client: httpx.Client) -> None:
    body = json.dumps(world.payload("noshow")).encode()
    kind = {"content-type": "application/json"}
    mac = hmac.new(b"webhook-test", body, hashlib.sha256).hexdigest()
    signed = kind | {"x-webhook-signature": f"sha256={mac}"}
    assert client.post("/webhook/calendly-noshow", content=body, headers=signed).status_code == 202
    stamp = str(int(time.time()))
    mac = hmac.new(b"calendly-test", f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    other = mac[:-1] + ("1" if mac.endswith("0") else "0")
    for given, status in ((f"t={stamp},v1={mac}", 202), (f"t={stamp},v1={other}", 401), (f"t=1,v1={mac}", 401)):
        headers = kind | {"calendly-webhook-signature": given}
        assert client.post("/webhook/calendly-noshow", content=body, headers=headers).status_code == status


@pytest.mark.parametrize(
    "headers", [{}, {"x-webhook-secret": "wrong"}, {"x-webhook-signature": "sha256=00"}, {"x-webhook-secret": "ä"}]
)
def test_who_does_not_prove_himself_gets_401(world: World, client: httpx.Client, headers: dict[str, str]) -> None:
    raw = {name.encode(): value.encode() for name, value in headers.items()}
    assert client.post("/webhook/christmas-signup", json=world.payload("signup"), headers=raw).status_code == 401


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"email": "not an address"}, "email"),
        ({"first_name": ""}, "first_name"),
        ({"first_name": "Ada\r\nBcc: all@example.com"}, "first_name"),
        ({"assessment_score": 101}, "assessment_score"),
        ({"red_systems": 9}, "red_systems"),
        ({"red_systems": "2.5"}, "red_systems"),
        ({"red_systems": True}, "red_systems"),
        ({"assessment_score": "NaN"}, "assessment_score"),
        ({"assessment_score": ""}, "assessment_score"),
        ({"assessment_score": None}, "assessment_score"),
        ({"first_name": " \u00a0\u200b"}, "first_name"),
        ({"first_name": "\u3164\u2800\u034f"}, "first_name"),
        ({"weakest_system_1": "see evil\u3002example/x"}, "weakest_system_1"),
        ({"first_name": "A" * 101}, "first_name"),
        ({"first_name": "Win $500 https://evil.example/x"}, "first_name"),
        ({"business_name": "call \uff57\uff57\uff57.evil.example"}, "business_name"),
        ({"weakest_system_1": "see evil.example/x"}, "weakest_system_1"),
    ],
)
def test_a_wrong_value_gets_422_and_names_the_field(
    world: World, client: httpx.Client, change: dict[str, Any], field: str
) -> None:
    answer = client.post("/webhook/christmas-signup", json=world.payload("signup") | change, headers=SECRET)
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == [field]


def test_nobody_unpaid_is_onboarded(world: World, client: httpx.Client) -> None:
    payload = world.payload("onboarding", payment_confirmed=False)
    assert client.post("/webhook/onboarding-start", json=payload, headers=PAID).status_code == 422


async def test_a_length_in_digits_that_python_takes_for_no_number_is_refused() -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", "²".encode("latin-1"))]
    with pytest.raises(Refusal) as refused:
        await limited(Request({"type": "http", "headers": headers}))
    assert refused.value.status == 413


def test_other_bodies_get_413_415_and_422(client: httpx.Client) -> None:
    path, kind = "/webhook/christmas-signup", SECRET | {"content-type": "application/json"}
    large = b"[" + b" " * MAX_BODY + b"]"
    assert client.post(path, content=large, headers=kind).status_code == 413
    chunked = iter([large[: MAX_BODY // 2], large[MAX_BODY // 2 :]])
    assert client.post(path, content=chunked, headers=kind).status_code == 413
    assert client.post(path, content=b"{}", headers=SECRET).status_code == 415
    for body in (b"{", b"[]", b"[" * 5000):
        assert client.post(path, content=body, headers=kind).status_code == 422
    assert client.get(path).status_code == 405


def test_what_was_accepted_while_prefect_is_away_is_enrolled_once_when_it_is_back(world: World, tmp_path: Path) -> None:
    from prefect.settings import (  # noqa: PLC0415
        PREFECT_API_URL,
        PREFECT_CLIENT_MAX_RETRIES,
        temporary_settings,
    )

    payloads = [world.payload("signup") for _ in range(10)]
    spool = tmp_path / "spool"
    away = temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0})
    with away, opened(world, spool) as client:
        for payload in payloads * 2:
            assert client.post("/webhook/christmas-signup", json=payload, headers=SECRET).status_code == 202
        eventually(lambda: client.get("/health").json()["enrolments"]["trouble"])
    assert len(list((spool / "enrolments").glob("*.json"))) == 10
    with opened(world, spool):
        eventually(lambda: not list((spool / "enrolments").glob("*.json")))
    assert all(run_of("signup", payload["email"]) for payload in payloads)


def test_health_tells_of_an_entry_that_waits_and_what_comes_after_it_goes(world: World, tmp_path: Path) -> None:
    entry = {"kind": "enrolment", "campaign": "gone", "sequence": "gone", "payload": {}, "received_at": ""}
    spool = Spool(tmp_path / "enrolments")
    spool.put("x", entry)
    os.utime(spool.path("x"), (1, 1))
    with opened(world, tmp_path) as client:
        assert client.get("/health").status_code == 503
        assert client.head("/health").status_code == 503, "as a monitor that wants no page asks"
        payload = world.payload("signup")
        assert client.post("/webhook/christmas-signup", json=payload, headers=SECRET).status_code == 202
        eventually(lambda: run_of("signup", payload["email"]))


def test_health_answers_while_entries_go(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    for key in ("one", "two"):
        spool.put(key, {})
    since = spool.oldest()
    assert since is not None
    assert time.time() - since < 60
    spool.path("one").unlink()  # as between the listing of the folder and the look at the file
    assert spool.oldest() == since
    spool.done(spool.path("two"))
    assert spool.waiting == 1


def test_a_full_disk_is_503(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.webhooks.spool.MAX_WAITING", 0)
    with opened(world, tmp_path) as client:
        answer = client.post("/webhook/christmas-signup", json=world.payload("signup"), headers=SECRET)
        assert answer.status_code == 503


@pytest.mark.parametrize(
    ("local", "status", "contact"),
    [
        ("delivered", "Delivered", "Signed Up"),
        ("bounced", "Bounced", "Bounced"),
        ("complained", "Complained", "Complained"),
    ],
)
def test_resends_events_go_into_email_analytics_and_suppress_where_they_must(
    world: World, client: httpx.Client, local: str, status: str, contact: str
) -> None:
    hook = {"url": f"{client.base_url}/webhook/resend", "secret": world.environment["RESEND_WEBHOOK_SECRET"]}
    httpx.post(f"{world.services.resend_url}/_standin/settings", json={"webhook": hook}, trust_env=False)
    enrolment = world.quickly("signup", email=world.address(local))
    assert world.send(enrolment).name == "Completed"

    def told() -> bool:
        rows = world.rows(schema.ANALYTICS, enrolment["email"])
        return len(rows) == 1 and schema.read(rows[0], "Status") == status

    eventually(told)
    (row,) = world.rows(schema.ANALYTICS, enrolment["email"])
    assert schema.read(row, "Template ID") == "christmas_email_2"
    assert schema.read(row, "Resend Email ID") == world.services.resend.store.mails[-1]["id"]

    def marked() -> bool:
        (page,) = world.rows(schema.CONTACTS, enrolment["email"])
        return bool(schema.read(page, "Christmas Campaign Status") == contact)

    eventually(marked)
    assert world.send(enrolment, 3).name == ("Completed" if local == "delivered" else "Skipped")


def test_a_forged_event_is_refused_and_one_that_means_nothing_is_ignored(world: World, client: httpx.Client) -> None:
    body = json.dumps({"type": "email.sent", "created_at": "2025-12-01T00:00:00Z", "data": {}})
    now = int(time.time())

    def post(secret: str, stamp: int, text: str = body) -> int:
        headers = {
            "content-type": "application/json",
            "svix-id": "msg_1",
            "svix-timestamp": str(stamp),
            "svix-signature": "v1,AAAA " + signature(secret, "msg_1", stamp, text),
        }
        return client.post("/webhook/resend", content=text, headers=headers).status_code

    good = world.environment["RESEND_WEBHOOK_SECRET"]
    assert post(good, now) == 202
    assert post(good, now - 400) == 401
    assert post("whsec_AAAA", now) == 401
    assert post(good, now, '{"type": "email.bounced"}') == 422
    assert post(good, now, '{"type": "email.bounced", "data": {"tags": []}}') == 202  # a mail without our tags


@pytest.mark.parametrize(
    ("name", "error"),
    [("WEBHOOK_SECRET", MissingSettingError), ("UNSUBSCRIBE_SECRET", MissingSettingError)],
)
def test_the_webhook_app_does_not_start_without_its_secrets(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[Exception]
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(error, match=name):
        build(world.settings, tmp_path)


def test_a_secret_of_resends_that_cannot_be_one_is_refused_at_the_start(world: World, tmp_path: Path) -> None:
    world.setenv("RESEND_WEBHOOK_SECRET", "not base64!")
    with pytest.raises(BadSettingError, match="resend-webhook-secret"):
        build(world.settings, tmp_path)


def test_calendlys_signature_is_refused_where_its_key_is_not_set(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CALENDLY_SIGNING_KEY")
    with TestClient(build(world.settings, tmp_path)) as client:
        headers = {"calendly-webhook-signature": "t=1,v1=0"}
        answer = client.post("/webhook/calendly-noshow", json=world.payload("noshow"), headers=headers)
    assert answer.status_code == 401


def test_one_click_unsubscribes_and_a_link_that_is_only_followed_does_not(world: World, client: httpx.Client) -> None:
    enrolment = world.quickly("signup")
    token = unsubscribe.token("unsubscribe-test", enrolment["email"])
    assert client.get(f"/unsubscribe/{token}").status_code == 200
    assert world.send(enrolment, 2).name == "Completed"
    assert client.post(f"/unsubscribe/{token}", data={"List-Unsubscribe": "One-Click"}).status_code == 202
    for wrong in (token[:-1] + ("A" if token[-1] != "A" else "B"), "%00", "x"):
        assert client.post(f"/unsubscribe/{wrong}").status_code == 404

    def marked() -> bool:
        (page,) = world.rows(schema.CONTACTS, enrolment["email"])
        return bool(schema.read(page, "Christmas Campaign Status") == "Unsubscribed")

    eventually(marked)
    assert world.send(enrolment, 3).name == "Skipped"
