"""The mail of a step, frozen at Prefect before the first try, and what became of it.

Resend answers 409 to the same idempotency key with another payload, and a template may be edited between two tries. So
one payload is kept for a step, where every worker on every host finds it, and is sent again as it is. Which one, the
variable `mail-<enrolment>-<step>` decides: its name is unique at Prefect, and who creates it is the first. The payload
itself is too large for a variable and lies in an artifact that the variable names. Once the mail is accepted, the
variable has its id, which outlives Resend's 24 hours, and the content is dropped. Each try writes an artifact of its
own, and nobody removes another's before the mail is accepted: so a name leads to its content.

An hour later the id goes to an artifact and the variable goes (`archive`): Prefect's server reads all variables for
each run that is asked of a deployment, which takes 40 ms more for each thousand of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import batched
from typing import TYPE_CHECKING, Any

from flows.services.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from flows.services.prefect_api import Artifact, Prefect

KIND = "hublab-mail"
# In content that is a mail's once its variable names it; an earlier release knew a mail by the artifact alone.
BY_NAME = "by_name"
# For so long an accepted mail is known by its variable. A try that has read no variable and claims the name knows what
# was kept meanwhile, if it took less; one that took longer than `SLOW` looks again.
ARCHIVED_AFTER = timedelta(hours=1)
SLOW = timedelta(minutes=10)
BATCH = 50
TRIES = 3  # others would have to let go of a mail each time in the same instant


class LetGoError(UnavailableError):
    """Another try has let go of a mail that this one has not begun to send: the run begins anew."""


class ContentGoneError(LookupError):
    """A mail's content is gone, and whether it went out is not written down; `artifact` is where it was."""

    def __init__(self, enrolment: str, step: int, artifact: str) -> None:
        """Names the mail, and the command for when it did not go out."""
        self.artifact = artifact
        super().__init__(
            f"{place(enrolment, step)}: the frozen mail's content is not at Prefect any more; look for it at Resend; "
            f"`./hublab campaign forget {enrolment}:{step}` if it did not go out"
        )


def place(enrolment: str, step: int) -> str:
    """The name under which the mail of a step is kept."""
    return f"mail-{enrolment}-{step}"


@dataclass
class FrozenMail:
    """One step's mail: its `payload` until Resend has it, then `accepted` (Resend's id) and `accepted_at`.

    `mine` says that this very try has frozen it: nobody can have sent it before. `left` are ids of artifacts that tries
    before it left, which were killed before they could claim the name; `earlier` those of them that were the mail
    itself to an earlier release.
    """

    name: str
    payload: dict[str, Any]
    frozen_at: datetime
    accepted: str | None = None
    accepted_at: datetime | None = None
    artifact: str | None = None
    left: tuple[str, ...] = ()
    earlier: tuple[str, ...] = ()
    mine: bool = field(default=False, compare=False)

    def record(self, prefect: Prefect, email_id: str, when: datetime) -> None:
        """Write down that Resend has the mail, and drop its content."""
        self.accepted, self.accepted_at = email_id, when
        known = {"frozen_at": self.frozen_at.isoformat(), "accepted": email_id, "accepted_at": when.isoformat()}
        prefect.remember(self.name, known, tags=(KIND,))
        self._empty(prefect, self.left)

    def drop(self, prefect: Prefect) -> None:
        """Forget the mail: only where it is known not to have gone out."""
        prefect.forget(self.name)
        self._empty(prefect, self.earlier)

    def _empty(self, prefect: Prefect, beside: Iterable[str]) -> None:
        for one in (self.artifact, *beside):
            if one is not None:
                prefect.drop(one)

    def follow(self, kept: Mapping[str, Any] | None, *, sending: bool) -> None:
        """Take over what others have made of the mail since.

        Args:
            kept: its variable, as it was just read.
            sending: this try may have sent it already.

        Raises:
            LetGoError: another has let go of it, and this try has not begun to send.
        """
        if kept and kept.get("accepted"):
            self.accepted, self.accepted_at = str(kept["accepted"]), _instant(kept["accepted_at"])
        elif not sending and (kept or {}).get("artifact") != self.artifact:
            raise LetGoError(f"{self.name}: another try has let go of this mail; nothing of it has been sent")


def thaw(
    prefect: Prefect,
    enrolment: str,
    step: int,
    *,
    read: Mapping[str, Any] | None = None,
    late: bool = True,
) -> FrozenMail | None:
    """The frozen mail of a step, if there is one.

    Args:
        prefect: where it is kept.
        enrolment: the enrolment's key.
        step: the mail's number.
        read: variables that were read just now.
        late: it may have been accepted so long ago that it is in the archive.

    Raises:
        ContentGoneError: as it says.
    """
    name = place(enrolment, step)
    for number in range(2):  # whoever has it accepted meanwhile writes that first, and drops the content then
        kept = read[name] if read and name in read and not number else prefect.variable(name)
        if kept is None:
            return archived(prefect, [name]).get(name) if late else None
        if kept.get("accepted"):
            return _accepted(name, kept)
        artifact = prefect.artifact_of(kept["artifact"])
        if artifact is not None:
            return _kept(name, artifact, kept)
    raise ContentGoneError(enrolment, step, kept["artifact"])


