"""A handler's parameters are a public interface: `payload` and `received_at`, or the payload's fields one by one.

The website starts a handler's run at Prefect itself, with the fields as parameters and without a key. Prefect refuses a
run that has a parameter which its flow does not know; here it is one more field of the payload, and an unknown field is
ignored as in any other payload.
"""

from __future__ import annotations

from typing import Any

from flows.campaigns.payloads import model
from flows.services.lenient_flow import LenientFlow

OWN = frozenset({"payload", "received_at"})


def folded(parameters: dict[str, Any]) -> dict[str, Any]:
    """Parameters as the handlers take them: what is no parameter of theirs becomes part of the payload. Pure."""
    given = {name: value for name, value in parameters.items() if name not in OWN}
    payload = parameters.get("payload") or {}
    payload = given | payload if isinstance(payload, dict) else payload  # of another kind it is refused by its name
    return {"payload": payload, "received_at": parameters.get("received_at")}


class HandlerFlow(LenientFlow):
    """A handler's flow: takes flat parameters as well."""

    def fold(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """As `folded`."""
        return folded(parameters)


def parameter_schema(campaign_sequence: Any) -> dict[str, Any]:
    """What Prefect shows of a handler's parameters: the payload's fields one by one, and ours. Raises CampaignError."""
    found = model(campaign_sequence).model_json_schema(ref_template="#/definitions/{model}")
    received = {"title": "received_at", "type": "string", "description": "when the webhook came in, ISO 8601"}
    payload = {"title": "payload", "type": "object", "description": "the fields as one object, in place of them"}
    return {
        "title": "Parameters",
        "type": "object",
        "properties": found["properties"] | {"payload": payload, "received_at": received},
        "required": found.get("required", []),
        "definitions": found.get("$defs", {}),
    }
