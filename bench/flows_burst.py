"""Many sign up at once: `python -m bench.flows_burst [--signups 20,200] [--workers 3] [--notion 600]`.

A sandbox (root) as for `bench.flows_workers`, at a sequence's usual pace: of each signup the first mail is due at once.
Up to 20 are posted one after the other, more in ten seconds. Writes how soon all runs of a signup are at Prefect, when
Resend has the last first mail, and what CPU of the host's and of Prefect's server a second of that took.
"""

from __future__ import annotations

import argparse
import statistics
import time
from typing import TYPE_CHECKING, Any

from bench import results
from bench.flows_workers import LONGEST, STEPS, campaign_at, cpu, scheduling
from sandbox.campaign.contacts import address
from sandbox.campaign.mails import accepted_by_place, runs_of
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from sandbox.campaign import Campaign

AT_ONCE, SECONDS = 20, 10.0
PACE = 0.01  # a mail each hundred minutes


def measure(running: Campaign, signups: int) -> dict[str, Any]:
    """Enrol, and wait until Resend has every first mail."""
    used, stamp, began = cpu(running.sandbox), int(time.time()), time.monotonic()
    keys = []
    for number in range(signups):
        if signups > AT_ONCE:
            time.sleep(max(0.0, began + SECONDS * number / signups - time.monotonic()))
        keys.append(running.enrol("signup", address(f"burst-{stamp}-{number}")))
    posted = time.monotonic() - began

    def first_mails() -> bool:
        accepted = accepted_by_place(running.standin("resend")["mails"])
        return all((key, 1) in accepted for key in keys)

    wait_for(first_mails, "every first mail", LONGEST, every=1)
    sent, after = time.monotonic() - began, cpu(running.sandbox)

    def all_runs() -> bool:
        with running.sandbox.api() as api:
            return len(runs_of(api, keys)) == STEPS * signups

    wait_for(all_runs, "all runs", LONGEST, every=2)
    spent = {name: after[name] - used[name] for name in used}
    return {"posted": posted, "sent": sent, "cpu": spent, "scheduled": scheduling(running, keys)}


def told(found: dict[str, Any]) -> list[str]:
    """The figures of one burst. Pure."""
    cuts = statistics.quantiles(found["scheduled"], n=20)
    return [
        f"{found['posted']:.1f} s",
        f"{cuts[9]:.1f} s",
        f"{cuts[18]:.1f} s",
        f"{max(found['scheduled']):.1f} s",
        f"{found['sent']:.0f} s",
        ", ".join(f"{name} {found['cpu'][name] / found['sent']:.0%}" for name in ("host", "server")),
    ]


HEADS = [
    "signups",
    "posted within",
    "scheduled, median",
    "p95",
    "the last",
    "Resend has every first mail after",
    "CPU until then, of a core",
]


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signups", default="20,200")
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--notion", type=int, default=600)
    asked = parser.parse_args()
    found = {}
    with campaign_at(PACE, asked.notion, asked.workers) as running:
        measure(running, 2)  # what is learnt once and kept for all is learnt here
        for signups in map(int, asked.signups.split(",")):
            found[str(signups)] = measure(running, signups)
    results.write("flows_burst", results.Table(HEADS, [[size, *told(one)] for size, one in found.items()]), found)


if __name__ == "__main__":
    main()
