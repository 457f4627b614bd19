"""Prefect's API, asked from the host with the standard library alone.

The address comes from `.env`, what answers there may be anything: it is followed nowhere, read up to a limit of size
and time, and whatever is no answer of Prefect's is an `ApiError` with a line for the operator.
"""

from __future__ import annotations

import base64
import datetime
import email.utils
import http.client
import json
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deploy.onhost.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAGE = 200
EVENTS_PAGE = 50  # the most that the server gives at once
SILENCE_SECONDS = 10.0
ANSWER_SECONDS = 20.0
ANSWER_BYTES = 64 * 1024 * 1024
SHOWN = 120
REDIRECTS = range(300, 400)
ERRORS = range(400, 600)


@dataclass(frozen=True)
class Access:
    """Where Prefect's API is, and the credential: a name and password (`auth`), or a key; empty where there is none."""

    api_url: str
    auth: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


class ApiError(OSError):
    """What came was no answer of Prefect's; `status` is the server's, or None where there was none."""

    def __init__(self, status: int | None, what: str) -> None:
        super().__init__(what)
        self.status, self.what = status, what

    def __str__(self) -> str:
        return self.what


@contextmanager
def _answer(
    access: Access, path: str, body: dict[str, Any] | None, method: str | None
) -> Iterator[http.client.HTTPResponse]:
    """The open answer; it is cut off after ANSWER_SECONDS, however slowly it comes."""
    url = urlsplit(access.api_url)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=SILENCE_SECONDS)
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    if access.auth:
        headers["Authorization"] = "Basic " + base64.b64encode(access.auth.encode()).decode()
    elif access.key:
        headers["Authorization"] = f"Bearer {access.key}"
    late = threading.Event()
    limit = None
    try:
        connection.connect()
        limit = threading.Timer(ANSWER_SECONDS, _cut_off, (connection.sock, late))
        limit.start()
        data = json.dumps(body).encode() if body is not None else None
        connection.request(method or ("GET" if data is None else "POST"), f"{url.path}{path}", data, headers)
        yield connection.getresponse()
        if late.is_set():  # what was cut off may look like one that ended
            raise TimeoutError
    except (OSError, http.client.HTTPException) as error:
        if late.is_set():
            raise ApiError(None, f"did not come to the end of an answer within {ANSWER_SECONDS:.0f} s") from error
        if isinstance(error, http.client.HTTPException):
            raise ApiError(None, f"does not speak HTTP ({printable(str(error) or type(error).__name__)})") from error
        raise
    finally:
        if limit:
            limit.cancel()
        connection.close()


def _cut_off(answer: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        answer.shutdown(socket.SHUT_RDWR)


def request(access: Access, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    """One question to the Prefect server, with the credential; None for an answer without content.

    Raises:
        ApiError: an answer came, and is none of Prefect's.
        OSError: no answer came.
    """
    with _answer(access, path, body, method) as answer:
        if answer.status in REDIRECTS:
            where = printable(answer.headers.get("Location", "nowhere"), SHOWN)
            raise ApiError(answer.status, f"redirects to {where}; name the address of the API itself")
        text = answer.read(ANSWER_BYTES + 1)
        if answer.status in ERRORS:
            raise ApiError(
                answer.status, f"answers {answer.status} {printable(answer.reason, SHOWN)} to {path}".strip()
            )
    if len(text) > ANSWER_BYTES:
        raise ApiError(answer.status, f"answers more than {ANSWER_BYTES // 1024**2} MiB to {path}")
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        begin = printable(text[:SHOWN].decode(errors="replace").strip(), SHOWN // 2)
        raise ApiError(answer.status, f"answers {path} with what is not JSON: {begin}") from None


def server_now(access: Access) -> datetime.datetime:
    """The clock by which the server dates runs and events; this host's own may be minutes off, or be set meanwhile."""
    with _answer(access, "/admin/version", None, None) as answer:
        said = answer.headers["Date"]
    return email.utils.parsedate_to_datetime(said) if said else datetime.datetime.now(datetime.UTC)


@dataclass(frozen=True)
class FlowRun:
    """A flow run; `since`: when it came into its state, by its `type` and its name.

    `worker`: whose it is, by the label that each worker sets between its claim and the start; empty before.
    """

    id: str
    name: str
    type: str
    state: str
    since: datetime.datetime
    tags: tuple[str, ...] = ()
    worker: str = ""

    @classmethod
    def of(cls, raw: dict[str, Any]) -> FlowRun:
        """As the server tells of it."""
        state, labels = raw["state"], raw.get("labels") or {}
        since, tags = moment(state["timestamp"]), tuple(raw.get("tags") or ())
        worker = str(labels.get("prefect.worker.name", ""))
        return cls(str(raw["id"]), str(raw["name"]), state["type"], str(state["name"]), since, tags, worker)


def moment(text: str) -> datetime.datetime:
    """A moment of the server's: it is UTC, whether or not it says so."""
    found = datetime.datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=datetime.UTC)


def in_pool(name: str) -> dict[str, Any]:
    """The part of a filter that leaves what is of one work pool."""
    return {"work_pools": {"name": {"any_": [name]}}}


def flow_runs(access: Access, pool: str, wanted: dict[str, Any]) -> list[FlowRun]:
    """The flow runs of a pool that a filter leaves.

    Raises:
        ApiError: what came are no flow runs.
        OSError: no answer came.
    """
    path = "/flow_runs/filter"
    found = pages(access, path, {"flow_runs": wanted, **in_pool(pool)})
    try:
        return [FlowRun.of(run) for run in found]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ApiError(None, f"answers {path} with what is not Prefect's ({printable(repr(error))})") from None


def pages(access: Access, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    """A filter's answer, all pages."""
    return paged(lambda part: request(access, path, body | part))


def paged(ask: Callable[[dict[str, int]], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """All pages of what is asked for a page at a time, by its `limit` and `offset`."""
    found: list[dict[str, Any]] = []
    while True:
        page = ask({"limit": PAGE, "offset": len(found)})
        found += page
        if len(page) < PAGE:
            return found


@dataclass(frozen=True)
class Event:
    """What happened (`name`) and when, to which resource, by id and name; `related`: role and id of others."""

    id: str
    name: str
    occurred: datetime.datetime
    resource: str
    called: str = ""
    related: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, raw: dict[str, Any]) -> Event:
        """As the server tells of it."""
        of, key = raw["resource"], "prefect.resource."
        related = tuple((one.get(f"{key}role", ""), one[f"{key}id"]) for one in raw.get("related") or ())
        return cls(
            raw["id"], raw["event"], moment(raw["occurred"]), of.get(f"{key}id", ""), of.get(f"{key}name", ""), related
        )


def events(access: Access, names: list[str], since: str) -> list[Event]:
    """The server's events of these names, oldest first, from a moment on (ISO 8601)."""
    found: dict[str, Event] = {}
    while True:
        wanted = {"occurred": {"since": since}, "event": {"name": names}, "order": "ASC"}
        page = request(access, "/events/filter", {"filter": wanted, "limit": EVENTS_PAGE})["events"]
        known = len(found)
        found.update((event["id"], Event.of(event)) for event in page)
        if len(page) < EVENTS_PAGE or len(found) == known:
            return list(found.values())
        since = page[-1]["occurred"]
