"""`./hublab history`: what each host's own record says of its deploys, as a table or, with --json, as JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from deploy.fleet import applications, report
from deploy.fleet.connect import Reply, ask_all
from deploy.table import render
from deploy.words import short

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.onhost.record import Line
    from deploy.onhost.report_host import Report

HEADINGS = ("when", "host", "who", "what", "from", "to", "took", "result")


def lines(replies: Iterable[Reply[Report]]) -> list[tuple[str, Line]]:
    """All hosts' records as one, each line with its host, the oldest first. Pure."""
    found = [(reply.address, line) for reply in replies if reply.answer for line in reply.answer.history]
    return sorted(found, key=lambda one: one[1].at)


def row(host: str, line: Line) -> tuple[str, ...]:
    """One line of a record in words. Pure."""
    took = "" if line.seconds is None else f"{line.seconds:.0f} s"
    words = (line.at, host, line.who, line.what, short(line.previous or ""), short(line.to), took, line.result)
    return tuple(word or "–" for word in words)


def main() -> int:
    """0, or 1 when a host did not answer."""
    replies = ask_all(lambda host: report.ask(host, whole=False), applications.history)
    found = lines(replies)
    if os.environ.get("JSON"):
        sys.stdout.write(json.dumps([{"host": host, **line.kept()} for host, line in found]) + "\n")
    elif found:
        sys.stdout.write(render(HEADINGS, [row(*one) for one in found]) + "\n")
    elif not any(reply.error for reply in replies):
        sys.stdout.write("no deploy has ended yet\n")
    for reply in replies:
        if reply.error:
            sys.stderr.write(f"{reply.address} {reply.error}\n")
    return 1 if any(reply.error for reply in replies) else 0
