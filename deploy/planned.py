"""What a deploy will do on one host, as data. Pure; `plan.py` makes it, `words.py` says it in sentences."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deploy import spec
from deploy.release import identity

if TYPE_CHECKING:
    from deploy.problem import Problem
    from deploy.state import Legacy, LegacyUnit


@dataclass(frozen=True)
class WorkerStep:
    """What happens to one worker: its unit file and the reasons for a restart; no reasons: it goes on as it is."""

    number: int
    name: str
    unit: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """All that a deploy will do on one host."""

    address: str
    problems: tuple[Problem, ...] = ()
    release: str = ""
    previous: str | None = None
    build: bool = False
    brings: str = ""
    create_users: tuple[str, ...] = ()
    fix_paths: tuple[str, ...] = ()
    workers: tuple[WorkerStep, ...] = ()
    surplus: tuple[int, ...] = ()
    webhooks: WorkerStep | None = None
    webhooks_surplus: bool = False
    legacy: tuple[Legacy, ...] = ()
    legacy_units: tuple[LegacyUnit, ...] = ()
    prune: tuple[str, ...] = ()
    switch: bool = False
    unfinished: bool = False
    automations: tuple[str, ...] = ()
    leaves: bool = False
    # Two plans that differ in these alone are the same: they change by themselves while nothing on the host does.
    lock: str = field(default="", compare=False)
    words: tuple[str, ...] = field(default=(), compare=False)

    @property
    def content(self) -> str:
        """Lock and code of the release, whatever Python it is for: what a fleet has in common."""
        return identity.set_of(self.release)

    @property
    def restarts(self) -> tuple[WorkerStep, ...]:
        """The workers that are not as wanted."""
        return tuple(step for step in self.workers if step.reasons)

    @property
    def in_the_way(self) -> tuple[LegacyUnit, ...]:
        """The units of others that go by the name of one of ours: they make room when its turn comes."""
        names = {spec.unit_name(step.number) for step in self.workers}
        return tuple(unit for unit in self.legacy_units if unit.name in names)

    @property
    def restarts_webhooks(self) -> bool:
        """Whether the webhooks are started on another unit, or anew."""
        return bool(self.webhooks and self.webhooks.reasons)

    @property
    def moves_webhooks(self) -> bool:
        """Whether the webhooks are touched."""
        return self.webhooks_surplus or self.restarts_webhooks

    @property
    def secrets(self) -> tuple[str, ...]:
        """The credentials to be written; with the rollout, so that they go back with it."""
        return tuple(path for path in self.fix_paths if path in spec.SECRETS)

    @property
    def activates(self) -> bool:
        """Whether anything that runs is touched, or what it is started with."""
        retires = self.surplus or self.legacy or self.legacy_units or self.prune
        moves = self.restarts or self.moves_webhooks or self.secrets
        return bool(moves or retires or self.switch or self.unfinished or self.automations)

    @property
    def changes(self) -> bool:
        """Whether the deploy will do anything at all."""
        return bool(
            self.build
            or self.brings
            or self.leaves
            or self.create_users
            or self.fix_paths
            or self.activates
            or self.lock
        )
