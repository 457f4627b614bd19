"""The process is killed before and after each call that it makes, then run again: accepted once, recorded once.

To be killed before a call is to be killed after the one before it: a try keeps nothing but what it has called for. So a
sweep kills after each call in turn, and before the first of them; the property test does both anywhere.
"""

from __future__ import annotations

import itertools
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from flows.campaigns.model import sequence as find_sequence
from flows.services import notion_schema as schema
from flows.services.notion_mapping import NotionMapping
from flows.services.prefect_api import Prefect
from tests.flows.zygote import DONE, LATER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.flows.killing import Tries
    from tests.flows.world import World

EXAMPLES = int(os.environ.get("HUBLAB_PROPERTY_EXAMPLES", "4"))
MOST_CALLS = 40
FAULTS = [
    ("notion", {"kind": "saved-but-refused", "status": 503, "method": "POST", "path": "/pages$"}),
    ("notion", {"kind": "drop-after", "path": "/pages"}),
    ("notion", {"kind": "refuse", "status": 429, "code": "rate_limited"}),
    ("resend", {"kind": "saved-but-refused", "status": 500}),
    ("resend", {"kind": "drop-after"}),
    ("resend", {"kind": "refuse", "status": 409, "code": "concurrent_idempotent_requests"}),
]


@pytest.fixture
def doomed(world: World, zygotes: Callable[[World, int], list[Tries]]) -> Tries:
    return zygotes(world, 1)[0]


def finish(doomed: Tries, what: str, arguments: list[Any]) -> None:
    """Run again until it is done, as Prefect would."""
    for runs in range(2, 6):
        if doomed.once(what, arguments, runs) == DONE:
            return
    raise AssertionError(f"{what} does not come to an end")


def killed_at_each_call(
    doomed: Tries, what: str, fresh: Callable[[], list[Any]], saving: str
) -> Iterator[tuple[list[Any], str]]:
    """Every try that was killed, run again until it is done: its arguments, and where it was killed.

    The order of the calls may differ from one try to the next; the one that saves is therefore also killed by name.
    """
    assert doomed.once(what, fresh(), 1) == DONE  # what is learnt once and kept for all is learnt here
    named: list[tuple[str, int | str]] = [("before", saving), ("after", saving), ("before", 1)]
    for when, at in itertools.chain(named, (("after", number) for number in itertools.count(1))):
        arguments = fresh()
        if doomed.once(what, arguments, 1, at, when) == DONE:
            assert when == "after", f"{at} was not called: {doomed.killer.calls}"
            assert isinstance(at, int), f"{saving} was not called: {doomed.killer.calls}"
            assert at > 10, f"only {at - 1} calls were seen: {doomed.killer.calls}"
            break
        where = f"{when} {at} of {doomed.killer.calls}"
        finish(doomed, what, arguments)
        yield arguments, where


# Both sweeps are long. What is quick stops a try anywhere, too: in memory by test_exactly_once_stateful.py, and real
# processes by the property test below.
@pytest.mark.long
def test_a_mail_killed_before_and_after_each_of_its_calls(world: World, doomed: Tries) -> None:
    enrolment, store = world.quickly("signup"), world.services.notion.store
    source = store.database(world.services.databases[schema.SEQUENCE])
    (contact,) = world.rows(schema.CONTACTS, enrolment["email"])

    def fresh() -> list[Any]:
        email = world.address()
        linked = {"Email": email, "Contact": contact["id"]}
        page = store.create_page(source, NotionMapping().written(schema.SEQUENCE, linked))["id"]
        return [enrolment | {"key": find_sequence("christmas", "signup").key(email), "email": email, "page": page}, 2]

    for (one, _), where in killed_at_each_call(doomed, "send", fresh, "POST /emails"):
        assert len(world.accepted(one["email"])) == 1, where
        assert schema.read(world.record(one["email"]), "Email 2 Sent"), where


