"""What can be seen of a worker that others put into an application, and what is wrong with it. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

SAFE = {"prefect": Version("3.6.6"), "uvicorn": Version("0.36")}
NAME = re.compile(r"--name[=\s]+[\"']?([A-Za-z0-9][A-Za-z0-9._-]{0,62})")
PINNED = re.compile(r"\b(prefect|uvicorn)(?:\[[a-z]+\])?(?:\s*==\s*|\s+|:)v?(\d+\.\d+(?:\.\d+)?)", re.IGNORECASE)


def worker_name(text: str, known: Collection[str]) -> str:
    """The name that a compose file or a command gives its one worker; empty where it gives none that can be read.

    Args:
        text: what may say it.
        known: the names at Prefect: of one that a shell puts together, or that has blanks, a part is read.
    """
    (name, *more) = sorted(set(NAME.findall(text))) or [""]
    return name if name in known and not more else ""


def faults(text: str, variables: set[str], grace_seconds: int, *, compose: bool) -> Iterator[str]:
    """What is wrong with it, as far as its compose file, its start command and its last lines tell.

    Args:
        text: all of them.
        variables: the names in its environment.
        grace_seconds: how long Docker waits for it; 0 for Coolify's own.
        compose: whether it is a compose application.
    """
    if "prefect worker start" in text:
        yield "a worker of Prefect's own: told to stop, it ends within a second and leaves its runs Running for ever"
    if "--with-healthcheck" in text:
        yield "started --with-healthcheck: with uvloop and an old uvicorn every flow run crashes, and /health says 200"
    if re.search(r"uvicorn\[standard\]|\buvloop\b", text):
        yield "uvloop is installed with it"
    if "NotImplementedError" in text or "get_child_watcher" in text:
        yield "its log has the crash: NotImplementedError of the child watcher"
    for name, version in dict.fromkeys((found[0].lower(), found[1]) for found in PINNED.findall(text)):
        if _older(version, SAFE[name]):
            yield f"{name} {version} is older than {SAFE[name]}"
    if compose:
        yield "a compose application: no gate, and 30 s to stop whatever is in flight"
    elif grace_seconds < 60:  # noqa: PLR2004 - Coolify's own are 30
        yield f"it is given {grace_seconds or 30} s to stop"
    if "HUBLAB_WORK_POOL" not in variables:
        yield "no deploy of this project has set its environment"


def _older(version: str, than: Version) -> bool:
    try:
        return Version(version) < than
    except InvalidVersion:
        return False
