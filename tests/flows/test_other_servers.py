"""What the flows ask of Prefect's server is understood by the oldest and by the one of before."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from flows.operator.cutover import read, stage
from flows.sending import frozen
from sandbox.local.campaign import registered
from sandbox.past import campaign as before
from tests.flows.past import SEND
from tests.flows.services.test_runs_of_deployments import HANDLER, OWN
from tests.flows.services.test_runs_of_deployments import read as run_read
from tests.servers import BEFORE, OLDEST, program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flows.services.prefect_api import Prefect

pytestmark = pytest.mark.long


@pytest.fixture(scope="module", params=(OLDEST, BEFORE))
def prefect(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    home = tmp_path_factory.mktemp("server")
    with registered(home, program(request.param)) as (api, found):
        assert api.get("/admin/version") == request.param
        yield found


def test_a_run_has_all_that_one_has_which_the_deployment_is_asked_for(prefect: Prefect) -> None:
    asked = {"payload": {"email": "delivered@resend.dev"}}
    ours = prefect.start_once(HANDLER, asked, "key", tags=("one",))
    assert prefect.start_once(HANDLER, {"payload": {}}, "key").id == ours.id
    theirs = prefect.client.create_flow_run_from_deployment(prefect.deployment(HANDLER), parameters=asked, tags=["one"])
    one, other = run_read(prefect, ours.id), run_read(prefect, theirs.id)
    assert one["work_queue_name"] == "campaign-handlers"
    assert {name: one[name] for name in one.keys() - OWN} == {name: other[name] for name in other.keys() - OWN}


def test_what_says_that_a_mail_went_out_is_archived(prefect: Prefect) -> None:
    now = prefect.now()
    kept = frozen.freeze(prefect, "christmas-signup-0123", 1, {"subject": "one"}, None, (), now)
    kept.record(prefect, "re_1", now)
    assert frozen.archive(prefect, now + timedelta(hours=2)) == 1
    assert prefect.variable(kept.name) is None
    known = frozen.thaw(prefect, "christmas-signup-0123", 1)
    assert known is not None
    assert known.accepted == "re_1"


def test_what_a_take_over_asks_for_and_the_way_back_restores(prefect: Prefect) -> None:
    """Schedules whole, deployments beside theirs, automations, and whether a run of theirs has begun."""
    api = prefect.client._client
    ids = before.deploy(api)
    nightly = {"schedule": {"cron": "0 9 * * *", "timezone": "America/Toronto"}, "slug": "nightly", "active": False}
    nightly |= {"parameters": {"email_number": 1}}
    api.post(f"/deployments/{ids[SEND]}/schedules", json=[nightly]).raise_for_status()
    there = api.get(f"/deployments/{ids[SEND]}").json()
    parts = {part: there[part] for part in ("flow_id", "entrypoint", "work_pool_name")}
    api.post("/deployments/", json={"name": "staging", **parts}).raise_for_status()
    late = {
        "type": "event",
        "posture": "Reactive",
        "threshold": 1,
        "within": 0,
        "expect": ["prefect.flow-run.Late"],
    }
    tidy = {"name": "tidy", "trigger": late, "actions": [{"type": "cancel-flow-run"}]}
    api.post("/automations/", json=tidy).raise_for_status()
    begun = before.scheduled_mail(api, ids[SEND], {"email": "a@salon.ca", "email_number": 1}, prefect.now())
    for kind in ("RUNNING", "CRASHED"):
        api.post(f"/flow_runs/{begun}/set_state", json={"state": {"type": kind}, "force": True}).raise_for_status()
    renewed = stage.deployments(prefect)
    assert [one["name"] for one in stage.beside(prefect, renewed)] == ["staging"]
    said = " ".join(stage._warnings(prefect, renewed, "default", []))
    assert "deployment staging" in said
    assert "automation 'tidy' (cancel-flow-run)" in said
    now = prefect.now()
    for opened, had in ((None, True), (now + timedelta(hours=1), True), (now - timedelta(hours=1), False)):
        ((run,), _) = read._runs(prefect, (opened, "elsewhere") if opened else None)
        assert run.begun is had
    stage.keep(prefect)
    api.delete(f"/deployments/{ids[SEND]}/schedules/{there['schedules'][0]['id']}").raise_for_status()
    stage.restore(prefect)
    (restored,) = api.get(f"/deployments/{ids[SEND]}").json()["schedules"]
    assert {part: restored[part] for part in nightly} == {part: there["schedules"][0][part] for part in nightly}
