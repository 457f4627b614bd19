"""The sandbox's funnel page before the real webhooks: what a visitor types arrives, or the visitor is told why not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.campaigns.model import sequence
from flows.services.settings import Settings
from flows.webhooks.app import build
from sandbox.funnel.app import LATER, PATH, THANKS, Funnel
from sandbox.funnel.fields import FIELDS, payload
from sandbox.standins.serve import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "funnel-secret"
ANSWERS = {
    "first_name": "Ada <b>",
    "email": "delivered+funnel@resend.dev",
    "assessment_score": "61",
    "red_systems": "2",
}


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    return tmp_path / "spool"


@pytest.fixture
def page(spool: Path) -> Iterator[httpx.Client]:
    """The page, its server, and the webhooks behind it; Prefect is away, so what arrives stays in the spool."""
    given = {"webhook-secret": SECRET, "resend-webhook-secret": "whsec_dGVzdA==", "unsubscribe-secret": "u"}
    with (
        temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}),
        serving(build(Settings(given), spool)) as behind,
        serving(Funnel(f"{behind}/webhook/christmas-signup", SECRET).app()) as url,
        httpx.Client(base_url=url, trust_env=False, timeout=30) as client,
    ):
        yield client


def kept(spool: Path) -> list[str]:
    return [path.read_text() for path in (spool / "enrolments").glob("*.json")]


def shown(text: str, name: str) -> str:
    """What the page says of one field."""
    found = re.search(rf'id="{name}-error">([^<]+)<', text)
    return found[1] if found else ""


def test_fields_are_those_of_the_webhook() -> None:
    wanted = sequence("christmas", "signup").fields
    assert set(FIELDS) == set(wanted)
    assert {name for name, field in FIELDS.items() if field.required} == {
        name for name, kind in wanted.items() if kind.endswith("!")
    }
    numbers = {"percent": (100, False), "systems": (8, True), "amount": (1_000_000_000, False)}
    assert {name: (field.most, field.whole) for name, field in FIELDS.items() if field.kind == "number"} == {
        name: numbers[kind.rstrip("!")] for name, kind in wanted.items() if kind.rstrip("!") in numbers
    }


def test_answers_arrive_and_the_visitor_is_thanked(page: httpx.Client, spool: Path) -> None:
    answer = page.post(PATH, data=ANSWERS)
    assert (answer.status_code, answer.headers["location"]) == (303, THANKS)
    assert "Thank you" in page.get(THANKS).text
    assert [ANSWERS["email"] in text for text in kept(spool)] == [True]


def test_what_is_refused_is_said_in_words_and_nothing_typed_is_lost(page: httpx.Client, spool: Path) -> None:
    answer = page.post(
        PATH, data=ANSWERS | {"email": "nobody", "red_systems": "nine", "first_name": ANSWERS["first_name"]}
    )
    assert answer.status_code == 422
    assert shown(answer.text, "email") == "This is not an e-mail address that we could write to."
    assert shown(answer.text, "red_systems") == "Please give a whole number from 0 to 8."
    assert 'value="Ada &lt;b&gt;"' in answer.text
    assert kept(spool) == []


@pytest.mark.parametrize("name", [name for name, field in FIELDS.items() if field.required])
def test_what_is_missing_is_named(page: httpx.Client, name: str) -> None:
    answer = page.post(PATH, data=ANSWERS | {name: " "})
    assert shown(answer.text, name) == "Please fill this in."


def test_webhook_that_is_away_or_refuses_the_page_itself(page: httpx.Client) -> None:
    behind = f"{page.base_url}/webhook/christmas-signup"  # 404: there is none
    for webhook in ("http://127.0.0.1:9/", behind):
        with serving(Funnel(webhook, SECRET).app()) as url:
            answer = httpx.post(f"{url}{PATH}", data=ANSWERS, trust_env=False, timeout=30)
        assert answer.status_code == 503
        assert LATER in answer.text
        assert 'value="61"' in answer.text


def test_body_without_end_is_refused(page: httpx.Client) -> None:
    assert page.post(PATH, data={"first_name": "a" * 70_000}).status_code == 413


@pytest.mark.parametrize(
    ("typed", "sent"),
    [("2", 2), ("2.5", "2.5"), ("", None), ("x", "x")],
)
def test_numbers_are_numbers(typed: str, sent: Any) -> None:
    assert payload({"red_systems": typed, "gps_score": "7", "other": "y"}) == {
        "gps_score": 7.0,
        **({"red_systems": sent} if sent is not None else {}),
    }
