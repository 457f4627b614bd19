"""What a deployment's log says, for the operator's screen. Pure."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from deploy.onhost.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_LINES = 20
NO_LOG = "Coolify shows its log to a token with read:sensitive alone; look at it there"


CREDENTIAL = re.compile(r"(?<=^https://)[^/]*@|(?<=^http://)[^/]*@")


def address(repository: str) -> str:
    """A repository's address without the user and token that somebody may have written into it."""
    return CREDENTIAL.sub("", repository)


def log(text: str, secrets: Iterable[str] = ()) -> list[str]:
    """The last lines, without what Coolify hides and without our secrets; one that says so where there is none."""
    try:
        entries = json.loads(text) if text else []
    except ValueError:
        entries = [{"output": text}]
    said = [str(entry.get("output") or "") for entry in entries if isinstance(entry, dict) and not entry.get("hidden")]
    lines = [line for part in said for line in part.splitlines() if line.strip()][-MOST_LINES:]
    for secret in filter(None, secrets):
        lines = [line.replace(secret, "***") for line in lines]
    return [printable(line) for line in lines] or [NO_LOG]
