"""What Coolify keeps nothing of: the lock of an application, the rollout that has not ended, and its history.

They are variables at the Prefect server, whose names are unique there: of two who take a lock one gets it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from deploy.coolify.state import Before, Kept, Progress
from deploy.onhost.prefect_api import ApiError
from deploy.onhost.record import Line

if TYPE_CHECKING:
    from deploy.coolify.prefect import Prefect
    from deploy.onhost.lock import Owner

LEASE_SECONDS = 120.0
CONFLICT, NOT_FOUND = 409, 404
# A variable holds 5,000 characters.
MOST_BYTES = 4_500
MOST_KEPT = 4
PREFIX = "hublab"


class LockError(RuntimeError):
    """The lock is somebody else's; the message says whose."""


@dataclass(frozen=True)
class Lock:
    """Who holds an application. Its id is what makes it this lock: one that was taken over has another."""

    id: str
    who: str
    what: str
    since: str
    token: str
    age: float

    @property
    def orphaned(self) -> bool:
        """Whether its holder has stopped refreshing it."""
        return self.age > LEASE_SECONDS

    @property
    def words(self) -> str:
        """Who, since when, for what."""
        return f"locked by {self.who} since {self.since} for {self.what} (last sign of life {self.age:.0f} s ago)"


@dataclass(frozen=True)
class Variable:
    """One variable at Prefect, and when it was last written."""

    id: str
    value: Any
    updated: datetime


def _known[Entry: (Before, Kept)](kind: type[Entry], raw: dict[str, Any]) -> Entry:
    """What is kept at Prefect; what a release to come writes beside it is left out."""
    names = {one.name for one in fields(kind)}
    return kind(**{name: value for name, value in raw.items() if name in names})


class Ledger:
    """The variables of one application. Every call raises OSError where Prefect does not answer."""

    def __init__(self, prefect: Prefect, uuid: str) -> None:
        self._prefect, self._uuid = prefect, uuid
        self._held, self._value = "", dict[str, str]()

    def _name(self, what: str) -> str:
        return f"{PREFIX}_{what}_{self._uuid.replace('-', '_')}"

    def _get(self, what: str) -> Variable | None:
        found = self._prefect.find(f"/variables/name/{self._name(what)}")
        return Variable(str(found["id"]), found["value"], datetime.fromisoformat(found["updated"])) if found else None

    def _put(self, what: str, value: Any) -> None:
        """Sets a variable that only the holder of the lock writes."""
        found = self._get(what)
        if found:
            self._prefect.ask(f"/variables/{found.id}", {"value": value}, "PATCH")
        else:
            self._prefect.ask("/variables/", {"name": self._name(what), "value": value, "tags": [PREFIX]})

    def _drop(self, what: str) -> None:
        if found := self._get(what):
            self._delete(found.id)

    def _delete(self, identity: str) -> bool:
        """Whether it was this call that removed it."""
        try:
            self._prefect.ask(f"/variables/{identity}", None, "DELETE")
        except ApiError as error:
            if error.status == NOT_FOUND:
                return False
            raise
        return True

    # -- the lock ----------------------------------------------------------------------------------------------

    def lock(self) -> Lock | None:
        """Who holds it; None when nobody does."""
        found = self._get("lock")
        if found is None:
            return None
        value = found.value if isinstance(found.value, dict) else {}
        age = self._prefect.now() - found.updated
        told = {key: str(value.get(key, "unknown")) for key in ("who", "what", "since", "token")}
        return Lock(found.id, **told, age=max(age.total_seconds(), 0.0))

    def take(self, token: str, owner: Owner) -> str:
        """Takes the lock; an orphan's is taken over, and its words are returned.

        Raises:
            LockError: somebody else holds it.
        """
        taken = ""
        if (held := self.lock()) and (held.orphaned or held.token == token) and self._delete(held.id):
            taken = "" if held.token == token else held.words
        since = self._prefect.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        value = {"who": owner.who, "what": owner.what, "token": token, "since": since}
        body = {"name": self._name("lock"), "value": value, "tags": [PREFIX]}
        try:
            self._held = str(self._prefect.ask("/variables/", body)["id"])
        except ApiError as error:
            if error.status != CONFLICT:
                raise
            found = self.lock()
            if found is None or found.token != token:
                raise LockError(
                    found.words if found else "another deploy has taken the lock in the same moment"
                ) from None
            self._held = found.id
        self._value = value
        return taken

    def refresh(self) -> None:
        """A sign of life, and the question whether the lock is still ours.

        Raises:
            LockError: it is not.
        """
        if not self._held:
            raise LockError("the lock is not held")
        try:
            self._prefect.ask(f"/variables/{self._held}", {"value": self._value}, "PATCH")
        except ApiError as error:
            if error.status != NOT_FOUND:
                raise
            self._held, found = "", self.lock()
            raise LockError(f"the lock is no longer ours: {found.words if found else 'it was removed'}") from None

    def release(self) -> None:
        """Gives the lock back, if it is ours."""
        held, self._held = self._held, ""
        if held:
            self._delete(held)

    def unlock(self) -> str:
        """Removes it, whoever holds it, and says who that was."""
        held = self.lock()
        if held is None:
            return "was not locked"
        self._delete(held.id)
        return f"was {held.words}; it is free now"

    # -- the rollout that has not ended ------------------------------------------------------------------------

    def before(self) -> Before | None:
        """What the application was before it; None when none is open."""
        found = self._get("rollout")
        return _known(Before, found.value) if found else None

    def open(self, before: Before) -> None:
        """Notes what was, before anything is changed; and, again, which deployment is under way."""
        self._put("rollout", asdict(before))

    def close(self) -> None:
        """The rollout has ended."""
        self._drop("rollout")

    def adoption(self) -> Progress:
        """How far the adoption of this application has come."""
        found = self._get("adoption")
        value = found.value if found else {}
        return Progress(value.get("new", ""), tuple(value.get("paused", ())), value.get("name", ""))

    def note_adoption(self, progress: Progress) -> None:
        """Notes it."""
        self._put("adoption", asdict(progress))

    # -- what has served, and the history ----------------------------------------------------------------------

    def kept(self) -> tuple[Kept, ...]:
        """What has served, the latest first."""
        found = self._get("kept")
        return tuple(_known(Kept, item) for item in found.value) if found else ()

    def keep(self, served: Kept) -> None:
        """Adds what serves now."""
        others = [asdict(item) for item in self.kept() if item.source != served.source]
        self._put("kept", [asdict(served), *others][:MOST_KEPT])

    def history(self) -> tuple[Line, ...]:
        """Who deployed what and how it ended, the oldest first."""
        found = self._get("history")
        return tuple(Line.of(line) for line in found.value) if found else ()

    def add(self, line: Line) -> None:
        """Adds a line; the oldest go where a variable would grow too large."""
        lines = [one.kept() for one in (*self.history(), line)]
        while len(lines) > 1 and len(json.dumps(lines)) > MOST_BYTES:
            lines.pop(0)
        self._put("history", lines)

    def now(self) -> str:
        """The server's time, for a line."""
        return self._prefect.now().strftime("%Y-%m-%dT%H:%M:%SZ")
