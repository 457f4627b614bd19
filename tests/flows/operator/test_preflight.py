"""What a campaign's file asks for and every signup would fail of, preflight says before."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from flows.campaigns import model
from flows.campaigns.model import parse, sequences
from flows.operator import preflight, preview
from flows.services import notion_schema as schema
from sandbox.standins.workspace import put_template
from tests.flows.in_memory import Services, installed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows.world import World

GOOD = """
campaign = "spring"
label = "Spring"
[sequences.hello]
webhook = "spring-hello"
steps = [{ template = "spring_1", after = "0h" }]
started = "Signup Date"
[sequences.hello.fields]
email = "address!"
first_name = "name!"
score = "percent"
when = "date"
[sequences.hello.record]
"First Name" = "first_name"
"Assessment Score" = "score"
"Assessment Completed" = "=yes"
"Payment Date" = "when"
[sequences.hello.contact]
"Booking Status" = "=New"
[sequences.hello.project]
"Name" = "first_name"
"""


def said(old: str, new: str) -> str:
    assert old in GOOD
    return "; ".join(preflight.mapped(parse(GOOD.replace(old, new), "spring.toml")["hello"]))


def test_a_campaign_that_fits_has_nothing_said_of_it() -> None:
    assert said("Spring", "Spring") == ""
    for sequence in sequences().values():
        assert list(preflight.mapped(sequence)) == []


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        ('"First Name" = "first', '"Frist Name" = "first', "'Frist Name' is no property of 'Email Sequence'"),
        ('"Booking Status"', '"Bokking Status"', "'Bokking Status' is no property of 'BusinessX contacts'"),
        ('"Booking Status"', '"Diagnostic Call Date"', "'Diagnostic Call Date' is no property of 'BusinessX contacts'"),
        ('"Name" =', '"Title" =', "'Title' is no property of 'Customer Projects'"),
        ('"Assessment Score" = "score"', '"Assessment Score" = "first_name"', "'Assessment Score' .* is a number"),
        ('"Assessment Score" = "score"', '"Assessment Score" = "=5"', "'Assessment Score' .* is a number"),
        ('"=yes"', '"=no"', "'Assessment Completed' .* is a checkbox"),
        ('"Payment Date" = "when"', '"Payment Date" = "score"', "'Payment Date' .* is a date"),
        ('started = "Signup Date"', 'started = "Signed Up"', "started: 'Signed Up' is no date property"),
        ('started = "Signup Date"', 'started = "First Name"', "started: 'First Name' is no date property"),
        ('score = "percent"', 'score = "percentage"', "'percentage' is none of"),
    ],
)
def test_what_every_signup_would_fail_of_is_said(old: str, new: str, wanted: str) -> None:
    assert re.search(wanted, said(old, new)), said(old, new)


def test_a_file_that_cannot_be_read_is_a_row_and_no_traceback(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "spring.toml").write_text(GOOD.replace("steps =", "stpes ="))
    world.setenv("HUBLAB_CAMPAIGNS", str(tmp_path))
    model._loaded.cache_clear()
    assert preflight.main([]) == 1
    assert "spring.toml: sequences.hello: unknown key stpes" in capsys.readouterr().out
    assert preview.main(["spring_1"]) == 1
    assert capsys.readouterr().err == "spring.toml: sequences.hello: unknown key stpes\n"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("{{first_name}}, {{business_name}}", ""),  # the one is required, the other has a default
        ("{{weakest_system_1}}", "{{weakest_system_1}} has no value for this enrolment"),
        ('{{weakest_system_1 | default("x")}}', ""),
    ],
)
def test_a_template_that_needs_what_a_visitor_may_leave_out_is_named(body: str, problem: str) -> None:
    """It is rendered with only what each enrolment has; in memory."""
    services = Services()
    with installed(services):
        source = services.sources[schema.TEMPLATES]
        put_template(services.notion, source, "christmas_email_1", "A word", f"<p>{body} {{{{unsubscribe_url}}}}</p>")
        notion = services.gateway()
        rows = {row.what: row.problem for row in preflight.templates(notion, services.settings)}
    assert problem in rows["christmas_email_1"]
    assert bool(problem) is bool(rows["christmas_email_1"])
