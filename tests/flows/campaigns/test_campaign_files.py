"""A campaign's file, key by key: what it says is what a sequence has, and what it cannot mean is named."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flows.campaigns import model, plan
from flows.campaigns.model import SERVICES, CampaignError, Sequence, parse
from flows.webhooks.callers import BOOKINGS

if TYPE_CHECKING:
    from pathlib import Path

FILE = """
campaign = "spring"
label = "Spring 2026"
[sequences.hello]
webhook = "spring-hello"
steps = [{steps}]
{more}
[sequences.hello.fields]
email = "address!"
first_name = "text!"
red_systems = "systems"
event = "text!"
[sequences.hello.record]
"First Name" = "first_name"
Segment = "segment"
[sequences.hello.contact]
Phase = "=Campaign"
{tables}
"""
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
BY_SEGMENT = '{ template = { CRITICAL = "c", URGENT = "u", OPTIMIZE = "o" }, after = "1d", at = "09:30" }'


STEPS = '{ template = "a", after = "5min" }, { template = "b", after = "1h" }, { template = "c", after = "2d" }'


def written(more: str = "", tables: str = "", steps: str = STEPS) -> str:
    return FILE.format(more=more, tables=tables, steps=steps)


def hello(more: str = "", tables: str = "", steps: str = STEPS) -> Sequence:
    (found,) = parse(written(more, tables, steps), "spring.toml").values()
    return found


def test_what_a_file_leaves_out_has_its_default() -> None:
    found = hello()
    assert (found.campaign, found.label, found.name) == ("spring", "Spring 2026", "hello")
    assert found.webhook == "spring-hello"
    assert [(step.number, step.template, step.delay, step.at) for step in found.steps] == [
        (1, "a", timedelta(minutes=5), None),
        (2, "b", timedelta(hours=1), None),
        (3, "c", timedelta(days=2), None),
    ]
    assert (found.handler, found.kind, found.round, found.started) == (
        "campaign-enrolment-handler",
        "marketing",
        1,
        "Sequence Created",
    )
    assert (found.stop_on_booking, found.retired, found.signed, found.expires, found.quiet) == ((), (), (), None, None)
    assert not any((found.browser, found.no_show, found.converts, found.confirm))


def test_what_a_file_says_is_taken() -> None:
    found = hello(
        more='expires = "48h"\nretired = ["x", "y"]\nsigned = ["calendly", "calcom"]\nstop_on_booking = ["Booked"]\n'
        'occasion = "event"\nkind = "transactional"\nbrowser = true\nno_show = true\nconverts = true\nconfirm = true\n'
        'quiet = "21:00-08:00"',
        tables='[sequences.hello.project]\nName = "first_name"\n[sequences.hello.defaults]\nfirst_name = "you"',
    )
    assert (found.expires, found.retired, found.signed) == (timedelta(hours=48), ("x", "y"), ("calendly", "calcom"))
    assert (found.stop_on_booking, found.occasion, found.kind) == (("Booked",), "event", "transactional")
    assert found.browser is found.no_show is found.converts is found.confirm is True
    assert found.quiet is not None
    assert found.quiet.has(time(21))
    assert (found.project, found.defaults) == ({"Name": "first_name"}, {"first_name": "you"})
    assert "confirm_url" in found.variables
    assert "confirm_url" not in hello().variables


WHERE = "spring.toml: sequences.hello"


@pytest.mark.parametrize(
    ("more", "tables", "said"),
    [
        (
            "",
            '[sequences.hello.project]\nName = "nobody"',
            f"{WHERE}.project: 'nobody' is no field of the sequence, nor a fixed =value",
        ),
        ("", '[sequences.hello.defaults]\nnobody = "x"', f"{WHERE}.defaults: 'nobody' is no field of the sequence"),
        *(
            (f'{key} = "abc"', "", f"{WHERE}.{key}: 'abc' is no list of names; write it as [\"…\"]")
            for key in ("retired", "stop_on_booking", "signed")
        ),
        ('round = "2"', "", f"{WHERE}.round: '2' is no whole number from 1; write it without quotes"),
        ("round = true", "", f"{WHERE}.round: True is no whole number from 1; write it without quotes"),
        ("round = 0", "", f"{WHERE}.round: 0 is no whole number from 1; write it without quotes"),
        (
            "testing_first_minute = -1",
            "",
            f"{WHERE}.testing_first_minute: -1 is no whole number from 0; write it without quotes",
        ),
        ("type = 5", "", f"{WHERE}.type: 5 is no name; write it in quotes"),
        ("occasion = []", "", f"{WHERE}.occasion: [] is no name; write it in quotes"),
        ('handler = " "', "", f"{WHERE}.handler: ' ' is no name; write it in quotes"),
        ("", "[sequences.hello.project]\nName = 5", f"{WHERE}.project: Name = 5 is no name; write it in quotes"),
        ("retired = [1]", "", f'{WHERE}.retired: [1] is no list of names; write it as ["…"]'),
        ('signed = ["stripe"]', "", f"{WHERE}.signed: 'stripe' is none of calendly, calcom"),
        ('occasion = "red_systems"', "", f"{WHERE}.occasion: 'red_systems' is no field that is required"),
        ('occasion = "nobody"', "", f"{WHERE}.occasion: 'nobody' is no field that is required"),
        *(
            (f'{key} = "yes"', "", f"{WHERE}.{key}: 'yes' is neither true nor false")
            for key in ("browser", "no_show", "converts", "confirm")
        ),
        ('kind = "spam"', "", f"{WHERE}.kind: 'spam' is none of marketing, transactional"),
        ('expires = "soon"', "", f"{WHERE}.expires: 'soon' is no length of time; write 5min, 48h or 2d"),
        ('zone = "UTC"\nacme = 1', "", f"{WHERE}: unknown key acme"),
    ],
)
def test_what_a_file_cannot_mean_is_named_in_full(more: str, tables: str, said: str) -> None:
    with pytest.raises(CampaignError) as caught:
        hello(more, tables)
    assert str(caught.value) == said


@pytest.mark.parametrize("key", ["campaign", "label"])
def test_name_of_a_campaign_that_is_none_is_named(key: str) -> None:
    with pytest.raises(CampaignError) as caught:
        parse(re.sub(f"^{key} = .*$", f"{key} = 2026", written(), flags=re.MULTILINE), "spring.toml")
    assert str(caught.value) == f"spring.toml: {key}: 2026 is no name; write it in quotes"


@pytest.mark.parametrize("route", ["", "a/b", "{any}", "spring hello", "-", "spring\n", *sorted(SERVICES)])
def test_webhook_that_no_caller_could_reach_or_that_is_a_services_is_refused(route: str) -> None:
    said = r"sequences\.hello\.webhook: .*(write it in quotes|letters, digits and -|give it another one)$"
    with pytest.raises(CampaignError, match=said):
        parse(written().replace('"spring-hello"', json.dumps(route)), "spring.toml")


@pytest.mark.parametrize("route", ["spring_hello", "Spring", "spring.v2", "2026"])
def test_webhook_that_callers_reach_stays_a_route(route: str) -> None:
    assert parse(written().replace("spring-hello", route), "spring.toml")["hello"].webhook == route


def test_routes_of_services_are_those_that_the_webhooks_have() -> None:
    assert {*BOOKINGS, "resend"} == SERVICES


@pytest.mark.parametrize("key", ["sequences", "sequences.hello"])
def test_sequences_that_are_none_are_named(key: str) -> None:
    with pytest.raises(CampaignError) as caught:
        parse(f"{key} = 5\n{written().replace('[sequences.', '[others.')}", "spring.toml")
    assert str(caught.value) == f"spring.toml: {key}: 5 is no table; write it as [{key}]"


@pytest.mark.parametrize("key", ["fields", "record", "contact", "project", "defaults"])
def test_table_of_a_sequence_that_is_none_is_named(key: str) -> None:
    lines = {"fields": 'fields = { email = "address!" }', "record": "record = {}", "contact": "contact = {}"}
    text = written().partition("[sequences.hello.fields]")[0] + "\n".join((lines | {key: f"{key} = 5"}).values())
    with pytest.raises(CampaignError) as caught:
        parse(text, "spring.toml")
    assert str(caught.value) == f"{WHERE}.{key}: 5 is no table; write it as [sequences.hello.{key}]"


@pytest.mark.parametrize("table", ["record", "contact"])
def test_property_that_is_filled_from_no_field_is_named(table: str) -> None:
    head = f"[sequences.hello.{table}]\n"
    text = written().replace(head, f'{head}X = "y"\n')
    with pytest.raises(CampaignError) as caught:
        parse(text, "spring.toml")
    assert str(caught.value) == f"{WHERE}.{table}: 'y' is no field of the sequence, nor a fixed =value"


@pytest.mark.parametrize("table", ["fields", "record", "contact"])
def test_entry_of_a_table_that_is_no_name_is_named(table: str) -> None:
    head = f"[sequences.hello.{table}]\n"
    with pytest.raises(CampaignError) as caught:
        parse(written().replace(head, f"{head}X = 5\n"), "spring.toml")
    assert str(caught.value) == f"{WHERE}.{table}: X = 5 is no name; write it in quotes"


def test_steps_that_are_no_list_are_named() -> None:
    with pytest.raises(CampaignError) as caught:
        parse(written().replace(f"[{STEPS}]", "5"), "spring.toml")
    assert str(caught.value) == f"{WHERE}.steps: 5 is no list; write it as [{{ template = …, after = … }}]"


NEEDS = f"{WHERE}.steps[1]: needs template and after (as 5min, 48h or 2d), and may have at (as 09:00), not "


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ('{ template = "a", after = "5 min" }', NEEDS + "{'template': 'a', 'after': '5 min'}"),
        ('{ template = "a" }', NEEDS + "{'template': 'a'}"),
        ('"a"', NEEDS + "a"),
        # So late that no date has it, or no calendar.
        ('{ template = "a", after = "5000000d" }', NEEDS + "{'template': 'a', 'after': '5000000d'}"),
        ('{ after = "1d" }', NEEDS + "{'after': '1d'}"),
        ('{ template = "", after = "1d" }', NEEDS + "{'template': '', 'after': '1d'}"),
        ('{ template = "a", after = "1d", by = 1 }', NEEDS + "{'template': 'a', 'after': '1d', 'by': 1}"),
        (
            '{ template = ["a"], after = "1d" }',
            f"{WHERE}.steps[1].template: a name, or one for each of CRITICAL, URGENT, OPTIMIZE",
        ),
        (
            '{ template = { URGENT = "a" }, after = "1d" }',
            f"{WHERE}.steps[1].template: a name, or one for each of CRITICAL, URGENT, OPTIMIZE",
        ),
        *(
            (
                f'{{ template = {{ CRITICAL = {name}, URGENT = "b", OPTIMIZE = "c" }}, after = "1d" }}',
                f"{WHERE}.steps[1].template: a name, or one for each of CRITICAL, URGENT, OPTIMIZE",
            )
            for name in ("5", '""')
        ),
        (", ".join(['{ template = "a", after = "1d" }'] * 8), f"{WHERE}.steps: there are 8, and must be 1 to 7"),
    ],
)
def test_step_that_cannot_be_is_named_in_full(steps: str, said: str) -> None:
    with pytest.raises(CampaignError) as caught:
        hello(steps=steps)
    assert str(caught.value) == said


def test_step_at_no_time_of_day_and_step_within_quiet_are_named() -> None:
    with pytest.raises(CampaignError, match=r"^spring.toml: sequences.hello.steps\[1\].at: "):
        hello(steps='{ template = "a", after = "1d", at = "25:00" }')
    with pytest.raises(CampaignError, match=r"^spring.toml: sequences.hello.quiet: "):
        hello('quiet = "night"')
    with pytest.raises(CampaignError) as caught:
        hello('quiet = "21:00-08:00"', steps='{ template = "a", after = "1d", at = "07:30" }')
    assert (
        str(caught.value)
        == f"{WHERE}.steps[1].at: '07:30' is within the hours of quiet, when no mail goes; change one of the two"
    )


def test_template_by_segment_and_of_none_the_mildest() -> None:
    (step,) = hello(steps=BY_SEGMENT).steps
    assert [step.template_for(one) for one in ("CRITICAL", "URGENT", "OPTIMIZE", None)] == ["c", "u", "o", "o"]
    assert (step.templates, step.template, step.at, step.delay) == (("c", "u", "o"), "", time(9, 30), timedelta(days=1))
    plain = hello().steps[0]
    assert (plain.template_for("URGENT"), plain.template_for(None), plain.templates) == ("a", "a", ("a",))
    with pytest.raises(CampaignError) as caught:
        parse(written(steps=BY_SEGMENT).replace('red_systems = "systems"\n', ""), "spring.toml")
    assert str(caught.value) == f"{WHERE}.steps: a template by segment needs the field red_systems"


def test_step_is_due_after_its_delay_at_its_hour_and_while_testing_by_minutes() -> None:
    found = hello(steps=f'{{ template = "a", after = "0h" }}, {BY_SEGMENT}')
    assert found.due(1, NOON, testing=False) == NOON
    # Noon in UTC is seven in Toronto: a day later the clock shows half past nine at 14:30 UTC.
    assert found.due(2, NOON, testing=False, zone="America/Toronto") == datetime(2026, 3, 3, 14, 30, tzinfo=UTC)
    assert found.due(2, NOON, testing=False) == datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
    assert [found.due(number, NOON, testing=True) - NOON for number in (1, 2)] == [
        timedelta(minutes=1),
        timedelta(minutes=2),
    ]
    for number in (0, 3):
        with pytest.raises(CampaignError, match=rf"^spring/hello: there is no step {number}; it has 1 to 2$"):
            found.step(number)


def test_key_of_an_enrolment_is_the_same_for_ever() -> None:
    """Of any release: under another key everybody could enrol anew, and would get every mail once more."""
    # printf 'ada@resend.dev' | sha256sum, and printf 'ada@resend.dev\nx' | sha256sum
    assert hello().key("ada@resend.dev") == "spring-hello-9b8a99663034547c06855cf5"
    found = hello('occasion = "event"')
    assert found.key_of({"email": "ada@resend.dev", "event": "x"}) == "spring-hello-20d18e4179f50b77aea28d63"


def test_occasion_is_part_of_the_key() -> None:
    found, plain = hello('occasion = "event"'), hello()
    keys = {found.key_of({"email": "a@b.example", "event": event}) for event in ("x", "y")}
    assert len(keys) == 2
    assert all(key.startswith("spring-hello-") for key in keys)
    assert plain.key_of({"email": " A@b.example", "event": "x"}) == plain.key("a@b.example")
    assert found.key_of({"email": "a@b.example"}) == found.key("a@b.example")


def test_names_of_two_files_must_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBLAB_CAMPAIGNS", str(tmp_path))
    text = written()
    (tmp_path / "a.toml").write_text(text)
    for number, other in enumerate(
        (text.replace("spring-hello", "other"), text.replace('"spring"', '"fall"'), text.replace("hello", "other"))
    ):
        (tmp_path / "b.toml").write_text(other)
        model._loaded.cache_clear()
        if number == 2:
            assert {("spring", "hello"), ("spring", "other")} <= set(model.sequences())
        else:
            with pytest.raises(
                CampaignError,
                match=r"^b.toml: sequences.hello: its name or its webhook '.*' is that of spring/hello; ",
            ):
                model.sequences()
    model._loaded.cache_clear()


def test_plan_is_what_was_enrolled_for_and_not_what_the_file_says_now() -> None:
    found = hello(steps=f'{{ template = "a", after = "0h" }}, {BY_SEGMENT}, {{ template = "z", after = "1d" }}')
    made = plan.made(found, NOON, "URGENT")
    late = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)
    # What comes behind a step that waits for its hour waits, too.
    assert [(one.number, one.template, one.due) for one in made] == [(1, "a", NOON), (2, "u", late), (3, "z", late)]
    kept: dict[str, Any] = {"plan": plan.written(made)}
    assert kept["plan"][1] == {"number": 2, "template": "u", "due": "2026-03-04T09:30:00+00:00"}
    assert plan.of(hello(), kept) == made
    assert plan.planned(made, 3).template == "z"
    with pytest.raises(CampaignError, match=r"^there is no step 4; it has 1 to 3$"):
        plan.planned(made, 4)


def test_plan_of_who_was_enrolled_before_plans_were_kept_is_the_files() -> None:
    found = hello(steps=BY_SEGMENT)
    enrolment: dict[str, Any] = {"enrolled_at": "2026-03-02T12:00:00+00:00", "variables": {"segment": "CRITICAL"}}
    (one,) = plan.of(found, enrolment)
    assert (one.template, one.due) == ("c", datetime(2026, 3, 4, 9, 30, tzinfo=UTC))
    (other,) = plan.of(found, {"enrolled_at": "2026-03-02T12:00:00+00:00"})
    assert other.template == "o"


def test_testing_mode_and_zone_are_the_plans_too() -> None:
    found = hello(steps=BY_SEGMENT)
    assert plan.made(found, NOON, None, testing=True, minute=6)[0].due == NOON + timedelta(seconds=6)
    assert plan.made(found, NOON, None, zone="America/Toronto")[0].due == datetime(2026, 3, 3, 14, 30, tzinfo=UTC)


def test_step_that_comes_sooner_than_the_one_ahead_of_it_is_not_held_back() -> None:
    found = hello(steps='{ template = "a", after = "2d" }, { template = "b", after = "1d" }')
    assert [one.due - NOON for one in plan.made(found, NOON, None)] == [timedelta(days=2), timedelta(days=1)]
