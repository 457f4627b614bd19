"""A take-over in the workspace as it is: other names and kinds, no `Template Type`, and every edge of its people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.operator.cutover.__main__ import main
from flows.services import notion_schema as schema
from flows.services.notion_mapping import VARIABLE, NotionMapping
from flows.services.prefect_api import Prefect
from tests.flows.operator.test_notion_as_it_is import Workspace, settled
from tests.flows.past import DELAYS, Past

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# The workspace has no such property, and the operator does without.
WITHOUT_TYPE = '["Email Sequence"]\n"Template Type" = false\n'


class There(Past):
    """The past in that workspace: whoever writes and reads it here knows it by its own names."""

    def furnished(self, mapping: dict[str, Any]) -> None:
        self.mapping = NotionMapping(mapping)

    def _page(self, block: str, values: dict[str, Any]) -> dict[str, Any]:
        store = self.world.services.notion.store
        written = self.mapping.written(block, {name: value for name, value in values.items() if value != ""})
        return store.create_page(store.database(self.workspace.databases[block]), written)

    workspace: Workspace
    mapping: NotionMapping


@pytest.fixture
def there(past: Past, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[There]:
    found = There(past.world, past.api)
    found.workspace = Workspace(past.world)
    assert main([]) == 1
    told = capsys.readouterr().out
    assert "BLOCKED: BusinessX contacts" in told
    assert "'email'" in told  # the plan says itself what the workspace lacks
    settled(found.workspace, tmp_path, capsys, WITHOUT_TYPE)
    with Prefect() as prefect:
        found.furnished(prefect.variable(VARIABLE) or {})
        yield found
        prefect.forget(VARIABLE)


def marks(there: There, email: str) -> set[int]:
    """The mails that the records of an address show as sent, however it is written there."""
    rows = there.workspace.rows(schema.SEQUENCE, email.partition("+")[2])
    return {number for row in rows for number in DELAYS if row[f"Email {number} Sent"]}


@pytest.mark.long
def test_from_the_plan_to_the_last_old_run_and_back_and_there_again(
    there: There, capsys: pytest.CaptureFixture[str]
) -> None:
    people = {
        "in the midst": there.person(3),
        "new": there.person(0),
        "no campaign": there.person(2),
        "not recorded": there.person(4),
    }
    (page,) = there.workspace.pages(schema.SEQUENCE, people["no campaign"])
    there.workspace.store.update_page(page["id"], {"properties": {"Campaign": {"select": None}}})
    start = datetime.now(UTC) + timedelta(hours=1) - DELAYS[3]
    mixed = there.world.address().replace("delivered", "Delivered")
    there.contact(mixed.lower())
    there.page(mixed, start, (1, 2))
    for step in (3, 4, 5, 6, 7):
        there.run(mixed if step % 2 else mixed.upper(), step, start + DELAYS[step])
    for step in (1, 2):
        there.mail(mixed.lower(), step, start + DELAYS[step])
    people["mixed case"] = mixed.lower()
    there.mail(people["not recorded"], 5, datetime.now(UTC))
    twice = people["in the midst"]
    there.contact(twice)  # a second contact, and a second record
    there.page(twice, start, (4,))
    tester = "qa+1@resend.dev"
    there.run(tester, 2, start + DELAYS[7])
    booked = there.person(3, Booking_Status="Booked")

    assert main([]) == 0
    told = capsys.readouterr().out
    for part in ("BLOCKED", "lacks"):
        assert part not in told
    for part in ("its record has no Campaign", "2 records", "2 contacts", "Resend has it", "Booked:", "left out"):
        assert part in told, part
    assert main(["--apply"]) == 0
    assert main(["--back"]) == 0
    assert main(["--apply"]) == 0
    capsys.readouterr()
    assert main(["--apply"]) == 0
    assert "nothing was left to do" in capsys.readouterr().out
    waiting = [run for run in there.runs() if run["state_type"] == "SCHEDULED"]
    assert all("enrolment" in run["parameters"] for run in waiting)
    with Prefect() as prefect:
        for run in sorted(waiting, key=lambda one: int(one["parameters"]["step"])):
            there.world.run(prefect.client.read_flow_run(run["id"]))
    for what, email in people.items():
        sent = [mail["payload"]["subject"].partition(":")[0] for mail in there.world.accepted(email)]
        wanted = [f"christmas_email_{number}" for number in DELAYS]
        if what == "in the midst":
            wanted.remove("christmas_email_4")  # its second record shows it as sent
        assert sorted(sent) == wanted, what
        assert marks(there, email) == set(DELAYS), what
        keys = {row["Enrolment Key"] for row in there.workspace.rows(schema.SEQUENCE, email.partition("+")[2])} - {
            "",
            None,
        }
        assert keys == {find_sequence("christmas", "signup").key(email)}, what
    assert there.world.accepted(tester) == []
    assert len(there.world.accepted(booked)) == 3
