"""When the watch runs: only where there is somebody to tell, or to be called."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule

from flows.operator.heartbeat import SETTING

if TYPE_CHECKING:
    from flows.services.settings import Settings

ENTRYPOINT = "flows.watch_flow.watch"
EVERY = timedelta(minutes=10)
MONDAY_MORNING = "0 8 * * 1"


def of(pool: str, settings: Settings) -> dict[str, Any]:
    """What the watch's deployment has beside the others'."""
    return {"parameters": {"pool": pool}, "schedules": schedules(settings)}


def schedules(settings: Settings) -> list[DeploymentScheduleCreate]:
    """Every ten minutes, and on Monday at eight in HUBLAB_TIMEZONE for the summary, where ALERT_URLS names somebody.

    None without ALERT_URLS and HEARTBEAT_URL.
    """
    tells = settings.has("alert-urls")
    if not tells and not settings.has(SETTING):
        return []
    looks = [DeploymentScheduleCreate(schedule=IntervalSchedule(interval=EVERY), slug="watch")]
    if not tells:
        return looks
    monday = CronSchedule(cron=MONDAY_MORNING, timezone=settings.zone)
    return [
        *looks,
        DeploymentScheduleCreate(schedule=monday, slug="summary", parameters={"summary_due": True}),
    ]