def archived(prefect: Prefect, names: list[str]) -> dict[str, FrozenMail]:
    """Those of these mails that were accepted so long ago that no variable knows them."""
    found = prefect.artifacts(names)
    return {name: _accepted(name, one.data) for name in names for one in found[name] if one.data.get("accepted")}


def kept(prefect: Prefect, names: Iterable[str]) -> dict[str, tuple[datetime, datetime | None]]:
    """Of these mails those that were frozen: since when, and when Resend accepted it, where that is known."""
    found: dict[str, tuple[datetime, datetime | None]] = {}
    for some in batched(names, BATCH):
        for name, value in prefect.variables(list(some)).items():
            accepted = _instant(value["accepted_at"]) if value.get("accepted") else None
            found[name] = _instant(value["frozen_at"]), accepted
        for name, one in archived(prefect, list(some)).items():
            found[name] = one.frozen_at, one.accepted_at
    return found


def archive(prefect: Prefect, now: datetime, ends: Callable[[], bool] = lambda: False) -> int:
    """Have an artifact, and no variable any more, say that a mail was accepted; how many it was done for.

    Stopped at any point and run again, by two at once as well, each is known by one of them at least.

    Args:
        prefect: where they are kept.
        now: by Prefect's clock.
        ends: asked between two batches whether to stop; may take its time, so that the server is not kept busy.
    """
    kept = ((name, value) for name, value in prefect.tagged(KIND) if value.get("accepted"))
    old = {name: value for name, value in kept if now - _instant(value["accepted_at"]) > ARCHIVED_AFTER}
    count = 0
    for names in batched(old, BATCH):
        if count and ends():
            break
        left = prefect.variables(list(names))  # of whom was erased since, nothing is kept
        there = archived(prefect, list(left))
        for name in left:
            if name not in there:
                prefect.keep(name, KIND, old[name])
            prefect.forget(name)
        count += len(left)
    return count


def freeze(  # noqa: PLR0913 - what a mail is kept by
    prefect: Prefect,
    enrolment: str,
    step: int,
    payload: dict[str, Any],
    run: str | None,
    left: Iterable[Artifact],
    since: datetime,
) -> FrozenMail:
    """Keep a step's mail; of two tries at once, both get the one that was kept first, and what became of it.

    `left` are the artifacts of the mail's name, as they were read after `since`. Nobody has sent what is in them: their
    tries were killed before they could claim the name, or are about to. But what an earlier release kept there was the
    mail itself, and may have been sent: the same bytes are kept on. What is in the archive was sent.

    Raises:
        ContentGoneError: what another try has kept has no content.
        LookupError: it was let go of again and again.
    """
    name = place(enrolment, step)
    data: dict[str, Any] = {"frozen_at": prefect.now().isoformat(), "payload": payload}
    others = list(left)
    # What was accepted before all else.
    earlier = sorted((one for one in others if not one.data.get(BY_NAME)), key=lambda one: not one.data.get("accepted"))
    if earlier:
        data = earlier[0].data | {"frozen_at": _since(earlier[0].data, earlier[0]).isoformat()}
    ids = {"left": [one.id for one in others], "earlier": [one.id for one in earlier]}
    if data.get("accepted"):
        return _accepted(name, data)
    for number in range(TRIES):
        artifact = prefect.keep(name, KIND, data | {BY_NAME: True}, run=run)
        value = {"frozen_at": data["frozen_at"], "artifact": artifact.id} | ids
        if prefect.claim(name, value, tags=(KIND,)):
            mine = _kept(name, artifact, value)
            mine.mine = number == 0 and not earlier
            if prefect.now() - since > SLOW and (done := archived(prefect, [name]).get(name)):
                mine.record(prefect, str(done.accepted), done.accepted_at or done.frozen_at)
            return mine
        found = thaw(prefect, enrolment, step)
        if found is None or found.artifact != artifact.id:  # else the answer to the claim was lost
            prefect.drop(artifact.id)
        if found is not None:
            return found
    raise LookupError(f"{name}: other tries of this mail have let go of it {TRIES} times; run this again")


def _kept(name: str, artifact: Artifact, value: Mapping[str, Any]) -> FrozenMail:
    left, earlier = (tuple(value.get(which, ())) for which in ("left", "earlier"))
    payload, since = artifact.data["payload"], _since(value, artifact)
    return FrozenMail(name, payload, since, artifact=artifact.id, left=left, earlier=earlier)


def _since(value: Mapping[str, Any], artifact: Artifact) -> datetime:
    """By whichever clock it is longer ago: an earlier release went by a host's, which may have been ahead."""
    return min(_instant(value["frozen_at"]), artifact.created)


def _accepted(name: str, kept: dict[str, Any]) -> FrozenMail:
    return FrozenMail(name, {}, _instant(kept["frozen_at"]), str(kept["accepted"]), _instant(kept["accepted_at"]))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
