"""What took part, by version, and where more can be seen."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING

from e2e.errors import AwayError
from e2e.target import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

    from e2e.outside import Outside
    from e2e.record import Record
    from e2e.target import Target

_STATUS_SECONDS = 120
_REAL_RESEND = "https://api.resend.com"


def versions(target: Target, outside: Outside, browser: Browser) -> dict[str, str]:
    """Name → version; the workers' release first, empty when the hosts cannot be asked."""
    try:
        server = outside.prefect.version()
    except AwayError:
        server = "unknown"
    return {
        "release": ", ".join(releases(target.source)),
        "checkout": commit(),
        "Prefect server": server,
        "Chromium": browser.version,
        "Playwright": version("playwright"),
        "Python": platform.python_version(),
    }


def releases(env_file: Path) -> list[str]:
    """The releases that the hosts of a `.env` have, by the operator's own command; none when they cannot be asked."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.fleet", "status"],
            cwd=CHECKOUT,
            env=os.environ | {"JSON": "1", "HUBLAB_ENV_FILE": str(env_file)},
            capture_output=True,
            text=True,
            timeout=_STATUS_SECONDS,
            check=False,
        )
        return sorted({str(host["release"]) for host in json.loads(done.stdout)} - {"unknown", "none"})
    except (subprocess.TimeoutExpired, ValueError, KeyError, TypeError):
        return []


def commit() -> str:
    """The checkout's commit, marked where more than STATUS.md was changed since; `unknown` outside of a repository."""
    name = _git("describe", "--always", "--abbrev=12", "--exclude=*")
    if not name:
        return "unknown"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)STATUS.md")
    return f"{name}-dirty" if changed else name


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=CHECKOUT, capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def links(target: Target, record: Record) -> dict[str, str]:
    """Where more can be seen of a run."""
    page = target["PREFECT_API_URL"].removesuffix("/api")
    found = {"The form": target["FUNNEL_URL"], "Runs at Prefect": f"{page}/runs"}
    found |= {
        f"The handler's run of {one.sequence}": f"{page}/runs/flow-run/{one.handler_id}"
        for one in record.enrolments
        if one.handler_id
    }
    if target["HUBLAB_RESEND_URL"] == _REAL_RESEND:
        return found | {"Mails at Resend": "https://resend.com/emails"}
    return found | {"The inbox": f"{target['HUBLAB_RESEND_URL']}/"}
