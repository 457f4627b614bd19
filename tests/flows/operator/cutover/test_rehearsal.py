"""The past is taken over under load, given back, and taken over again: to the last mail nothing is lost or doubled.

Signups come all the while, mails are due, workers of theirs die with a mail and with an enrolment in their hands, and
the command itself is killed in the midst. What is asked at the end is Resend: each person has each mail once.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from flows.enrolment import takeover
from flows.operator.cutover import fates, lock, stage, taking
from flows.operator.cutover.__main__ import main
from flows.operator.register import register
from flows.services.prefect_api import Prefect
from sandbox.past import campaign as before
from sandbox.waiting import wait_for
from tests.flows.past import DELAYS, SEND, SIGNUP, Past, Stopped, client_of, stopped_after
from tests.flows.theirs import Death, Worker, ours, theirs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.flows.world import World

POOL = "ours"


class Website(threading.Thread):
    """Posts signups as the site does: new people, some of them twice, and people who are in the campaign already."""

    def __init__(self, past: Past, pause: float, most: int) -> None:
        super().__init__(daemon=True)
        self.most = most
        self.past, self.pause, self.halted, self.emails = past, pause, threading.Event(), list[str]()
        self.api = client_of(os.environ["PREFECT_API_URL"])
        self.known = list(past.people)

    def run(self) -> None:
        while len(self.emails) < self.most and not self.halted.wait(self.pause):
            self.post()

    def post(self) -> None:
        """Somebody new, twice, and somebody who is in the campaign already."""
        email = self.past.world.address()
        self.emails.append(email)
        for one in (email, email, self.known[len(self.emails) % len(self.known)]):
            assert before.website_signup(self.api, self.past.ids[SIGNUP], self.past.fields(one))


class Rehearsal:
    """Everything that a rehearsal needs: the past, a pool and workers for each side."""

    def __init__(self, world: World) -> None:
        self.api_url = os.environ["PREFECT_API_URL"]
        self.past = Past(world, client_of(self.api_url))
        self.past.forget()
        self.past.api.post("/work_pools/", json={"name": POOL, "type": "process"})
        self.past.worker(POOL)
        self.workers = list[Worker]()

    def worker(self, pool: str, work: Any, dies_at: str = "") -> Worker:
        found = Worker(self.past, self.api_url, pool, work)
        found.dies_at = dies_at
        self.workers.append(found)
        found.start()
        return found

    def command(self, *arguments: str) -> int:
        return main([*arguments, "--pool", POOL])

    def until_done(self, *arguments: str) -> None:
        wait(lambda: self.command(*arguments) == 0, 600)

    def sent(self) -> int:
        return len(self.past.world.services.resend.store.mails)

    def end(self) -> None:
        """Let ours come to an end: every run that still waits is run now, whatever its time."""
        while True:
            waiting = [
                run for flow in (SIGNUP, SEND) for run in self.past.runs(flow) if run["state_type"] == "SCHEDULED"
            ]
            if not waiting:
                return
            handlers = [run for run in waiting if "step" not in run["parameters"]]
            for run in handlers or sorted(waiting, key=lambda one: one["parameters"]["step"]):
                with Prefect() as prefect:
                    self.past.world.run(prefect.client.read_flow_run(run["id"]))

    def verdict(self, people: list[str]) -> dict[str, Any]:
        """How many mails each person has too few or too many."""
        lost, doubled = list[str](), list[str]()
        for email in people:
            subjects = [mail["payload"]["subject"] for mail in self.past.world.accepted(email)]
            for step in DELAYS:
                count = sum(one.startswith(f"christmas_email_{step}:") for one in subjects)
                lost += [f"{email} mail {step}"] if count == 0 else []
                doubled += [f"{email} mail {step}"] if count > 1 else []
        return {"people": len(people), "mails": self.sent(), "lost": lost, "doubled": doubled}


def wait(state: Callable[[], bool], seconds: float = 300) -> None:
    wait_for(state, "the state that is waited for", seconds, every=0.2)


@pytest.fixture
def rehearsal(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rehearsal]:
    monkeypatch.setattr(fates, "STALE", fates.STALE / 100)  # nine seconds
    monkeypatch.setattr(takeover, "LOOK_AGAIN", takeover.LOOK_AGAIN / 15)
    monkeypatch.setattr(taking, "PAUSE", 0.5)
    monkeypatch.setattr(lock, "LEASE", timedelta(seconds=5))  # then who was killed counts as gone
    found = Rehearsal(world)
    yield found
    for worker in found.workers:
        if worker.is_alive():
            worker.stop()
    found.past.forget()
    with Prefect() as prefect:
        stage.forget(prefect)
    register("default")
    found.past.api.delete(f"/work_pools/{POOL}")


def rehearse(rehearsal: Rehearsal, people: list[tuple[int, float]], most: int) -> dict[str, Any]:
    """The whole of it; what Resend says at the end."""
    past = rehearsal.past
    for out, seconds in people:
        past.person(out, seconds=seconds)
    site = Website(past, 4, most)
    site.start()
    rehearsal.until_done("--json")  # the plan
    for point in ("sent", "scheduled 3"):
        dying = rehearsal.worker("default", theirs, point)
        wait(lambda dying=dying: dying.dead)  # type: ignore[misc]
    rehearsal.worker("default", theirs)
    with contextlib.suppress(Stopped), stopped_after(40) as done:
        rehearsal.command("--apply")
    assert done, "the command was to be killed in the midst"
    rehearsal.worker(POOL, ours)
    rehearsal.until_done("--apply")
    count = rehearsal.sent()
    site.post()  # however long the lock has held that up: there is somebody whose first mail is ours
    wait(lambda: rehearsal.sent() > count)
    rehearsal.until_done("--back")
    there = len(site.emails)
    wait(lambda: len(site.emails) > there + 1 or not site.is_alive())
    rehearsal.until_done("--apply")
    site.halted.set()
    site.join(30)
    wait(lambda: rehearsal.command("--apply") == 0 and not open_of_theirs(past), 600)
    for worker in rehearsal.workers:
        if worker.is_alive():
            worker.stop()
    rehearsal.end()
    return rehearsal.verdict([*past.people, *site.emails])


def open_of_theirs(past: Past) -> list[Any]:
    """Runs of theirs that still wait."""
    return [run for run in past.runs() if "enrolment" not in run["parameters"] and run["state_type"] == "SCHEDULED"]


@pytest.mark.faults
@pytest.mark.timeout(3600)  # a quarter of an hour on a busy machine
def test_taken_over_under_load_and_back_and_again(rehearsal: Rehearsal, capsys: pytest.CaptureFixture[str]) -> None:
    people = [(1, 0.0), (2, 1.0), (3, 2.0), (4, 20.0), (5, 40.0), (6, 3600.0), (2, 60.0)]
    found = rehearse(rehearsal, people, 8)
    with capsys.disabled():
        print(json.dumps(found))  # noqa: T201 - the report
    assert found["lost"] == []
    assert found["doubled"] == []
    assert found["people"] > len(people)


# Long as well; what is quick takes over, gives back and takes over again in test_takes_over.py.
@pytest.mark.long
def test_there_and_back_and_there_again(rehearsal: Rehearsal) -> None:
    """One person in the midst and one whom a dying worker has half enrolled; one after the other, without load."""
    past, new = rehearsal.past, rehearsal.past.world.address()
    past.person(5, seconds=-1)
    before.website_signup(past.api, past.ids[SIGNUP], past.fields(new))
    dying, theirs_, ours_ = (
        Worker(past, rehearsal.api_url, pool, work)
        for pool, work in (("default", theirs), ("default", theirs), (POOL, ours))
    )
    dying.dies_at = "scheduled 3"
    with contextlib.suppress(Death):
        while dying.once():
            pass
    assert len(past.runs()) > 3
    time.sleep(fates.STALE.total_seconds())  # its worker counts as lost
    with contextlib.suppress(Stopped), stopped_after(30):
        rehearsal.command("--apply")
    rehearsal.until_done("--apply")
    assert ours_.once()
    rehearsal.until_done("--back")
    theirs_.once()
    rehearsal.until_done("--apply")
    assert not open_of_theirs(past)
    rehearsal.end()
    found = rehearsal.verdict([*past.people, new])
    assert (found["lost"], found["doubled"], found["people"]) == ([], [], 2)
