"""The way back: deployments as they were, and our runs handed to the production before; stopped anywhere, run again."""

from __future__ import annotations

import time
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.enrolment.enrol import SEND
from flows.enrolment.takeover import GOING_BACK
from flows.operator.cutover import asking, changing, lock, read, returning, stage, taking
from flows.operator.cutover.facts import HANDED, BlockedError
from flows.operator.cutover.taking import Outcome
from flows.operator.cutover.writes import Write
from flows.services.clients import notion_client
from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    from flows.operator.cutover.facts import Facts
    from flows.operator.cutover.lock import Lock
    from flows.operator.cutover.returning import Return
    from flows.services.notion_gateway import NotionGateway
    from flows.services.settings import Settings


class GoingBack:
    """One go of the way back."""

    def __init__(self, prefect: Prefect, notion: NotionGateway, settings: Settings, held: Lock) -> None:
        """Nothing is called yet."""
        self._lock = held
        self._prefect, self._notion, self._settings = prefect, notion, settings
        self._schemas: dict[str, Any] = {}
        self._pools: dict[str, str] = {}
        self.done = Counter[str]()

    def run(self) -> Outcome:
        """Hand back what can be handed back now.

        Raises:
            BlockedError: nothing was taken over.
            LostError: somebody else goes on with it.
            NotionError, ResendFailedError, httpx.HTTPError: what they say; run it again.
        """
        kept = stage.kept(self._prefect)
        if not kept:
            raise BlockedError("nothing was taken over, or everything is back already: no deployments were kept")
        self._schemas = {name: one.get("parameter_openapi_schema") or {} for name, one in kept.items()}
        self._pools = {name: str(one.get("work_pool_name")) for name, one in kept.items()}
        stage.enter(self._prefect, GOING_BACK)
        # From here on our workers begin nothing more of ours: the deployments name the code of before.
        stage.restore(self._prefect)
        busy = self._hand_back()
        if not busy:
            self._lock.hold()
            stage.forget(self._prefect)
        return Outcome(self.done, busy)

    def _hand_back(self) -> int:
        deadline, before = time.monotonic() + taking.PATIENCE, list[Write]()
        while True:
            self._lock.hold()
            facts = read.facts(self._prefect, self._notion, self._settings, datetime.now(UTC))
            busy = sum(returning.is_busy(run, facts) for run in facts.ours.values())
            found = self._plan(facts)
            todo = [one for _, those in found for one in those]
            # As on the way there: what is to be written is written, however long it takes.
            if todo == before and not (busy and time.monotonic() < deadline):
                return busy
            for one, those in found:
                free = changing.free(self._prefect, those)
                for write in those:
                    self._do(one, write, free)
            before = todo
            time.sleep(taking.PAUSE if busy else 0)

    def _plan(self, facts: Facts) -> list[tuple[Return, list[Write]]]:
        calls = returning.calls(facts, self._schemas, self._pools)
        those = asking.asked(self._prefect, self._notion, [*returning.returns(facts, self._schemas), *calls])
        return [(one, list(returning.of(one, facts))) for one in those]

    def _do(self, one: Return, write: Write, free: frozenset[str]) -> None:
        self._lock.hold()
        if write.what == returning.FLAT:
            self._create(one, write)
            self.done[write.what] += 1
        else:
            self.done[write.what] += changing.apply(self._prefect, self._notion, write, HANDED, free)

    def _create(self, one: Return, write: Write) -> None:
        """A run as theirs scheduled it; there is one of its key, however often this is done."""
        name = SEND if one.step else f"{one.sequence.handler}/{one.sequence.handler}"
        due = (write.due or datetime.now(UTC)).isoformat()
        body = {
            "parameters": write.values,
            "idempotency_key": write.at,
            "enforce_parameter_schema": False,
            "state": {"type": "SCHEDULED", "name": "Scheduled", "state_details": {"scheduled_time": due}},
        }
        path = f"/deployments/{self._prefect.deployment(name)}/create_flow_run"
        self._prefect.client.request("POST", path, json=body)


def back() -> Outcome:
    """Go back. Raises as `GoingBack.run`."""
    with Prefect() as prefect, lock.held(prefect, "going back") as held:
        settings = prefect.settings()
        with notion_client(prefect, settings) as notion:
            return GoingBack(prefect, notion, settings, held).run()
