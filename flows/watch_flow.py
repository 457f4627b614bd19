"""The watch: looks at the campaign as it is, and tells the operator what is new; on Mondays a summary.

It also keeps who has left by an edit in Notion, on whichever page of an address.

While all is well it calls HEARTBEAT_URL: its silence is then heard of, whatever it comes from.
"""

from datetime import datetime
from typing import Any

from prefect import flow, runtime
from prefect.states import Completed

from flows.operator import alerting, heartbeat, summary
from flows.operator.concerns import concerns, unread
from flows.operator.watch_schedule import EVERY
from flows.recipients import edits
from flows.recipients.contact import UnreadableRecordError
from flows.services.clients import notion_client
from flows.services.errors import NotionError
from flows.services.notion_mapping import MappingError
from flows.services.prefect_api import NotRegisteredError, Prefect
from flows.services.settings import MissingSettingError, Settings


@flow(name="campaign-watch")
def watch(pool: str = "default", summary_due: bool = False) -> Any:
    """Tell what is new, or the week's summary. Raises httpx.HTTPError when Prefect cannot be asked."""
    due = runtime.flow_run.scheduled_start_time
    with Prefect() as prefect:
        settings = prefect.settings()
        now = prefect.now()
        if not summary_due and due and now - due > EVERY:
            return Completed(name="Skipped", message="a later one looks as well")
        tells, beats = settings.has("alert-urls"), settings.has(heartbeat.SETTING)
        done, wrong = ([], None) if summary_due else _edits(prefect, settings, now)
        if not tells and (summary_due or not beats):
            return Completed(name="Skipped", message="; ".join([*done, "ALERT_URLS is not set: nobody to tell"]))
        if summary_due:
            return Completed(message=summary.send(prefect, settings, now, due or now))
        found = [*concerns(prefect, pool, now), *unread(prefect, wrong, now)]
        done += [alerting.tell(prefect, settings, found, now)] if tells else []
        if beats:
            reason = heartbeat.held_back(found, alerting.undelivered(prefect), told=tells)
            done.append(f"no heartbeat: {reason}" if reason else heartbeat.beat(settings))
        return Completed(message="; ".join(done))


def _edits(prefect: Prefect, settings: Settings, now: datetime) -> tuple[list[str], Exception | None]:
    """What came of the look at what people edit, in words, and why it failed: the next one makes up for it."""
    try:
        with notion_client(prefect, settings) as notion:
            count = edits.look(prefect, notion, now, whole=True).gone
    except (NotionError, MissingSettingError, NotRegisteredError, MappingError, UnreadableRecordError) as error:
        return [f"contacts were not looked at: {error}"], error
    return [f"{count} left by an edit in Notion"] if count else [], None
