"""What the flows ask of Prefect's server is understood by the oldest and by the one of before."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from flows.sending import frozen
from sandbox.local.campaign import registered
from tests.flows.services.test_runs_of_deployments import HANDLER, OWN, read
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
    one, other = read(prefect, ours.id), read(prefect, theirs.id)
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
