"""The watch: looks at the campaign as it is, and tells the operator what is new; on Mondays a summary."""

from datetime import UTC, datetime
from typing import Any

from prefect import flow, runtime
from prefect.states import Completed

from flows.operator import alerting, summary
from flows.operator.concerns import concerns
from flows.operator.watch_schedule import EVERY
from flows.services.prefect_api import Prefect


@flow(name="campaign-watch")
def watch(pool: str = "default", summary_due: bool = False) -> Any:
    """Tell what is new, or the week's summary. Raises httpx.HTTPError when Prefect cannot be asked."""
    now, due = datetime.now(UTC), runtime.flow_run.scheduled_start_time
    if not summary_due and due and now - due > EVERY:
        return Completed(name="Skipped", message="a later one looks as well")
    with Prefect() as prefect:
        settings = prefect.settings()
        if not settings.has("alert-urls"):
            return Completed(name="Skipped", message="ALERT_URLS is not set: nobody to tell")
        if summary_due:
            return Completed(message=summary.send(prefect, settings, now, due or now))
        return Completed(message=alerting.tell(prefect, settings, concerns(prefect, pool, now), now))
