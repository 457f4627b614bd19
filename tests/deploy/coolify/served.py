"""The small Coolify and the small Prefect behind sockets of this machine, for programs that are started."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx

from deploy.onhost.prefect_api import ApiError
from tests.answering import answering

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.deploy.coolify.theatre import Theatre


def as_http(theatre: Theatre, request: httpx.Request) -> httpx.Response:
    """What the small Prefect answers, as HTTP."""
    theatre.prefect.time = datetime.now(UTC)
    path = request.url.path.removeprefix("/api")
    body: Any = json.loads(request.content) if request.content else None
    method = None if request.method in ("GET", "POST") else request.method
    if path == "/flow_runs/count":
        return httpx.Response(200, json=0)
    if path == "/flow_runs/filter" and "name" not in body["flow_runs"]:
        return httpx.Response(200, json=[])
    try:
        return httpx.Response(200, json=theatre.prefect.ask(path, body, method))
    except ApiError as error:
        return httpx.Response(error.status or 500, json={"detail": "no"})


@contextmanager
def served(theatre: Theatre) -> Iterator[tuple[str, str]]:
    """The addresses of Coolify and of Prefect's API."""
    with ExitStack() as stack:
        coolify = stack.enter_context(answering(theatre.coolify.answer))
        prefect = stack.enter_context(answering(lambda request: as_http(theatre, request)))
        yield coolify, f"{prefect}/api"
