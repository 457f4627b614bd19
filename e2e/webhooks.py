"""The webhooks, as a caller sees them: what they take, and what they say of themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from e2e.contract import Sequence
    from e2e.target import Target

_TIMEOUT_SECONDS = 30
_SHOWN = 300


@dataclass(frozen=True)
class Health:
    """How many enrolments they hold, None when they do not say; and what is wrong, in sentences with a remedy."""

    waiting: int | None
    trouble: tuple[str, ...] = ()


def post(target: Target, sequence: Sequence, to: str) -> str:
    """Enrol an address; why it was not taken, empty when it was."""
    url = f"{target['HUBLAB_PUBLIC_URL'].rstrip('/')}/webhook/{sequence.webhook}"
    body = sequence.answers | {"email": to}
    own = f"WEBHOOK_SECRET_{sequence.webhook.upper().replace('-', '_')}"
    # Of several secrets, which a rotation has for a while, the first is the new one.
    secret = (target.values.get(own) or target["WEBHOOK_SECRET"]).partition(",")[0].strip()
    headers = {"x-webhook-secret": secret}
    try:
        answer = httpx.post(url, json=body, headers=headers, timeout=_TIMEOUT_SECONDS, trust_env=False)
    except httpx.TransportError as error:
        return f"{url} did not take it: {type(error).__name__}: {error}"
    if answer.status_code == httpx.codes.ACCEPTED:
        return ""
    return f"{url} did not take it: {answer.status_code} {answer.text[:_SHOWN]}"


def health(target: Target) -> Health:
    """How they are."""
    url = f"{target['HUBLAB_PUBLIC_URL'].rstrip('/')}/health"
    try:
        answer = httpx.get(url, timeout=_TIMEOUT_SECONDS, trust_env=False)
        body = answer.json()["enrolments"]
        waiting, trouble = int(body["waiting"]), body["trouble"]
    except httpx.TransportError as error:
        return Health(None, (f"the webhooks are not reached at {url} ({type(error).__name__}): ./hublab status",))
    except (ValueError, KeyError, TypeError):
        return Health(None, (f"{url} answers {answer.status_code}, and nothing that the webhooks would say",))
    if not waiting and not trouble:
        return Health(0)
    because = " that Prefect does not take; systemctl status hublab-webhooks says why" if trouble else ""
    return Health(waiting, (f"the webhooks hold {waiting} enrolments{because}",))
