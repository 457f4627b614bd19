"""The payload that Resend gets for one mail. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from flows.recipients import confirmation, unsubscribe
from flows.sending.templates import Template, render

if TYPE_CHECKING:
    from flows.campaigns.model import Sequence
    from flows.services.settings import Settings


_NOT_IN_A_TAG = re.compile(r"[^A-Za-z0-9_-]")


def links(settings: Settings, email: str, confirms: str | None = None) -> dict[str, str]:
    """The variables that come from the settings rather than from the contact; `confirms`: the enrolment that is to be.

    Raises:
        MissingSettingError: where the recipient could unsubscribe is not known.
    """
    public, secret = settings.get("HUBLAB_PUBLIC_URL"), settings.get("unsubscribe-secret")
    found = {
        "calendly_link": settings.get("HUBLAB_CALENDLY_LINK"),
        "portal_url": settings.get("HUBLAB_PORTAL_URL"),
        "unsubscribe_url": unsubscribe.url(public, secret, email),
    }
    return found | ({"confirm_url": confirmation.url(public, secret, confirms)} if confirms else {})


def compose(
    settings: Settings, sequence: Sequence, step: int, enrolment: dict[str, Any], template: Template
) -> dict[str, Any]:
    """The whole payload of a step's mail.

    Raises:
        UnusableTemplateError: the template cannot become a mail.
        MissingSettingError: a sender or an address for unsubscribing is not set.
    """
    found = links(settings, enrolment["email"], enrolment["key"] if sequence.confirm else None)
    zone = settings.zone
    rendered = render(template, enrolment["variables"] | found, sequence.variables, zone=zone)
    payload: dict[str, Any] = {
        "from": settings.get("HUBLAB_SENDER"),
        "to": [enrolment["email"]],
        "subject": rendered.subject,
        "html": rendered.html,
        "text": rendered.text,
        # RFC 8058: one click, no page in between.
        "headers": {
            "List-Unsubscribe": f"<{found['unsubscribe_url']}>",
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
        "tags": [
            {"name": "campaign", "value": sequence.campaign},
            {"name": "sequence", "value": sequence.name},
            {"name": "step", "value": str(step)},
            {"name": "template", "value": _NOT_IN_A_TAG.sub("_", template.name)[:256]},
            {"name": "enrolment", "value": enrolment["key"]},
        ],
    }
    reply_to = settings.get("HUBLAB_REPLY_TO")
    return payload | ({"reply_to": reply_to} if reply_to else {})
