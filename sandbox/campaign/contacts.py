"""What the visitors of the sandbox post: one payload for each of the four webhooks."""

from __future__ import annotations

from typing import Any

PROJECTS = "christmas"  # the campaign whose webhooks they are
PAYLOADS: dict[str, dict[str, Any]] = {
    "signup": {
        "first_name": "Ada",
        "business_name": "Salon & Co",
        "assessment_score": 61,
        "red_systems": 2,
        "orange_systems": 1,
        "yellow_systems": 3,
        "green_systems": 2,
    },
    "noshow": {
        "first_name": "Grace",
        "business_name": "Studio Nord",
        "calendly_event_uri": "https://api.calendly.com/scheduled_events/1",
        "scheduled_time": "2025-12-01T10:00:00Z",
    },
    "postcall": {"first_name": "Edith", "business_name": "Atelier", "call_date": "2025-12-01"},
    "onboarding": {
        "first_name": "Mary",
        "business_name": "Haus",
        "payment_confirmed": True,
        "payment_amount": 2500,
        "payment_date": "2025-12-01",
    },
}


def address(name: str) -> str:
    """An address that Resend's tests deliver to."""
    return f"delivered+{name}@resend.dev"
