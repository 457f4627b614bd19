"""Prefect's API, asked from the host with the standard library alone."""

from __future__ import annotations

import base64
import datetime
import email.utils
import json
import urllib.request
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from http.client import HTTPResponse

PAGE = 200
EVENTS_PAGE = 50  # the most that the server gives at once


def request(query: dict[str, Any], path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    """One question to the Prefect server, with the credential; None for an answer without content."""
    with send(query, path, body, method) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def server_now(query: dict[str, Any]) -> datetime.datetime:
    """The clock by which the server dates runs and events; this host's own may be minutes off, or be set meanwhile."""
    with send(query, "/admin/version") as answer:
        said = answer.headers["Date"]
    return email.utils.parsedate_to_datetime(said) if said else datetime.datetime.now(datetime.UTC)


def send(query: dict[str, Any], path: str, body: Any = None, method: str | None = None) -> HTTPResponse:
    """The server's answer, to be closed by the caller."""
    data = json.dumps(body).encode() if body is not None else None
    asked = urllib.request.Request(f"{query['api_url']}{path}", data=data, method=method)
    asked.add_header("Content-Type", "application/json")
    if query["auth"]:
        asked.add_header("Authorization", "Basic " + base64.b64encode(query["auth"].encode()).decode())
    elif query["key"]:
        asked.add_header("Authorization", f"Bearer {query['key']}")
    answer: HTTPResponse = urllib.request.urlopen(asked, timeout=10)
    return answer


def worker_of(run: dict[str, Any]) -> str:
    """Whose a flow run is, by the label that each worker sets between its claim and the start; empty before."""
    return str((run.get("labels") or {}).get("prefect.worker.name", ""))


def pages(query: dict[str, Any], path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """A filter's answer, all pages."""
    found: list[dict[str, Any]] = []
    while page := request(query, path, {**body, "limit": PAGE, "offset": len(found)}):
        found += page
        if len(page) < PAGE:
            break
    return found


def events(query: dict[str, Any], names: list[str], since: str) -> list[dict[str, Any]]:
    """The server's events of these names, oldest first, from a moment on (ISO 8601)."""
    found: dict[str, dict[str, Any]] = {}
    while True:
        wanted = {"occurred": {"since": since}, "event": {"name": names}, "order": "ASC"}
        page = request(query, "/events/filter", {"filter": wanted, "limit": EVENTS_PAGE})["events"]
        known = len(found)
        found.update((event["id"], event) for event in page)
        if len(page) < EVENTS_PAGE or len(found) == known:
            return list(found.values())
        since = page[-1]["occurred"]
