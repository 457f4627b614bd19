"""What Prefect lists page by page is read to its end: of 250 none is passed over, and no page is asked for in vain."""

from __future__ import annotations

from typing import Any

from deploy.coolify import drain, running
from deploy.coolify.prefect import Prefect
from deploy.onhost.prefect_api import Access, ApiError

MOST, ALL = 200, 250


class Many(Prefect):
    """A server with as many of each kind as it is told, and pages as Prefect's."""

    def __init__(self, listed: list[dict[str, Any]]) -> None:
        super().__init__(Access("http://127.0.0.1:9/api"))
        self.listed, self.asked = listed, 0

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:  # noqa: ARG002 - as the real one
        self.asked += 1
        if "nowhere" in path:
            raise ApiError(404, "absent")
        limit, offset = body.get("limit", MOST), body.get("offset", 0)
        assert limit <= MOST
        return self.listed[offset : offset + limit]


def test_every_open_queue_is_closed_before_a_stock_worker_is_replaced() -> None:
    prefect = Many([{"name": f"q-{n}", "is_paused": False} for n in range(ALL)])
    assert len(drain.open_queues(prefect, "default")) == ALL
    assert prefect.asked == 2
    assert drain.open_queues(prefect, "nowhere") == []


def test_every_run_in_flight_is_waited_for() -> None:
    ours = [{"name": f"ours-{n}", "labels": {"hublab.release": "r"}} for n in range(MOST)]
    theirs = [{"name": "theirs", "labels": {"prefect.worker.name": "stock"}}]
    assert drain.in_flight(Many([*ours, *theirs]), "default", "") == ["theirs"]


def test_every_worker_of_a_pool_is_seen() -> None:
    prefect = Many([{"name": name, "status": "ONLINE"} for name in (*(f"w-{n}" for n in range(MOST)), "app")])
    assert len(running.others(prefect, "default", "app")) == MOST
    assert len(running.others(prefect, "default", "w-")) == 1
    assert running.others(prefect, "nowhere", "w-") == frozenset()
