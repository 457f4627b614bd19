"""The campaign of before, at a real Prefect server: its deployments, the mails it scheduled, and its website.

Everything here speaks to Prefect's REST API alone, as the website and the deployment tool of then did.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime

    import httpx

LIST: dict[str, Any] = {"type": "array", "items": {"type": "string"}}
STR, INT, OPTIONAL_INT = {"type": "string"}, {"type": "integer"}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}
PERSON: dict[str, Any] = {"email": STR, "first_name": STR, "business_name": STR}
SYSTEMS: dict[str, Any] = {f"{colour}_systems": OPTIONAL_INT for colour in ("red", "orange", "yellow", "green")}
SCORES: dict[str, Any] = dict.fromkeys(("gps_score", "money_score", "revenue_leak_total"), OPTIONAL_INT)
TEXTS: dict[str, Any] = {"weakest_system_1": STR, "weakest_system_2": STR, "strongest_system": STR}
# Flow → its parameters, those that are required, its file in the repository that is cloned, and its tag.
FLOWS: dict[str, tuple[dict[str, Any], tuple[str, ...], str, str]] = {
    "christmas-signup-handler": (
        PERSON | {"assessment_score": INT} | SYSTEMS | SCORES | TEXTS,
        ("email", "first_name", "business_name", "assessment_score"),
        "signup_handler.py:signup_handler_flow",
        "email-nurture",
    ),
    "christmas-noshow-recovery-handler": (
        PERSON | {"calendly_event_uri": STR, "scheduled_time": STR, "event_type": STR, "reschedule_url": STR},
        ("email", "first_name", "business_name", "calendly_event_uri", "scheduled_time"),
        "noshow_recovery_handler.py:noshow_recovery_handler_flow",
        "noshow-recovery",
    ),
    "christmas-postcall-maybe-handler": (
        PERSON
        | {"call_date": STR, "call_outcome": STR, "call_notes": STR, "objections": LIST, "follow_up_priority": STR},
        ("email", "first_name", "business_name", "call_date"),
        "postcall_maybe_handler.py:postcall_maybe_handler_flow",
        "postcall-followup",
    ),
    "christmas-onboarding-handler": (
        PERSON
        | {"payment_confirmed": {"type": "boolean"}, "payment_amount": {"type": "number"}, "payment_date": STR}
        | {"docusign_completed": {"type": "boolean"}, "salon_address": STR, "observation_dates": LIST}
        | {"start_date": STR, "package_type": STR},
        ("email", "first_name", "business_name", "payment_confirmed", "payment_amount", "payment_date"),
        "onboarding_handler.py:onboarding_handler_flow",
        "onboarding",
    ),
    "christmas-send-email": (
        PERSON | {"email_number": INT, "segment": STR, "assessment_score": OPTIONAL_INT} | SYSTEMS | SCORES | TEXTS,
        ("email", "email_number"),
        "send_email_flow.py:send_email_flow",
        "email-nurture",
    ),
}
PULL_STEPS = [
    {"prefect.deployments.steps.git_clone": {"repository": "https://git.hublab.test/campaign.git", "branch": "main"}},
    {"prefect.deployments.steps.pip_install_requirements": {"directory": "campaign", "requirements_file": "r.txt"}},
]


def deploy(api: httpx.Client, pool: str = "default") -> dict[str, str]:
    """Create the five deployments, or make of those that are there what they were; flow name → deployment id."""
    found = {}
    for name, (properties, required, file, tag) in FLOWS.items():
        flow = _answer(api.post("/flows/", json={"name": name}))
        schema = {"title": "Parameters", "type": "object", "properties": properties, "required": list(required)}
        body = {
            "name": name,
            "flow_id": flow["id"],
            "entrypoint": f"campaigns/christmas_campaign/flows/{file}",
            "path": "campaign",
            "pull_steps": PULL_STEPS,
            "parameter_openapi_schema": schema,
            "enforce_parameter_schema": True,
            "job_variables": {"env": {"OF": "before"}},
            "concurrency_limit": 3,
            "tags": ["christmas", "christmas-2025", tag],
            "work_pool_name": pool,
            "work_queue_name": "of-before",
        }
        found[name] = str(_answer(api.post("/deployments/", json=body))["id"])
    return found


def website_signup(api: httpx.Client, deployment: str, fields: dict[str, Any]) -> str:
    """What the website's own server does when a visitor is done: flat parameters, no key; the run's id.

    It expects 201 with an `id`; any other answer it passes over in silence.
    """
    name = f"christmas-signup-{time.time_ns() // 1_000_000}"
    answer = api.post(f"/deployments/{deployment}/create_flow_run", json={"name": name, "parameters": fields})
    return str(answer.json()["id"]) if answer.status_code == 201 else ""  # noqa: PLR2004 - what the website compares with


def scheduled_mail(api: httpx.Client, deployment: str, fields: dict[str, Any], due: datetime) -> str:
    """One mail as the handlers scheduled it; the run's id."""
    state = {"type": "SCHEDULED", "name": "Scheduled", "state_details": {"scheduled_time": due.isoformat()}}
    answer = api.post(f"/deployments/{deployment}/create_flow_run", json={"parameters": fields, "state": state})
    return str(_answer(answer)["id"])


def _answer(answer: httpx.Response) -> dict[str, Any]:
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()
    return found
