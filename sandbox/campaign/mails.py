"""How far each mail is, from Prefect's runs and the stand-in's inbox. Pure, but for the question to Prefect."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flows.campaigns.model import sequences
from sandbox.runs import pages

if TYPE_CHECKING:
    from collections.abc import Iterable

    import httpx

    from flows.campaigns.model import Sequence

SEND = "christmas-send-email"


@dataclass(frozen=True)
class Mail:
    """One step of an enrolment: the name of its run's state at Prefect, when it is due, and what Resend has of it."""

    key: str
    sequence: str
    step: int
    template: str
    run: str = ""
    due: datetime | None = None
    accepted: tuple[str, ...] = ()

    @property
    def state(self) -> str:
        """`waiting` (no run yet), `scheduled`, `running`, `sent`, `delivered`, or the run's own word for its end."""
        if self.accepted:
            return "sent" if self.accepted[-1] == "sent" else self.accepted[-1]
        known = dict.fromkeys(("Scheduled", "Late", "AwaitingRetry", "RunAgain"), "scheduled") | {"": "waiting"}
        return known.get(self.run, "running" if self.run in {"Running", "Pending"} else self.run)


def runs_of(api: httpx.Client, keys: Iterable[str]) -> dict[tuple[str, int], dict[str, Any]]:
    """The runs of the mails of these enrolments, by key and step."""
    wanted, found = set(keys), dict[tuple[str, int], dict[str, Any]]()
    for run in pages(api, "/flow_runs/filter", {"flows": {"name": {"any_": [SEND]}}}):
        key, _, step = (run.get("idempotency_key") or "").rpartition(":")
        if key in wanted:
            found[key, int(step)] = run
    return found


def mails(
    keys: Iterable[str], runs: dict[tuple[str, int], dict[str, Any]], inbox: Iterable[dict[str, Any]]
) -> list[Mail]:
    """Every mail that these enrolments are to bring."""
    accepted = accepted_by_place(inbox)
    return [
        _mail(sequence, key, step.number, step.template, runs.get((key, step.number)), accepted)
        for key in keys
        for sequence in [_sequence(key)]
        for step in sequence.steps
    ]


def accepted_by_place(inbox: Iterable[dict[str, Any]]) -> dict[tuple[str, int], tuple[str, ...]]:
    """What Resend accepted, by enrolment and step: the last event of each mail."""
    accepted: dict[tuple[str, int], tuple[str, ...]] = {}
    for mail in inbox:
        tags = {tag["name"]: tag["value"] for tag in mail["tags"] or []}
        place = tags.get("enrolment", ""), int(tags.get("step", 0))
        accepted[place] = (*accepted.get(place, ()), mail["last_event"])
    return accepted


def _mail(  # noqa: PLR0913 - what a mail is made of
    sequence: Sequence,
    key: str,
    step: int,
    template: str,
    run: dict[str, Any] | None,
    accepted: dict[tuple[str, int], tuple[str, ...]],
) -> Mail:
    due = datetime.fromisoformat(run["next_scheduled_start_time"] or run["expected_start_time"]) if run else None
    return Mail(
        key, sequence.name, step, template, run["state_name"] if run else "", due, accepted.get((key, step), ())
    )


def _sequence(key: str) -> Sequence:
    """The sequence that an enrolment's key belongs to."""
    campaign, name, _ = key.split("-", 2)
    return sequences()[campaign, name]
