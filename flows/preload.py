"""What a run of the campaign imports: a worker's fork server does so once for all of them (HUBLAB_PRELOAD)."""

from flows import (
    campaign_handler,
    noshow_recovery_handler,
    onboarding_handler,
    postcall_maybe_handler,
    send_email_flow,
    signup_handler,
)
from flows.services import notion_gateway, resend_operations

notion_gateway.trust()

__all__ = [
    "campaign_handler",
    "noshow_recovery_handler",
    "notion_gateway",
    "onboarding_handler",
    "postcall_maybe_handler",
    "resend_operations",
    "send_email_flow",
    "signup_handler",
]
