"""What a unit's own text says, as the deploy renders it: a unit is judged and put back by that alone. Pure."""

from __future__ import annotations

import re

from deploy.onhost.common import HostError

STOP_SECONDS = 90  # systemd's own, where a unit says nothing
ENVIRONMENT = re.compile(r'^Environment=(?:"((?:[^"\\]|\\.)*)"|(\S*))$', re.MULTILINE)
ESCAPED = re.compile(r"\\(.)")


def environment(text: str) -> dict[str, str]:
    """The variables that it sets."""
    pairs = (ESCAPED.sub(r"\1", quoted or bare).partition("=") for quoted, bare in ENVIRONMENT.findall(text))
    return {key: value.replace("%%", "%") for key, _, value in pairs}


def told(text: str, name: str) -> str:
    """One variable that it sets.

    Raises:
        HostError: it does not; then it is no unit of a deploy.
    """
    try:
        return environment(text)[name]
    except KeyError:
        raise HostError(f"the unit sets no {name}: no deploy has written it") from None


def directive(text: str, name: str) -> str:
    """The last value that it gives a directive; empty when it gives none."""
    return next((line.partition("=")[2] for line in reversed(text.splitlines()) if line.startswith(f"{name}=")), "")


def stop_seconds(text: str) -> int:
    """How long it may take to stop."""
    found = directive(text, "TimeoutStopSec")
    return int(found) if found.isdecimal() else STOP_SECONDS


def release_folder(text: str) -> str:
    """The release that it starts from; empty when it starts nothing."""
    return directive(text, "ExecStart").partition("/venv/")[0]


def credentials(text: str) -> dict[str, str]:
    """Name → file of each credential that it is started with."""
    lines = (line.partition("=")[2] for line in text.splitlines() if line.startswith("LoadCredential="))
    return {name: source for name, _, source in (line.partition(":") for line in lines)}
