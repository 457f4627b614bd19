"""May it start? Only if every mail can go to one address alone, testing mode is on, and the preflight is green."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from e2e import webhooks
from e2e.errors import AwayError
from e2e.target import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from e2e.outside import Outside
    from e2e.outside.prefect import Run
    from e2e.target import Target

_TRUE = frozenset({"true", "1", "yes", "on"})
_PREFLIGHT_SECONDS = 300
_DEFAULT_MINUTE = 60.0


@dataclass(frozen=True)
class Found:
    """What was found before the start.

    Attributes:
        secrets: Secret block → value, at Prefect.
        settings: The variable `hublab_settings` at Prefect.
        open_runs: The campaign's runs that are not at an end.
        spooled: How many enrolments the webhooks hold; None when they do not say.
        preflight: What the preflight complains about.
    """

    secrets: Mapping[str, str] = field(repr=False)
    settings: Mapping[str, str] = field(default_factory=dict)
    open_runs: tuple[Run, ...] = ()
    spooled: int | None = 0
    preflight: tuple[str, ...] = ()

    @property
    def minute(self) -> float:
        """How many seconds a minute of testing mode lasts."""
        try:
            return float(self.settings.get("HUBLAB_TESTING_MINUTE_SECONDS", _DEFAULT_MINUTE))
        except ValueError:
            return _DEFAULT_MINUTE


def reasons(target: Target, found: Found) -> list[str]:
    """Why it must not start, each with its remedy; empty when it may. Pure."""
    return [*_mode(found), *_others(target, found), *_drift(target, found), *_preflight(found)]


def _mode(found: Found) -> list[str]:
    mode = found.secrets.get("testing-mode", "")
    if mode.strip().lower() in _TRUE:
        return []
    said = f"is {mode!r}" if mode else "is not set"
    remedy = "set TESTING_MODE=true in .env, ./hublab campaign secrets"
    return [f"TESTING_MODE: the Secret block 'testing-mode' {said}; {remedy}"]


def _others(target: Target, found: Found) -> list[str]:
    """Mail that could go to another address; whose it is, is not shown."""
    others = [run for run in found.open_runs if not target.is_mailbox(run.to)]
    problems = []
    if others:
        soonest = min((run.due for run in others if run.due), default=None)
        when = f", the next is due at {soonest:%Y-%m-%d %H:%M} UTC" if soonest else ""
        problems.append(
            f"TESTING_ADDRESS: runs at Prefect that would write to other addresses: {len(others)}{when}; "
            "wait for their end, or test against a Prefect server that has none"
        )
    if found.spooled is None:
        problems.append("HUBLAB_PUBLIC_URL: the webhooks do not say what they hold (/health); ./hublab status")
    elif found.spooled:
        problems.append(f"HUBLAB_PUBLIC_URL: the webhooks hold enrolments: {found.spooled}; wait until there is none")
    return problems


def _drift(target: Target, found: Found) -> list[str]:
    """Where the workers use something else than this file names: another workspace, another account."""
    secrets = [
        f"{name}: the Secret block at Prefect {'differs from' if name in found.secrets else 'is missing, unlike'} "
        f"the one in {target.source.name}; correct it, ./hublab campaign secrets"
        for name, value in target.blocks().items()
        if found.secrets.get(name) != value
    ]
    plain = [
        f"{name}: {found.settings[name]!r} at Prefect, {target[name]!r} in "
        f"{target.source.name}; ./hublab campaign secrets"
        for name in ("HUBLAB_PUBLIC_URL", "HUBLAB_NOTION_URL", "HUBLAB_RESEND_URL")
        if name in found.settings and found.settings[name].rstrip("/") != target[name].rstrip("/")
    ]
    return secrets + plain


def _preflight(found: Found) -> list[str]:
    return [f"preflight: {row}" for row in found.preflight]


def look(target: Target, outside: Outside) -> Found:
    """Look at all of it.

    Raises:
        AwayError: Prefect does not answer.
    """
    prefect = outside.prefect
    return Found(
        prefect.secrets(["testing-mode", *target.blocks()]),
        prefect.settings(),
        tuple(prefect.open_runs()),
        webhooks.health(target).waiting,
        tuple(_run_preflight(target)),
    )


def _run_preflight(target: Target) -> list[str]:
    """The rows that are not as they must be, by the operator's own command."""
    names = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_API_KEY")
    pool = target["HUBLAB_WORK_POOL"] or "default"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "flows.operator.preflight", "--pool", pool],
            cwd=CHECKOUT,
            env=os.environ | {name: target[name] for name in names if target[name]},
            capture_output=True,
            text=True,
            timeout=_PREFLIGHT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return [f"did not end within {_PREFLIGHT_SECONDS} s; ./hublab campaign preflight shows where"]
    if done.returncode == 0:
        return []
    rows = [line.removeprefix("FAIL").strip() for line in done.stdout.splitlines() if line.startswith("FAIL")]
    last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
    return rows or [f"{last[0]}; ./hublab campaign preflight shows more"]


def may_start(target: Target, outside: Outside) -> tuple[Found | None, list[str]]:
    """What was found, and why it must not start; nothing was found when Prefect does not answer."""
    try:
        found = look(target, outside)
    except AwayError as error:
        return None, [f"PREFECT_API_URL: {error}; correct it, or ./hublab status"]
    return found, reasons(target, found)
