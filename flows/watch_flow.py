"""The watch: looks at the campaign as it is, and tells the operator what is new; on Mondays a summary.

While all is well it calls HEARTBEAT_URL: its silence is then heard of, whatever it comes from.
"""

from datetime import UTC, datetime
from typing import Any

from prefect import flow, runtime
from prefect.states import Completed

from flows.operator import alerting, heartbeat, summary
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
        tells, beats = settings.has("alert-urls"), settings.has(heartbeat.SETTING)
        if not tells and (summary_due or not beats):
            return Completed(name="Skipped", message="ALERT_URLS is not set: nobody to tell")
        if summary_due:
            return Completed(message=summary.send(prefect, settings, now, due or now))
        found = concerns(prefect, pool, now)
        done = [alerting.tell(prefect, settings, found, now)] if tells else []
        if beats:
            reason = heartbeat.held_back(found, alerting.undelivered(prefect), told=tells)
            done.append(f"no heartbeat: {reason}" if reason else heartbeat.beat(settings))
        return Completed(message="; ".join(done))
