"""Who answers at the API's address, and what that server believes; or why it is not Prefect's, in one line."""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from deploy.onhost.deployment_facts import deployments
from deploy.onhost.prefect_api import Access, ApiError, pages, request, server_now
from deploy.onhost.state import Deployment, Pool
from deploy.onhost.untrusted import printable

HTTP_OK, HTTP_NOT_FOUND = 200, 404
TESTING, ON = "testing-mode", ("true", "1", "yes", "on")
"""The Secret block of the campaign's testing mode, and what says that it is on; `flows.services.settings` reads it."""
CLOUD = "prefect.cloud"
"""Its API has no /admin/version: it is the newest, and asks for a key always."""


@dataclass(frozen=True)
class Server:
    """What a server says of itself and of one pool; or the error, with the status of its answer, None without one.

    `open`: it answers without a credential. `automations`, `testing`: None where the credential does not reach so far.
    """

    status: int | None = HTTP_OK
    error: str = ""
    version: str = ""
    open: bool = False
    pool: Pool | None = None
    online: frozenset[str] = frozenset()
    automations: dict[str, str] | None = None
    testing: bool | None = None
    deployments: tuple[Deployment, ...] = ()
    skew: float = 0.0


def api(access: Access, name: str) -> Server:
    """Who the server is and which workers of a pool it believes to be online, or the error."""
    try:
        return Server(
            version="" if is_cloud(access) else version(access),
            open=is_open(access),
            pool=pool(access, name),
            online=online(access, name),
            automations=automations(access),
            testing=testing(access),
            deployments=deployments(access, name),
            skew=skew(access),
        )
    except ApiError as error:
        return Server(error.status, error.what)
    except (OSError, ValueError) as error:
        return Server(None, printable(str(error)))
    except (TypeError, KeyError, AttributeError) as error:
        return Server(error=f"answers with what is not Prefect's ({printable(repr(error))})")


def is_cloud(access: Access) -> bool:
    """Whether the address is one of Prefect Cloud's."""
    host = urlsplit(access.api_url).hostname or ""
    return host == CLOUD or host.endswith(f".{CLOUD}")


def is_open(access: Access) -> bool:
    """Whether it answers without any credential."""
    if is_cloud(access):
        return False
    if not (access.auth or access.key):
        return True
    try:
        version(Access(access.api_url))
    except ApiError:
        return False
    return True


def pool(access: Access, name: str) -> Pool:
    """The work pool as the server has it, with the names of its queues that are paused, if it is there."""
    path = f"/work_pools/{quote(name)}"
    try:
        found = request(access, path)
    except ApiError as error:
        if error.status == HTTP_NOT_FOUND:
            return Pool(there=False)
        raise
    queues, limit = pages(access, f"{path}/queues/filter", {}), found.get("concurrency_limit")
    return Pool(
        there=True,
        type=printable(str(found["type"])),
        paused=bool(found["is_paused"]),
        limit=None if limit is None else int(limit),
        paused_queues=tuple(sorted(printable(str(item["name"])) for item in queues if item["is_paused"])),
        template=found.get("base_job_template"),
    )


def online(access: Access, name: str) -> frozenset[str]:
    """The workers of the pool that the server believes to be online; none where there is no such pool."""
    try:
        answer = pages(access, f"/work_pools/{quote(name)}/workers/filter", {})
    except ApiError as error:
        if error.status == HTTP_NOT_FOUND:
            return frozenset()
        raise
    return frozenset(str(item["name"]) for item in answer if item["status"] == "ONLINE")


def version(access: Access) -> str:
    """The server's own version.

    Raises:
        ApiError: it says none.
    """
    answer = request(access, "/admin/version")
    if not isinstance(answer, str):
        raise ApiError(HTTP_OK, "answers /admin/version with no version: it is not Prefect's")
    return printable(answer)


def skew(access: Access) -> float:
    """How many seconds this host's clock is ahead of the server's; a second more or less says nothing."""
    there = server_now(access)
    return (datetime.datetime.now(datetime.UTC) - there).total_seconds()


def testing(access: Access) -> bool | None:
    """Whether the campaign's testing mode is on at the server; None where the credential does not reach so far."""
    wanted = {"block_documents": {"name": {"any_": [TESTING]}}, "include_secrets": True}
    try:
        found = pages(access, "/block_documents/filter", wanted)
    except ApiError:
        return None
    return any(str(one["data"].get("value")).strip().lower() in ON for one in found)


def automations(access: Access) -> dict[str, str] | None:
    """Name → description of each automation that is enabled; None where the credential does not reach so far."""
    try:
        answer = pages(access, "/automations/filter", {})
    except ApiError:
        return None
    return {str(item["name"]): str(item["description"]) for item in answer if item["enabled"]}
