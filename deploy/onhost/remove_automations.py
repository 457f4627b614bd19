"""Removes the automations that an earlier deploy set at the Prefect server; the same again changes nothing."""

from __future__ import annotations

from typing import Any

from deploy.onhost.common import say
from deploy.onhost.prefect_api import pages, request


def main(query: dict[str, Any]) -> int:
    """0: they are gone. 1: the server refused."""
    try:
        for item in pages(query, "/automations/filter", {}):
            if item["name"] in query["automations"]:
                request(query, f"/automations/{item['id']}", method="DELETE")
                say(f"automation '{item['name']}' is removed from the Prefect server")
    except (OSError, ValueError) as error:
        say(f"the automations could not be removed: {error}")
        return 1
    return 0
