"""The workers and the campaign at Prefect servers of other versions, each on a machine of its own: docs/servers.md."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import pytest

from sandbox import Sandbox, runs
from sandbox.campaign import setup
from sandbox.campaign.aftermath import settled
from sandbox.campaign.contacts import address
from sandbox.operator import Operator
from sandbox.past import FLOWS, put_flows
from sandbox.waiting import wait_for
from tests.hosts import book
from tests.hosts.conftest import HOSTS, ROOT, SCRATCH, TREES
from tests.servers import LOCKS
from worker.recovery import TAG

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.campaign.core import Campaign

pytestmark = [pytest.mark.faults, pytest.mark.timeout(2400)]
SPEED = 4.0
"""The mails of one signup are a quarter of a minute apart."""
SIGNUPS, WORKERS = 4, 2
COLUMNS = ("server", "deploy, with its gates", "drain", "crash", "campaign", "what the plan says of it")
HEAD = (
    "# Which Prefect servers it works with",
    "",
    "Written by `make servers` at commit {commit}: each line is a server of that version with PostgreSQL and a worker",
    "host, both booted for it. What a line has, was done there; where anything had failed, there would be no line.",
    "",
    "- deploy: `./hublab deploy` on a host that has nothing yet; each worker's gate is a probe run that it completes.",
    "- drain: a deploy that restarts every worker while a run is in flight; the run completes, at its first try.",
    "- crash: workers and engines are killed while a run with the tag `run-again` is in flight; it is run again.",
    "- campaign: signups through the webhooks; each mail is accepted by Resend's stand-in once, each is on record.",
)


@pytest.fixture(scope="module", params=LOCKS)
def version(request: pytest.FixtureRequest) -> str:
    """The server's."""
    return str(request.param)


@pytest.fixture(scope="module")
def campaign(version: str) -> Iterator[Campaign]:
    """At such a server, on a host that nothing was deployed to yet."""
    box = Sandbox.up(
        hosts=1, root=HOSTS.with_name(f"{HOSTS.name}-servers"), trees=TREES, python=True, prefect=LOCKS[version]
    )
    try:
        put_flows(box.hosts[0])
        more = {"HUBLAB_READ_PATHS": str(FLOWS), "HUBLAB_DRAIN_SECONDS": "300", "HUBLAB_NOTION_LAG_SECONDS": "1"}
        more["HUBLAB_WORKERS"] = str(WORKERS)
        yield setup.prepare(box, speed=SPEED, settings=more)
    finally:
        box.down()


@pytest.fixture(scope="module")
def servers_book() -> book.Book:
    """The table; the docs get it when `make servers` names the run."""
    run = os.environ.get("HUBLAB_SERVERS", "")
    kept = SCRATCH / "servers.json"
    return book.Book(ROOT / "docs/servers.md", kept, book.commit(ROOT), run, COLUMNS, HEAD)


def begin(campaign: Campaign, seconds: float, *tags: str) -> str:
    """A run that is in flight when this returns."""
    with campaign.sandbox.api() as api:
        deployment = runs.register(api, "flows.py:nap", directory=str(FLOWS))
        run = runs.start(api, deployment, {"seconds": seconds}, tags=tags)
        runs.await_state(api, run, {"RUNNING"})
    return run


def ended(campaign: Campaign, run: str) -> tuple[str, int]:
    """In which state, and how many times it was begun."""
    with campaign.sandbox.api() as api:
        wait_for(lambda: runs.state(api, run).name == "Completed", lambda: str(runs.state(api, run)), 300, every=1)
        found = api.get(f"/flow_runs/{run}").raise_for_status().json()
    return found["state"]["name"], found["run_count"]


def test_all_of_it_works_at_such_a_server(campaign: Campaign, version: str, servers_book: book.Book) -> None:
    with campaign.sandbox.api() as api:
        assert api.get("/admin/version").raise_for_status().json() == version
    setup.write(campaign)
    operator = Operator(campaign.env_file, dict(campaign.environment), campaign.checkout)
    plan = operator.plan()
    assert plan.status == 0, plan.text
    told = sorted(
        {found.strip() for found in re.findall(rf"Prefect's server is {re.escape(version)}[^\n]*", plan.text)}
    )

    setup.establish(campaign)
    status = campaign.status()
    assert status.returncode == 0, status.stdout
    with campaign.sandbox.api() as api:
        serving = list(runs.workers(api).values())
    assert serving == ["ONLINE"] * WORKERS

    run = begin(campaign, 40)
    drained = operator.deploy(HUBLAB_CONCURRENCY="3")
    assert drained.status == 0, drained.text
    assert ended(campaign, run) == ("Completed", 1)

    run = begin(campaign, 20, TAG)
    campaign.sandbox.hosts[0].ssh("systemctl kill --kill-whom=all --signal=KILL 'prefect-worker@*'")
    assert ended(campaign, run) == ("Completed", 2)

    keys = [campaign.enrol("signup", address(f"{int(time.time())}-{number}")) for number in range(SIGNUPS)]
    outcome = settled(campaign, keys)
    assert outcome.clean, outcome.text()
    assert outcome.accepted == 7 * SIGNUPS
    servers_book.add(
        version,
        f"{len(serving)} workers serve",
        "completed, once",
        "run again, completed",
        f"{outcome.accepted} of {7 * SIGNUPS} mails, 0 lost, 0 doubled",
        "; ".join(told) or "nothing",
    )
