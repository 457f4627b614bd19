"""The heartbeat: an address outside is called while all is well, so that somebody else hears of our silence.

Whoever keeps such addresses (healthchecks.io and the like) alarms when no call has come for a while: when no worker is
left, Prefect is away, or the host has no power. What the operator has been told by ALERT_URLS needs no second alarm:
the call is kept back while a message could not be delivered, mails are late, or workers silent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.operator.concerns import Concern
    from flows.services.settings import Settings

SECONDS = 10
SETTING = "heartbeat-url"
# States that pass by themselves once they are mended; an address that bounced, say, stays on the list.
ACUTE = frozenset({"late", "silent"})


def held_back(found: Iterable[Concern], undelivered: str, *, told: bool) -> str:
    """Why the call is kept back; empty when all is well. `told`: the operator is told of concerns. Pure."""
    if undelivered:
        return "an alert could not be delivered"
    return ", ".join(one.title for one in found if one.kind in ACUTE or not told)


def beat(settings: Settings) -> str:
    """Call it; what came of it, without the address: it is a secret. A call that fails is what the other side sees."""
    try:
        answer = httpx.get(settings.get(SETTING), timeout=SECONDS, follow_redirects=True)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"heartbeat: no answer ({type(error).__name__})"
    return "heartbeat" if answer.is_success else f"heartbeat: answered {answer.status_code}"
