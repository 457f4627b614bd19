"""Signups with real workers: `python -m bench.flows_workers [--signups 20] [--workers 3] [--notion 600,180]`.

A sandbox (root): a host with workers and webhooks, Prefect on PostgreSQL, stand-ins for Notion and Resend that answer
as they should. All signups are posted through the webhook, one after the other, each for seven mails that are due at
once. Writes how soon they are scheduled, mails a minute, CPU seconds a mail, and calls as shares of the limits.
`--notion` are limits per minute, each with a sandbox of its own: 180 is what Notion allows, 600 what it allows to its
Business plan, more shows what the machine could do.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections import Counter
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from bench import results
from bench.boxes import boot
from bench.prefect_requests import kind
from flows.sending import ahead
from sandbox import campaign
from sandbox.campaign.contacts import address
from sandbox.campaign.mails import runs_of
from sandbox.cgroup import Cgroup
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sandbox import Sandbox
    from sandbox.campaign import Campaign

STEPS, AT_ONCE = 7, 6000.0
LONGEST = 1800.0


def cpu(box: Sandbox) -> dict[str, float]:
    """CPU seconds so far, by what used them."""
    names = {"host": box.hosts[0].name, "server": "server", "stand-ins": "standins"}
    return {what: Cgroup(f"{box.layout.cgroup}/{name}").cpu_seconds() for what, name in names.items()}


def delivered(running: Campaign) -> int:
    """Deliveries that are written down."""
    rows = running.standin("notion")["pages"]["notion-email-analytics-db-id"]
    return len(rows)


def measure(running: Campaign, signups: int) -> dict[str, Any]:
    """Enrol, and wait until Resend has every mail and Email Analytics its delivery."""
    before = delivered(running)
    used, began, stamp = cpu(running.sandbox), time.monotonic(), int(time.time())
    calls = {service: running.standin(service, "calls")["total"] for service in ("notion", "resend")}
    shown = running.standin("notion", "calls")["calls"]
    keys = [running.enrol("signup", address(f"bench-{stamp}-{number}")) for number in range(signups)]
    posted = time.monotonic() - began
    all_of_them = signups * STEPS
    wait_for(
        lambda: sum(bool(mail.accepted) for mail in running.mails(keys)) == all_of_them,
        "all accepted",
        LONGEST,
        every=2,
    )
    sent = time.monotonic() - began
    wait_for(lambda: delivered(running) - before == all_of_them, "all delivered", LONGEST, every=2)
    after = cpu(running.sandbox)
    return {
        "posted": posted,
        "sent": sent,
        "cpu": {name: after[name] - used[name] for name in used},
        "calls": {service: running.standin(service, "calls")["total"] - calls[service] for service in calls},
        "kinds": kinds(running.standin("notion", "calls")["calls"], shown),
        "scheduled": scheduling(running, keys),
    }


def kinds(calls: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    """Calls to Notion since `before`, by method and path without ids. Pure."""
    found: Counter[str] = Counter()
    for call, count in (Counter(calls) - Counter(before)).items():
        found[kind(call)] += count
    return dict(found.most_common())


def scheduling(running: Campaign, keys: Sequence[str]) -> list[float]:
    """For each signup the seconds from the webhook to the last of its runs at Prefect."""
    with running.sandbox.api() as api:
        runs = runs_of(api, keys)
    taken = []
    for key in keys:
        last = runs[key, STEPS]
        enrolled = datetime.fromisoformat(last["parameters"]["enrolment"]["enrolled_at"])
        taken.append((datetime.fromisoformat(last["created"]) - enrolled).total_seconds())
    return taken


def told(found: dict[str, Any], per_minute: int) -> list[str]:
    """The figures of one limit. Pure."""
    signups = len(found["scheduled"])
    mails = signups * STEPS
    cuts = statistics.quantiles(found["scheduled"], n=20)
    notion, resend = found["calls"]["notion"] / signups, found["calls"]["resend"] / mails
    return [
        f"median {cuts[9]:.1f} s, p95 {cuts[18]:.1f} s",
        f"{60 * mails / found['sent']:.0f}",
        ", ".join(f"{name} {seconds / mails:.2f}" for name, seconds in found["cpu"].items()),
        f"{notion:.1f}",
        f"{60 * found['calls']['notion'] / found['sent'] / per_minute:.0%}",
        f"{resend:.2f}",
    ]


ROWS = (
    "signup to scheduled",
    "mails a minute, from the first webhook on",
    "CPU seconds a mail, its share of the enrolment and the delivery's event included",
    "calls to Notion a signup, with all its deliveries",
    "share of Notion's limit that was used",
    "calls to Resend a mail",
)


def table(found: dict[str, dict[str, Any]], signups: int) -> results.Table:
    """By limit. Pure."""
    columns = [told(one, int(limit)) for limit, one in found.items()]
    heads = [f"{signups} signups at once, {signups * STEPS} mails, all due", *(f"Notion at {limit}" for limit in found)]
    return results.Table(heads, [[what, *cells] for what, *cells in zip(ROWS, *columns, strict=True)])


def looked(running: Campaign) -> bool:
    """Whether the reader has looked: its first look fails in a sandbox, where Notion's properties come later."""
    with running.sandbox.api() as api:
        return bool(api.post("/variables/count", json={"variables": {"name": {"any_": [ahead.LIST]}}}).json())


@contextmanager
def campaign_at(speed: float, per_minute: int, workers: int) -> Iterator[Campaign]:
    """A sandbox whose Notion allows so much, with the reader at work, as in production."""
    box = boot("flows")
    try:
        settings = {"HUBLAB_WORKERS": str(workers), "HUBLAB_NOTION_LAG_SECONDS": "1"}
        running = campaign.start(box, speed=speed, settings=settings, notion_per_minute=per_minute)
        wait_for(lambda: looked(running), "the reader's first look", LONGEST, every=1)
        yield running
    finally:
        if not os.environ.get("HUBLAB_KEEP_SANDBOX"):
            box.down()


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signups", type=int, default=20)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--notion", default="600,180")
    asked = parser.parse_args()
    found = {}
    for limit in asked.notion.split(","):
        with campaign_at(AT_ONCE, int(limit), asked.workers) as running:
            measure(running, 1)  # what is learnt once and kept for all is learnt here
            found[limit] = measure(running, asked.signups)
    results.write("flows_workers", table(found, asked.signups), found)


if __name__ == "__main__":
    main()
