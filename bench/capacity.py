"""What fifty hosts and ten thousand signups an hour need, from measured terms: a table of docs/performance.md. Pure.

On paper: nothing of that size was run. CPU grows with the mails, requests with mails and polls, calls with signups.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

HEADS = ["what", "a mail or signup (measured)", "needed", "where the limit is"]
SIGNUPS_AN_HOUR, MAILS, HOSTS, WORKERS = 10_000, 7, 50, 3
RESEND_A_SECOND = 10
NOTION_A_MINUTE = {"its free and Plus plans": 180, "its Business plan": 600}
_HOUR, _MINUTE = 3600, 60


def rows(results: Mapping[str, dict[str, Any]]) -> Iterator[list[str]]:
    """Each thing that may run out.

    Args:
        results: By the benchmark's name, of those that have been run; nothing is told without those it takes.
    """
    if not {"flows_workers", "prefect_requests", "starts"} <= results.keys():
        return
    raw = results["flows_workers"]["raw"]["600"]
    signups = len(raw["scheduled"])
    mails = SIGNUPS_AN_HOUR * MAILS / _HOUR
    host, server = (raw["cpu"][part] / signups / MAILS for part in ("host", "server"))
    asked, polls = float(results["prefect_requests"]["rows"][0][3]), results["starts"]["raw"]["requests"]
    calls = raw["calls"]["notion"] / signups
    limits = "; ".join(
        f"{limit * _MINUTE / calls:,.0f} signups an hour in {plan}" for plan, limit in NOTION_A_MINUTE.items()
    )
    yield ["calls to Notion", f"{calls:.0f} a signup", f"{SIGNUPS_AN_HOUR * calls / _MINUTE:,.0f} a minute", limits]
    at_resend = f"{RESEND_A_SECOND * _HOUR / MAILS:,.0f} signups an hour at {RESEND_A_SECOND} a second"
    yield ["calls to Resend", "1 a mail", f"{mails:.1f} a second", at_resend]
    yield [
        "CPU of Prefect's server and PostgreSQL",
        f"{server:.2f} s a mail",
        f"{mails * server:.1f} cores",
        f"{_HOUR / MAILS / server:,.0f} signups an hour for each core; one process of the server takes one",
    ]
    yield [
        "requests to Prefect",
        f"{asked:.0f} a mail, {polls:.1f} a second of a worker that waits",
        f"{mails * asked:,.0f} a second, and {HOSTS * WORKERS * polls:.0f} of {HOSTS} hosts' workers",
        "as above",
    ]
    cores = f"{_HOUR / MAILS / host:,.0f} signups an hour for each core"
    yield ["CPU of the worker hosts", f"{host:.2f} s a mail", f"{mails * host:.1f} cores", cores]
