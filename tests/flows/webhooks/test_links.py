"""Links in mails outlive every rotation of what they are signed with, wherever it is done first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from starlette.testclient import TestClient

from flows.operator import secret_blocks
from flows.recipients import unsubscribe
from flows.services.prefect_api import Prefect
from flows.services.settings import Settings, values
from flows.webhooks.app import build
from tests.flows.webhooks.test_callers import GIVEN
from tests.flows.world import settings_at_prefect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.flows.world import World

EMAIL = "delivered+links@resend.dev"


@pytest.fixture
def block(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No secret in the environment, and no block left behind."""
    monkeypatch.delenv("UNSUBSCRIBE_SECRET")
    with settings_at_prefect():
        yield


def signed(secret: str) -> str:
    """Write a secret as `./hublab campaign secrets` does; with what mails are signed then."""
    secret_blocks.write({"unsubscribe-secret": secret})
    with Prefect() as prefect:
        return prefect.settings().get("unsubscribe-secret")


def clicked(folder: Path, deployed: str, token: str) -> int:
    """One click, where that secret is deployed."""
    client = TestClient(build(Settings(GIVEN | {"unsubscribe-secret": deployed}), folder))
    status: int = client.post(f"/unsubscribe/{token}").status_code
    return status


def test_links_live_whichever_place_is_rotated_first(block: None, tmp_path: Path) -> None:
    first = unsubscribe.token(signed("one"), EMAIL)
    assert clicked(tmp_path / "a", "one", first) == 202
    assert clicked(tmp_path / "b", "two", first) == 202, "deployed first"
    second = unsubscribe.token(signed("two"), EMAIL)
    assert second != first
    assert clicked(tmp_path / "c", "one", second) == 202, "at Prefect first"
    for number, token in enumerate((first, second)):
        assert clicked(tmp_path / f"d{number}", "two", token) == 202, "in both places"
    third = unsubscribe.token(signed("three,two"), EMAIL)
    for number, token in enumerate((first, second, third)):
        assert clicked(tmp_path / f"e{number}", "three", token) == 202, "and again"


def test_a_link_that_nobody_signed_is_refused(block: None, tmp_path: Path) -> None:
    signed("one")
    assert clicked(tmp_path, "two", unsubscribe.token("forged", EMAIL)) == 404


def test_a_link_that_only_prefect_could_tell_of_is_to_be_tried_again_while_it_is_away(tmp_path: Path) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        assert clicked(tmp_path / "a", "two", unsubscribe.token("one", EMAIL)) == 503
        assert clicked(tmp_path / "b", "two", unsubscribe.token("two", EMAIL)) == 202
        assert clicked(tmp_path / "c", "two", "x") == 404


def test_a_secret_with_a_comma_in_it_goes_on_as_it_was() -> None:
    assert unsubscribe.address("a,b", unsubscribe.token("a", EMAIL)) == EMAIL
    assert unsubscribe.address("a,b", unsubscribe.token("b", EMAIL)) == EMAIL


def test_rotations_do_not_pile_up_for_ever() -> None:
    kept = secret_blocks._with_older("new", ",".join(f"old{number}" for number in range(20)))
    assert kept.split(",")[:2] == ["new", "old0"]
    assert len(kept.split(",")) == secret_blocks.SECRETS_OF_LINKS


@pytest.mark.parametrize("data", [{}, {"value": None}], ids=str)
def test_a_block_without_a_value_is_no_secret_that_anybody_could_guess(data: dict[str, None]) -> None:
    assert values([{"name": "unsubscribe-secret", "data": data}]) == {}
    blocks = [{"name": "notion-token", "data": {"value": "x"}}, {"name": "more", "data": data}]
    assert values(blocks) == {"notion-token": "x"}
