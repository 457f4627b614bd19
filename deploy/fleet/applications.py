"""The questions about Coolify's applications; its client is imported where there is one, since that takes time."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploy.fleet.standing import Status
    from deploy.onhost.report_host import Report
    from deploy.spec import WorkerHost


def status(wanted: WorkerHost) -> Status:
    """What it does, against its plan."""
    from deploy.coolify import fleet  # noqa: PLC0415

    return fleet.status(wanted)


def history(wanted: WorkerHost) -> Report:
    """Who deployed what."""
    from deploy.coolify import fleet  # noqa: PLC0415

    return fleet.history(wanted)


def unlock(wanted: WorkerHost) -> str:
    """Its lock, which is free then."""
    from deploy.coolify import fleet  # noqa: PLC0415

    return fleet.unlock(wanted)


def again(wanted: WorkerHost, runs: list[str]) -> str:
    """Flow runs that are run again."""
    from deploy.coolify import fleet  # noqa: PLC0415

    return fleet.again(wanted, runs)


def logs(wanted: WorkerHost, lines: int) -> str:
    """What its running container has said last."""
    from deploy.coolify import fleet  # noqa: PLC0415

    return fleet.logs(wanted, lines)
