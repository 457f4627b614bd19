"""`python -m flows.operator.alerting`: a message to the operator, through Apprise, wherever ALERT_URLS says.

What is new is told, at most once in HUBLAB_ALERT_MINUTES; what could not be told is told the next time, and
`./hublab campaign status` says that it was not. What was told, and when, is kept in a Prefect variable.
"""

from __future__ import annotations

import argparse
import logging
import re
import sys
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any

from flows.operator import server
from flows.services.prefect_api import Prefect
from flows.services.words import env_file

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.operator.concerns import Concern
    from flows.services.settings import Settings

VARIABLE = "hublab_alerts"
MANY = 25  # things of one kind that are told apart: a variable holds 5,000 characters
ROOM = 500  # characters of what went wrong with a message
SHOWN, LINE, MOST = 5, 160, 1_800  # lines of a concern, characters of a line and of a message
_ADDRESS = re.compile(r"[^\s@<>\"'(]+@[^\s@<>\"')]+")


def clean(text: str, settings: Settings) -> str:
    """A line without anybody's address and without a secret."""
    return _ADDRESS.sub("(address)", settings.without_secrets(" ".join(text.split())))[:LINE]


def news(found: Iterable[Concern], told: dict[str, list[str]]) -> list[Concern]:
    """The concerns of which something has not been told yet. Pure."""
    return [one for one in found if set(one.items) - set(told.get(one.kind, ()))]


def written(found: Iterable[Concern], told: dict[str, list[str]], settings: Settings) -> tuple[str, str]:
    """Title and text of one message about all of them, the new things of each by name. Pure."""
    title, lines = [], list[str]()
    for one in found:
        title.append(one.title)
        fresh = [text for key, text in one.items.items() if key not in told.get(one.kind, ())]
        lines += [f"{one.title}:", *(f"  {clean(text, settings)}" for text in fresh[:SHOWN])]
        lines += ["  and more: `./hublab campaign status`"] if len(fresh) > SHOWN else []
        lines.append(f"  -> {one.remedy}")
    return f"Hublab: {'; '.join(title)}"[:LINE], "\n".join(lines)[:MOST]


def deliver(settings: Settings, title: str, text: str) -> tuple[int, str]:
    """Tell every URL: how many took it, and what went wrong, by kind of service alone: a URL has a secret in it.

    Raises:
        MissingSettingError: there is no URL.
    """
    import apprise  # noqa: PLC0415 - it takes a third of a second
    from apprise.utils.parse import parse_urls  # noqa: PLC0415

    logging.getLogger("apprise").setLevel(logging.CRITICAL)  # its warnings may show what a service answered
    asked, taken = list[str](parse_urls(settings.get("alert-urls"))), 0  # type: ignore[no-untyped-call]
    lost = [one for one in settings.get("alert-urls").split() if one.strip(",") and "://" not in one]
    wrong = [f"{len(lost)} of the words in ALERT_URLS are no URL"] if lost else []
    for number, url in enumerate(asked, 1):
        service = apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if service is None:
            wrong.append(f"URL {number} of ALERT_URLS is not one that Apprise knows")
        elif service.notify(body=text, title=title):
            taken += 1
        else:
            wrong.append(f"URL {number} of ALERT_URLS ({service.service_name}) did not take it")
    return taken, "; ".join(wrong) or ("" if asked else "ALERT_URLS has no URL in it")


def tell(prefect: Prefect, settings: Settings, found: list[Concern], now: datetime) -> str:
    """Tell what is new, unless a message went out only just now; what was done, in words."""
    kept: dict[str, Any] = prefect.variable(VARIABLE) or {}
    told: dict[str, list[str]] = kept.get("told", {})
    found = [replace(one, items=dict(islice(one.items.items(), MANY))) for one in found]
    fresh = news(found, told)
    state = kept | {"looked_at": now.isoformat()}
    gap = timedelta(minutes=settings.number("HUBLAB_ALERT_MINUTES"))
    # What is over may come again, and is then told again.
    state["told"] = {one.kind: [key for key in one.items if key in told.get(one.kind, ())] for one in found}
    if not fresh:
        done = "nothing new"
    elif "tried_at" in kept and now - datetime.fromisoformat(kept["tried_at"]) < gap:
        done = f"{len(fresh)} to be told later"
    else:
        taken, wrong = deliver(settings, *written(fresh, told, settings))
        state |= {"tried_at": now.isoformat(), "undelivered": wrong[:ROOM]}
        done = f"not told: {wrong}" if wrong else f"told: {', '.join(one.title for one in fresh)}"
        if taken:  # who heard of it is not told again because another did not
            state["told"] = {one.kind: list(one.items) for one in found}
    prefect.remember(VARIABLE, state)
    return done


def undelivered(prefect: Prefect) -> str:
    """What went wrong with the last message; empty when it was taken."""
    return str((prefect.variable(VARIABLE) or {}).get("undelivered") or "")


def trouble(prefect: Prefect, settings: Settings, now: datetime, silence: timedelta) -> str:
    """Why the operator might not hear of something; empty when he would, or when no URL is set."""
    if not settings.has("alert-urls"):
        return ""
    kept: dict[str, Any] = prefect.variable(VARIABLE) or {}
    if wrong := kept.get("undelivered"):
        return (
            f"an alert could not be delivered: {wrong}; correct ALERT_URLS in {env_file()}, "
            "`./hublab campaign secrets`, `./hublab campaign alert-test`"
        )
    looked = datetime.fromisoformat(kept["looked_at"]) if kept.get("looked_at") else None
    if looked is None or now - looked > silence:
        since = f"since {looked:%Y-%m-%d %H:%M} UTC" if looked else "yet"
        return (
            f"nobody has looked for what to tell {since}: `./hublab campaign register`, then "
            "`./hublab campaign preflight`"
        )
    return ""


@server.needed
def main(arguments: list[str] | None = None) -> int:
    """Send a test message; 1 when it was not taken."""
    argparse.ArgumentParser(prog="python -m flows.operator.alerting", description=__doc__).parse_args(arguments)
    with Prefect() as prefect:
        try:
            _, wrong = deliver(prefect.settings(), "Hublab: a test", "Alerts of the campaign arrive here.")
            if not wrong:
                kept = prefect.variable(VARIABLE) or {}
                prefect.remember(VARIABLE, kept | {"undelivered": ""})
        except LookupError as error:
            wrong = str(error)
    (sys.stderr if wrong else sys.stdout).write(f"{wrong or 'taken by every URL of ALERT_URLS'}\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
