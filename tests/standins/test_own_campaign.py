"""A developer's campaign, tried in a sandbox: what its visitors post is accepted, and its templates are there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flows.campaigns import model, payloads
from flows.campaigns.values import TYPES
from flows.operator import preflight
from flows.sending import template_store
from flows.sending.templates import render
from flows.services.notion_gateway import NotionGateway
from flows.services.settings import Settings
from sandbox.campaign import own
from sandbox.campaign.__main__ import main
from sandbox.campaign.contacts import PAYLOADS
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.standins.serve import StandIns

EMAIL = "delivered+own@resend.dev"
KINDS = "\n".join(f'a_{kind} = "{kind}"' for kind in TYPES if kind != "address")
FILE = f"""
campaign = "spring"
label = "Spring"
[sequences.hello]
webhook = "spring-hello"
steps = [{{ template = "spring_1", after = "0h" }}, {{ template = "spring_2", after = "2d" }}]
[sequences.hello.fields]
email = "address!"
first_name = "name!"
level = "High|Medium|Low"
{KINDS}
[sequences.hello.record]
[sequences.hello.contact]
[sequences.again]
webhook = "spring-again"
confirm = true
steps = [{{ template = "spring_2", after = "0h" }}, {{ template = "spring_3", after = "1d" }}]
[sequences.again.fields]
email = "address!"
call_date = "date!"
[sequences.again.record]
[sequences.again.contact]
"""


@pytest.fixture
def _spring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "spring.toml").write_text(FILE)
    monkeypatch.setenv("HUBLAB_CAMPAIGNS", str(tmp_path))
    yield
    model._loaded.cache_clear()


@pytest.mark.usefixtures("_spring")
def test_a_visitor_posts_a_value_of_each_kind() -> None:
    for sequence in own.of("spring"):
        posted = own.payload(sequence, EMAIL)
        assert posted.keys() == sequence.fields.keys()
        assert payloads.checked(sequence, posted).keys() == sequence.fields.keys()
        assert posted["email"] == EMAIL


def test_the_projects_own_sequences_are_posted_as_ever() -> None:
    assert {one.name: own.payload(one, EMAIL) for one in own.of("christmas")} == {
        name: posted | {"email": EMAIL} for name, posted in PAYLOADS.items()
    }


@pytest.mark.usefixtures("_spring")
def test_a_campaign_that_is_none_is_refused_with_those_that_are() -> None:
    with pytest.raises(SandboxError, match=r"--campaign: sprnig is none of christmas, spring\. .*HUBLAB_CAMPAIGNS"):
        own.of("sprnig")


def test_a_file_that_cannot_be_used_is_said_in_a_line_before_anything_is_booted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUBLAB_CAMPAIGNS", str(tmp_path))
    monkeypatch.setattr("sandbox.Sandbox.up", lambda **_: pytest.fail("booted"))
    for line, fault in (('email = "adress!"', "'adress' is none of"), ("email = 5", "email = 5 is no name")):
        (tmp_path / "spring.toml").write_text(FILE.replace('email = "address!"', line))
        model._loaded.cache_clear()
        assert main(["demo", "--campaign", "spring"]) == 1
        assert fault in capsys.readouterr().err


@pytest.mark.usefixtures("_spring")
def test_each_template_that_is_nowhere_is_written_once_and_renders_with_the_least(both: StandIns) -> None:
    assert own.furnish(both.environment()) == ["spring_1", "spring_2", "spring_3"]
    assert own.furnish(both.environment()) == []
    blocks = {name.lower().replace("_", "-"): value for name, value in both.environment().items()}
    settings = Settings(blocks | {"HUBLAB_NOTION_URL": both.notion_url, "HUBLAB_PUBLIC_URL": "https://hooks.test"})
    settings = Settings({"unsubscribe-secret": "any"} | settings._values)
    notion = NotionGateway(settings, lambda: None)
    for sequence in own.of("spring"):
        for found in template_store.read(notion, list(sequence.templates)).values():
            render(found, preflight.sample(sequence, settings, required=True), sequence.variables, zone=settings.zone)
    notion.close()
    assert "{{first_name}}" in own.texts(own.of("spring"))["spring_1"][1]
