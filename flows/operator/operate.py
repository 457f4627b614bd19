"""What an operator does to a running campaign: `pause`, `resume`, `stop` and `allow ADDRESS`, `forget KEY:STEP`."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import Any

import httpx
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

from flows.campaigns.model import sequences
from flows.operator import register
from flows.recipients import contact, suppression
from flows.sending.frozen import ContentGoneError, place, thaw
from flows.services import notion_schema as schema
from flows.services.clients import NOTION, notion_client
from flows.services.errors import NotionError
from flows.services.prefect_api import Prefect
from flows.services.settings import PAUSED


class NothingThereError(LookupError):
    """The queue or the mail that was named does not exist."""


class StillSaidError(LookupError):
    """Contacts in Notion still say that an address has left."""

    def __init__(self, name: str, pages: list[dict[str, Any]]) -> None:
        """`name` is the property's in the workspace."""
        lines = [
            f"  {schema.read(page, 'Email')}: {name!r} is {schema.read(page, contact.STATUS)!r}, {page.get('url', '')}"
            for page in pages
        ]
        super().__init__(
            "nothing is lifted, for Notion says that this address has left, and the next look would undo it:\n"
            + "\n".join(lines)
            + f"\nchange {name!r} there, then run this again"
        )


def pause(pool: str | None, *, paused: bool) -> tuple[str, list[str]]:
    """Stop or continue all sends: a run that is due waits and none is lost. Who signs up meanwhile is enrolled.

    Their queue is what stops. Runs that wait elsewhere, as those of before the campaign had a queue, find the variable.
    The queue's name, and the deployments in it that are not the campaign's: they stop and continue with it.

    Raises:
        NothingThereError: the pool has no such queue.
    """
    with Prefect() as prefect:
        settings = prefect.settings()
        name, pool = settings.mails_queue, pool or settings.get("HUBLAB_WORK_POOL")
        wanted = WorkPoolFilter(name=WorkPoolFilterName(any_=[pool]))
        if not prefect.client.read_work_pools(work_pool_filter=wanted):
            raise NothingThereError(f"work pool {pool!r} is not at Prefect")
        path = f"/work_pools/{pool}/queues/{name}"
        try:
            prefect.client.request("PATCH", path, json={"is_paused": paused})
        except httpx.HTTPStatusError as error:
            if error.response.status_code != httpx.codes.NOT_FOUND:
                raise
            raise NothingThereError(
                f"the pool {pool!r} has no queue {name!r}: `./hublab campaign register`, then again"
            ) from None
        if paused:
            prefect.remember(PAUSED, {"at": datetime.now(UTC).isoformat()})
        else:
            prefect.forget(PAUSED)
        ours = {register.flow_of(one).name for one in register.ENTRYPOINTS}
        asked = {"sort": "NAME_ASC", "work_pools": {"name": {"any_": [pool]}}}
        each = prefect.pages("/deployments/filter", asked)
        return name, [one["name"] for one in each if one.get("work_queue_name") == name and one["name"] not in ours]


def forget(key: str) -> None:
    """Drop the frozen mail of a step, so that the next run makes and sends a new one.

    Only for a mail that is known not to have gone out. Raises NothingThereError.
    """
    enrolment, _, step = key.rpartition(":")
    with Prefect() as prefect:
        try:
            kept = thaw(prefect, enrolment, int(step)) if step.isdecimal() else None
        except ContentGoneError:
            prefect.forget(place(enrolment, int(step)))
            return
        if kept is None:
            raise NothingThereError(f"{key}: no mail is kept under this key; it looks like christmas-signup-0123…:3")
        if kept.accepted:
            raise NothingThereError(f"{key}: Resend has accepted this mail ({kept.accepted}); it is not forgotten")
        kept.drop(prefect)


def stop(email: str) -> str:
    """Let nothing more go to an address, of any kind; what was done."""
    with Prefect() as prefect:
        suppression.record(prefect, email, "Cancelled", datetime.now(UTC).isoformat(), "operator")
    return "nothing more goes to this address; `operate allow` undoes it"


def allow(email: str) -> str:
    """Lift every cause that is recorded for an address; what was done.

    Nothing is lifted while a contact of its mailbox says in Notion that it has left: the next look would undo it.

    Raises:
        StillSaidError: so it is; names the pages, the property and what to do.
        UnreadableRecordError: whether it is so, cannot be read.
        NotionError: Notion could not be asked.
    """
    with Prefect() as prefect:
        with notion_client(prefect, prefect.settings(*NOTION)) as notion:
            found = contact.of_mailbox(notion, schema.CONTACTS, email)
            now = [page for one in found if (page := contact.page_of(notion, one["id"])) is not None]
            if saying := [page for page in now if contact.has_left(page)]:
                place = notion.mapping.place(schema.CONTACTS, contact.STATUS)
                raise StillSaidError(place.name if place is not None else contact.STATUS, saying)
        campaigns = {campaign for campaign, _ in sequences()}
        lifted = suppression.lift(prefect, email, *map(suppression.customer, sorted(campaigns)))
    return f"lifted: {', '.join(lifted) or 'nothing was recorded'}"


def main(arguments: list[str] | None = None) -> int:
    """Do it, and say what was done; 1 when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m flows.operator.operate", description=__doc__)
    parser.add_argument("--pool", help="the work pool of the workers (HUBLAB_WORK_POOL)")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("pause", help="stop all sends")
    verbs.add_parser("resume", help="continue all sends")
    verbs.add_parser("forget", help="a mail known not to have gone out").add_argument("key")
    for verb, what in (("stop", "send nothing more to an address"), ("allow", "lift what is recorded for an address")):
        verbs.add_parser(verb, help=what).add_argument("email")
    asked = parser.parse_args(arguments)
    try:
        if asked.verb == "forget":
            forget(asked.key)
            done = f"forgotten: {asked.key}; run it again"
        elif asked.verb in {"stop", "allow"}:
            done = stop(asked.email) if asked.verb == "stop" else allow(asked.email)
        else:
            queue, others = pause(asked.pool, paused=asked.verb == "pause")
            state = "paused; every run in it waits, none is lost" if asked.verb == "pause" else "running again"
            done = f"queue {queue!r} is {state}"
            if others:
                remedy = (
                    "a queue of the campaign's own (HUBLAB_CAMPAIGN_QUEUE in .env, "
                    "`./hublab campaign secrets`, `./hublab campaign register`)"
                )
                done += f"; with it {', '.join(others)}, not the campaign's: {remedy} spares them"
    except (NothingThereError, StillSaidError, contact.UnreadableRecordError, NotionError) as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(f"{done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
