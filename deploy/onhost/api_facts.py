"""Who answers at the API's address, and what that server believes; or why it is not Prefect's, in one line."""

from __future__ import annotations

import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from deploy.onhost.deployment_facts import deployments
from deploy.onhost.prefect_api import ApiError, pages, request, server_now
from deploy.onhost.untrusted import printable

HTTP_OK, HTTP_NOT_FOUND = 200, 404
TESTING, ON = "testing-mode", ("true", "1", "yes", "on")
"""The Secret block of the campaign's testing mode, and what says that it is on; `flows.services.settings` reads it."""
CLOUD = "prefect.cloud"
"""Its API has no /admin/version: it is the newest, and asks for a key always."""


def api(query: dict[str, Any]) -> dict[str, Any]:
    """Who the server is and which workers it believes to be online, or the error."""
    found: dict[str, Any] = {"status": HTTP_OK, "version": "", "online": []}
    try:
        found["version"] = "" if is_cloud(query) else version(query)
        found["open"] = not is_cloud(query) and is_open(query)
        found["pool"] = pool(query)
        found["online"] = online(query)
        found["automations"] = automations(query)
        found["testing"] = testing(query)
        found["deployments"] = deployments(query)
        found["skew"] = skew(query)
    except ApiError as error:
        return {"status": error.status, "error": error.what}
    except (OSError, ValueError) as error:
        return {"status": None, "error": printable(str(error))}
    except (TypeError, KeyError, AttributeError) as error:
        return {"status": HTTP_OK, "error": f"answers with what is not Prefect's ({printable(repr(error))})"}
    return found


def is_cloud(query: dict[str, Any]) -> bool:
    """Whether the address is one of Prefect Cloud's."""
    host = urlsplit(query["api_url"]).hostname or ""
    return host == CLOUD or host.endswith(f".{CLOUD}")


def is_open(query: dict[str, Any]) -> bool:
    """Whether it answers without any credential."""
    if not (query["auth"] or query["key"]):
        return True
    try:
        version({**query, "auth": "", "key": ""})
    except ApiError:
        return False
    return True


def pool(query: dict[str, Any]) -> dict[str, Any] | None:
    """The work pool as the server has it, with the names of its queues that are paused; None where there is none."""
    path = f"/work_pools/{quote(query['pool'])}"
    try:
        found = request(query, path)
    except ApiError as error:
        if error.status == HTTP_NOT_FOUND:
            return None
        raise
    queues = pages(query, f"{path}/queues/filter", {})
    return {
        "type": printable(str(found["type"])),
        "paused": bool(found["is_paused"]),
        "limit": found.get("concurrency_limit"),
        "paused_queues": sorted(printable(str(item["name"])) for item in queues if item["is_paused"]),
        "template": found.get("base_job_template"),
    }


def online(query: dict[str, Any]) -> list[str]:
    """The workers of the pool that the server believes to be online; none where there is no such pool."""
    try:
        answer = request(query, f"/work_pools/{quote(query['pool'])}/workers/filter", {})
    except ApiError as error:
        if error.status == HTTP_NOT_FOUND:
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


def testing(query: dict[str, Any]) -> bool | None:
    """Whether the campaign's testing mode is on at the server; None where the credential does not reach so far."""
    wanted = {"block_documents": {"name": {"any_": [TESTING]}}, "include_secrets": True}
    try:
        found = pages(query, "/block_documents/filter", wanted)
    except ApiError:
        return None
    return any(str(one["data"].get("value")).strip().lower() in ON for one in found)


def automations(query: dict[str, Any]) -> dict[str, str] | None:
    """Name → description of each automation that is enabled; None where the credential does not reach so far."""
    try:
        answer = pages(query, "/automations/filter", {})
    except ApiError:
        return None
    return {str(item["name"]): str(item["description"]) for item in answer if item["enabled"]}
