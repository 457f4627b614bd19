"""The right mail at the right time for who is enrolled already, whatever is edited in the campaign's file meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from flows.campaigns import model
from flows.campaigns import plan as plans
from flows.campaigns.model import CampaignError, parse
from flows.enrolment.enrol import enrol
from flows.sending import pacing
from flows.sending.templates import UnusableTemplateError
from flows.services import notion_schema as schema
from flows.services.prefect_api import Prefect
from sandbox.standins.workspace import put_template

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from prefect.client.schemas.objects import FlowRun

    from tests.flows.world import World

HEAD = """
campaign = "autumn"
label = "Autumn"
[sequences.hello]
webhook = "autumn-hello"
type = "Autumn"
{more}
steps = [{steps}]
[sequences.hello.fields]
email = "address!"
first_name = "text!"
red_systems = "systems"
[sequences.hello.record]
"First Name" = "first_name"
[sequences.hello.contact]
"First Name" = "first_name"
"""
A, B, C = (
    f'{{ template = "autumn_{letter}", after = "{after}" }}'
    for letter, after in (("a", "0h"), ("b", "1d"), ("c", "2d"))
)


def text(*steps: str, more: str = "") -> str:
    return HEAD.format(steps=", ".join(steps), more=more)


@pytest.fixture
def edit(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Write the campaign's file, as a new release would bring it."""
    world.setenv("HUBLAB_CAMPAIGNS", str(tmp_path))
    world.setenv("TESTING_MODE", "false")
    store = world.services.notion.store
    source = store.database(world.services.databases[schema.TEMPLATES])
    for letter in "abcx":
        put_template(store, source, f"autumn_{letter}", f"Subject {letter}", "<p>Hello {{first_name}}</p>")

    def write(content: str) -> None:
        (tmp_path / "autumn.toml").write_text(content)
        model._loaded.cache_clear()

    return write


def runs(email: str) -> list[FlowRun]:
    key = model.sequence("autumn", "hello").key(email)
    with Prefect() as prefect:
        return [run for number in range(1, 8) if (run := prefect.run_of(f"{key}:{number}"))]


def due(run: FlowRun) -> datetime:
    return datetime.fromisoformat(str(run.expected_start_time))


def enrolled(world: World, **more: Any) -> str:
    email = world.address()
    payload = {"email": email, "first_name": "Ada"} | more
    assert enrol("autumn", "hello", payload, None).name == "Completed"
    return email


def subjects(world: World, email: str) -> list[str]:
    for run in runs(email):
        assert world.send(run.parameters["enrolment"], run.parameters["step"]).is_completed()
    return [mail["payload"]["subject"] for mail in world.accepted(email)]


@pytest.mark.parametrize(
    ("after", "news"),
    [
        pytest.param(text('{ template = "autumn_x", after = "0h" }', A, B), "xab", id="inserted"),
        pytest.param(text(A), "a", id="removed"),
        pytest.param(text(B, A), "ba", id="moved"),
        pytest.param(text(A, B.replace("1d", "5d")), "ab", id="delayed"),
        pytest.param(text('{ template = "autumn_x", after = "0h" }', B), "xb", id="another template"),
    ],
)
def test_who_is_enrolled_gets_what_was_planned_and_who_comes_later_what_the_file_says(
    world: World, edit: Callable[[str], None], after: str, news: str
) -> None:
    edit(text(A, B))
    email = enrolled(world)
    first, second = runs(email)
    assert world.send(first.parameters["enrolment"], 1).name == "Completed"
    edit(after)
    assert world.send(second.parameters["enrolment"], 2).name == "Completed"
    assert [mail["payload"]["subject"] for mail in world.accepted(email)] == ["Subject a", "Subject b"]
    record = world.record(email)
    assert schema.read(record, "Sequence Completed") is True
    assert due(second) - due(first) == timedelta(days=1)
    assert subjects(world, enrolled(world)) == [f"Subject {letter}" for letter in news]


