"""When the watch runs: only where there is somebody to tell."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

if TYPE_CHECKING:
    from flows.services.settings import Settings

ENTRYPOINT = "flows.watch_flow.watch"
EVERY = timedelta(minutes=10)
MONDAY_MORNING = "0 8 * * 1"


def of(pool: str, settings: Settings) -> dict[str, Any]:
    """What the watch's deployment has beside the others'."""
    return {"parameters": {"pool": pool}, "schedules": schedules(settings)}


def schedules(settings: Settings) -> list[DeploymentScheduleCreate]:
    """Every ten minutes, and on Monday at eight in HUBLAB_TIMEZONE for the summary; none without ALERT_URLS."""
    if not settings.has("alert-urls"):
        return []
    monday = CronSchedule(cron=MONDAY_MORNING, timezone=settings.get("HUBLAB_TIMEZONE"))
    return [
        DeploymentScheduleCreate(schedule=IntervalSchedule(interval=EVERY), slug="watch"),
        DeploymentScheduleCreate(schedule=monday, slug="summary", parameters={"summary_due": True}),
    ]
