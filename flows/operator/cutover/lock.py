"""One take-over at a time, however many operators begin one: a variable at Prefect, which whoever holds it renews.

Each holder has a number of its own, and the highest holds: a name is unique, so of two who come at once one is first.
A number is not used again. So who was away for long and goes on finds that somebody came after, and writes nothing.
"""

from __future__ import annotations

import getpass
import secrets
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import httpx

from flows.campaigns.clock import instant
from flows.operator.cutover.facts import BlockedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flows.services.prefect_api import Prefect

NAME = "hublab-takeover-lock-"
LEASE = timedelta(minutes=2)  # without a sign of life for so long, a holder counts as gone
RENEW = timedelta(seconds=10)


class HeldError(BlockedError):
    """Somebody else is at it; says who, since when, and when this would go on."""


class LostError(Exception):
    """Somebody else came after this one, which had shown no sign of life."""


@dataclass(frozen=True)
class Holder:
    """Who holds the lock, or held it last: `age` is how long ago they gave a sign of life, by the server's clock."""

    number: int
    who: str
    what: str
    since: datetime
    token: str
    released: bool
    age: timedelta

    @property
    def alive(self) -> bool:
        """Whether nobody else may begin."""
        return not self.released and self.age < LEASE

    def __str__(self) -> str:
        """In words."""
        since = f"{self.since:%Y-%m-%d %H:%M:%S} UTC"
        return f"{self.who} has been {self.what} since {since}; last sign of life {_seconds(self.age)} ago"


def holder(prefect: Prefect) -> Holder | None:
    """Whoever holds the lock, or held it last."""
    return max(holders(prefect), key=lambda one: one.number, default=None)


def holders(prefect: Prefect) -> list[Holder]:
    """Whoever holds the lock, and those of before whose variable is still there."""
    asked = {"variables": {"name": {"like_": NAME}}, "limit": 200}
    answer = prefect.client.request("POST", "/variables/filter", json=asked)
    now = parsedate_to_datetime(answer.headers["date"]) if "date" in answer.headers else datetime.now(UTC)
    return [_holder(one, now) for one in answer.json()]


def _holder(variable: dict[str, Any], now: datetime) -> Holder:
    kept = variable["value"]
    return Holder(
        int(variable["name"].removeprefix(NAME)),
        str(kept["who"]),
        str(kept["what"]),
        instant(kept["since"]),
        str(kept["token"]),
        bool(kept["released"]),
        max(now - instant(variable["updated"]), timedelta()),
    )


class Lock:
    """A lock that is held."""

    def __init__(self, prefect: Prefect, number: int, value: dict[str, Any]) -> None:
        """`number` and `value` are those of its variable."""
        self._prefect, self._number, self._value = prefect, number, value
        self._renewed = datetime.now(UTC)

    def hold(self) -> None:
        """Called before each write: shows a sign of life, where the last one is some time ago.

        Raises:
            LostError: somebody else has taken the lock meanwhile.
        """
        now = datetime.now(UTC)
        if now - self._renewed < RENEW:
            return
        there = self._write() and holder(self._prefect)
        if not there or there.token != self._value["token"]:
            came = f": {there}" if there else ""
            raise LostError(f"another came after this one, which gave no sign of life for {_seconds(LEASE)}{came}")
        self._renewed = now

    def release(self) -> None:
        """Let the next one begin at once."""
        self._value["released"] = True
        self._write()

    def _write(self) -> bool:
        return self._prefect.change(f"{NAME}{self._number}", self._value)


@contextmanager
def held(prefect: Prefect, what: str) -> Iterator[Lock]:
    """Hold the lock for the length of a block; `what` is done in it, in words. A kill leaves it until it runs out.

    Raises:
        HeldError: somebody else holds it; LostError: as `Lock.hold`.
    """
    lock = _taken(prefect, what)
    try:
        yield lock
    except (Exception, KeyboardInterrupt):
        with suppress(httpx.HTTPError):  # what went wrong is told, and not this
            lock.release()
        raise
    lock.release()


def _taken(prefect: Prefect, what: str) -> Lock:
    before = holder(prefect)
    if before and before.alive:
        raise HeldError(_told(before))
    number = before.number + 1 if before else 1
    value = {
        "who": f"{getpass.getuser()}@{socket.gethostname()}",
        "what": what,
        "since": datetime.now(UTC).isoformat(),
        "token": secrets.token_hex(8),
        "released": False,
    }
    prefect.claim(f"{NAME}{number}", value)
    # The answer may be lost on its way, and the same asked for again: whose it is, it says itself.
    there = sorted(holders(prefect), key=lambda one: one.number)
    others = [one for one in there if one.token != value["token"]]
    lock = Lock(prefect, number, value)
    if not there or there[-1] in others:
        raise HeldError(_told(there[-1]) if there else "another began and ended at this moment: run it again")
    if back := next((one for one in others if one.alive), None):
        lock.release()  # it was only slow
        raise HeldError(_told(back))
    for one in others:
        prefect.forget(f"{NAME}{one.number}")
    return lock


def _told(one: Holder) -> str:
    left = _seconds(max(LEASE - one.age, timedelta()))
    return f"{one}. Wait for its end; was it killed, run this again in {left}: it goes on where that one stopped"


def _seconds(length: timedelta) -> str:
    return f"{length.total_seconds():.0f} s"