def test_a_retired_template_goes_to_nobody_any_more(world: World, edit: Callable[[str], None]) -> None:
    edit(text(A, B))
    email = enrolled(world)
    edit(text(A, more='retired = ["autumn_b"]'))
    state = world.send(runs(email)[1].parameters["enrolment"], 2)
    assert state.name == "Skipped"
    assert "autumn_b is retired" in str(state.message)


def test_an_enrolment_that_goes_on_after_an_edit_keeps_to_its_first_plan(
    world: World, edit: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    edit(text(A, B))
    payload = {"email": world.address(), "first_name": "Ada"}
    created, start_once = list[str](), Prefect.start_once

    def dies(self: Prefect, *given: Any, **more: Any) -> FlowRun:
        if created:
            raise ConnectionError("killed")
        created.append("one")
        return start_once(self, *given, **more)

    monkeypatch.setattr(Prefect, "start_once", dies)
    with pytest.raises(ConnectionError):
        enrol("autumn", "hello", payload, None)
    monkeypatch.setattr(Prefect, "start_once", start_once)
    edit(text('{ template = "autumn_x", after = "0h" }', A, B))
    monkeypatch.setenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT", "2")
    assert enrol("autumn", "hello", payload, None).name == "Completed"
    monkeypatch.delenv("PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT")
    assert subjects(world, payload["email"]) == ["Subject a", "Subject b"]


def test_who_was_never_asked_to_confirm_is_not_waited_for(world: World, edit: Callable[[str], None]) -> None:
    edit(text(A, B))
    email = enrolled(world)
    edit(text(A, B, more="confirm = true"))
    assert subjects(world, email) == ["Subject a", "Subject b"]
    assert subjects(world, enrolled(world)) == ["Subject a"]


def test_a_sequence_or_a_field_that_an_enrolment_does_not_have_fails_by_name(
    world: World, edit: Callable[[str], None]
) -> None:
    edit(text(A, B))
    (first, second) = (run.parameters["enrolment"] for run in runs(enrolled(world)))
    edit(text(A, B).replace("sequences.hello", "sequences.other"))
    with pytest.raises(CampaignError, match="autumn/hello: no such sequence"):
        world.send(first, 1)
    edit(text(A, B).replace('red_systems = "systems"', 'city = "text!"\nred_systems = "systems"'))
    world.edit(schema.TEMPLATES, world.template("autumn_b"), Email_Body_HTML="<p>{{city}}</p>")
    assert world.send(first, 1).name == "Completed"
    with pytest.raises(UnusableTemplateError, match=r"autumn_b.*city"):
        world.send(second | {"testing": True}, 2)


@pytest.mark.parametrize(("red", "wanted"), [(2, "a"), (1, "b"), (0, "c")])
def test_a_template_by_segment_is_data(world: World, edit: Callable[[str], None], red: int, wanted: str) -> None:
    names = 'CRITICAL = "autumn_a", URGENT = "autumn_b", OPTIMIZE = "autumn_c"'
    edit(text(f"{{ template = {{ {names} }}, after = '0h' }}"))
    assert model.sequence("autumn", "hello").templates == ("autumn_a", "autumn_b", "autumn_c")
    assert subjects(world, enrolled(world, red_systems=red)) == [f"Subject {wanted}"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (text('{ template = { CRITICAL = "a" }, after = "0h" }'), "one for each of CRITICAL, URGENT, OPTIMIZE"),
        (text(A, more='kind = "news"'), "'news' is none of marketing, transactional"),
        (text(A, more='expires = "soon"'), "'soon' is no length of time"),
        (text(A).replace('= "first_name"\n[', '= "frist_name"\n['), "'frist_name' is no field"),
        (text(A) + '[sequences.hello.defaults]\nlast_name = "x"\n', "'last_name' is no field"),
    ],
)
def test_faults_of_the_new_keys_are_named(content: str, match: str) -> None:
    with pytest.raises(CampaignError, match=match):
        parse(content, "autumn.toml")


