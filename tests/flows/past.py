"""People in the campaign of before: their pages, contacts and mails at the stand-ins, their runs at Prefect."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.operator.cutover import lock
from flows.services import notion_schema as schema
from flows.services.notion_mapping import NotionMapping
from flows.services.prefect_api import Prefect
from sandbox.past import campaign as before

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.flows.world import World

SEND, SIGNUP = "christmas-send-email", "christmas-signup-handler"
DELAYS = {step.number: step.delay for step in find_sequence("christmas", "signup").steps}
SCORES = {"gps_score": 40, "money_score": 30, "revenue_leak_total": 9000, "red_systems": 2, "orange_systems": 1}


class Patient(httpx.HTTPTransport):
    """Asks again where SQLite's one writer is busy, as every client of Prefect's must."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        for _ in range(40):
            answer = super().handle_request(request)
            if answer.status_code != 503:
                break
            time.sleep(0.25)
        return answer


def client_of(api: str) -> httpx.Client:
    """A client of Prefect's API; none of its connections is kept, for the server may close it just then."""
    return httpx.Client(base_url=api, timeout=60, transport=Patient(limits=httpx.Limits(max_keepalive_connections=0)))


class Past:
    """The production of before in a test's world; `ids` are its deployments by name."""

    def __init__(self, world: World, api: httpx.Client) -> None:
        self.world, self.api, self.people = world, api, list[str]()
        self.ids = before.deploy(api)
        world.setenv("TESTING_ADDRESS", "qa@resend.dev")  # whoever else is here is a person

    def worker(self, pool: str = "default", name: str = "hublab-1") -> None:
        """One of ours that is online, however long a busy machine takes."""
        self.api.post(f"/work_pools/{pool}/queues", json={"name": f"probe-{name}"})
        beat = {"name": name, "heartbeat_interval_seconds": 3600}
        self.api.post(f"/work_pools/{pool}/workers/heartbeat", json=beat).raise_for_status()

    def contact(self, email: str, **more: Any) -> dict[str, Any]:
        values = {"Email": email, "First Name": "Ada", "Christmas Campaign Status": "Nurture Sequence"}
        return self._page(schema.CONTACTS, values | {name.replace("_", " "): value for name, value in more.items()})

    def page(self, email: str, enrolled: datetime, sent: tuple[int, ...] = (), **more: Any) -> dict[str, Any]:
        """A record as theirs wrote it: marks to the minute, without a zone."""
        values: dict[str, Any] = {
            "Email": email,
            "First Name": "Ada",
            "Campaign": "Christmas 2025",
            "Segment": "CRITICAL",
        }
        values |= {"Signup Date": enrolled.isoformat(), "Red Systems": 2, "Assessment Score": 52}
        values |= {f"Email {n} Sent": f"{enrolled + DELAYS[n]:%Y-%m-%dT%H:%M}:00" for n in sent}
        return self._page(schema.SEQUENCE, values | {name.replace("_", " "): value for name, value in more.items()})

    def _page(self, block: str, values: dict[str, Any]) -> dict[str, Any]:
        store = self.world.services.notion.store
        written = NotionMapping().written(block, {name: value for name, value in values.items() if value != ""})
        return store.create_page(store.database(self.world.services.databases[block]), written)

    def mail(self, email: str, step: int, at: datetime) -> None:
        """A mail that theirs sent: at Resend, without a key and without a tag."""
        subject = f"christmas_email_{step}: a word for Ada"
        payload = {"from": self.world.services.sender, "to": [email], "subject": subject, "html": f"<p>{step}</p>"}
        self.world.services.resend.store.accept(payload, None)["created"] = at

    def fields(self, email: str) -> dict[str, Any]:
        return {"email": email, "first_name": "Ada", "business_name": "Salon", "assessment_score": 52} | SCORES

    def run(self, email: str, step: int, due: datetime) -> str:
        return before.scheduled_mail(self.api, self.ids[SEND], self.fields(email) | {"email_number": step}, due)

    def deploy_beside(self, flow: str, name: str) -> str:
        """One more deployment of a flow of theirs, under a name of its own; its id."""
        there = self.api.get(f"/deployments/{self.ids[flow]}").json()
        parts = {part: there[part] for part in ("flow_id", "entrypoint", "path", "pull_steps", "work_pool_name")}
        return str(self.api.post("/deployments/", json={"name": name, **parts}).json()["id"])

    def end(self, run: str, kind: str) -> None:
        """What became of a run of theirs."""
        body = {"state": {"type": kind, "name": kind.title()}, "force": True}
        self.api.post(f"/flow_runs/{run}/set_state", json=body).raise_for_status()

    def person(self, out: int = 3, email: str = "", seconds: float = 3600, **more: Any) -> str:
        """Somebody in the midst: so many mails are out, the next is due in so many seconds; returns the address."""
        email = email or self.world.address()
        enrolled = datetime.now(UTC) + timedelta(seconds=seconds) - DELAYS[out + 1]
        sent = tuple(range(1, out + 1))
        self.contact(email, **more)
        self.page(email, enrolled, sent)
        for step in sent:
            self.mail(email, step, enrolled + DELAYS[step])
        for step, delay in DELAYS.items():
            if step > out:
                self.run(email, step, enrolled + delay)
        self.people.append(email)
        return email

    def forget(self) -> None:
        """Remove every run, ours and theirs, and every lock, so that the next test sees none of them."""
        asked = {"flows": {"name": {"any_": list(before.FLOWS)}}}
        with Prefect() as prefect:
            while ids := [one["id"] for one in prefect.pages("/flow_runs/filter", asked)]:
                these = {"flow_runs": {"id": {"any_": ids[:50]}}}
                self.api.post("/flow_runs/bulk_delete", json=these).raise_for_status()
            for one in lock.holders(prefect):
                prefect.forget(f"{lock.NAME}{one.number}")

    def runs(self, flow: str = SEND) -> list[dict[str, Any]]:
        with Prefect() as prefect:
            return list(prefect.pages("/flow_runs/filter", {"flows": {"name": {"any_": [flow]}}}))

    def mails_of(self, email: str) -> list[dict[str, Any]]:
        """A person's runs, ours and theirs."""
        found = []
        for run in self.runs():
            given = run["parameters"]
            named = given["enrolment"] if isinstance(given.get("enrolment"), dict) else given
            if str(named.get("email")).lower() == email.lower():
                found.append(run)
        return found


