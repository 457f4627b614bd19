"""Everything around the flows in a test: enrol somebody, run what is due, look at what came of it."""

from __future__ import annotations

import contextlib
import copy
import itertools
import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from prefect.flow_engine import run_flow
from prefect.states import Scheduled

from flows.campaigns import payloads
from flows.campaigns.model import sequence as find_sequence
from flows.campaigns.model import sequences
from flows.enrolment.enrol import described, record
from flows.operator.register import flow_of, limits
from flows.send_email_flow import send_email
from flows.services import notion_gateway, resend_operations
from flows.services import notion_schema as schema
from flows.services.notion_mapping import NotionMapping
from flows.services.prefect_api import Prefect
from flows.services.settings import BLOCKS, VARIABLE, Settings, from_environment
from sandbox.campaign.contacts import PAYLOADS
from sandbox.standins.faults import Fault
from sandbox.standins.notion_store import MAX_RESULTS
from tests.flows.in_memory import add_properties

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest
    from prefect.client.schemas.objects import FlowRun, State

    from flows.operator import preflight
    from sandbox.standins.serve import StandIns

HANDLERS = {
    "signup": "christmas-signup-handler",
    "noshow": "christmas-noshow-recovery-handler",
    "postcall": "christmas-postcall-maybe-handler",
    "onboarding": "christmas-onboarding-handler",
}
_numbers = itertools.count()


def faults_of(found: list[preflight.Row]) -> list[str]:
    """What preflight finds wrong, whoever polls the queue: that depends on the tests before."""
    return [row.what for row in found if not row.ok and not row.what.startswith(("queue ", "worker "))]


def notion_added(both: StandIns) -> None:
    """Give the workspace the project's own properties, and keep what it looks like then."""
    store = both.notion.store
    add_properties(*(store.database(both.databases[block]) for block in (schema.SEQUENCE, schema.CONTACTS)))
    _furnished[both.notion_url] = copy.deepcopy(store.pages)


# Of each pair in this process: the end-to-end run's tests have stand-ins of their own.
_furnished: dict[str, dict[str, dict[str, Any]]] = {}


def renewed(both: StandIns) -> None:
    """Put both stand-ins back to how they were at the start."""
    notion, mails = both.notion, both.resend
    notion.token, notion.per_minute, notion.store.lag = "ntn_standin_token", 100_000, 0.0
    notion.store.most = MAX_RESULTS
    notion.store.pages = copy.deepcopy(_furnished[both.notion_url])
    notion.store.history = {key: [(datetime.min.replace(tzinfo=UTC), page)] for key, page in notion.store.pages.items()}
    mails.per_second, mails.store.delivery = 100_000, 0.0
    mails.store.clock._offset = timedelta()
    for kept in (mails.store.mails, mails.store.keys, mails.store.suppressed, mails.store.in_flight):
        kept.clear()
    for book in (notion.book, mails.book):
        book.rules.clear()
        book.calls.clear()


@contextlib.contextmanager
def settings_at_prefect() -> Iterator[None]:
    """What is written meanwhile is taken back: it goes before the environment, in which tests say what they want."""
    with Prefect() as prefect:
        before = prefect.client.read_variable_by_name(VARIABLE).value
        yield
        prefect.remember(VARIABLE, before)
        wanted = {"block_documents": {"name": {"any_": list(BLOCKS)}}}
        for one in prefect.client.request("POST", "/block_documents/filter", json=wanted).json():
            prefect.client.request("DELETE", "/block_documents/{id}", path_params={"id": one["id"]})
        limits(prefect, prefect.settings())


