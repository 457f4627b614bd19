"""Campaigns as data, pure: delays, keys, segments, faults in a file; and a second campaign that is a file alone."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flows import campaign_handler
from flows.campaigns import model as campaign
from flows.campaigns import payloads
from flows.campaigns.model import CampaignError, parse
from flows.campaigns.model import sequence as find_sequence
from flows.campaigns.model import sequences as campaign_sequences
from flows.sending.templates import Template, UnusableTemplateError, render
from flows.services.prefect_api import Prefect
from sandbox.standins.workspace import put_template

if TYPE_CHECKING:
    from tests.flows.world import World

ROOT = Path(__file__).parents[3]
NOON = datetime(2025, 12, 1, 12, tzinfo=UTC)
# The domain's own table, as literals.
DELAYS: dict[str, list[float]] = {
    "signup": [0, 24, 72, 120, 168, 216, 264],
    "noshow": [5 / 60, 24, 48],
    "postcall": [1, 72, 168],
    "onboarding": [1, 24, 72],
}
NAMES = {
    "signup": ("christmas-signup", "christmas-signup-handler", "christmas_email_", 7),
    "noshow": ("calendly-noshow", "christmas-noshow-recovery-handler", "noshow_recovery_email_", 3),
    "postcall": ("postcall-maybe", "christmas-postcall-maybe-handler", "postcall_maybe_email_", 3),
    "onboarding": ("onboarding-start", "christmas-onboarding-handler", "onboarding_phase1_email_", 3),
}
SECOND = """
campaign = "spring"
label = "Spring 2026"
[sequences.hello]
webhook = "spring-hello"
type = "Spring"
steps = [{ template = "spring_1", after = "0h" }, { template = "spring_2", after = "2d" }]
[sequences.hello.fields]
email = "address!"
first_name = "text!"
[sequences.hello.record]
"First Name" = "first_name"
[sequences.hello.contact]
"First Name" = "first_name"
"""


@pytest.mark.parametrize("name", DELAYS)
def test_delays_are_the_domains_and_in_testing_mode_minutes(name: str) -> None:
    sequence = find_sequence("christmas", name)
    for number, hours in enumerate(DELAYS[name], 1):
        assert sequence.due(number, NOON, testing=False) == NOON + timedelta(hours=hours)
        minutes = number - 1 if name == "signup" else number
        assert sequence.due(number, NOON, testing=True) == NOON + timedelta(minutes=minutes)
        assert sequence.due(number, NOON, testing=True, minute=6) == NOON + timedelta(seconds=6 * minutes)


def test_every_name_is_the_live_one_to_the_letter() -> None:
    assert {name for campaign, name in campaign_sequences() if campaign == "christmas"} == set(NAMES)
    for name, (webhook, handler, template, count) in NAMES.items():
        found = find_sequence("christmas", name)
        assert (found.webhook, found.handler) == (webhook, handler)
        assert [step.template for step in found.steps] == [f"{template}{n}" for n in range(1, count + 1)]


@pytest.mark.parametrize(
    ("red", "orange", "wanted"),
    [
        (2, 0, "CRITICAL"),
        (8, 8, "CRITICAL"),
        (1, 0, "URGENT"),
        (0, 2, "URGENT"),
        (0, 1, "OPTIMIZE"),
        (0, 0, "OPTIMIZE"),
    ],
)
def test_segment_goes_by_red_and_orange_systems(red: int, orange: int, wanted: str) -> None:
    assert campaign.segment(red, orange) == wanted


def test_a_key_is_the_same_for_the_same_address_and_shows_none_of_it() -> None:
    sequence = find_sequence("christmas", "signup")
    assert sequence.key(" Ada@Resend.dev ") == sequence.key("ada@resend.dev") != sequence.key("ida@resend.dev")
    assert "ada" not in sequence.key("ada@resend.dev").removeprefix("christmas-signup-")


def test_a_round_lets_every_address_in_once_more() -> None:
    (first,) = parse(SECOND, "spring.toml").values()
    (again,) = parse(SECOND.replace('type = "Spring"', "round = 2"), "spring.toml").values()
    assert again.key("a@resend.dev") == first.key("a@resend.dev") + "-r2"


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('after = "2d"', 'after = "soon"', r"spring.toml: sequences.hello.steps\[2\]"),
        ('type = "Spring"', 'typo = "Spring"', "unknown key typo"),
        ('webhook = "spring-hello"', "", "the key webhook is missing"),
        ('email = "address!"', "", "email is missing"),
        ('campaign = "spring"', 'campaign = "Spring 1"', "lower-case"),
        ('campaign = "spring"', "", "'campaign' is missing"),
        ("[sequences.hello]", "[sequences.hello", "not TOML"),
        (
            '{ template = "spring_1", after = "0h" }, { template = "spring_2", after = "2d" }',
            "",
            "steps: there are 0, and must be 1 to 7",
        ),
    ],
)
def test_a_faulty_file_is_named_with_its_key(old: str, new: str, match: str) -> None:
    with pytest.raises(CampaignError, match=match):
        parse(SECOND.replace(old, new), "spring.toml")


def test_unknown_sequences_steps_and_field_types_are_errors() -> None:
    with pytest.raises(CampaignError, match=r"christmas/none: no such sequence; there are christmas/\w+, christmas/"):
        find_sequence("christmas", "none")
    with pytest.raises(CampaignError, match="there is no step 4; it has 1 to 3"):
        find_sequence("christmas", "noshow").step(4)
    (sequence,) = parse(SECOND.replace('"text!"', '"texte!"'), "spring.toml").values()
    with pytest.raises(CampaignError, match="first_name: 'texte' is none of"):
        payloads.model(sequence)


def test_a_second_campaign_is_a_file_alone(world: World, tmp_path: Path) -> None:
    (tmp_path / "spring.toml").write_text(SECOND)
    world.setenv("HUBLAB_CAMPAIGNS", str(tmp_path))
    store = world.services.notion.store
    source = store.database(world.services.databases["notion-email-templates-db-id"])
    for number in (1, 2):
        put_template(store, source, f"spring_{number}", f"Spring {number}", "<p>Hello {{first_name}}</p>")
    email = world.address()
    state = campaign_handler.handle.fn("spring", "hello", {"email": email, "first_name": "Ada"})
    assert "2 mails of hello" in state.message
    with Prefect() as prefect:
        runs = [prefect.run_of(f"{find_sequence('spring', 'hello').key(email)}:{step}") for step in (1, 2)]
    for run in runs:
        assert run is not None
        assert world.send(run.parameters["enrolment"], run.parameters["step"]).name == "Completed"
    assert [mail["payload"]["subject"] for mail in world.accepted(email)] == ["Spring 1", "Spring 2"]
    (tmp_path / "again.toml").write_text(SECOND)
    campaign._loaded.cache_clear()
    with pytest.raises(CampaignError, match=r"its webhook .* is that of spring/hello"):
        campaign.sequences()


COMPOSED = """
import hashlib, json
from datetime import UTC, datetime
from flows.campaigns.model import sequence
from flows.enrolment.enrol import described
from flows.sending.mail import compose
from flows.sending.templates import Template
from flows.services.settings import Settings
names = ("HUBLAB_PUBLIC_URL", "unsubscribe-secret", "HUBLAB_SENDER", "HUBLAB_CALENDLY_LINK", "HUBLAB_PORTAL_URL")
signup, css = sequence("christmas", "signup"), "".join(f".c{i}{{color:red;margin:{i}px;top:1px}}" for i in range(30))
body = "".join(f"<p class='c{i} c{i + 1}'>{{{{first_name}}}} {{{{calendly_link}}}}</p>" for i in range(29))
details = {"email": "ada@salon.net", "first_name": "Ada", "assessment_score": 5}
enrolment = described(signup, details, "page", datetime(2025, 12, 1, tzinfo=UTC))
template = Template("christmas_email_1", "For {{first_name}}", f"<style>{css}</style>{body}")
mail = compose(Settings({name: f"https://{name}" for name in names}), signup, 1, enrolment, template)
print(hashlib.sha256(json.dumps(mail).encode()).hexdigest())
"""


def test_a_mail_is_composed_of_the_same_bytes_by_every_process() -> None:
    digests = {
        subprocess.run(
            [sys.executable, "-c", COMPOSED], env=os.environ | {"PYTHONHASHSEED": seed}, cwd=ROOT,
            capture_output=True, text=True, check=True, timeout=120,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


def test_preflights_promise_holds_a_template_that_needs_an_optional_field_is_named() -> None:
    (sequence,) = parse(
        SECOND.replace('first_name = "text!"', 'first_name = "text!"\nlast_name = "text"'), "x"
    ).values()
    wants = Template("t", "x", "<p>{{last_name}}</p>")
    with pytest.raises(UnusableTemplateError, match=r"default\("):
        render(wants, payloads.variables(sequence, {"first_name": "Ada"}), sequence.variables)
