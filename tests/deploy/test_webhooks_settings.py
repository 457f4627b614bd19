"""The settings of the webhooks: where, and what callers are checked with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.settings import SettingsError, parse, worker_host
from tests.deploy.factories import SENTINEL

GOOD = {
    "HUBLAB_HOSTS": "a.example.com,deploy@b.example.com:2222",
    "PREFECT_API_URL": "https://prefect.example.com/api",
    "HUBLAB_WEBHOOKS": "b.example.com:8080",
    "WEBHOOK_SECRET": SENTINEL,
    "RESEND_WEBHOOK_SECRET": "whsec_dGVzdA==",
    "UNSUBSCRIBE_SECRET": SENTINEL,
}


def test_settings_name_the_host_and_carry_the_secrets() -> None:
    found = parse({**GOOD, "CALENDLY_SIGNING_KEY": "c", "HUBLAB_WEBHOOKS_BIND": "0.0.0.0"}, Path(".env"))
    assert worker_host(found, found.hosts[0]).webhooks is None
    webhooks = worker_host(found, found.hosts[1]).webhooks
    assert webhooks is not None
    assert (webhooks.bind, webhooks.port) == ("0.0.0.0", 8080)
    assert json.loads(webhooks.document()) == {
        "webhook-secret": SENTINEL,
        "resend-webhook-secret": "whsec_dGVzdA==",
        "unsubscribe-secret": SENTINEL,
        "calendly-signing-key": "c",
    }
    assert SENTINEL not in repr(found)


def test_what_the_webhook_app_alone_is_told_goes_the_same_way() -> None:
    more = {"WEBHOOK_SECRET_ONBOARDING_START": "o", "WEBHOOK_LIMIT_HOUR": "7", "CALCOM_SIGNING_KEY": "k"}
    found = parse({**GOOD, **more, "RESEND_WEBHOOK_SECRET": "whsec_bmV3, whsec_dGVzdA=="}, Path(".env"))
    document = json.loads(found.webhooks["b.example.com"].document())
    assert {name: document[name] for name in document.keys() - {"webhook-secret", "unsubscribe-secret"}} == {
        "webhook-secret-onboarding-start": "o",
        "webhook-limit-hour": "7",
        "calcom-signing-key": "k",
        "resend-webhook-secret": "whsec_bmV3, whsec_dGVzdA==",
    }


def test_without_their_keys_there_are_no_webhooks() -> None:
    found = parse({key: GOOD[key] for key in ("HUBLAB_HOSTS", "PREFECT_API_URL")}, Path(".env"))
    assert not found.webhooks
    assert not found.preflight


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"HUBLAB_WEBHOOKS": "c.example.com:8080"}, "HUBLAB_WEBHOOKS: 'c.example.com:8080' names a host that"),
        ({"HUBLAB_WEBHOOKS": "b.example.com"}, "HUBLAB_WEBHOOKS: 'b.example.com' is not host:port"),
        ({"HUBLAB_WEBHOOKS": "b.example.com:80"}, "with a port from 1024 to 65535"),
        ({"HUBLAB_WEBHOOKS": "root@b.example.com:8080"}, "is not host:port"),
        ({"HUBLAB_WEBHOOKS": "b.example.com:8080,b.example.com:8081"}, "is named twice"),
        ({"HUBLAB_WEBHOOKS_BIND": "everywhere"}, "HUBLAB_WEBHOOKS_BIND: 'everywhere' is not an IP address"),
        ({"WEBHOOK_SECRET": ""}, "WEBHOOK_SECRET: missing, and HUBLAB_WEBHOOKS asks for it"),
        ({"UNSUBSCRIBE_SECRET": ""}, "UNSUBSCRIBE_SECRET: missing"),
        ({"RESEND_WEBHOOK_SECRET": SENTINEL}, "RESEND_WEBHOOK_SECRET: is not what Resend shows"),
        ({"RESEND_WEBHOOK_SECRET": f"whsec_dGVzdA==,{SENTINEL}"}, "RESEND_WEBHOOK_SECRET: is not what Resend shows"),
        ({"HUBLAB_PREFLIGHT": "yes"}, "HUBLAB_PREFLIGHT: 'yes' is neither off nor required"),
    ],
)
def test_a_wrong_value_is_named_and_no_secret_shown(change: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        parse({**GOOD, **change}, Path(".env"))
    assert said in str(refusal.value)
    assert SENTINEL not in str(refusal.value)
