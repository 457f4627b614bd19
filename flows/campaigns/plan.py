"""The plan of one enrolment: which template goes out in which place at which time, bound when it is made. Pure.

A campaign's file may be edited while people are in it. A mail that is scheduled keeps the template, the place (its
property `Email n Sent`, its key) and the time of its enrolment: an insertion, a removal, a move or another delay is for
who is enrolled afterwards. What must not go out any more to anybody is named in the sequence's `retired`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from flows.campaigns.model import CampaignError

if TYPE_CHECKING:
    from flows.campaigns.model import Sequence


@dataclass(frozen=True)
class Planned:
    """One mail of an enrolment: its place `number`, its `template` by name, and when it is `due`."""

    number: int
    template: str
    due: datetime


def made(  # noqa: PLR0913 - what a plan depends on
    sequence: Sequence,
    enrolled: datetime,
    segment: str | None,
    *,
    testing: bool = False,
    minute: float = 60,
    zone: str = "UTC",
) -> tuple[Planned, ...]:
    """The plan of who is enrolled now; a step that waits for its hour is not overtaken by one behind it."""
    found: list[Planned] = []
    waited: datetime | None = None
    for step in sequence.steps:
        due = sequence.due(step.number, enrolled, testing=testing, minute=minute, zone=zone)
        due = max(due, waited) if waited is not None else due
        waited = due if step.at is not None or waited is not None else None
        found.append(Planned(step.number, step.template_for(segment), due))
    return tuple(found)


def planned(plan: tuple[Planned, ...], number: int) -> Planned:
    """The mail of a plan in that place.

    Raises:
        CampaignError: the plan has no such place.
    """
    for one in plan:
        if one.number == number:
            return one
    raise CampaignError(f"there is no step {number}; it has 1 to {len(plan)}")


def written(plan: tuple[Planned, ...]) -> list[dict[str, Any]]:
    """A plan as a run's parameters have it."""
    return [{"number": one.number, "template": one.template, "due": one.due.isoformat()} for one in plan]


def read(found: list[dict[str, Any]]) -> tuple[Planned, ...]:
    """A plan that a run's parameters have."""
    return tuple(Planned(one["number"], one["template"], datetime.fromisoformat(one["due"])) for one in found)


def of(sequence: Sequence, enrolment: dict[str, Any]) -> tuple[Planned, ...]:
    """The plan that an enrolment was given; without one, by the campaign's file as it is now."""
    if "plan" in enrolment:
        return read(enrolment["plan"])
    segment = enrolment.get("variables", {}).get("segment")
    return made(sequence, datetime.fromisoformat(enrolment["enrolled_at"]), segment)
