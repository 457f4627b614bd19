"""Who a webhook comes from, by signatures that are not of our making: GitHub's and Svix's examples, and OpenSSL's."""

from __future__ import annotations

import pytest

from flows.webhooks import signatures
from flows.webhooks.signatures import NotAuthenticError

# docs.github.com, "Validating webhook deliveries".
SECRET, BODY = "It's a Secret to Everybody", b"Hello, World!"
HEX = "757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
# printf '1492774577.Hello, World!' | openssl dgst -sha256 -hmac "It's a Secret to Everybody"
STAMP, STAMPED = "1492774577", "de0e8295c6906c0e40f92a7a02c73c513199f02b268422241e1edc1f89f6056d"
# The example of svix's own libraries.
SVIX_SECRET, SVIX_BODY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", b'{"test": 2432232314}'
SVIX = {
    "svix-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "svix-timestamp": "1614265330",
    "svix-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
MISSING = "X-Webhook-Secret or X-Webhook-Signature is missing or wrong"
LATE = "Calendly-Webhook-Signature: t is missing or out of time"
ID_LATE = "svix-id or svix-timestamp is missing or out of time"


def refused(check: object, said: str, *given: object) -> None:
    with pytest.raises(NotAuthenticError) as caught:
        check(*given)  # type: ignore[operator]
    assert str(caught.value) == said


@pytest.mark.parametrize(
    "headers",
    [{"x-webhook-secret": SECRET}, {"x-webhook-secret": "ä"}, {"x-webhook-signature": f"sha256={HEX}"}],
)
def test_caller_shows_the_secret_or_signs_the_body_with_it(headers: dict[str, str]) -> None:
    signatures.caller(headers, BODY, ["other", SECRET, "ä"])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"x-webhook-secret": ""},
        {"x-webhook-secret": "it's a secret to everybody"},
        {"x-webhook-secret": f"sha256={HEX}"},
        {"x-webhook-signature": HEX},
        {"x-webhook-signature": SECRET},
        # Whoever signs is judged by the signature alone.
        {"x-webhook-signature": f"sha256={HEX[:-1]}8", "x-webhook-secret": SECRET},
        {"x-webhook-signature": "", "x-webhook-secret": SECRET},
    ],
)
def test_caller_who_does_neither_is_refused(headers: dict[str, str]) -> None:
    refused(signatures.caller, MISSING, headers, BODY, ["other", SECRET])


def test_without_a_secret_nobody_is_let_in() -> None:
    refused(signatures.caller, MISSING, {"x-webhook-secret": ""}, BODY, [])
    refused(signatures.resend, "svix-signature is wrong", SVIX, SVIX_BODY, [], 1614265330)


def test_calcom_signs_the_body() -> None:
    signatures.signed("calcom", {"x-cal-signature-256": HEX}, BODY, ["other", SECRET], 0)
    for headers in ({}, {"x-cal-signature-256": f"{HEX[:-1]}8"}, {"calendly-webhook-signature": f"t=0,v1={HEX}"}):
        refused(signatures.signed, "X-Cal-Signature-256 is wrong", "calcom", headers, BODY, [SECRET], 0)


@pytest.mark.parametrize("seconds", [-180, 0, 180])
def test_calendly_signs_the_time_and_the_body(seconds: int) -> None:
    headers = {"calendly-webhook-signature": f"t={STAMP},v1={STAMPED}"}
    signatures.signed("calendly", headers, BODY, ["other", SECRET], int(STAMP) + seconds)


@pytest.mark.parametrize(
    ("header", "now", "said"),
    [
        (f"t={STAMP},v1={STAMPED}", int(STAMP) + 181, LATE),
        (f"t={STAMP},v1={STAMPED}", int(STAMP) - 181, LATE),
        (f"v1={STAMPED}", int(STAMP), LATE),
        (f"t={STAMP}x,v1={STAMPED}", int(STAMP), LATE),
        ("t=²,v1=x", 2, LATE),
        (f"t={STAMP},v1={STAMPED[:-1]}e", int(STAMP), "Calendly-Webhook-Signature: v1 is wrong"),
        (f"t={int(STAMP) + 1},v1={STAMPED}", int(STAMP), "Calendly-Webhook-Signature: v1 is wrong"),
        (f"t={STAMP}", int(STAMP), "Calendly-Webhook-Signature: v1 is wrong"),
        (None, int(STAMP), LATE),
    ],
)
def test_call_that_calendly_did_not_sign_just_now_is_refused(header: str | None, now: int, said: str) -> None:
    headers = {} if header is None else {"calendly-webhook-signature": header}
    refused(signatures.signed, said, "calendly", headers, BODY, [SECRET], now)


@pytest.mark.parametrize("seconds", [-300, 0, 300])
@pytest.mark.parametrize("signature", [SVIX["svix-signature"], f"v1,AAAA {SVIX['svix-signature']} v1a,x"])
def test_resend_signs_as_svix_does(seconds: int, signature: str) -> None:
    headers = SVIX | {"svix-signature": signature}
    signatures.resend(headers, SVIX_BODY, ["whsec_dGVzdA==", SVIX_SECRET], 1614265330 + seconds)


@pytest.mark.parametrize(
    ("change", "now", "said"),
    [
        ({}, 1614265631, ID_LATE),
        ({}, 1614265029, ID_LATE),
        ({"svix-id": ""}, 1614265330, ID_LATE),
        ({"svix-timestamp": ""}, 1614265330, ID_LATE),
        ({"svix-timestamp": "0001614265330"}, 1614265330, ID_LATE),
        ({"svix-timestamp": "001614265330"}, 1614265330, "svix-signature is wrong"),
        ({"svix-id": "msg_1"}, 1614265330, "svix-signature is wrong"),
        ({"svix-timestamp": "1614265331"}, 1614265330, "svix-signature is wrong"),
        ({"svix-signature": "v1,AAAA"}, 1614265330, "svix-signature is wrong"),
        ({"svix-signature": ""}, 1614265330, "svix-signature is wrong"),
    ],
)
def test_call_that_resend_did_not_sign_just_now_is_refused(change: dict[str, str], now: int, said: str) -> None:
    refused(signatures.resend, said, SVIX | change, SVIX_BODY, [SVIX_SECRET], now)


@pytest.mark.parametrize("name", SVIX)
def test_call_that_lacks_a_header_of_resends_is_refused(name: str) -> None:
    headers = {key: value for key, value in SVIX.items() if key != name}
    said = "svix-signature is wrong" if name == "svix-signature" else ID_LATE
    refused(signatures.resend, said, headers, SVIX_BODY, [SVIX_SECRET], 1614265330)


def test_body_that_was_changed_on_its_way_is_refused() -> None:
    refused(signatures.resend, "svix-signature is wrong", SVIX, SVIX_BODY + b" ", [SVIX_SECRET], 1614265330)


@pytest.mark.parametrize(
    ("secret", "usable"),
    [
        (SVIX_SECRET, True),
        ("dGVzdA==", True),
        ("whsec_", False),
        ("whsec_not base64", False),
        ("whsec_dGV", False),
        ("whsec_dGVz dA==", False),
    ],
)
def test_secret_that_cannot_be_one_of_resends_is_told_apart(secret: str, usable: bool) -> None:
    assert signatures.is_svix_secret(secret) is usable
