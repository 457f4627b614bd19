"""The mail of a step, frozen at Prefect before the first try, and what became of it.

Resend answers 409 to the same idempotency key with another payload, and a template may be edited between two tries. So
the first try's payload is kept under a key of its own, where every worker on every host finds it, and is sent again as
it is. Once accepted, the content is dropped and the mail's id is kept: the proof that outlives Resend's 24 hours.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flows.services.prefect_api import Artifact, Prefect

KIND = "hublab-mail"


def artifact_key(enrolment: str, step: int) -> str:
    """Where the mail of a step is kept."""
    return f"mail-{enrolment}-{step}"


@dataclass
class FrozenMail:
    """One step's mail: its `payload` until Resend has it, then `accepted` (Resend's id) and `accepted_at`."""

    payload: dict[str, Any]
    frozen_at: datetime
    accepted: str | None
    accepted_at: datetime | None
    _artifact: Artifact

    def record(self, prefect: Prefect, email_id: str, when: datetime) -> None:
        """Write down that Resend has the mail, and drop its content."""
        self.accepted, self.accepted_at = email_id, when
        data = {"frozen_at": self.frozen_at.isoformat(), "accepted": email_id, "accepted_at": when.isoformat()}
        prefect.replace(self._artifact, data)

    def drop(self, prefect: Prefect) -> None:
        """Forget the mail: only where it is known not to have gone out."""
        prefect.drop(self._artifact)


def thaw(prefect: Prefect, enrolment: str, step: int) -> FrozenMail | None:
    """The frozen mail of a step, if an earlier try left one."""
    artifact = prefect.artifact(artifact_key(enrolment, step))
    if artifact is None:
        return None
    data = artifact.data
    accepted_at = data.get("accepted_at")
    return FrozenMail(
        payload=data.get("payload") or {},
        frozen_at=datetime.fromisoformat(data["frozen_at"]),
        accepted=data.get("accepted"),
        accepted_at=datetime.fromisoformat(accepted_at) if accepted_at else None,
        _artifact=artifact,
    )


def freeze(prefect: Prefect, enrolment: str, step: int, payload: dict[str, Any], run: str | None) -> FrozenMail:
    """Keep a step's mail; with two tries at once, both get the one that was kept first."""
    data = {"frozen_at": datetime.now(UTC).isoformat(), "payload": payload}
    prefect.keep(artifact_key(enrolment, step), KIND, data, run=run)
    frozen = thaw(prefect, enrolment, step)
    if frozen is None:
        raise LookupError(f"{artifact_key(enrolment, step)}: Prefect does not show the artifact just written")
    return frozen
