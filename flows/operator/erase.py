"""`python -m flows.operator.erase ADDRESS`: what is kept of one person at Prefect and in Notion is removed.

Of the person: of every address of the mailbox, with another `+tag`, case or dots. First nothing more may go to any of
them, and that alone stays, as a digest. Run again it removes what is left.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.campaigns.clock import instant
from flows.campaigns.model import MAX_STEPS, normalised, sequences
from flows.operator import server
from flows.operator.cutover.fates import STALE
from flows.recipients import confirmation, contact, edits, suppression
from flows.recipients.mailbox import mailbox
from flows.sending.frozen import place
from flows.services import notion_schema as schema
from flows.services.clients import notion_client
from flows.services.prefect_api import MAIL_FLOW, Prefect
from flows.services.words import counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flows.services.notion_gateway import NotionGateway

PAGES = (schema.SEQUENCE, schema.CONTACTS, schema.PROJECTS, schema.ANALYTICS)
IN_HAND = frozenset({"RUNNING", "PENDING", "CANCELLING"})
AGAIN = "in a worker's hands, to stop by themselves; run this again in a few minutes"
LEFT = "Not reached from here: Resend's own list of mails, the calendar's bookings, and Notion's trash (30 days)."


@dataclass
class Erased:
    """How much went: by name of a database or a kind of thing; `busy` runs could not be removed yet.

    `addresses`: all writings of the mailbox that were found, beside the one that was given.
    """

    counts: dict[str, int] = field(default_factory=dict)
    busy: int = 0
    addresses: set[str] = field(default_factory=set)


def erase(email: str) -> Erased:
    """Remove a person. Raises NotionError, and what Prefect's client raises; safe to run again."""
    done, wanted = Erased(), normalised(email)
    with Prefect() as prefect, notion_client(prefect, prefect.settings()) as notion:
        # What Resend and the calendar tell later of mails and calls from before is not kept either.
        suppression.erase(prefect, wanted, datetime.now(UTC).isoformat())
        pages = {block: contact.of_mailbox(notion, block, wanted) for block in PAGES}
        runs = list(_named(prefect, mailbox(wanted)))
        written = {normalised(str(schema.read(page, "Email"))) for found in pages.values() for page in found}
        written |= {said for said, _ in runs}
        keys = {one.key(address) for one in sequences().values() for address in written | {wanted}}
        keys |= {str(schema.read(page, "Enrolment Key") or "") for page in pages[schema.SEQUENCE]}
        keys |= {str(_part(run, "enrolment").get("key") or "") for _, run in runs}
        # The runs first: they know the keys no more than the records do, and the records go last.
        for key in sorted(keys - {""}):
            _runs(prefect, key, done)
            _mails(prefect, key, done)
            prefect.forget(confirmation.variable(key))
        for _, run in _named(prefect, mailbox(wanted)):
            _remove(prefect, run, done)
        for name in (suppression.booking_name(wanted), edits.booked_name(wanted)):
            prefect.forget(name)
        if not done.busy:
            _pages(notion, pages, done)
        done.addresses = written - {wanted}
    return done


def _named(prefect: Prefect, box: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The runs whose parameters name an address of a mailbox, with the address.

    Beside ours they are the website's calls, and what the production before has scheduled, taken over or not.
    """
    flows = [MAIL_FLOW, *{one.handler for one in sequences().values()}]
    for run in list(prefect.pages("/flow_runs/filter", {"flows": {"name": {"any_": flows}}})):
        parts = (run.get("parameters") or {}, _part(run, "payload"), _part(run, "enrolment"))
        said = next((str(one["email"]) for one in parts if one.get("email")), "")
        if said and mailbox(said) == box:
            yield normalised(said), run


def _part(run: dict[str, Any], name: str) -> dict[str, Any]:
    found = (run.get("parameters") or {}).get(name)
    return found if isinstance(found, dict) else {}


def _runs(prefect: Prefect, key: str, done: Erased) -> None:
    ours = [key, *(f"{key}:{step}" for step in range(1, MAX_STEPS + 1))]
    for condition in ({"tags": {"all_": [f"enrolment:{key}"]}}, {"idempotency_key": {"any_": ours}}):
        for run in list(prefect.pages("/flow_runs/filter", {"flow_runs": condition})):
            _remove(prefect, run, done)


def _remove(prefect: Prefect, run: dict[str, Any], done: Erased) -> None:
    state = run.get("state") or {}
    # Whose worker has been gone for long stops by nobody's hand.
    if run["state_type"] in IN_HAND and datetime.now(UTC) - instant(state["timestamp"]) < STALE:
        done.busy += 1
        return
    prefect.client.request("DELETE", "/flow_runs/{id}", path_params={"id": run["id"]})
    _count(done, "flow runs")


def _mails(prefect: Prefect, key: str, done: Erased) -> None:
    for step in range(1, MAX_STEPS + 1):
        name = place(key, step)
        while (kept := prefect.artifact(name)) is not None:
            prefect.drop(kept.id)
            _count(done, "mails kept")
        prefect.forget(name)


def _pages(notion: NotionGateway, pages: dict[str, list[dict[str, Any]]], done: Erased) -> None:
    for block, found in pages.items():
        for page in found:
            notion.trash(page["id"])
            _count(done, f"pages of {schema.TITLES[block]}")


def _count(done: Erased, what: str) -> None:
    done.counts[what] = done.counts.get(what, 0) + 1


@server.needed
def main(arguments: list[str] | None = None) -> int:
    """Remove a person, and say what went; 1 while something is left."""
    parser = argparse.ArgumentParser(prog="python -m flows.operator.erase", description=__doc__)
    parser.add_argument("email")
    email = normalised(parser.parse_args(arguments).email)
    done = erase(email)
    also = f", nor to {', '.join(sorted(done.addresses))}, which are of the same mailbox" if done.addresses else ""
    what = ", ".join(f"{count} {name}" for name, count in done.counts.items()) or "nothing yet"
    said = f"nothing more goes to this address{also}; removed: {what}"
    if not (done.counts or done.busy):
        undo = f"mistyped? `./hublab campaign allow {email}` undoes that"
        said = f"nobody has this address, so nothing was removed; it is suppressed from now on ({undo})"
    sys.stdout.write(f"{said}\n{LEFT}\n")
    if done.busy:
        sys.stderr.write(f"{counted(done.busy, 'run is', 'runs are')} {AGAIN}\n")
    return 1 if done.busy else 0


if __name__ == "__main__":
    sys.exit(main())
