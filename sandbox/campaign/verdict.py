"""What became of every mail: accepted once, recorded once, its delivery written down once. Pure."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from flows.services import notion_schema as schema

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sandbox.campaign.mails import Mail


@dataclass
class Outcome:
    """The count. `lost`, `doubled` and `to_who_left` name mails (key:step), the others say what is wrong in Notion.

    `left`: how many have unsubscribed; `by_hand`: what somebody would have to see to.
    """

    enrolments: int
    mails: int
    accepted: int
    lost: list[str]
    doubled: list[str]
    not_recorded: list[str]
    records_doubled: list[str]
    deliveries_missing: int
    deliveries_doubled: int
    left: int = 0
    to_who_left: list[str] = field(default_factory=list)
    by_hand: list[str] = field(default_factory=list)
    seconds: float = 0.0
    killed: dict[str, int] = field(default_factory=dict)
    spoilt: dict[str, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether every mail went out and is written down once, none to who had left, and nothing is to be done."""
        wrong = (self.lost, self.doubled, self.not_recorded, self.records_doubled, self.to_who_left, self.by_hand)
        return not any(wrong) and not self.deliveries_missing and not self.deliveries_doubled

    def text(self) -> str:
        """The outcome in a few lines."""
        kills = ", ".join(f"{count} x {what}" for what, count in sorted(self.killed.items())) or "none"
        spoilt = ", ".join(f"{count} of {service}" for service, count in sorted(self.spoilt.items())) or "none"
        named = {"lost": self.lost, "doubled": self.doubled, "to who has left": self.to_who_left, "do": self.by_hand}
        return "\n".join(
            [
                f"{self.enrolments} enrolments, {self.mails} mails in {self.seconds / 60:.1f} min",
                f"struck: {kills}; answers spoilt: {spoilt}",
                f"accepted by Resend {self.accepted}: {len(self.lost)} lost, {len(self.doubled)} doubled",
                f"{self.left} unsubscribed: {len(self.to_who_left)} mails to who had left",
                f"left to be done by hand: {len(self.by_hand)}",
                f"records in Notion: {len(self.not_recorded)} missing, {len(self.records_doubled)} doubled",
                f"deliveries in Email Analytics: {self.deliveries_missing} missing, {self.deliveries_doubled} doubled",
                *(f"{what}: {name}" for what, names in named.items() for name in names[:20]),
            ]
        )

    def document(self) -> str:
        """The outcome as JSON."""
        return json.dumps(asdict(self) | {"clean": self.clean}, indent=1) + "\n"


def judge(
    mails: Sequence[Mail],
    keys: Sequence[str],
    records: Iterable[dict[str, Any]],
    analytics: Iterable[dict[str, Any]],
    left: Collection[str] = (),
) -> Outcome:
    """Count.

    Args:
        mails: Every mail that there must be.
        keys: The enrolments.
        records: The pages of Email Sequence.
        analytics: The pages of Email Analytics; only those of these enrolments' addresses count.
        left: The enrolments of who has unsubscribed: what they did not get is not lost.
    """
    due = [mail for mail in mails if mail.accepted or mail.key not in left]
    named = {mail: f"{mail.key}:{mail.step}" for mail in mails}
    wanted, found = set(keys), Counter[str]()
    sent: set[str] = set()
    addresses: set[str] = set()
    for page in records:
        key = str(schema.read(page, "Enrolment Key"))
        if key in wanted:
            found[key] += 1
            addresses.add(str(schema.read(page, "Email")))
            sent |= {f"{key}:{n}" for n in range(1, 8) if schema.read(page, f"Email {n} Sent")}
    rows = Counter(
        (schema.read(row, "Email"), schema.read(row, "Template ID"))
        for row in analytics
        if schema.read(row, "Status") == "Delivered" and schema.read(row, "Email") in addresses
    )
    return Outcome(
        enrolments=len(keys),
        mails=len(mails),
        accepted=sum(len(mail.accepted) for mail in mails),
        lost=[named[mail] for mail in due if not mail.accepted],
        doubled=[named[mail] for mail in mails if len(mail.accepted) > 1],
        not_recorded=[named[mail] for mail in due if named[mail] not in sent],
        records_doubled=[key for key in keys if found[key] > 1],
        deliveries_missing=max(0, len(due) - len(rows)),
        deliveries_doubled=sum(count > 1 for count in rows.values()),
    )
