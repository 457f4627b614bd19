"""What can be wrong with Coolify's API, in words for the operator: what happened, where, and what to do."""

from __future__ import annotations

from typing import Any

from deploy.onhost.untrusted import printable

SHOWN = 300
ABILITIES = "read, write and deploy"
TOKEN_REMEDY = f"make one in Coolify under Keys & Tokens > API tokens with {ABILITIES}, and write it into .env"


class CoolifyError(RuntimeError):
    """Coolify refused, or did not answer. `status`: of the answer; None where there was none."""

    def __init__(self, what: str, status: int | None = None) -> None:
        super().__init__(what)
        self.status = status

    @property
    def passing(self) -> bool:
        """Whether it may be otherwise in a while: no answer, too busy, or broken; nothing that Coolify has decided."""
        return self.status is None or self.status == 429 or self.status >= 500  # noqa: PLR2004 - HTTP


class NotFoundError(CoolifyError):
    """There is no such thing, or it belongs to another team than the token."""


class ExistsError(CoolifyError):
    """There is one of that name already."""


class BusyError(CoolifyError):
    """Too many requests, or the queue of deployments is full. `seconds`: after which to come back."""

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(what, 429)
        self.seconds = seconds


class RolloutError(RuntimeError):
    """A step was not done; the message says why, and what became of it."""


class UnclearError(CoolifyError):
    """A request that changes something was sent and no answer came: it may have been done."""


def refusal(method: str, path: str, status: int, answer: Any, retry_after: float) -> CoolifyError:
    """An answer that is none of success, as an error with its remedy. Pure."""
    said, where = message(answer), f"{method} {path}"
    if status == 401:  # noqa: PLR2004 - HTTP
        return CoolifyError(f"HUBLAB_COOLIFY_TOKEN: Coolify does not take it ({said}) -> {TOKEN_REMEDY}", status)
    if status == 403:  # noqa: PLR2004
        return CoolifyError(_forbidden(said, answer), status)
    if status == 404:  # noqa: PLR2004
        return NotFoundError(f"Coolify has none for {where} ({said}), or it belongs to another team", status)
    if status == 409:  # noqa: PLR2004
        return ExistsError(f"{where}: {said}", status)
    if status == 429:  # noqa: PLR2004
        return BusyError(f"{where}: Coolify is busy ({said}); try again in {retry_after:.0f} s", retry_after)
    return CoolifyError(f"{where}: Coolify answers {status}: {said}", status)


def _forbidden(said: str, answer: Any) -> str:
    if "permission" in said.lower():
        return f"HUBLAB_COOLIFY_TOKEN: it lacks an ability ({said}) -> {TOKEN_REMEDY}"
    # This one says `"success": true`: only the status tells.
    where = "Settings > Advanced: API access, and Allowed IPs for API access"
    kind = "" if isinstance(answer, dict) else " by something before Coolify"
    return f"HUBLAB_COOLIFY_URL: its API is switched off, or refuses this machine's address{kind} ({said}) -> {where}"


def message(answer: Any) -> str:
    """What an answer says went wrong; `errors` has a text or a list of texts for each field. Pure."""
    if not isinstance(answer, dict):
        return printable(str(answer), SHOWN) or "it says nothing"
    said = str(answer.get("message") or "").strip()
    errors = answer.get("errors")
    if isinstance(errors, dict):
        faults = [f"{field}: {' '.join(_texts(texts))}" for field, texts in errors.items()]
    else:
        faults = [" ".join(_texts(errors))] if errors else []
    return printable(" ".join(part for part in (said, "; ".join(faults)) if part), SHOWN) or "it says nothing"


def _texts(value: Any) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
