"""All sixteen mails of the four sequences, through the real SDKs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flows import notion_schema as schema
from flows.campaign import sequence as find_sequence

if TYPE_CHECKING:
    from tests.flows.world import World


@pytest.mark.parametrize(("sequence", "count"), [("signup", 7), ("noshow", 3), ("postcall", 3), ("onboarding", 3)])
def test_every_mail_of_a_sequence_is_sent_and_recorded_once(world: World, sequence: str, count: int) -> None:
    email, runs = world.enrolled(sequence)
    assert [run.parameters["step"] for run in runs] == list(range(1, count + 1))
    for run in runs:
        state = world.run(run)
        assert state.is_completed(), state.message
        assert state.name == "Completed", state.message
    accepted = world.accepted(email)
    templates = [step.template for step in find_sequence("christmas", sequence).steps]
    assert [mail["payload"]["subject"].partition(":")[0] for mail in accepted] == templates
    record = world.record(email)
    assert all(schema.read(record, f"Email {n} Sent") for n in range(1, count + 1))
    assert schema.read(record, "Sequence Completed") is True


def test_a_signup_of_seven_mails_takes_at_most_seventeen_calls_to_notion(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.setenv("HUBLAB_TEMPLATE_SECONDS", "300")
    email, runs = world.enrolled("signup")
    for run in runs:
        assert world.run(run).name == "Completed"
    calls = world.services.notion.book.calls
    with capsys.disabled():
        print(f"\nNotion calls for a signup of seven mails: {len(calls)} (at most 17)")  # noqa: T201
    assert len(world.accepted(email)) == 7
    assert len(calls) <= 17, calls