@pytest.mark.long
def test_an_enrolment_killed_before_and_after_each_of_its_calls(world: World, doomed: Tries) -> None:
    def fresh() -> list[Any]:
        return ["christmas", "noshow", world.payload("noshow"), "2025-12-01T10:00:00+00:00"]

    for one, where in killed_at_each_call(doomed, "enrol", fresh, "POST /v1/pages"):
        email = one[2]["email"]
        key = find_sequence("christmas", "noshow").key_of(one[2])
        with Prefect() as prefect:
            runs = [prefect.run_of(f"{key}:{step}") for step in (1, 2, 3)]
        assert None not in runs, where
        assert {run.parameters["enrolment"]["page"] for run in runs if run} == {world.record(email)["id"]}, where
        assert len(world.rows(schema.CONTACTS, email)) == 1, where


class Campaign(RuleBasedStateMachine):
    """One enrolment of three mails, in a world where anything may happen between the calls."""

    world: World
    doomed: Tries

    @initialize()
    def begin(self) -> None:
        self.payload = self.world.payload("noshow")
        self.handler = ["christmas", "noshow", self.payload, "2025-12-01T10:00:00+00:00"]
        self.runs: dict[str, int] = {}
        self.edits = 0

    def enrolment(self) -> dict[str, Any] | None:
        with Prefect() as prefect:
            run = prefect.run_of(f"{find_sequence('christmas', 'noshow').key_of(self.payload)}:3")
        return run.parameters["enrolment"] if run else None

    def attempt(self, name: str, what: str, arguments: list[Any], at: int, when: str) -> int:
        self.runs[name] = self.runs.get(name, 0) + 1
        return self.doomed.once(what, arguments, self.runs[name], at, when)

    @rule(at=st.integers(0, MOST_CALLS), when=st.sampled_from(["before", "after"]))
    def enrol(self, at: int, when: str) -> None:
        assert self.attempt("handler", "enrol", self.handler, at, when) in {DONE, LATER, -signal.SIGKILL}

    @rule(step=st.integers(1, 3), at=st.integers(0, MOST_CALLS), when=st.sampled_from(["before", "after"]))
    def send(self, step: int, at: int, when: str) -> None:
        if enrolment := self.enrolment():
            status = self.attempt(f"mail {step}", "send", [enrolment, step], at, when)
            assert status in {DONE, LATER, -signal.SIGKILL}

    @rule(fault=st.sampled_from(FAULTS))
    def misbehave(self, fault: tuple[str, dict[str, Any]]) -> None:
        (self.world.notion_fault if fault[0] == "notion" else self.world.resend_fault)(**fault[1])

    @rule()
    def edit_the_templates(self) -> None:
        self.edits += 1
        for step in (1, 2, 3):
            page = self.world.template(f"noshow_recovery_email_{step}")
            self.world.edit(schema.TEMPLATES, page, Subject_Line=f"Subject {step}, edit {self.edits}")

    def teardown(self) -> None:
        if not hasattr(self, "payload"):
            return
        for book in (self.world.services.notion.book, self.world.services.resend.book):
            book.rules.clear()
        finish(self.doomed, "enrol", self.handler)
        enrolment = self.enrolment()
        assert enrolment
        for step in (1, 2, 3):
            finish(self.doomed, "send", [enrolment, step])
        record = self.world.record(self.payload["email"])
        keys = sorted(mail["key"] for mail in self.world.accepted(self.payload["email"]))
        assert keys == [f"{enrolment['key']}:{step}" for step in (1, 2, 3)]
        assert all(schema.read(record, f"Email {step} Sent") for step in (1, 2, 3))
        assert schema.read(record, "Sequence Completed") is True


def test_whatever_happens_in_whatever_order_each_mail_is_accepted_and_recorded_once(
    world: World, doomed: Tries
) -> None:
    Campaign.world, Campaign.doomed = world, doomed
    run_state_machine_as_test(
        Campaign,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=6,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
