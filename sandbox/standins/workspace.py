"""A workspace like the operator's: the five databases of the domain, and templates to send.

The texts here are the sandbox's own; production has its own in Notion and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sandbox.standins.notion_store import NotionStore, Source


def _of(**kinds: str) -> dict[str, dict[str, Any]]:
    return {name.replace("_", " "): {kind: {}} for name, kind in kinds.items()}


def _many(kind: str, *names: str) -> dict[str, dict[str, Any]]:
    return {name: {kind: {}} for name in names}


SCHEMAS: dict[str, dict[str, dict[str, Any]]] = {
    "notion-email-templates-db-id": {
        **_many("title", "Template Name"),
        **_many("rich_text", "Subject Line", "Email Body HTML"),
    },
    "notion-email-sequence-db-id": {
        **_many("title", "Name"),
        **_of(Email="email", Campaign="select", Segment="select"),
        **_many("select", "Template Type"),
        **_many("rich_text", "First Name", "Business Name", "Calendly Event URI", "Scheduled Time", "Event Type"),
        **_many("rich_text", "Call Date", "Call Outcome", "Package Type"),
        **_many("number", "Assessment Score", "Red Systems", "Orange Systems", "Yellow Systems", "Green Systems"),
        **_many("number", "Payment Amount"),
        **_many("date", "Signup Date", "Sequence Created", "Payment Date"),
        **_many("date", *(f"Email {n} Sent" for n in range(1, 8))),
        **_many("checkbox", "Sequence Completed", "Assessment Completed"),
    },
    "notion-businessx-db-id": {
        **_many("title", "Name"),
        **_of(Email="email"),
        **_many("rich_text", "First Name", "Business Name"),
        **_many("number", "Assessment Score"),
        **_many("select", "Segment", "Christmas Campaign Status", "Booking Status", "Phase"),
    },
    "notion-customer-projects-db-id": {
        **_many("title", "Name"),
        **_of(Email="email"),
        **_many("rich_text", "Business Name", "Next Steps"),
        **_many("date", "Diagnostic Call Date", "Created Date"),
        **_many("select", "Status"),
    },
    "notion-email-analytics-db-id": {
        **_many("title", "Name"),
        **_of(Email="email", Status="select", Campaign="select"),
        **_many("rich_text", "Template ID", "Resend Email ID", "Error Message"),
        **_many("number", "Email Number"),
        **_many("date", "Sent Date"),
    },
}
TEMPLATES = {
    **{f"christmas_email_{n}": "red: {{red_systems}}, score {{assessment_score}}" for n in range(1, 8)},
    **{f"noshow_recovery_email_{n}": "we missed you at {{scheduled_time}}" for n in range(1, 4)},
    **{f"postcall_maybe_email_{n}": "after our call of {{call_date}}" for n in range(1, 4)},
    **{f"onboarding_phase1_email_{n}": "welcome, paid on {{payment_date}}" for n in range(1, 4)},
}
PAGE = (
    "<html><head><style>p {{ color: #222; }}</style></head><body><p>Hello {{{{first_name}}}} of "
    "{{{{business_name}}}},</p><p>{line}</p><p><a href='{{{{unsubscribe_url}}}}'>Unsubscribe</a></p></body></html>"
)


def text(content: str) -> list[dict[str, Any]]:
    """Rich text in pieces of at most 2,000 characters."""
    return [{"text": {"content": content[i : i + 2000]}} for i in range(0, len(content), 2000)]


def put_template(store: NotionStore, source: Source, name: str, subject: str, body: str) -> dict[str, Any]:
    """One row of Email Templates."""
    properties = {
        "Template Name": {"title": text(name)},
        "Subject Line": {"rich_text": text(subject)},
        "Email Body HTML": {"rich_text": text(body)},
    }
    return store.create_page(source, properties)


def furnish(store: NotionStore) -> dict[str, str]:
    """Create the five databases and the sixteen templates; Secret block name → database id."""
    return fill(store, SCHEMAS)


def fill(store: NotionStore, schemas: dict[str, dict[str, dict[str, Any]]]) -> dict[str, str]:
    """Create databases with these properties, and the sixteen templates; Secret block name → database id."""
    sources = {block: store.create_database(block, schema) for block, schema in schemas.items()}
    templates = sources["notion-email-templates-db-id"]
    for name, line in TEMPLATES.items():
        put_template(store, templates, name, f"{name}: a word for {{{{first_name}}}}", PAGE.format(line=line))
    return {block: source.database for block, source in sources.items()}
