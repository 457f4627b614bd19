"""Who may call which route of the webhooks, from where, and how often."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from flows.campaigns.model import sequences
from flows.operator import concerns
from flows.services.prefect_api import Prefect
from flows.services.settings import BadSettingError, Settings
from flows.webhooks import limits
from flows.webhooks.app import build
from flows.webhooks.bodies import Refusal
from flows.webhooks.limits import HOUR, Limits
from sandbox.campaign.contacts import PAYLOADS
from sandbox.standins.challenge import Challenge
from sandbox.standins.serve import serving
from tests.flows.webhooks.test_routes import eventually
from tests.flows.webhooks.test_routes import opened as opened_app

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx
    from starlette.requests import Request

    from tests.flows.world import World

GIVEN = {
    "webhook-secret": "shared",
    "webhook-secret-onboarding-start": "paid",
    "resend-webhook-secret": "whsec_dGVzdA==",
    "unsubscribe-secret": "u",
    "calendly-signing-key": "calendly",
    "calcom-signing-key": "calcom",
}
PATHS = {one.webhook: name for (campaign, name), one in sequences().items() if campaign == "christmas"}
SITE = "https://sangletech.com"
JSON = {"content-type": "application/json"}


def app(folder: Path, **more: str) -> TestClient:
    """The app without its lifespan, so that nothing is forwarded anywhere."""
    return TestClient(build(Settings(GIVEN | {k.replace("_", "-"): v for k, v in more.items()}), folder))


def body(path: str, email: str = "delivered+1@resend.dev") -> bytes:
    return json.dumps(PAYLOADS[PATHS.get(path, "signup")] | {"email": email}).encode()


def opened(client: TestClient, path: str, headers: dict[str, str], content: bytes | None = None) -> int:
    found: int = client.post(f"/webhook/{path}", content=content or body(path), headers=JSON | headers).status_code
    return found


def calendly(content: bytes, key: str = "calendly") -> dict[str, str]:
    stamp = str(int(time.time()))
    mac = hmac.new(key.encode(), f"{stamp}.".encode() + content, hashlib.sha256).hexdigest()
    return {"calendly-webhook-signature": f"t={stamp},v1={mac}"}


def calcom(content: bytes, key: str = "calcom") -> dict[str, str]:
    return {"x-cal-signature-256": hmac.new(key.encode(), content, hashlib.sha256).hexdigest()}


@pytest.mark.parametrize("path", PATHS)
def test_the_shared_secret_opens_what_has_none_of_its_own_and_never_what_says_that_somebody_paid(
    tmp_path: Path, path: str
) -> None:
    own = f"webhook_secret_{path.replace('-', '_')}"
    assert opened(app(tmp_path), path, {"x-webhook-secret": "shared"}) == (401 if path == "onboarding-start" else 202)
    client = app(tmp_path, **{own: "its own"})
    assert opened(client, path, {"x-webhook-secret": "shared"}) == 401
    assert opened(client, path, {"x-webhook-secret": "its own"}) == 202
    for other in PATHS.keys() - {path}:
        assert opened(client, other, {"x-webhook-secret": "its own"}) == 401


def test_a_route_that_nothing_opens_is_said_to_be_closed(tmp_path: Path) -> None:
    given = {name: value for name, value in GIVEN.items() if name != "webhook-secret-onboarding-start"}
    client = TestClient(built := build(Settings(given), tmp_path))
    assert opened(client, "onboarding-start", {"x-webhook-secret": "shared"}) == 401
    assert opened(client, "onboarding-start", {"x-webhook-secret": ""}) == 401
    assert "closed until WEBHOOK_SECRET_ONBOARDING_START is set" in built.state.describe()


@pytest.mark.parametrize("path", [*PATHS, "calcom-booking", "calendly"])
def test_signatures_open_the_routes_of_who_signs_and_no_other(tmp_path: Path, path: str) -> None:
    client, content = app(tmp_path), body(path)
    theirs = {"calendly-noshow": calendly, "calendly": calendly, "calcom-booking": calcom}
    for sign in (calendly, calcom):
        good = opened(client, path, sign(content), content)
        assert (good == 401) is (theirs.get(path) is not sign), (path, sign)
        assert opened(client, path, sign(content, "wrong"), content) == 401
        # Nor does a secret that is right beside a signature that is wrong.
        both = sign(content, "wrong") | {"x-webhook-secret": GIVEN.get(f"webhook-secret-{path}", "shared")}
        assert opened(client, path, both, content) == 401


def test_old_and_new_secrets_are_good_at_once(tmp_path: Path) -> None:
    client = app(tmp_path, webhook_secret="new, old", calendly_signing_key="new,old")
    for secret in ("new", "old"):
        assert opened(client, "christmas-signup", {"x-webhook-secret": secret}) == 202
        mac = hmac.new(secret.encode(), body("christmas-signup"), hashlib.sha256).hexdigest()
        assert opened(client, "christmas-signup", {"x-webhook-signature": f"sha256={mac}"}) == 202
        assert opened(client, "calendly-noshow", calendly(body("calendly-noshow"), secret)) == 202
    assert opened(client, "christmas-signup", {"x-webhook-secret": ""}) == 401


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"webhook_secret_onbording_start": "x"}, "WEBHOOK_SECRET_ONBORDING_START: .* WEBHOOK_SECRET_ONBOARDING_START"),
        ({"webhook_limit_mailboxes": "1"}, "WEBHOOK_LIMIT_MAILBOXES: .* WEBHOOK_LIMIT_MAILBOX"),
        ({"webhook_secret_christmas_signup": "shared"}, "WEBHOOK_SECRET_CHRISTMAS_SIGNUP: is the same as"),
        ({"webhook_secret_postcall_maybe": "old,paid"}, "the same as"),
        ({"webhook_limit_hour": "0"}, "WEBHOOK_LIMIT_HOUR: '0'"),
        ({"webhook_limit_domain": "many"}, "WEBHOOK_LIMIT_DOMAIN: 'many'"),
        ({"webhook_origins": SITE}, "WEBHOOK_CHALLENGE"),
        ({"webhook_origins": SITE, "webhook_challenge": "turnstile"}, "WEBHOOK_CHALLENGE_SECRET: missing"),
        ({"webhook_origins": "*", "webhook_challenge": "turnstile"}, r"WEBHOOK_ORIGINS: '\*'"),
        ({"webhook_origins": f"{SITE}/page", "webhook_challenge": "turnstile"}, "WEBHOOK_ORIGINS"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named_at_the_start(tmp_path: Path, more: dict[str, str], said: str) -> None:
    with pytest.raises(BadSettingError, match=said):
        app(tmp_path, **more)


# -- bodies that nobody means, by who may call -------------------------------------------------------------------------

CALL = {"event": "invitee.created", "created_at": "2025-12-01T10:00:00Z"}


@pytest.mark.parametrize("depth", [10, 500, 990, 5000])
def test_a_value_of_lists_within_lists_is_wrong_and_no_fault(tmp_path: Path, depth: int) -> None:
    nested = b"[" * depth + b"]" * depth
    content = body("christmas-signup")[:-1] + b', "weakest_system_1": %s}' % nested
    status = opened(app(tmp_path), "christmas-signup", {"x-webhook-secret": "shared"}, content)
    assert status == 422


@pytest.mark.parametrize(
    ("more", "payload"),
    [
        ({"created_at": "0001-01-01T00:00:00+23:59"}, {}),
        ({"created_at": "9999-12-31T23:59:59-12:00"}, {}),
        ({}, {"email": "@"}),
        ({}, {"email": "a@salon.ca\nBcc: b@salon.ca"}),
        ({}, {"email": "a" * 5000 + "@salon.ca"}),
        ({}, {"uri": "u" * 5000}),
        ({}, {"uri": "\u00fc" * 200}),
        ({}, {"uri": "u\x00"}),
    ],
)
def test_a_booking_that_could_be_kept_nowhere_is_refused(
    tmp_path: Path, more: dict[str, str], payload: dict[str, str]
) -> None:
    told = CALL | more | {"payload": {"email": "ada@salon.ca", "uri": "u"} | payload}
    content = json.dumps(told).encode()
    assert opened(app(tmp_path), "calendly", calendly(content), content) == 422


@pytest.mark.parametrize(
    "payload", [{"email": "ada\ud800@salon.ca", "uri": "u"}, {"email": "ada@salon.ca", "uri": "u\ud800"}]
)
def test_half_a_character_in_a_booking_is_left_out(tmp_path: Path, payload: dict[str, str]) -> None:
    content = json.dumps(CALL | {"payload": payload}).encode()
    assert opened(app(tmp_path), "calendly", calendly(content), content) == 202
    (kept,) = (tmp_path / "bookings").glob("*.json")
    found = json.loads(kept.read_bytes())["booking"]
    assert (found["email"], found["booking"]) == ("ada@salon.ca", "u")


# -- limits -----------------------------------------------------------------------------------------------------------


def test_six_hundred_addresses_of_one_mailbox_are_a_few(tmp_path: Path) -> None:
    client = app(tmp_path)
    answers = [
        opened(client, "christmas-signup", {"x-webhook-secret": "shared"}, body("christmas-signup", email))
        for email in (
            f"v.ictim+{number}@{domain}" for number in range(300) for domain in ("gmail.com", "googlemail.com")
        )
    ]
    assert answers == [202] * 5 + [429] * 595
    told = client.post(
        "/webhook/christmas-signup",
        content=body("x", "victim@gmail.com"),
        headers=JSON | {"x-webhook-secret": "shared"},
    )
    assert told.headers["retry-after"] == "3600"
    assert "mailbox" in told.json()["detail"]


class Counted:
    """Limits with small numbers and a clock that a test sets."""

    def __init__(self, **most: str) -> None:
        self.now, self.alarms = 0.0, list[str]()
        values = {f"webhook-limit-{name}": value for name, value in most.items()}
        self.limits = Limits(Settings(values), lambda key, _: self.alarms.append(key), lambda: self.now)

    def admitted(self, email: str, route: str = "a") -> bool:
        try:
            self.limits.admit(route, email, email)
        except Refusal:
            return False
        return True


def test_a_domain_has_its_limit_where_its_mailboxes_belong_together() -> None:
    counted = Counted(domain="3")
    assert [counted.admitted(f"{name}@evil.example") for name in "abcd"] == [True, True, True, False]
    assert all(counted.admitted(f"{name}@outlook.com") for name in "abcd")
    assert counted.admitted("a@evil.example"), "what came already is no further one"
    assert counted.alarms == ["limit-domain-a"]


def test_a_route_has_its_limit_and_another_its_own() -> None:
    counted = Counted(hour="2")
    assert [counted.admitted(f"{name}@{name}.example") for name in "abc"] == [True, True, False]
    assert counted.admitted("d@d.example", "b")
    counted.admitted("e@e.example")
    assert counted.alarms == ["limit-hour-a"], "once an hour"


def test_an_hour_after_the_first_call_it_counts_anew_even_when_calls_go_on() -> None:
    counted = Counted(mailbox="2")
    for minutes, wanted in ((0, True), (50, True), (59, False), (61, True), (62, True), (63, False)):
        counted.now = minutes * 60.0
        assert counted.admitted(f"ada+{minutes}@salon.example") is wanted, minutes
    assert HOUR == 3600


def test_what_was_refused_makes_no_counter_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "COUNTERS", 8)
    counted = Counted(mailbox="1", hour="8", domain="1", caller="8")
    assert counted.admitted("victim@gmail.com")
    assert counted.admitted("first@evil.example")
    # Each of another mailbox, which would be a counter more: it is the domain that has had its one.
    assert not any(counted.admitted(f"{number}@evil.example") for number in range(10))
    assert not counted.admitted("victim+again@gmail.com", "b"), "the mailbox has had its one"


def test_a_household_is_one_caller() -> None:
    counted = Counted(caller="1")
    for address, wanted in (("2001:db8:1:2::1", True), ("2001:db8:1:2:ffff::9", False), ("2001:db8:1:3::1", True)):
        try:
            counted.limits.admit_caller("a", address)
        except Refusal:
            assert not wanted
        else:
            assert wanted


def test_a_limit_that_is_reached_is_what_the_operator_hears_of(world: World, tmp_path: Path) -> None:
    world.setenv("WEBHOOK_LIMIT_MAILBOX", "1")
    with opened_app(world, tmp_path) as caller:
        for number in range(3):
            content = body("christmas-signup", f"victim+{number}@gmail.com")
            caller.post(
                "/webhook/christmas-signup", content=content, headers=JSON | {"x-webhook-secret": "webhook-test"}
            )

        def heard() -> str:
            with Prefect() as prefect:
                return concerns.alarms(prefect, datetime.now(UTC)).items.get("limit-mailbox-christmas-signup", "")

        told = eventually(heard)
    assert "more than 1 calls within an hour of one mailbox" in told
    assert "victim" not in told
    with Prefect() as prefect:
        assert concerns.alarms(prefect, datetime.now(UTC) + timedelta(days=2)).items == {}
        prefect.forget("alarm-limit-mailbox-christmas-signup")


# -- straight from a browser ------------------------------------------------------------------------------------------


@contextmanager
def asked(maker: str) -> Iterator[tuple[Challenge, dict[str, str]]]:
    """A maker's stand-in, and the settings that point at it."""
    there = Challenge("secret of the site")
    path = {"turnstile": "/turnstile/v0/siteverify", "hcaptcha": "/siteverify"}[maker]
    with serving(there.app()) as url:
        yield (
            there,
            {
                "webhook_origins": f"{SITE},https://www.sangletech.com",
                "webhook_challenge": maker,
                "webhook_challenge_secret": "secret of the site",
                "webhook_challenge_url": f"{url}{path}",
            },
        )


