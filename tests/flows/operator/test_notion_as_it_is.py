"""The whole campaign in the Notion of before: other names and kinds, no `Template Type`, options that do not exist."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from flows.operator import campaign_status, erase, notion_setup, preflight, secret_blocks
from flows.services import notion_schema as schema
from flows.services.notion_mapping import FILE, VARIABLE, MappingError
from flows.services.prefect_api import Prefect
from flows.webhooks import events
from flows.webhooks.forwarding import Forwarder
from flows.webhooks.spool import Spool
from sandbox.past import notion as past
from tests.flows.world import faults_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.flows.world import World


class Workspace:
    """The workspace of before, as it shows itself to people."""

    def __init__(self, world: World) -> None:
        self.store = world.services.notion.store
        self.databases = past.furnish(self.store)
        for block, identity in self.databases.items():
            world.setenv(block.upper().replace("-", "_"), identity)

    def schema(self, block: str) -> dict[str, Any]:
        return self.store.database(self.databases[block]).schema

    def pages(self, block: str, text: str) -> list[dict[str, Any]]:
        """The pages of a database that have a text anywhere."""
        source = self.store.database(self.databases[block])
        pages = [self.store.shown(one) for one in self.store.pages.values() if one["source"] == source.id]
        return [page for page in pages if text in json.dumps(page)]

    def rows(self, block: str, email: str) -> list[dict[str, Any]]:
        """Plain values by the names there, of the pages that have an address."""
        return [
            {name: schema.read(page, name) for name in page["properties"]} | {"trash": page["in_trash"]}
            for page in self.pages(block, email)
        ]


@pytest.fixture
def there(world: World) -> Iterator[Workspace]:
    yield Workspace(world)
    with Prefect() as prefect:
        prefect.forget(VARIABLE)


def settled(there: Workspace, folder: Path, capsys: pytest.CaptureFixture[str], more: str = "") -> str:
    """As an operator settles it: what is proposed is pasted, taken to Prefect, and what is left is added."""
    assert notion_setup.main([]) == 1
    proposed = capsys.readouterr().out
    assert "Enrolment Key" not in there.schema(schema.SEQUENCE)  # nothing before the file says where the rest is
    (folder / FILE).write_text(proposed + more)
    assert secret_blocks.write_mapping(folder / FILE) == "set"
    assert secret_blocks.write_mapping(folder / FILE) == "unchanged"
    assert notion_setup.main([]) == 0
    return proposed


def test_preflight_proposes_the_lines_and_what_setup_would_add_and_is_then_content(
    world: World, there: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert preflight.main([]) == 1
    told = capsys.readouterr().out
    for part in (
        "property 'First Name' nearly fits 'first_name' (title): the line for notion.toml is below",
        "property 'Email' nearly fits 'email' (email)",
        "property 'Template Type' (select) is missing: `./hublab campaign notion-setup` would add it, or write",
        '"Template Type" = false in notion.toml',
        "property 'Cancelled' (checkbox) is missing: `./hublab campaign notion-setup` would add it",
        "of the options of 'Status', 'Failed' nearly fits 'failed', 'Sent' nearly fits 'sent'",
    ):
        assert part in told, part
    assert tomllib.loads(told[told.index("# notion.toml") : told.rindex("\n", 0, told.index("to be put right"))]) == {
        "BusinessX contacts": {
            "Email": "email",
            "First Name": {"name": "first_name", "kind": "title"},
            "Business Name": "business_name",
        },
        "Email Analytics": {"Status": {"options": {"Failed": "failed", "Sent": "sent"}}},
    }
    assert notion_setup.main(["--dry-run"]) == 1
    capsys.readouterr()
    settled(there, tmp_path, capsys)
    said = capsys.readouterr().out
    assert "adds 'Template Type' (select) to Email Sequence" in said
    assert "adds 'Cancelled' (checkbox) to Email Sequence, which a person ticks" in said
    assert faults_of(preflight.rows("default")) == []
    (tmp_path / FILE).write_text("")
    assert "Prefect has another" in next(row.problem for row in preflight.rows("default") if row.what == FILE)


def test_the_whole_campaign_runs_there(
    world: World, there: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert notion_setup.main([]) == 1
    proposed = capsys.readouterr().out.replace(
        '["Email Analytics"]', '["Email Sequence"]\n"Template Type" = false\n["Email Analytics"]'
    )
    (tmp_path / FILE).write_text(proposed)
    secret_blocks.write_mapping(tmp_path / FILE)
    assert notion_setup.main([]) == 0
    assert "Template Type" not in there.schema(schema.SEQUENCE)

    email, runs = world.enrolled("signup", first_name="Ada", business_name="Salon")
    for run in runs:
        state = world.run(run)
        assert state.name == "Completed", state.message
    (contact,) = there.rows(schema.CONTACTS, email)
    assert (contact["email"], contact["first_name"], contact["business_name"]) == (email, "Ada", "Salon")
    assert contact["Christmas Campaign Status"] == "Signed Up"
    (record,) = there.rows(schema.SEQUENCE, email)
    assert record["Record"] == "Ada, Salon: Christmas 2025"
    assert all(record[f"Email {number} Sent"] for number in range(1, 8))
    assert record["Sequence Completed"] is True

    # What fails is in the log under the options that are there, once.
    other, later = world.enrolled("signup")
    for template in there.pages(schema.TEMPLATES, "christmas_email_7"):
        there.store.update_page(template["id"], {"in_trash": True})
    for _ in range(2):
        with pytest.raises(Exception, match="christmas_email_7"):
            world.send(later[6].parameters["enrolment"], 7)
    assert [row["Status"] for row in there.rows(schema.ANALYTICS, other)] == ["failed"]


def test_who_leaves_books_and_is_erased_there(
    world: World, there: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settled(there, tmp_path, capsys)
    forwarder = Forwarder(Spool(tmp_path / "spool"))
    left, booked, gone, cancelled = (world.quickly("signup") for _ in range(4))
    forwarder.spool.put("one", {"kind": "event", "event": events.unsubscribed(left["email"])})
    forwarder.once()
    (contact,) = there.rows(schema.CONTACTS, left["email"])
    assert contact["Christmas Campaign Status"] == "Unsubscribed"
    assert world.send(left, 2).name == "Skipped"

    booking = {
        "email": booked["email"],
        "status": "Booked",
        "at": "2025-12-01T10:00:00Z",
        "booking": "b",
        "details": {},
    }
    forwarder.spool.put("two", {"kind": "booking", "booking": booking})
    forwarder.once()
    (contact,) = there.rows(schema.CONTACTS, booked["email"])
    assert (contact["Booking Status"], contact["Christmas Campaign Status"]) == ("Booked", "Pre-Call Prep")
    assert "a booking is made" in str(world.send(booked, 2).message)

    # By people's own hands, on the record and on the contact.
    page = there.store.page(cancelled["page"])
    there.store.update_page(page["id"], {"properties": {"Cancelled": {"checkbox": True}}})
    assert "cancelled in Notion" in str(world.send(cancelled, 2).message)

    assert world.send(gone, 1).name == "Completed"
    assert erase.main([gone["email"]]) == 0
    for block in erase.PAGES:
        assert all(row["trash"] for row in there.rows(block, gone["email"])), block
    assert there.rows(schema.CONTACTS, gone["email"])

    # What Resend tells arrives in the log, and from there in the status.
    _mail_told(world, forwarder, booked, "Delivered")
    (row,) = there.rows(schema.ANALYTICS, booked["email"])
    assert (row["Status"], row["Name"]) == ("Delivered", f"christmas_email_2 to {booked['email']}")
    capsys.readouterr()
    campaign_status.main(["--json"])
    assert not [one for one in json.loads(capsys.readouterr().out)["remedies"] if "not known" in one]


def _mail_told(world: World, forwarder: Forwarder, enrolment: dict[str, Any], status: str) -> None:
    event = {"email": enrolment["email"], "email_id": f"id-{enrolment['key']}", "status": status, "detail": ""}
    event |= {"at": "2025-12-01T10:00:00Z", "campaign": "christmas", "sequence": "signup", "step": "2"}
    forwarder.spool.put("three", {"kind": "event", "event": event | {"template": "christmas_email_2"}})
    forwarder.once()


def test_a_wrong_file_does_not_reach_prefect_and_a_wrong_database_is_not_furnished(
    world: World, there: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, said in (('["Email Sequence"]\n"Emial" = "x"', "'Emial'"), ("[", "not TOML")):
        (tmp_path / FILE).write_text(text)
        with pytest.raises(MappingError, match=said):
            secret_blocks.write_mapping(tmp_path / FILE)
    settled(there, tmp_path, capsys)
    (tmp_path / FILE).unlink()
    assert secret_blocks.write_mapping(tmp_path / FILE) == "removed"
    world.setenv("NOTION_CUSTOMER_PROJECTS_DB_ID", there.databases[schema.TEMPLATES])
    # The contacts' names are not mapped any more: set them right by hand, so that only the wrong id is left.
    (tmp_path / FILE).write_text(
        '["BusinessX contacts"]\n"Email" = "email"\n"Business Name" = "business_name"\n'
        '"First Name" = { name = "first_name", kind = "title" }\n'
        '["Email Analytics"]\n"Status" = { options = { "Failed" = "failed", "Sent" = "sent" } }\n'
    )
    secret_blocks.write_mapping(tmp_path / FILE)
    capsys.readouterr()
    assert notion_setup.main([]) == 1
    assert (
        "'Customer Projects' lacks 6 of 7 properties: is NOTION_CUSTOMER_PROJECTS_DB_ID its id"
        in capsys.readouterr().err
    )
    assert set(there.schema(schema.TEMPLATES)) == set(schema.LIVE[schema.TEMPLATES])


def test_a_property_that_is_renamed_there_is_named_with_the_remedy(
    world: World, there: Workspace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settled(there, tmp_path, capsys)
    enrolment = world.quickly("signup")
    sequence = there.schema(schema.SEQUENCE)
    sequence["Sent 2"] = sequence.pop("Email 2 Sent")
    with pytest.raises(Exception, match=r"no property 'Email 2 Sent': was it renamed\? Say so in notion\.toml"):
        world.send(enrolment, 2)
    assert world.accepted(enrolment["email"]) == []
    contacts = there.schema(schema.CONTACTS)
    contacts["mail"] = contacts.pop("email")
    with pytest.raises(
        Exception, match=r"email.*`./hublab campaign preflight` says so, with the lines for notion\.toml"
    ):
        world.quickly("signup")
