"""`./hublab history`: what each host's own record says of its deploys, as a table or, with --json, as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from deploy.fleet import applications, report
from deploy.fleet.connect import Reply, ask_all
from deploy.table import render

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.fleet.report import Report

HEADINGS = ("when", "host", "who", "what", "from", "to", "took", "result")


def lines(replies: Iterable[Reply[Report]]) -> list[dict[str, Any]]:
    """All hosts' records as one, the oldest first. Pure."""
    found = [{"host": reply.address, **line} for reply in replies if reply.answer for line in reply.answer.history]
    return sorted(found, key=lambda line: str(line.get("at", "")))


def row(line: dict[str, Any]) -> tuple[str, ...]:
    """One line of a record in words. Pure."""
    seconds = line.get("seconds")
    words = [str(line.get(key) or "–") for key in ("at", "host", "who", "what", "from", "to")]
    return (*words, f"{seconds:.0f} s" if isinstance(seconds, int | float) else "–", str(line.get("result") or "–"))


def main() -> int:
    """0, or 1 when a host did not answer."""
    replies = ask_all(lambda host: report.ask(host, whole=False), applications.history)
    found = lines(replies)
    if os.environ.get("JSON"):
        sys.stdout.write(json.dumps(found) + "\n")
    elif found:
        sys.stdout.write(render(HEADINGS, [row(line) for line in found]) + "\n")
    else:
        sys.stdout.write("no deploy has ended yet\n")
    for reply in replies:
        if reply.error:
            sys.stderr.write(f"{reply.address} {reply.error}\n")
    return 1 if any(reply.error for reply in replies) else 0