class Stopped(BaseException):
    """As a kill: nothing that comes after it is done."""


def _told(request: httpx.Request) -> str:
    """What a write is about: two that say the same are one write, made again."""
    try:
        given = json.loads(request.content)
    except ValueError:
        given = {}
    value = given.get("value")
    phase = value.get("phase") if isinstance(value, dict) else ""
    return f"{request.method} {request.url.path} {given.get('idempotency_key') or given.get('name') or phase or ''}"


@contextlib.contextmanager
def stopped_when(stop: Callable[[list[str]], bool]) -> Iterator[list[str]]:
    """Raise after a write, whichever client makes it, when `stop` says so of all that were made; they are listed."""
    done, real, mine = list[str](), httpx.HTTPTransport.handle_request, threading.get_ident()
    reading = ("/filter", "/count", "/query", "/increment", "/workers/heartbeat")

    def handle(self: httpx.HTTPTransport, request: httpx.Request) -> httpx.Response:
        answer = real(self, request)
        writes = request.method != "GET" and threading.get_ident() == mine
        if writes and not request.url.path.endswith(reading):
            done.append(_told(request))
            if stop(done):
                answer.read()
                raise Stopped
        return answer

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(httpx.HTTPTransport, "handle_request", handle)
        yield done


def stopped_after(number: int) -> contextlib.AbstractContextManager[list[str]]:
    """The same once so many writes were made."""
    return stopped_when(lambda done: len(done) == number)


def in_turn(work: Callable[[], object]) -> Iterator[str]:
    """Do some work, stopped after each of its writes in turn: each go ends with one write that no go made before."""
    made = set[str]()
    while True:
        with (
            contextlib.suppress(Stopped),
            stopped_when(lambda done: done[-1] not in made and lock.NAME not in done[-1]) as done,
        ):
            work()
            return
        made.add(done[-1])
        yield done[-1]
