"""Removes the automations that an earlier deploy set at the Prefect server; the same again changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.onhost.common import say
from deploy.onhost.prefect_api import Access, pages, request
from deploy.onhost.wire import Query


@dataclass(frozen=True, kw_only=True)
class RemoveAutomations(Query):
    """Their names."""

    automations: tuple[str, ...]
    access: Access


def main(query: RemoveAutomations) -> int:
    """0: they are gone. 1: the server refused."""
    try:
        for item in pages(query.access, "/automations/filter", {}):
            if item["name"] in query.automations:
                request(query.access, f"/automations/{item['id']}", method="DELETE")
                say(f"automation '{item['name']}' is removed from the Prefect server")
    except (OSError, ValueError) as error:
        say(f"the automations could not be removed: {error}")
        return 1
    return 0
