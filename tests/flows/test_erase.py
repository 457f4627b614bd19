"""One command removes a person: at Prefect, in Notion, and from what is still to come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from prefect.states import Completed, Running

from flows.campaigns.model import sequence as find_sequence
from flows.operator import erase
from flows.recipients import confirmation, suppression
from flows.services import notion_schema as schema
from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    import pytest

    from tests.flows.world import World


def everything(prefect: Prefect) -> str:
    """What Prefect knows, in one text."""
    found: list[Any] = []
    for path in ("/flow_runs/filter", "/artifacts/filter", "/variables/filter"):
        offset = 0
        while more := prefect.client.request("POST", path, json={"limit": 200, "offset": offset}).json():
            found += more
            offset += 200
    return json.dumps(found)


def test_a_person_is_gone_and_the_others_are_not(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    email, _runs = world.enrolled("noshow", first_name="Erased-Name", calendly_event_uri="https://calendly.com/second")
    other, _ = world.enrolled("signup")
    world.run(world.enrol("onboarding", world.payload("onboarding", email=email, first_name="Erased-Name")))
    assert world.send(runs_enrolment(email, world), 1).name in {"Completed", "Skipped"}
    with Prefect() as prefect:
        confirmation.record(prefect, key := find_sequence("christmas", "onboarding").key(email), "now")
        assert email in everything(prefect)
        assert erase.main([f" {email.upper()} "]) == 0
        left = everything(prefect)
        assert suppression.causes(prefect, email) == ["Cancelled"]
    assert email not in left
    assert key not in left
    assert "Erased-Name" not in left
    assert other in left
    for block in erase.PAGES:
        assert all(page["in_trash"] for page in world.rows(block, email)), block
    assert not any(page["in_trash"] for page in world.rows(schema.CONTACTS, other))
    told = capsys.readouterr().out
    assert "pages of Customer Projects" in told
    assert "Resend's own list" in told
    assert erase.main([email]) == 0
    assert "nothing was there" in capsys.readouterr().out


def runs_enrolment(email: str, world: World) -> dict[str, Any]:
    """What the run of the first mail that is there got as `enrolment`."""
    (page,) = (
        one for one in world.rows(schema.SEQUENCE, email) if schema.read(one, "Template Type") == "No-Show Recovery"
    )
    with Prefect() as prefect:
        run = prefect.run_of(f"{schema.read(page, 'Enrolment Key')}:1")
    assert run is not None
    enrolment: dict[str, Any] = run.parameters["enrolment"]
    return enrolment


def test_a_run_in_hand_is_waited_for_and_its_records_stay_until_then(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    email, runs = world.enrolled("signup")
    with Prefect() as prefect:
        prefect.client.set_flow_run_state(runs[0].id, Running(), force=True)
        assert erase.main([email]) == 1
        assert "in a worker's hands" in capsys.readouterr().err
        assert [run.id for run in world.mails(email)] == [runs[0].id]
        assert not world.record(email)["in_trash"]
        prefect.client.set_flow_run_state(runs[0].id, Completed(), force=True)
        assert erase.main([email]) == 0
        assert email not in everything(prefect)
