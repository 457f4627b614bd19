"""What the deploy of an application asks of Prefect, against a real server of Prefect's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from deploy.coolify import drain, ledger, running
from deploy.coolify.ledger import Ledger, LockError
from deploy.coolify.prefect import Prefect
from deploy.coolify.state import Before, Kept, Progress
from deploy.onhost.lock import Owner
from deploy.onhost.prefect_api import Access
from deploy.onhost.record import Line
from sandbox.local.processes import AUTH
from sandbox.local.server import prefect_server

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.long
ADA, BOB = Owner("ada@desk", "deploy of release b"), Owner("bob@desk", "deploy")
UUID = "gd3kivrdbflldxblwb2scqxn"


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prefect]:
    with prefect_server(tmp_path_factory.mktemp("prefect")) as port:
        yield Prefect(Access(f"http://127.0.0.1:{port}/api", AUTH))


@pytest.fixture
def books(prefect: Prefect) -> Ledger:
    return Ledger(prefect, UUID)


def test_lock_is_one_and_is_given_back(prefect: Prefect, books: Ledger) -> None:
    assert books.take("a", ADA) == ""
    other = Ledger(prefect, UUID)
    with pytest.raises(LockError, match="locked by ada@desk since "):
        other.take("b", BOB)
    books.refresh()
    held = other.lock()
    assert held is not None
    assert (held.orphaned, held.age < 30) == (False, True)
    books.release()
    assert other.lock() is None
    with pytest.raises(LockError, match="not held"):
        books.refresh()


def test_lock_that_was_taken_over_is_lost_to_its_holder(
    prefect: Prefect, books: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    books.take("a", ADA)
    monkeypatch.setattr(ledger, "LEASE_SECONDS", -1.0)
    other = Ledger(prefect, UUID)
    assert other.take("b", BOB).startswith("locked by ada@desk")
    with pytest.raises(LockError, match="no longer ours: locked by bob@desk"):
        books.refresh()
    assert other.unlock().startswith("was locked by bob@desk")
    assert other.unlock() == "was not locked"


def test_records_come_back_as_they_were(books: Ledger) -> None:
    before = Before("a" * 40, "3.8.8-old", {"limits_memory": "0", "health_check_enabled": False}, ran=True, to="b")
    assert books.before() is None
    books.open(before)
    books.open(before)
    assert books.before() == before
    books.close()
    books.close()
    assert books.before() is None
    for number in range(6):
        books.keep(Kept(str(number), f"r{number}", {"limits_memory": "4g"}))
    assert [item.source for item in books.kept()] == ["5", "4", "3", "2"]
    for number in range(40):
        books.add(Line(at=str(number), result="x" * 200))
    assert books.history()[-1].at == "39"
    assert books.adoption() == Progress()
    books.note_adoption(Progress("new", ("default",)))
    assert books.adoption() == Progress("new", ("default",))


def test_worker_is_known_by_its_name_and_its_release_by_its_probe_run(prefect: Prefect) -> None:
    assert running.workers(prefect, "nowhere", UUID) == ()
    prefect.ask("/work_pools/", {"name": "p", "type": "process"})
    for name in (f"{UUID}-1", "other-1"):
        prefect.ask("/work_pools/p/workers/heartbeat", {"name": name})
    (found,) = running.workers(prefect, "p", UUID)
    assert (found.name, found.online, found.release) == (f"{UUID}-1", True, "")
    flow = prefect.ask("/flows/", {"name": "hublab-probe"})
    for release, state in (("r-old", "COMPLETED"), ("r-new", "COMPLETED"), ("r-bad", "CRASHED")):
        made = probe(prefect, flow["id"], f"{UUID}-1", release)
        prefect.ask(f"/flow_runs/{made}/set_state", {"state": {"type": "RUNNING"}, "force": True})
        prefect.ask(f"/flow_runs/{made}/set_state", {"state": {"type": state}, "force": True})
    (found,) = running.workers(prefect, "p", UUID)
    assert found.release == "r-new"


def probe(prefect: Prefect, flow: str, worker: str, release: str) -> Any:
    labels = {"prefect.worker.name": worker, "hublab.release": release}
    body = {"flow_id": flow, "name": f"probe-{worker}", "tags": ["hublab-probe"], "labels": labels}
    return prefect.ask("/flow_runs/", body)["id"]


def test_queues_are_paused_and_opened_but_for_the_gates(prefect: Prefect) -> None:
    prefect.ask("/work_pools/", {"name": "q", "type": "process"})
    for name in ("mail", "probe-x"):
        prefect.ask("/work_pools/q/queues", {"name": name})
    names = drain.open_queues(prefect, "q")
    assert sorted(names) == ["default", "mail"]
    drain.pause(prefect, "q", names)
    assert drain.open_queues(prefect, "q") == []
    drain.resume(prefect, "q", names)
    assert sorted(drain.open_queues(prefect, "q")) == ["default", "mail"]
    assert drain.in_flight(prefect, "q", "") == []