def late(enrolment: dict[str, Any], hours: float) -> dict[str, Any]:
    """The same enrolment, made so many hours earlier."""
    plan = [
        one | {"due": (datetime.fromisoformat(one["due"]) - timedelta(hours=hours)).isoformat()}
        for one in enrolment["plan"]
    ]
    return enrolment | {"plan": plan}


def test_after_a_pause_the_mails_of_a_person_keep_order_and_distance(world: World) -> None:
    email, mails = world.enrolled("noshow")
    enrolment = late(mails[0].parameters["enrolment"] | {"testing": False}, 72)
    assert "comes before it" in str(world.send(enrolment, 2).message)
    assert world.send(enrolment, 1).name == "Completed"
    state = world.send(enrolment, 2)
    assert state.is_scheduled()
    assert "only just now" in str(state.message)
    wait = datetime.fromisoformat(str(state.state_details.scheduled_time)) - datetime.now(UTC)
    assert timedelta(seconds=1) < wait <= timedelta(hours=12)
    assert len(world.accepted(email)) == 1


def test_half_of_the_planned_distance_is_kept_up_to_twelve_hours() -> None:
    noon = datetime(2025, 12, 1, 12, tzinfo=UTC)
    plan = tuple(
        plans.Planned(number, "t", noon + timedelta(hours=hours)) for number, hours in ((1, 0), (2, 2), (3, 72))
    )
    assert pacing.gap(plan, 1, 2) == timedelta(hours=1)
    assert pacing.gap(plan, 2, 3) == timedelta(hours=12)
    assert pacing.gap(plan, 3, 2) == timedelta()
    page: dict[str, Any] = {"properties": {}}
    assert pacing.after_the_last(page, plan, 3) is None
    assert [one.number for one in pacing.still_to_come(page, plan, 3)] == [1, 2]


def test_a_mail_that_is_older_than_its_worth_is_skipped_and_says_so(world: World, edit: Callable[[str], None]) -> None:
    edit(text(A, more='expires = "2d"'))
    enrolment = runs(enrolled(world))[0].parameters["enrolment"]
    state = world.send(late(enrolment, 49), 1)
    assert state.name == "Skipped"
    assert "no longer worth sending" in str(state.message)
    assert world.send(late(enrolment, 47), 1).name == "Completed"


def test_a_mail_that_falls_into_quiet_hours_goes_at_their_end(world: World, edit: Callable[[str], None]) -> None:
    zone = "Asia/Kathmandu"
    world.setenv("HUBLAB_TIMEZONE", zone)
    now = datetime.now(ZoneInfo(zone))
    end = (now + timedelta(hours=2)).replace(second=0, microsecond=0)
    edit(text(A, more=f'quiet = "{now - timedelta(hours=2):%H:%M}-{end:%H:%M}"'))
    email = enrolled(world)
    (run,) = runs(email)
    state = world.send(run.parameters["enrolment"], 1)
    assert (state.name, state.message) == ("AwaitingRetry", "waits: the quiet hours are not over")
    assert datetime.fromisoformat(str(state.state_details.scheduled_time)) == end
    assert not world.accepted(email)
    edit(text(A, more=f'quiet = "{now + timedelta(hours=2):%H:%M}-{now + timedelta(hours=4):%H:%M}"'))
    assert world.send(run.parameters["enrolment"], 1).is_completed()
    assert len(world.accepted(email)) == 1


def test_testing_mode_is_for_the_testing_address_alone(world: World) -> None:
    world.setenv("TESTING_ADDRESS", "delivered@resend.dev")
    for email, minutes in ((world.address(), True), (world.address("visitor"), False)):
        assert enrol("christmas", "signup", world.payload("signup", email=email), None).name == "Completed"
        one, other, *_ = world.mails(email)
        assert due(other) - due(one) == (timedelta(minutes=1) if minutes else timedelta(hours=24))
