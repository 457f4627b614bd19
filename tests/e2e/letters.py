"""A template, and the mail that it makes for one contact, written out by hand."""

from __future__ import annotations

import base64
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

from e2e.contract import Terms
from e2e.letter import Letter
from e2e.outside.notion import Template

if TYPE_CHECKING:
    from datetime import datetime

TO = "you+e2e-1-signup@example.com"
HOOKS = "https://hooks.hublab.test"
CALL = "https://calendly.com/hublab/call"
TERMS = Terms(
    "Hublab <hello@hublab.test>",
    public=HOOKS,
    links={"calendly_link": CALL},
    hosts=frozenset({"hooks.hublab.test", "calendly.com", "img.hublab.test"}),
)
TEMPLATE = Template(
    "letter for {{first_name}}",
    "<html><head><style>p { color: #222; } .pre { display: none; }</style></head><body>"
    '<p class="pre">A word before</p><h1>Hello {{first_name}} of {{business_name}},</h1>'
    "<p>red: {{red_systems}}, <b>score</b> {{assessment_score}} ({{segment}})</p><ul><li>one</li><li>two</li></ul>"
    '<p><a href="{{calendly_link}}">Book a call</a> <img src="https://img.hublab.test/a.png" alt="A"></p>'
    "<p><a href='{{unsubscribe_url}}'>Unsubscribe</a></p></body></html>",
)
HTML = (
    "<html><head><style>p { color: #222; } .pre { display: none; }</style></head><body>"
    '<p class="pre" style="color: #222; display: none;">A word before</p><h1>Hello Ada of Salon &amp; Co,</h1>'
    '<p style="color: #222">red: 2, <b>score</b> 61 (CRITICAL)</p><ul><li>one</li><li>two</li></ul>'
    f'<p style="color: #222"><a href="{CALL}">Book a call</a> <img src="https://img.hublab.test/a.png" alt="A"></p>'
    '<p style="color: #222"><a href="LEAVE">Unsubscribe</a></p></body></html>'
)
TEXT = (
    "A word before\n\n# Hello Ada of Salon & Co,\n\nred: 2, **score** 61 (CRITICAL)\n\n  * one\n  * two\n\n"
    f"[Book a call]({CALL})\n\n[Unsubscribe](LEAVE)"
)


def leave(to: str, public: str = HOOKS) -> str:
    """The link by which an address unsubscribes."""
    return f"{public}/unsubscribe/{base64.urlsafe_b64encode(b'p' * 16 + to.encode()).decode().rstrip('=')}"


def letter(whose: str, subject: str, accepted: datetime, name: str = "mail", **changed: Any) -> Letter:
    """The mail as it should be, but for what is changed."""
    link, identity = leave(whose), f"<{name}@resend.test>"
    headers = {
        "from": "Hublab <hello@hublab.test>",
        "to": whose,
        "subject": changed.get("subject", subject),
        "date": format_datetime(accepted),
        "message-id": identity,
        "list-unsubscribe": f"<{link}>",
        "list-unsubscribe-post": "List-Unsubscribe=One-Click",
    }
    values: dict[str, Any] = {
        "sender": TERMS.sender,
        "reply_to": (),
        "to": (whose,),
        "cc": (),
        "bcc": (),
        "subject": subject,
        "html": HTML.replace("LEAVE", link),
        "text": TEXT.replace("LEAVE", link),
        "message_id": identity,
        "headers": {name: (value,) for name, value in headers.items()},
    }
    return Letter(**values | changed)
