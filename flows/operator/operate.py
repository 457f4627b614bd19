"""What an operator does to a running campaign: `pause`, `resume`, `stop` and `allow ADDRESS`, `forget KEY:STEP`."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx
from prefect.client.schemas.filters import WorkPoolFilter, WorkPoolFilterName

from flows.campaigns.model import sequences
from flows.operator import register, server
from flows.recipients import contact, suppression
from flows.sending.frozen import ContentGoneError, place, thaw
from flows.services import notion_schema as schema
from flows.services.clients import NOTION, notion_client, resend_client
from flows.services.errors import NotionError, ResendFailedError
from flows.services.prefect_api import Prefect
from flows.services.settings import PAUSED, MissingSettingError
from flows.services.words import env_file

if TYPE_CHECKING:
    from collections.abc import Callable

COMPLAINED = "Complained"
AGREED = "allow"  # the word that is asked for


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


class NotAgreedError(Exception):
    """Nobody has said that an address may get mail again."""


class ComplainedError(NotAgreedError):
    """An address that has called a mail spam, and nobody has said that it is to get mail all the same."""

    def __init__(self, email: str) -> None:
        """Names the address, and what to say."""
        super().__init__(
            f"{email}: this address has called a mail of yours spam, and nothing is lifted: another one may cost you "
            "the trust of its mailbox provider. Has the person asked for mail since, in words that you keep: the same "
            "again with --complained"
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

    Only for a mail that has not gone out: Resend is asked, unless its content is gone and only a person can tell.

    Raises:
        NothingThereError: no mail is kept under the key, or Resend has it; says what to do.
        ResendFailedError, MissingSettingError: Resend could not be asked.
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
        if sent := resend_client(prefect, prefect.settings()).find(kept.payload, kept.frozen_at):
            raise NothingThereError(
                f"{key}: Resend has accepted this mail ({sent}), which nobody has written down; it is not forgotten: "
                "the next try finds it there (`./hublab campaign retry-failed` where its run has failed)"
            )
        kept.drop(prefect)


def stop(email: str) -> str:
    """Let nothing more go to an address, of any kind; what was done."""
    with Prefect() as prefect:
        suppression.record(prefect, email, "Cancelled", datetime.now(UTC).isoformat(), "operator")
    return "nothing more goes to this address; `./hublab campaign allow` undoes it"


def allow(email: str, *, complained: bool = False, agreed: Callable[[str], bool] = lambda _: True) -> str:
    """Lift every cause that is recorded for an address, once somebody agrees to what that does; what was done.

    Nothing is lifted while a contact of its mailbox says in Notion that it has left: the next look would undo it.

    Args:
        email: one address of the mailbox.
        complained: also where the address has called a mail spam.
        agreed: shown what would be done, says whether to do it.

    Raises:
        NotAgreedError: somebody did not agree; ComplainedError, where the address has complained.
        StillSaidError: so it is; names the pages, the property and what to do.
        UnreadableRecordError: whether it is so, cannot be read.
        NotionError: Notion could not be asked.
    """
    campaigns = sorted({campaign for campaign, _ in sequences()})
    with Prefect() as prefect:
        causes = suppression.causes(prefect, email, *map(suppression.customer, campaigns))
        if COMPLAINED in causes and not complained:
            raise ComplainedError(email)
        with notion_client(prefect, prefect.settings(*NOTION)) as notion:
            found = contact.of_mailbox(notion, schema.CONTACTS, email)
            now = [page for one in found if (page := contact.page_of(notion, one["id"])) is not None]
            if saying := [page for page in now if contact.has_left(page)]:
                place = notion.mapping.place(schema.CONTACTS, contact.STATUS)
                raise StillSaidError(place.name if place is not None else contact.STATUS, saying)
        would = (
            f"{email}: lifts {', '.join(causes)}, for every writing of the mailbox. Notion stays as it is: no contact "
            "of it says there that it has left"
        )
        if causes and not agreed(would):
            raise NotAgreedError(f"nothing is lifted: {AGREED!r} was not said; without a terminal, --yes says it")
        suppression.lift(prefect, email, causes)
    skipped = "`./hublab campaign retry-failed --customers` sends what of it customers must get"
    return f"lifted: {', '.join(causes) or 'nothing was recorded'}; what was skipped meanwhile stays so: {skipped}"


def _asked(would: str) -> bool:
    """Whether a person at the terminal agrees; where there is none, nobody does."""
    sys.stderr.write(f"{would}.\n")
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"Type {AGREED} to do it: ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() == AGREED


PROBLEMS = (
    *(NothingThereError, StillSaidError, NotAgreedError, MissingSettingError),
    *(contact.UnreadableRecordError, suppression.SuppressionUnreadableError, NotionError, ResendFailedError),
)


@server.needed
def main(arguments: list[str] | None = None) -> int:
    """Do it, and say what was done; 1 when it cannot be done."""
    parser = argparse.ArgumentParser(prog="python -m flows.operator.operate", description=__doc__)
    parser.add_argument("--pool", help="the work pool of the workers (HUBLAB_WORK_POOL)")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("pause", help="stop all sends")
    verbs.add_parser("resume", help="continue all sends")
    verbs.add_parser("forget", help="a mail known not to have gone out").add_argument("key")
    verbs.add_parser("stop", help="send nothing more to an address").add_argument("email")
    allows = verbs.add_parser("allow", help="lift what is recorded for an address")
    allows.add_argument("email")
    allows.add_argument("--complained", action="store_true", help="also where it has called a mail spam")
    allows.add_argument("--yes", action="store_true", help="do not ask")
    asked = parser.parse_args(arguments)
    try:
        if asked.verb == "forget":
            forget(asked.key)
            again = "`./hublab campaign retry-failed` where its run has failed"
            done = f"forgotten: {asked.key}; the next try makes it anew: {again}"
        elif asked.verb == "stop":
            done = stop(asked.email)
        elif asked.verb == "allow":
            agreed = (lambda _: True) if asked.yes else _asked
            done = allow(asked.email, complained=asked.complained, agreed=agreed)
        else:
            queue, others = pause(asked.pool, paused=asked.verb == "pause")
            state = "paused; every run in it waits, none is lost" if asked.verb == "pause" else "running again"
            done = f"queue {queue!r} is {state}"
            if others:
                remedy = (
                    f"a queue of the campaign's own (HUBLAB_CAMPAIGN_QUEUE in {env_file()}, "
                    "`./hublab campaign secrets`, `./hublab campaign register`)"
                )
                done += f"; with it {', '.join(others)}, not the campaign's: {remedy} spares them"
    except PROBLEMS as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    sys.stdout.write(f"{done}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
