"""What status makes of an application."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from deploy.coolify.fleet import history, judge, unlock
from deploy.coolify.plan import make
from deploy.coolify.state import ApplicationState, Kept, Running
from deploy.fleet.connect import FleetError
from deploy.fleet.standing import LATE, UNTOLD
from deploy.fleet.status import render
from deploy.onhost.left_runs import LeftRun
from deploy.onhost.record import Line
from deploy.onhost.report_host import Queue
from tests.answering import answering
from tests.deploy.coolify.standin import APP
from tests.deploy.coolify.test_plan import HOST, state
from tests.deploy.coolify.theatre import NEW, application

if TYPE_CHECKING:
    from deploy.fleet.standing import Status

LINE = Line("ada@desk", to=NEW, at="2026-01-02T03:04:05Z")
QUIET = Queue(0, 0)


def judged(found: ApplicationState, queue: Queue | None = QUIET, left: tuple[LeftRun, ...] = ()) -> Status:
    return judge(HOST, make(HOST, found), found, queue, left)


def test_status_of_an_application_as_planned() -> None:
    found = judged(state(deploys=(LINE,), kept=(Kept(NEW, "r-new", {}),)))
    assert found.as_planned
    assert render(found).splitlines() == [
        f"worker (coolify:{APP})  as planned  release r-new",
        f"  {APP}-1: ONLINE, release r-new",
        "  due: 0, late: 0",
        f"  last: deploy of release {NEW} by ada@desk at 2026-01-02T03:04:05Z: ok",
    ]


def test_what_a_deploy_would_not_cure_is_trouble() -> None:
    assert judged(state(), None).trouble == (UNTOLD,)
    assert judged(state(), Queue(3, 2)).trouble == (f"2 flow runs are late -> {LATE}",)
    assert judged(state(), Queue(1, 1)).trouble == (f"1 flow run is late -> {LATE}",)
    lost = LeftRun("i", "n", "Lost", "lost", again=True)
    assert judged(state(), left=(lost,)).trouble[0].startswith("1 flow run is lost: n (i) -> ./hublab run-again")
    held = judged(state(lock="locked by bob", lock_orphaned=True))
    assert (held.lock, held.trouble[0]) == (
        "locked by bob",
        "locked by bob: its owner is gone -> the next ./hublab deploy takes it over",
    )


def test_worker_that_is_gone_is_trouble_and_drift() -> None:
    found = judged(state(running=(Running(f"{APP}-1", online=False, release="r-new"),)))
    assert found.trouble == ("it is not ONLINE at Prefect's server",)
    assert found.release == "none"
    assert "is not ONLINE at Prefect's server" in found.drift[-1]


def test_application_that_cannot_be_looked_at_says_why() -> None:
    found = judged(ApplicationState(problem="HUBLAB_COOLIFY_TOKEN: bad -> make one"), QUIET)
    assert found.host == f"coolify:{APP}"
    assert found.trouble == ("HUBLAB_COOLIFY_TOKEN: bad -> make one",)


def test_deploy_that_failed_is_told() -> None:
    line = replace(LINE, result="its deployment d1 is failed; rolled back")
    assert judged(state(deploys=(line,))).last.startswith(f"FAILED: release {NEW}: ada@desk's deploy of ")


def test_credential_that_prefect_refuses_is_named_by_history_and_unlock() -> None:
    with answering(lambda _: httpx.Response(401, json={})) as url:
        host = application(api_url=f"{url}/api")
        for question in (history, unlock):
            with pytest.raises(FleetError, match=r"^PREFECT_API_AUTH_STRING: .* refuses it \(401\) -> put the cred"):
                question(host)
