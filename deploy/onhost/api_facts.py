"""Who answers at the API's address, and what that server believes; or why it is not Prefect's, in one line."""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import quote

from deploy.onhost.prefect_api import ApiError, pages, request, server_now
from deploy.onhost.untrusted import printable

HTTP_OK, HTTP_NOT_FOUND = 200, 404


def api(query: dict[str, Any]) -> dict[str, Any]:
    """Who the server is and which workers it believes to be online, or the error."""
    found: dict[str, Any] = {"status": HTTP_OK, "version": "", "online": []}
    try:
        found["version"] = version(query)
        found["online"] = online(query)
        found["automations"] = automations(query)
        found["skew"] = skew(query)
    except ApiError as error:
        return {"status": error.status, "error": error.what}
    except (OSError, ValueError) as error:
        return {"status": None, "error": printable(str(error))}
    except (TypeError, KeyError, AttributeError) as error:
        return {"status": HTTP_OK, "error": f"answers with what is not Prefect's ({printable(repr(error))})"}
    return found


def online(query: dict[str, Any]) -> list[str]:
    """The workers of the pool that the server believes to be online; none where there is no such pool yet."""
    try:
        answer = request(query, f"/work_pools/{quote(query['pool'])}/workers/filter", {})
    except ApiError as error:
        if error.status == HTTP_NOT_FOUND:  # the first worker creates it
            return []
        raise
    return [str(item["name"]) for item in answer if item["status"] == "ONLINE"]


def version(query: dict[str, Any]) -> str:
    """The server's own version.

    Raises:
        ApiError: it says none.
    """
    answer = request(query, "/admin/version")
    if not isinstance(answer, str):
        raise ApiError(HTTP_OK, "answers /admin/version with no version: it is not Prefect's")
    return printable(answer)


def skew(query: dict[str, Any]) -> float:
    """How many seconds this host's clock is ahead of the server's; a second more or less says nothing."""
    there = server_now(query)
    return (datetime.datetime.now(datetime.UTC) - there).total_seconds()


def automations(query: dict[str, Any]) -> dict[str, str] | None:
    """Name → description of each automation that is enabled; None where the credential does not reach so far."""
    try:
        answer = pages(query, "/automations/filter", {})
    except ApiError:
        return None
    return {str(item["name"]): str(item["description"]) for item in answer if item["enabled"]}