class World:
    """One test's world; each has addresses of its own, so that all may share one Prefect server."""

    def __init__(self, services: StandIns, monkeypatch: pytest.MonkeyPatch) -> None:
        self.services = services
        more = {
            "HUBLAB_PUBLIC_URL": "https://hooks.hublab.test",
            "HUBLAB_CALENDLY_LINK": "https://calendly.com/hublab/call",
            "HUBLAB_PORTAL_URL": "https://portal.hublab.test",
            "HUBLAB_NOTION_LAG_SECONDS": "0",
            "HUBLAB_RETRY_SECONDS": "5",
            "HUBLAB_TEMPLATE_SECONDS": "0",
            "UNSUBSCRIBE_SECRET": "unsubscribe-test",
            "WEBHOOK_SECRET": "webhook-test",
            "WEBHOOK_SECRET_ONBOARDING_START": "onboarding-test",
            "CALENDLY_SIGNING_KEY": "calendly-test",
            "RESEND_WEBHOOK_SECRET": "whsec_dGVzdC10ZXN0LXRlc3QtdGVzdA==",
            "TESTING_MODE": "true",
            "TESTING_ADDRESS": "delivered@resend.dev,bounced@resend.dev,complained@resend.dev",
        }
        self.environment = services.environment() | more
        for name, value in self.environment.items():
            monkeypatch.setenv(name, value)
        for gateway in (notion_gateway, resend_operations):
            monkeypatch.setattr(gateway, "BACKOFF_FIRST", 0.05)
        self.setenv = monkeypatch.setenv

    @property
    def settings(self) -> Settings:
        return Settings(from_environment(os.environ))

    def address(self, local: str = "delivered") -> str:
        """An address that Resend's tests accept and no other test uses."""
        return f"{local}+{next(_numbers)}-{time.time_ns()}@resend.dev"

    def payload(self, sequence: str, **more: Any) -> dict[str, Any]:
        return PAYLOADS[sequence] | {"email": self.address()} | more

    def enrol(self, sequence: str, payload: dict[str, Any], received_at: str | None = None) -> FlowRun:
        """The run of a sequence's handler, created under the enrolment's key as the webhook does; not run yet."""
        key = find_sequence("christmas", sequence).key_of(payload)
        name = HANDLERS[sequence]
        with Prefect() as prefect:
            return prefect.start_once(f"{name}/{name}", {"payload": payload, "received_at": received_at}, key)

    def run(self, run: FlowRun) -> State[Any]:
        """Execute a run in this process, as a worker's engine would; one that is due later is due now."""
        with Prefect() as prefect:
            prefect.client.set_flow_run_state(run.id, Scheduled(), force=True)
            run = prefect.client.read_flow_run(run.id)
            entrypoint = prefect.client.read_deployment(run.deployment_id).entrypoint
        flow = flow_of(entrypoint)
        return cast("State[Any]", run_flow(flow, flow_run=run, parameters=run.parameters, return_type="state"))

    def again(self, run: FlowRun) -> State[Any]:
        """Run what was run before once more, as after a crash."""
        return self.run(run)

    def mails(self, email: str) -> list[FlowRun]:
        """The runs of an address's mails, by step."""
        found = [one for (campaign, _), one in sequences().items() if campaign == "christmas"]
        keys = [
            f"{one.key_of(PAYLOADS[one.name] | {'email': email})}:{step.number}" for one in found for step in one.steps
        ]
        with Prefect() as prefect:
            runs = [run for run in map(prefect.run_of, keys) if run]
        return sorted(runs, key=lambda run: run.parameters["step"])

    def enrolled(self, sequence: str, **more: Any) -> tuple[str, list[FlowRun]]:
        """Enrol a new address; the address and its mails' runs."""
        payload = self.payload(sequence, **more)
        state = self.run(self.enrol(sequence, payload))
        assert state.is_completed(), state.message
        return payload["email"], self.mails(payload["email"])

    def quickly(self, sequence: str, **more: Any) -> dict[str, Any]:
        """Record an enrolment without creating runs (they take time): what a mail's run gets as `enrolment`."""
        found, enrolled = find_sequence("christmas", sequence), datetime.now(UTC)
        details = payloads.checked(found, self.payload(sequence, **more))
        with Prefect() as prefect:
            page, _ = record(prefect, prefect.settings(), found, details, enrolled)
        return described(found, details, page, enrolled)

    def enrolment(self, sequence: str, email: str) -> dict[str, Any]:
        """What the runs of an address's mails got as `enrolment`."""
        with Prefect() as prefect:
            key = find_sequence("christmas", sequence).key_of(PAYLOADS[sequence] | {"email": email})
            run = prefect.run_of(f"{key}:1")
        assert run is not None
        return cast("dict[str, Any]", run.parameters["enrolment"])

    def send(self, enrolment: dict[str, Any], step: int = 2) -> State[Any]:
        """The body of the send flow, without an engine around it."""
        return cast("State[Any]", send_email.fn(enrolment, step))

    def accepted(self, email: str) -> list[dict[str, Any]]:
        """What Resend accepted for an address."""
        return [mail for mail in self.services.resend.store.mails if mail["to"] == [email]]

    def rows(self, block: str, email: str) -> list[dict[str, Any]]:
        """The pages of a database that are about an address, as Notion shows them."""
        store = self.services.notion.store
        source = store.database(self.services.databases[block])
        pages = [store.shown(p) for p in store.pages.values() if p["source"] == source.id]
        return [page for page in pages if schema.read(page, "Email") == email]

    def record(self, email: str) -> dict[str, Any]:
        """The one page of an address's enrolment."""
        (page,) = self.rows(schema.SEQUENCE, email)
        return page

    def edit(self, block: str, page: dict[str, Any], **values: Any) -> None:
        """Change a page as a person would, in Notion itself."""
        written = NotionMapping().written(block, {name.replace("_", " "): value for name, value in values.items()})
        self.services.notion.store.update_page(page["id"], {"properties": written})

    def template(self, name: str) -> dict[str, Any]:
        """A template's stored page."""
        for page in self.services.notion.store.pages.values():
            title = page["values"].get("Template Name")
            if title and title[0]["plain_text"] == name:
                return page
        raise LookupError(name)

    def notion_fault(self, kind: str, **rule: Any) -> None:
        self.services.notion.book.rules.append(Fault(kind, **rule))

    def resend_fault(self, kind: str, **rule: Any) -> None:
        self.services.resend.book.rules.append(Fault(kind, **rule))

    def forget_calls(self) -> None:
        self.services.notion.book.calls.clear()
        self.services.resend.book.calls.clear()
