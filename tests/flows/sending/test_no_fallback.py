"""Templates come from Notion and from nowhere else: what is missing is an error, and nothing is sent."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import flows
from flows.sending.templates import UnusableTemplateError
from flows.services import notion_schema as schema
from flows.services.errors import NotionError

if TYPE_CHECKING:
    from tests.flows.world import World

ROOM = Path(str(flows.__file__)).parent


def fails(world: World, template: str, match: str) -> None:
    enrolment = world.quickly("signup")
    with pytest.raises(UnusableTemplateError, match=match) as caught:
        world.send(enrolment)
    assert template in str(caught.value)
    assert "Email Templates" in str(caught.value)
    assert world.accepted(enrolment["email"]) == []
    (row,) = world.rows(schema.ANALYTICS, enrolment["email"])
    assert schema.read(row, "Status") == "Failed"
    assert template in schema.read(row, "Error Message")
    assert schema.read(row, "Template ID") == template


def test_a_missing_template_fails_and_names_itself(world: World) -> None:
    world.template("christmas_email_2")["values"]["Template Name"][0]["plain_text"] = "christmas_email_2_old"
    world.template("christmas_email_2_old")["values"]["Template Name"][0]["text"]["content"] = "renamed"
    page = world.template("christmas_email_2_old")
    world.services.notion.store.update_page(page["id"], {"in_trash": True})
    fails(world, "christmas_email_2", "there is none of that name")


@pytest.mark.parametrize(
    ("part", "text", "match"),
    [
        ("Subject_Line", "", "its Subject Line is empty"),
        ("Email_Body_HTML", "", "its Email Body HTML is empty"),
        ("Email_Body_HTML", "<p>{{frist_name}}</p>", "{{frist_name}}, which its sequence does not supply"),
        ("Email_Body_HTML", "<p>{{weakest_system_1}}</p>", "{{weakest_system_1}} has no value for this enrolment"),
        ("Subject_Line", "Hello {{first_name", "cannot be read"),
    ],
)
def test_an_unusable_template_fails_names_the_variable_and_sends_nothing(
    world: World, part: str, text: str, match: str
) -> None:
    page = world.template("christmas_email_2")
    page["markdown"] = "Internal: not before the lawyer has seen it."  # what people write into a page is no mail
    world.edit(schema.TEMPLATES, page, **{part: text})
    fails(world, "christmas_email_2", re.escape(match))


@pytest.mark.parametrize("part", ["Subject Line", "Email Body HTML"])
@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("formula", {"type": "string", "string": "<p>Dear {{first_name}}</p>"}),
        ("people", [{"object": "user", "id": "9e0bd1f5"}]),
        ("number", 7),
    ],
)
def test_a_property_that_is_no_text_any_more_becomes_no_mail(
    world: World, monkeypatch: pytest.MonkeyPatch, part: str, kind: str, value: Any
) -> None:
    store, of = world.services.notion.store, world.template("christmas_email_2")["source"]
    monkeypatch.setitem(store.sources[of].schema, part, {kind: {}})
    for page in store.pages.values():
        page["values"] |= {part: value} if page["source"] == of else {}
    enrolment = world.quickly("signup")
    said = f"template 'christmas_email_2' in the Notion database 'Email Templates': its {part} is a {kind}"
    with pytest.raises(UnusableTemplateError, match=said):
        world.send(enrolment)
    assert world.accepted(enrolment["email"]) == []


def test_two_templates_of_one_name_fail(world: World) -> None:
    page = world.template("christmas_email_3")
    world.edit(schema.TEMPLATES, page, Template_Name="christmas_email_2")
    fails(world, "christmas_email_2", "it is there twice")


def test_two_templates_of_one_name_hold_up_no_mail_but_theirs(world: World) -> None:
    world.setenv("HUBLAB_TEMPLATE_SECONDS", "300")
    world.edit(schema.TEMPLATES, world.template("christmas_email_7"), Template_Name="christmas_email_3")
    enrolment = world.quickly("signup")
    for step in (2, 4):
        assert world.send(enrolment, step).name == "Completed"
    with pytest.raises(UnusableTemplateError, match=r"'christmas_email_3' in .* it is there twice"):
        world.send(enrolment, 3)
    assert len(world.accepted(enrolment["email"])) == 2


def test_a_template_whose_page_notion_does_not_show_holds_up_no_mail_but_its_own(world: World) -> None:
    world.edit(schema.TEMPLATES, world.template("christmas_email_7"), Email_Body_HTML="{{page_content}}")
    world.notion_fault("refuse", path="/markdown$", status=400, code="validation_error", times=None)
    enrolment = world.quickly("signup")
    assert world.send(enrolment, 2).name == "Completed"
    with pytest.raises(NotionError, match=r"read content of .* 400 validation_error"):
        world.send(enrolment, 7)
    assert len(world.accepted(enrolment["email"])) == 1


def test_a_corrected_template_is_sent_although_the_faulty_one_is_still_cached(world: World) -> None:
    page = world.template("noshow_recovery_email_2")
    world.edit(schema.TEMPLATES, page, Subject_Line="{{wrong}}")
    enrolment = world.quickly("noshow")
    with pytest.raises(UnusableTemplateError):
        world.send(enrolment)
    world.setenv("HUBLAB_TEMPLATE_SECONDS", "300")
    world.edit(schema.TEMPLATES, page, Subject_Line="Right")
    assert world.send(enrolment).name == "Completed"
    assert [mail["payload"]["subject"] for mail in world.accepted(enrolment["email"])] == ["Right"]


def test_a_template_of_many_pieces_and_one_in_the_page_itself_are_sent_whole(world: World) -> None:
    page = world.template("christmas_email_2")
    long = "<p>{{first_name}}</p>" + "".join(f"<p>line {n} {'x' * 90}</p>" for n in range(600))
    world.edit(schema.TEMPLATES, page, Email_Body_HTML=long)
    other = world.template("christmas_email_3")
    world.edit(schema.TEMPLATES, other, Email_Body_HTML="{{ page_content }}")
    other["markdown"] = "Dear \\{\\{first_name\\}\\},\n\n- [leave]({{unsubscribe_url}})\n"
    enrolment = world.quickly("signup")
    for step in (2, 3):
        assert world.send(enrolment, step).name == "Completed"
    first, second = (mail["payload"] for mail in world.accepted(enrolment["email"]))
    assert "line 599 xxx" in first["html"]
    assert "Dear Ada," in second["html"]
    assert "https://hooks.hublab.test/unsubscribe/" in second["text"]


def test_no_subject_or_body_of_a_mail_is_in_the_code() -> None:
    for path in ROOM.rglob("*.py"):
        text = path.read_text("utf-8")
        for tag in ("<html", "<body", "<table", "<p>", "Dear ", "Hello ", "Hi {{"):
            assert tag not in text, f"{path.name} has {tag!r}: a mail's text belongs in Notion"
        assert not re.search(r"subject['\"]?\s*[:=]\s*f?['\"][^'\"]*\w", text), f"{path.name} has a subject"
    for path in ROOM.rglob("*.toml"):
        for sequence in tomllib.loads(path.read_text("utf-8"))["sequences"].values():
            assert all(set(step) == {"template", "after"} for step in sequence["steps"])
