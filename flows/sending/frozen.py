"""The mail of a step, frozen at Prefect before the first try, and what became of it.

Resend answers 409 to the same idempotency key with another payload, and a template may be edited between two tries. So
one payload is kept for a step, where every worker on every host finds it, and is sent again as it is. Which one, the
variable `mail-<enrolment>-<step>` decides: its name is unique at Prefect, and who creates it is the first. The payload
itself is too large for a variable and lies in an artifact that the variable names. Once the mail is accepted, the
variable has its id, which outlives Resend's 24 hours, and the content is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flows.services.prefect_api import Artifact, Prefect

KIND = "hublab-mail"
TRIES = 3  # others would have to let go of a mail each time in the same instant


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

    `mine` says that this very try has frozen it: nobody can have sent it before.
    """

    name: str
    payload: dict[str, Any]
    frozen_at: datetime
    accepted: str | None = None
    accepted_at: datetime | None = None
    artifact: Artifact | None = None
    mine: bool = field(default=False, compare=False)

    def record(self, prefect: Prefect, email_id: str, when: datetime) -> None:
        """Write down that Resend has the mail, and drop its content."""
        self.accepted, self.accepted_at = email_id, when
        known = {"frozen_at": self.frozen_at.isoformat(), "accepted": email_id, "accepted_at": when.isoformat()}
        prefect.remember(self.name, known, tags=(KIND,))
        self._empty(prefect)

    def drop(self, prefect: Prefect) -> None:
        """Forget the mail: only where it is known not to have gone out."""
        prefect.forget(self.name)
        self._empty(prefect)

    def _empty(self, prefect: Prefect) -> None:
        if self.artifact is not None:
            prefect.drop(self.artifact)


def thaw(
    prefect: Prefect,
    enrolment: str,
    step: int,
    *,
    read: Mapping[str, Any] | None = None,
) -> FrozenMail | None:
    """The frozen mail of a step, if there is one.

    Args:
        prefect: where it is kept.
        enrolment: the enrolment's key.
        step: the mail's number.
        read: variables that were read just now.

    Raises:
        ContentGoneError: as it says.
    """
    name = place(enrolment, step)
    for number in range(2):  # whoever has it accepted meanwhile writes that first, and drops the content then
        kept = read[name] if read and name in read and not number else prefect.variable(name)
        if kept is None:
            return None
        if kept.get("accepted"):
            return _accepted(name, kept)
        artifact = prefect.artifact_of(kept["artifact"])
        if artifact is not None:
            # By whichever clock it is longer ago: an earlier release went by a host's, which may have been ahead.
            since = min(_instant(kept["frozen_at"]), artifact.created)
            return FrozenMail(name, artifact.data["payload"], since, artifact=artifact)
    raise ContentGoneError(enrolment, step, kept["artifact"])


def freeze(  # noqa: PLR0913 - what a mail is kept by
    prefect: Prefect, enrolment: str, step: int, payload: dict[str, Any], run: str | None, left: Artifact | None
) -> FrozenMail:
    """Keep a step's mail; of two tries at once, both get the one that was kept first, and what became of it.

    `left` is the artifact of the mail's name, as it was just read: a try that was killed before it could claim the name
    has left its content; so has an earlier release.

    Another try may be refused meanwhile, and let go of what this one has found: then the same content is kept anew, for
    whoever read it before may be sending it.

    Raises:
        ContentGoneError: what another try has kept has no content.
        LookupError: it was let go of again and again.
    """
    name = place(enrolment, step)
    artifact = left
    data: dict[str, Any] = left.data if left else {"frozen_at": prefect.now().isoformat(), "payload": payload}
    value = {key: data[key] for key in ("frozen_at", "accepted", "accepted_at") if data.get(key)}
    for number in range(TRIES):
        artifact = artifact or prefect.keep(name, KIND, data, run=run)
        first = prefect.claim(name, value | {"artifact": artifact.id}, tags=(KIND,))
        try:
            found = thaw(prefect, enrolment, step)
        except ContentGoneError as gone:
            if gone.artifact != artifact.id:
                raise
            prefect.forget(name)
            found = None
        if found is not None:
            if found.artifact is None or found.artifact.id != artifact.id:
                prefect.drop(artifact)
            found.mine = first and left is None and number == 0
            return found
        artifact = None
    raise LookupError(f"{name}: other tries of this mail have let go of it {TRIES} times; run this again")


def _accepted(name: str, kept: dict[str, Any]) -> FrozenMail:
    return FrozenMail(name, {}, _instant(kept["frozen_at"]), str(kept["accepted"]), _instant(kept["accepted_at"]))


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)
