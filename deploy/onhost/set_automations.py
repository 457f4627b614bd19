"""Brings automations at the Prefect server to what the deploy wants; the same again changes nothing."""

from __future__ import annotations

from typing import Any

from deploy.onhost.common import say
from deploy.onhost.prefect_api import pages, request


def main(query: dict[str, Any]) -> int:
    """0: they are there. 1: the server refused."""
    try:
        found = {item["name"]: item["id"] for item in pages(query, "/automations/filter", {})}
        for wanted in query["automations"]:
            known = found.get(wanted["name"])
            if known:
                request(query, f"/automations/{known}", wanted, "PUT")
            else:
                request(query, "/automations/", wanted)
            say(f"automation '{wanted['name']}' is set at the Prefect server")
    except (OSError, ValueError) as error:
        say(f"the automations could not be set: {error}")
        return 1
    return 0