FIELD = {"turnstile": "cf-turnstile-response", "hcaptcha": "h-captcha-response"}


def from_page(
    client: TestClient, more: dict[str, Any], origin: str = SITE, path: str = "christmas-signup"
) -> httpx.Response:
    content = json.dumps(json.loads(body(path)) | more)
    answer: httpx.Response = client.post(f"/webhook/{path}", content=content, headers=JSON | {"origin": origin})
    return answer


@pytest.mark.parametrize("maker", FIELD)
def test_a_visitor_who_solves_the_challenge_signs_up_from_the_page(tmp_path: Path, maker: str) -> None:
    with asked(maker) as (there, given):
        client = app(tmp_path, **given)
        token = there.solve("sangletech.com")
        answer = from_page(client, {FIELD[maker]: token})
        assert answer.status_code == 202
        assert answer.headers["access-control-allow-origin"] == SITE
        assert there.asked[-1]["remoteip"]
        (kept,) = (tmp_path / "enrolments").glob("*.json")
        assert token not in kept.read_text()
        assert from_page(client, {FIELD[maker]: token}).status_code == 403, "a token is good once"
        for more in ({}, {FIELD[maker]: ""}, {FIELD[maker]: "made up"}, {FIELD[maker]: 5}):
            refused = from_page(client, more)
            assert refused.status_code == 403
            assert refused.headers["access-control-allow-origin"] == SITE, "the page must be able to read why"
        elsewhere = {FIELD[maker]: there.solve("evil.example")}
        assert from_page(client, elsewhere).status_code == 403
        there.away = True
        assert from_page(client, {FIELD[maker]: there.solve("sangletech.com")}).status_code == 503


