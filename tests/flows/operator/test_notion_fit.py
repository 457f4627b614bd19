"""A workspace against what the flows use: what fits, what nearly does, and what `notion-setup` would add. Pure."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from flows.campaigns.model import sequences
from flows.operator import notion_fit
from flows.services import notion_schema as schema
from flows.services.notion_mapping import NotionMapping

if TYPE_CHECKING:
    from flows.operator.notion_fit import Fit


def database(block: str, **changes: dict[str, Any] | None) -> dict[str, Any]:
    """A database that has everything, its title called `Page`; with these properties changed, or (None) not there."""
    kinds = {name: kind for name, kind in schema.SCHEMA[block].items() if name not in schema.OPTIONAL.get(block, ())}
    live = {"Page" if kind == "title" else name: {"type": kind, kind: {}} for name, kind in kinds.items()}
    return {name: one for name, one in (live | changes).items() if one is not None}


def of(kind: str, *options: str) -> dict[str, Any]:
    """A property as Notion shows it."""
    return {"type": kind, kind: {"options": [{"name": one} for one in options]} if options else {}}


def fits(block: str, live: dict[str, Any], said: dict[str, Any] | None = None, **options: set[str]) -> dict[str, Fit]:
    """What is to be said of a database, by property."""
    mapping = NotionMapping({schema.TITLES[block]: said} if said else {})
    found = notion_fit.compared(block, live, mapping, {name.replace("_", " "): one for name, one in options.items()})
    return {one.name: one for one in found if one.problem or one.adds}


@pytest.mark.parametrize("block", schema.SCHEMA)
def test_a_workspace_that_has_everything_is_no_problem_whatever_its_titles_are_called(block: str) -> None:
    assert fits(block, database(block)) == {}


@pytest.mark.parametrize("there", ["first_name", "FIRST NAME", "First  Name", "firstname", "First-Name", "Fírst Name"])
@pytest.mark.parametrize("kind", ["rich_text", "select", "url"])
def test_the_same_name_but_for_case_blanks_and_marks_is_proposed(there: str, kind: str) -> None:
    live = database(schema.SEQUENCE, **{"First Name": None, there: of(kind)})
    found = fits(schema.SEQUENCE, live)
    if there == "Fírst Name":  # another word
        assert found["First Name"].adds
        return
    said = {"First Name": there if kind == "rich_text" else {"name": there, "kind": kind}}
    assert tomllib.loads(found["First Name"].line) == said
    assert found["First Name"].problem.startswith(f"property 'First Name' nearly fits '{there}' ({kind}): the line for")
    assert not found["First Name"].adds
    assert fits(schema.SEQUENCE, live, said) == {}, "once it is pasted, it fits"


def test_of_two_that_nearly_fit_the_one_of_the_same_kind_is_meant() -> None:
    live = database(schema.CONTACTS, **{"Email": None, "email": of("email"), "E-Mail": of("rich_text")})
    assert tomllib.loads(fits(schema.CONTACTS, live)["Email"].line) == {"Email": "email"}


def test_of_two_of_the_same_kind_neither_is_guessed_and_none_is_added() -> None:
    live = database(schema.CONTACTS, **{"Email": None, "email": of("email"), "E-Mail": of("email")})
    (one,) = fits(schema.CONTACTS, live).values()
    assert one.problem == "property 'Email' could be any of 'E-Mail', 'email': name one in notion.toml"
    assert (one.line, one.adds) == ("", False)
    assert fits(schema.CONTACTS, live, {"Email": "E-Mail"}) == {}


def test_what_is_another_propertys_already_nearly_fits_none() -> None:
    live = database(schema.CONTACTS, **{"Business Name": None, "business_name": of("rich_text")})
    (one,) = fits(schema.CONTACTS, live, {"First Name": "business_name"}).values()
    assert (one.name, one.adds) == ("Business Name", True)


@pytest.mark.parametrize(("kind", "name"), [("checkbox", "email"), ("number", "first_name"), ("date", "Red systems")])
def test_what_cannot_be_converted_nearly_fits_nothing(kind: str, name: str) -> None:
    ours = name.replace("_", " ").title()
    (one,) = fits(schema.SEQUENCE, database(schema.SEQUENCE, **{ours: None, name: of(kind)})).values()
    assert (one.name, one.line, one.adds) == (ours, "", True)


def test_an_own_name_of_another_kind_is_proposed_where_it_can_be_converted_and_else_named() -> None:
    live = database(schema.CONTACTS, **{"Assessment Score": of("rich_text"), "Email": of("checkbox")})
    found = fits(schema.CONTACTS, live)
    score, email = found["Assessment Score"], found["Email"]
    assert score.problem.startswith("property 'Assessment Score' is rich_text, not number")
    assert tomllib.loads(score.line) == {"Assessment Score": {"kind": "rich_text"}}
    said = "property 'Email' is checkbox, not email: change its type in Notion, or name another in notion.toml"
    assert (email.problem, email.line, email.adds) == (said, "", False)


def test_a_kind_that_nobody_can_write_may_be_done_without_unless_it_is_needed() -> None:
    """Notion itself fills in when a page was created, and a formula; their type is hardly to be changed."""
    live = database(schema.PROJECTS, **{"Created Date": of("created_time"), "Email": of("formula")})
    found = fits(schema.PROJECTS, live)
    assert found["Created Date"].problem.endswith(
        'name another in notion.toml, or write "Created Date" = false in notion.toml'
    )
    assert found["Email"].problem.endswith("name another in notion.toml")


def test_what_is_missing_would_be_added_and_may_be_done_without_unless_it_is_needed() -> None:
    live = database(schema.SEQUENCE, **{"Template Type": None, "Cancelled": None})
    found = fits(schema.SEQUENCE, live)
    added = "`./hublab campaign notion-setup` would add it"
    without = (
        f"property 'Template Type' (select) is missing: {added}, or write \"Template Type\" = false in notion.toml"
    )
    assert found["Template Type"].problem == without
    assert found["Cancelled"].problem == f"property 'Cancelled' (checkbox) is missing: {added}"
    assert all(one.adds for one in found.values())
    assert set(fits(schema.SEQUENCE, live, {"Template Type": False})) == {"Cancelled"}


def test_what_the_file_says_and_is_not_there_is_to_be_corrected_and_not_added() -> None:
    (one,) = fits(schema.SEQUENCE, database(schema.SEQUENCE), {"Segment": "Part"}).values()
    said = "notion.toml says that 'Segment' is 'Part', and there is no such property: correct it"
    assert (one.problem, one.line, one.adds) == (said, "", False)


@pytest.mark.parametrize("block", schema.TITLED)
def test_a_title_is_the_title_and_no_text_beside_it_is_proposed_in_its_place(block: str) -> None:
    """Else nothing would be written into it, and lists would show pages without a name."""
    for name in ("Name", "name"):
        assert fits(block, database(block, **{name: of("rich_text")})) == {}


def test_options_that_nearly_fit_are_proposed_and_those_that_notion_adds_are_no_problem() -> None:
    live = database(schema.ANALYTICS, Status=of("select", "sent", "Delivered"))
    (one,) = fits(schema.ANALYTICS, live, Status={"Sent", "Delivered", "Bounced"}).values()
    assert one.problem.startswith("of the options of 'Status', 'Sent' nearly fits 'sent': the line")
    assert tomllib.loads(one.line) == {"Status": {"options": {"Sent": "sent"}}}
    said = tomllib.loads(one.line)
    assert fits(schema.ANALYTICS, live, said, Status={"Sent", "Delivered", "Bounced"}) == {}


def test_options_of_which_two_nearly_fit_are_not_guessed() -> None:
    live = database(schema.ANALYTICS, Status=of("select", "sent", "SENT"))
    (one,) = fits(schema.ANALYTICS, live, Status={"Sent"}).values()
    said = "of the options of 'Status', 'Sent' could be any of 'sent', 'SENT': name one in notion.toml"
    assert (one.problem, one.line, one.adds) == (said, "", False)


def test_two_options_of_ours_that_nearly_fit_the_same_one_of_theirs_are_not_guessed() -> None:
    """Which of them a page shows could not be read back."""
    live = database(schema.ANALYTICS, Status=of("select", "no show", "sent"))
    wanted = {"No-Show", "No Show", "Sent"}
    (one,) = fits(schema.ANALYTICS, live, Status=wanted).values()
    said = "of the options of 'Status', 'no show' could be 'No Show' or 'No-Show': name in notion.toml which it is"
    assert (one.problem, one.line, one.adds) == (said, "", False)
    named = {"Status": {"options": {"No-Show": "no show", "Sent": "sent"}}}
    assert fits(schema.ANALYTICS, live, named, Status=wanted) == {}, "the other is an option of its own"


def test_an_option_that_the_flows_write_as_well_nearly_fits_no_other() -> None:
    live = database(schema.ANALYTICS, Status=of("select", "sent"))
    assert fits(schema.ANALYTICS, live, Status={"Sent", "sent"}) == {}


def test_an_option_that_no_program_can_add_is_named_and_one_that_is_mapped_must_be_there() -> None:
    live, wanted = database(schema.CONTACTS, **{"Booking Status": of("status", "Booked")}), {"Booked", "No-Show"}
    said = {"Booking Status": {"kind": "status"}}
    (one,) = fits(schema.CONTACTS, live, said, Booking_Status=wanted).values()
    assert one.problem.startswith("status 'Booking Status' has no option 'No-Show', and no program can add one: add it")
    said["Booking Status"]["options"] = {"No-Show": "Missed"}  # type: ignore[assignment]
    (one,) = fits(schema.CONTACTS, live, said, Booking_Status=wanted).values()
    assert one.problem.startswith(
        "notion.toml says that the option 'No-Show' of 'Booking Status' is 'Missed', which it"
    )
    said["Booking Status"]["options"] = {"No-Show": False}  # type: ignore[assignment]
    assert fits(schema.CONTACTS, live, said, Booking_Status=wanted) == {}


def test_what_is_asked_of_options_is_what_the_campaigns_write_and_look_for() -> None:
    found = notion_fit.chosen(sequences().values())
    assert {"Booked", "Confirmed", "Completed", "Rescheduled", "No-Show"} <= found[schema.CONTACTS]["Booking Status"]
    assert {"Unsubscribed", "Signed Up", "No-Show Recovery"} <= found[schema.CONTACTS]["Christmas Campaign Status"]
    types = {"No-Show Recovery", "Post-Call Follow-Up", "Onboarding"}
    assert found[schema.SEQUENCE]["Template Type"] == types
    assert found[schema.SEQUENCE]["Segment"] == {"CRITICAL", "URGENT", "OPTIMIZE"}
    assert found[schema.SEQUENCE]["Campaign"] == found[schema.ANALYTICS]["Campaign"] == {"Christmas 2025"}


def test_the_whole_file_is_proposed_with_what_it_says_already() -> None:
    said = {"Email Sequence": {"Template Type": False}, "BusinessX contacts": {"Phase": {"options": {"a": "b"}}}}
    mapping = NotionMapping(said)
    live = database(schema.CONTACTS, Email=None, email=of("email"))
    found = {schema.CONTACTS: notion_fit.compared(schema.CONTACTS, live, mapping, {})}
    assert tomllib.loads("\n".join(notion_fit.pasted(found, mapping))) == {
        "Email Sequence": {"Template Type": False},
        "BusinessX contacts": {"Phase": {"options": {"a": "b"}}, "Email": "email"},
    }
    assert notion_fit.pasted({}, mapping) == []
