"""Email Analytics: one row per mail, told by Resend's events or by the failure of a run."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from flows import notion_schema as schema

if TYPE_CHECKING:
    from flows.campaign import Sequence
    from flows.notion_gateway import NotionGateway

MAX_ERROR = 1_900
# A row's status moves along this list only: events may arrive late and in any order.
ORDER = ("Failed", "Sent", "Delivered", "Opened", "Clicked", "Bounced", "Complained")


def failed(notion: NotionGateway, sequence: Sequence, step: int, email: str, error: Exception) -> None:
    """Write down that a mail failed; a second failure of the same mail changes the same row. Raises NotionError."""
    template = sequence.step(step).template
    known = notion.equals(schema.ANALYTICS, Email=email, Template_ID=template, Status="Failed")
    values = {"Status": "Failed", "Error Message": str(error)[:MAX_ERROR], "Sent Date": datetime.now(UTC).isoformat()}
    if known:
        notion.update(schema.ANALYTICS, known[0]["id"], values)
        return
    _create(
        notion,
        sequence,
        step,
        email,
        values,
        lambda: notion.equals(schema.ANALYTICS, Email=email, Template_ID=template, Status="Failed"),
    )


def happened(notion: NotionGateway, sequence: Sequence, step: int, event: dict[str, Any]) -> None:
    """Write down what became of a mail.

    `event` has `email`, `email_id` (Resend's), `status` (one of `ORDER`), `at` (ISO 8601) and `detail`.
    Raises NotionError.
    """
    identity = event["email_id"]
    rows = notion.equals(schema.ANALYTICS, Resend_Email_ID=identity)
    values = {"Status": event["status"], "Error Message": event["detail"] or None}
    if rows:
        before = schema.read(rows[0], "Status")
        if before not in ORDER or ORDER.index(event["status"]) > ORDER.index(before):
            notion.update(schema.ANALYTICS, rows[0]["id"], values)
        return
    values |= {"Resend Email ID": identity, "Sent Date": event["at"]}
    _create(
        notion,
        sequence,
        step,
        event["email"],
        values,
        lambda: notion.equals(schema.ANALYTICS, Resend_Email_ID=identity),
    )


def _create(  # noqa: PLR0913 - what a row consists of
    notion: NotionGateway, sequence: Sequence, step: int, email: str, values: dict[str, Any], find: Any
) -> None:
    fixed = {
        "Email": email,
        "Template ID": sequence.step(step).template,
        "Email Number": step,
        "Campaign": sequence.label,
    }
    notion.create_once(schema.ANALYTICS, fixed | values, find)
