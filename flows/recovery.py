"""What finds a run that its host lost, and has it run again: automations at Prefect, for this project's runs alone.

A worker that is killed with its runs reports nothing: they would stay RUNNING, or PENDING, for ever. To run one again
is safe at any moment, even while the first is still at it: see `send_email_flow.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from prefect.automations import AutomationCore
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

if TYPE_CHECKING:
    from collections.abc import Iterator

TAG = "hublab"  # every deployment of ours has it, and so has every run
AGAIN = "run-again"  # says to whoever finds a lost run that to run it a second time does no harm
SILENT_SECONDS = 90  # three heartbeats missed; engines send one every 30 s
STUCK_SECONDS = 300  # a run that was claimed starts within this, also on a machine that is out of breath

# What a PENDING state is called between a worker's claim and the engine's start.
CLAIMED = ("Pending", "Submitting", "Submitted", "InfrastructurePending")


def automations(silent: float = SILENT_SECONDS, stuck: float = STUCK_SECONDS) -> Iterator[AutomationCore]:
    """The three: silent → crashed, stuck between claim and start → crashed, crashed → to be run again."""
    crash = "prefect.flow-run.Crashed"
    running = {"prefect.flow-run.heartbeat", "prefect.flow-run.Running"}
    claimed = {f"prefect.flow-run.{name}" for name in CLAIMED}
    yield _when("hublab: a run that fell silent", running, silent, f"no heartbeat for {silent:.0f} s")
    yield _when("hublab: a run that never began", claimed, stuck, f"claimed {stuck:.0f} s ago, not begun")
    yield AutomationCore(
        name="hublab: a crashed run is run again",
        trigger=EventTrigger(
            expect={crash}, **_ours(), posture=Posture.Reactive, threshold=1, within=timedelta(seconds=0)
        ),
        actions=[_state(StateType.SCHEDULED, "AwaitingRetry", "crashed: run again")],
    )


def _when(name: str, after: set[str], seconds: float, message: str) -> AutomationCore:
    trigger = EventTrigger(
        after=after,
        expect={"prefect.flow-run.*"},  # whatever is heard of the run: it is not lost
        **_ours(),
        posture=Posture.Proactive,
        threshold=1,
        within=timedelta(seconds=seconds),
    )
    return AutomationCore(name=name, trigger=trigger, actions=[_state(StateType.CRASHED, "Crashed", message)])


def _state(kind: StateType, name: str, message: str) -> ChangeFlowRunState:
    return ChangeFlowRunState(state=kind, name=name, message=message, force=False)


def _ours() -> dict[str, Any]:
    return {
        "match": ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
        "match_related": ResourceSpecification({"prefect.resource.id": f"prefect.tag.{TAG}"}),
        "for_each": {"prefect.resource.id"},
    }


def register(client: Any, wanted: Iterator[AutomationCore]) -> None:
    """Create them, or change those that differ; any change makes Prefect forget whom an automation waits for."""
    for automation in wanted:
        there = client.read_automations_by_name(automation.name)
        if not there:
            client.create_automation(automation)
        for found in there:
            if _said(found) != _said(automation):
                client.update_automation(found.id, automation)


def _said(automation: AutomationCore) -> dict[str, Any]:
    """What an automation says, without what the server adds to it."""
    told = automation.model_dump(mode="json", include={"enabled", "trigger", "actions"})
    trigger = {key: sorted(value) if isinstance(value, list) else value for key, value in told["trigger"].items()}
    return told | {"trigger": {key: value for key, value in trigger.items() if key != "id"}}
