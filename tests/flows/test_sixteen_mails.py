"""All sixteen mails of the four sequences, through the real SDKs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.recipients import edits, unsubscribe
from flows.services import notion_schema as schema
from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    from tests.flows.world import World

MOST_CALLS = {"signup": 18, "noshow": 10, "postcall": 10, "onboarding": 12}


def unsubscribing(email: str) -> dict[str, str]:
    """RFC 8058: one click, by a link that is this address's own."""
    link = f"https://hooks.hublab.test/unsubscribe/{unsubscribe.token('unsubscribe-test', email)}"
    return {"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}


@pytest.fixture
def _no_template_is_known(world: World) -> None:
    """As after a quiet night: what another test has left is forgotten, and each sequence reads its templates once."""
    world.setenv("HUBLAB_TEMPLATE_SECONDS", "300")
    with Prefect() as prefect:
        for sequence in MOST_CALLS:
            if kept := prefect.artifact(f"templates-christmas-{sequence}"):
                prefect.drop(kept.id)


@pytest.mark.usefixtures("_no_template_is_known")
@pytest.mark.parametrize(("sequence", "count"), [("signup", 7), ("noshow", 3), ("postcall", 3), ("onboarding", 3)])
def test_every_mail_of_a_sequence_is_sent_and_recorded_once(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, sequence: str, count: int
) -> None:
    # However long this takes: the look at the contacts, one a minute for everybody, is not counted.
    monkeypatch.setattr(edits, "fresh", lambda *_: True)
    email, runs = world.enrolled(sequence)
    assert [run.parameters["step"] for run in runs] == list(range(1, count + 1))
    for run in runs:
        state = world.run(run)
        assert state.is_completed(), state.message
        assert state.name == "Completed", state.message
    calls = world.services.notion.book.calls
    # Which data source a database has is looked up once for all hosts and all time: four more for the very first one.
    lookups = [path for _, path in calls if path.startswith("/v1/databases/")]
    with capsys.disabled():
        print(f"\nNotion calls for {sequence}, {count} mails: {len(calls)}, first look-ups: {len(lookups)}")  # noqa: T201
    assert len(lookups) <= 4
    assert len(calls) - len(lookups) <= MOST_CALLS[sequence]
    accepted = world.accepted(email)
    assert all(mail["payload"]["headers"] == unsubscribing(email) for mail in accepted)
    templates = [step.template for step in find_sequence("christmas", sequence).steps]
    assert [mail["payload"]["subject"].partition(":")[0] for mail in accepted] == templates
    record = world.record(email)
    assert all(schema.read(record, f"Email {n} Sent") for n in range(1, count + 1))
    assert schema.read(record, "Sequence Completed") is True
