"""What Prefect lists page by page is read to its end: a page of two stands for its two hundred."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prefect.states import Completed, Scheduled

from flows.operator import concerns, deployments, erase, retry_failed
from flows.services import prefect_api
from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.flows.world import World


@pytest.fixture(autouse=True)
def pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that gives two of what it is asked for without a number."""
    real = httpx.HTTPTransport.handle_request

    def handle(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        asked = json.loads(request.content or "{}") if request.url.path.endswith("/filter") else {"limit": 0}
        if asked.get("limit") is None:
            kept = {name: value for name, value in request.headers.items() if name != "content-length"}
            request = httpx.Request(
                request.method, request.url, headers=kept, json=asked | {"limit": 2}, extensions=request.extensions
            )
        return real(self, request)

    monkeypatch.setattr(httpx.HTTPTransport, "handle_request", handle)
    for module in (prefect_api, retry_failed, concerns):
        monkeypatch.setattr(module, "PAGE", 2)


@pytest.fixture
def pool(world: World) -> Iterator[str]:
    """A pool with five workers that are online, the last two of which this project has deployed."""
    name = f"many-{time.time_ns()}"
    with Prefect() as prefect:
        prefect.client.request("POST", "/work_pools/", json={"name": name, "type": "process"})
        for worker in ("a", "b", "c", "x", "y"):
            prefect.client.request("POST", f"/work_pools/{name}/workers/heartbeat", json={"name": worker})
        for queue in ("x", "y"):
            body = {"name": deployments.GATE_QUEUE.format(queue)}
            prefect.client.request("POST", f"/work_pools/{name}/queues/", json=body)
        yield name
        prefect.client.request("DELETE", f"/work_pools/{name}")


def test_a_pool_with_many_workers_and_queues_hides_no_stranger_and_makes_none(pool: str) -> None:
    with Prefect() as prefect:
        assert deployments.online(prefect, pool) == ["a", "b", "c", "x", "y"]
        assert deployments.strangers(prefect, pool) == ["a", "b", "c"]
        assert deployments.workers(prefect, "no-such-pool") == []
        assert deployments.queues(prefect, "no-such-pool") is None


def test_every_customer_whose_enrolment_was_skipped_is_found(world: World) -> None:
    runs = [world.enrol("onboarding", world.payload("onboarding")) for _ in range(3)]
    with Prefect() as prefect:
        for run in runs:
            skipped: Any = Completed(name="Skipped", message="not enrolled: the address is suppressed: bounced")
            prefect.client.set_flow_run_state(run.id, skipped, force=True)
        found = {run.id for run in retry_failed.withheld(prefect, 1)}
        for run in runs:  # other tests count them
            prefect.client.delete_flow_run(run.id)
    assert {run.id for run in runs} <= found


def test_a_person_is_erased_from_every_run_of_the_enrolment(world: World) -> None:
    """A run that bears the enrolment's tag alone, however many there are of it."""
    email = world.address()
    first = world.enrol("signup", world.payload("signup", email=email))
    key = str(first.idempotency_key)
    with Prefect() as prefect:
        name = "christmas-signup-handler/christmas-signup-handler"
        more = [prefect.start_once(name, {}, f"{key}-{n}", tags=(f"enrolment:{key}",)) for n in range(5)]
    erase.erase(email)
    with Prefect() as prefect:
        assert [prefect.run_of(str(one.idempotency_key)) for one in (first, *more)] == [None] * 6


def test_all_that_wait_for_a_service_are_counted(world: World) -> None:
    runs = [world.enrol("signup", world.payload("signup")) for _ in range(3)]
    with Prefect() as prefect:
        before = concerns.postponed(prefect).title
        for run in runs:
            waits: Any = Scheduled(
                scheduled_time=datetime(2199, 1, 1, tzinfo=UTC), name="AwaitingRetry", message="postponed: quota"
            )
            prefect.client.set_flow_run_state(run.id, waits, force=True)
        after = concerns.postponed(prefect).title
        for run in runs:  # other tests count them
            prefect.client.delete_flow_run(run.id)
    assert int(after.split()[0]) - int(before.split()[0]) == len(runs), (before, after)
