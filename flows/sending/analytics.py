"""Email Analytics: one row per mail, told by Resend's events or by the failure of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows.services import notion_schema as schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flows.campaigns.model import Sequence
    from flows.campaigns.plan import Planned
    from flows.services.notion_gateway import NotionGateway

MAX_ERROR = 1_900
# A row's status moves along this list only: events may arrive late and in any order.
ORDER = (
    *("Sent", "Delayed", "Failed", "Soft Bounced", "Delivered", "Opened", "Clicked"),
    *("Suppressed", "Bounced", "Complained"),
)
MOST_ROWS = 1_000


class Rows:
    """Rows of Email Analytics by Resend's id of the mail, as far as this process has seen them.

    Notion's queries lag behind its writes: a row of a second ago is known here alone.
    """

    def __init__(self) -> None:
        """None is known."""
        self._known: dict[str, dict[str, Any]] = {}

    def unknown(self, identities: Iterable[str]) -> set[str]:
        """Those of which nothing is known."""
        return set(identities) - self._known.keys()

    def learn(self, notion: NotionGateway, identities: Iterable[str]) -> None:
        """Look up those that are not known, with one query for all. Raises NotionError."""
        asked = set(identities)
        wanted = [{"property": "Resend Email ID", "rich_text": {"equals": one}} for one in self.unknown(asked)]
        for row in notion.find(schema.ANALYTICS, {"or": wanted}) if wanted else ():
            self._known.setdefault(str(schema.read(row, "Resend Email ID")), row)
        oldest = [one for one in self._known if one not in asked]
        for one in oldest[: max(0, len(self._known) - MOST_ROWS)]:
            del self._known[one]

    def get(self, identity: str) -> dict[str, Any] | None:
        """A mail's row; None: there is none, or it is not known."""
        return self._known.get(identity)

    def keep(self, identity: str, row: dict[str, Any]) -> None:
        """Remember a row as it is now."""
        self._known[identity] = row

    def forget(self, identity: str) -> None:
        """It is to be looked up again."""
        self._known.pop(identity, None)


def failed(notion: NotionGateway, sequence: Sequence, mail: Planned, email: str, error: Exception) -> None:
    """Write down that a mail failed; a second failure of the same mail changes the same row. Raises NotionError."""
    template = mail.template
    known = notion.equals(schema.ANALYTICS, Email=email, Template_ID=template, Status="Failed")
    values = {"Status": "Failed", "Error Message": str(error)[:MAX_ERROR], "Sent Date": datetime.now(UTC).isoformat()}
    if known:
        notion.update(schema.ANALYTICS, known[0]["id"], values)
        return
    _create(
        notion,
        sequence.label,
        {"Email": email, "Template ID": template, "Email Number": mail.number} | values,
        lambda: notion.equals(schema.ANALYTICS, Email=email, Template_ID=template, Status="Failed"),
    )


def happened(notion: NotionGateway, rows: Rows, label: str, event: dict[str, Any]) -> None:
    """Write down what became of a mail, whose row `rows` has been asked to learn.

    `event` has `email`, `email_id` (Resend's), `template`, `step`, `status` (one of `ORDER`), `at` (ISO 8601) and
    `detail`. Raises NotionError.
    """
    identity = event["email_id"]
    row = rows.get(identity)
    rows.forget(identity)  # whatever fails from here on, it is looked up again
    values = {"Status": event["status"], "Error Message": event["detail"] or None}
    if row is None:
        values |= {"Resend Email ID": identity, "Sent Date": event["at"], "Email": event["email"]}
        values |= {"Template ID": event["template"], "Email Number": int(event["step"])}
        row = _create(notion, label, values, lambda: notion.equals(schema.ANALYTICS, Resend_Email_ID=identity))
    else:
        before = schema.read(row, "Status")
        if before not in ORDER or ORDER.index(event["status"]) > ORDER.index(before):
            row = notion.update(schema.ANALYTICS, row["id"], values)
    rows.keep(identity, row)


def _create(notion: NotionGateway, label: str, values: dict[str, Any], find: Any) -> dict[str, Any]:
    title = f"{values['Template ID']} to {values['Email']}"
    return notion.create_once(schema.ANALYTICS, {schema.TITLE: title, "Campaign": label} | values, find)