def test_the_mode_is_for_named_origins_and_for_its_route_alone(tmp_path: Path) -> None:
    with asked("turnstile") as (there, given):
        client = app(tmp_path, **given)
        solved = {"cf-turnstile-response": there.solve("sangletech.com")}
        other = from_page(client, solved, origin="https://evil.example")
        assert other.status_code == 401
        assert "access-control-allow-origin" not in other.headers
        assert from_page(client, solved, path="onboarding-start").status_code == 401
        preflight = {
            "origin": SITE,
            "access-control-request-method": "POST",
            "access-control-request-headers": "content-type",
        }
        good = client.options("/webhook/christmas-signup", headers=preflight)
        assert (good.status_code, good.headers["access-control-allow-origin"]) == (200, SITE)
        bad = client.options("/webhook/christmas-signup", headers=preflight | {"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in bad.headers
        secret = preflight | {"access-control-request-headers": "content-type, x-webhook-secret"}
        assert client.options("/webhook/christmas-signup", headers=secret).status_code == 400
        for path in ("/webhook/onboarding-start", "/webhook/resend", "/health"):
            assert "access-control-allow-origin" not in client.options(path, headers=preflight).headers
        # Its own server goes on as before.
        assert opened(client, "christmas-signup", {"x-webhook-secret": "shared"}) == 202
        # Whoever shows a proof is judged by it alone, wherever the call comes from.
        for proof, status in (("shared", 202), ("wrong", 401)):
            assert opened(client, "christmas-signup", {"x-webhook-secret": proof, "origin": SITE}) == status


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (b'{"success": true, "hostname": ["sangletech.com"]}', 403),
        (b'{"success": "true", "hostname": "sangletech.com"}', 403),
        (b'{"success": true, "hostname": ""}', 403),
        (b'{"success": false}', 403),
        (b"[" * 100_000, 503),
        (b"[]", 503),
        (b"<html>", 503),
        (b"", 503),
    ],
)
def test_whatever_a_maker_answers_the_page_is_told_and_nobody_is_enrolled(
    tmp_path: Path, reply: bytes, status: int
) -> None:
    async def answer(_: Request) -> Response:
        return Response(reply, media_type="application/json")

    with serving(Starlette(routes=[Route("/", answer, methods=["POST"])])) as url:
        given = {"webhook_origins": SITE, "webhook_challenge": "turnstile", "webhook_challenge_secret": "s"}
        client = app(tmp_path, **given, webhook_challenge_url=f"{url}/")
        told = from_page(client, {"cf-turnstile-response": "x"})
        assert from_page(client, {"cf-turnstile-response": "\ud800"}).status_code == 403, "no maker gave this"
    assert (told.status_code, told.headers["access-control-allow-origin"]) == (status, SITE)
    assert list((tmp_path / "enrolments").glob("*.json")) == []


def test_an_address_that_asks_again_and_again_is_not_checked_at_the_makers_expense(tmp_path: Path) -> None:
    with asked("turnstile") as (there, given):
        client = app(tmp_path, **given, webhook_limit_caller="3")
        answers = [from_page(client, {"cf-turnstile-response": "made up"}).status_code for _ in range(5)]
        assert answers == [403, 403, 403, 429, 429]
        assert len(there.asked) == 3


def test_without_the_mode_a_page_is_told_nothing(tmp_path: Path) -> None:
    answer = from_page(app(tmp_path), {"cf-turnstile-response": "x"})
    assert answer.status_code == 401
    assert "access-control-allow-origin" not in answer.headers
