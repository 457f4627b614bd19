"""Whatever answers at the API's address: one clear line, in bounded time, and the credential goes nowhere else."""

from __future__ import annotations

import json
import socket
import socketserver
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.onhost import api_facts, prefect_api
from deploy.onhost.prefect_api import Access, ApiError
from deploy.onhost.state import Pool
from deploy.plan import make
from deploy.settings import parse
from tests.deploy.factories import SENTINEL, bare, wanted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Answer = Callable[[BaseHTTPRequestHandler], None]


CLOUD_URL = "https://api.prefect.cloud/api/accounts/0a0a/workspaces/0b0b"


def reply(status: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for key, value in headers.items():
            handler.send_header(key, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


class Api:
    """A server that answers by path, and remembers what it was sent."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.seen: list[tuple[str, str | None]] = []
        self.body = b""  # of the last request
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                api.seen.append((self.path, self.headers.get("Authorization")))
                api.answers.get(self.path, reply(404))(self)

            do_POST = do_GET  # noqa: N815 - the base class's name

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/api"

    def ask(self, **access: str) -> api_facts.Server:
        return api_facts.api(replace(Access(self.url, f"admin:{SENTINEL}"), **access), "a pool")

    def is_well(self) -> None:
        """It is Prefect, has the pool, and nothing else."""
        self.answers |= {VERSION: closed(b'"3.8.8"'), POOL: reply(200, PLAIN)}
        self.answers |= dict.fromkeys((QUEUES, WORKERS, AUTOMATIONS, BLOCKS, DEPLOYMENTS), reply(200, b"[]"))

    def told(self) -> str:
        """The line that the operator reads."""
        found = self.ask()
        host = wanted(api_url=self.url)
        state = bare(api_status=found.status, api_error=found.error)
        (problem,) = make(host, state).problems
        assert problem.what.isprintable()
        return problem.what.replace(self.url, "URL")


@pytest.fixture
def api() -> Iterator[Api]:
    found = Api()
    yield found
    found.server.shutdown()
    found.server.server_close()


def closed(body: bytes) -> Answer:
    """What only those get who have a credential."""
    return lambda handler: reply(200 if handler.headers.get("Authorization") else 401, body)(handler)


VERSION = "/api/admin/version"
POOL = "/api/work_pools/a%20pool"
QUEUES = f"{POOL}/queues/filter"
PLAIN = b'{"type": "process", "is_paused": false, "concurrency_limit": null, "base_job_template": {}}'
WORKERS = "/api/work_pools/a%20pool/workers/filter"
AUTOMATIONS = "/api/automations/filter"
BLOCKS = "/api/block_documents/filter"
DEPLOYMENTS = "/api/deployments/filter"


def test_one_look_tells_all_that_a_plan_asks_of_prefect(api: Api) -> None:
    api.is_well()
    api.answers[QUEUES] = reply(200, b'[{"name": "a", "is_paused": true}, {"name": "b", "is_paused": false}]')
    api.answers[WORKERS] = reply(200, b'[{"name": "h-1", "status": "ONLINE"}, {"name": "h-2", "status": "OFFLINE"}]')
    api.answers[AUTOMATIONS] = reply(200, b'[{"name": "a", "description": "b", "enabled": true}]')
    pool = Pool(there=True, type="process", paused_queues=("a",), template={})
    online = frozenset({"h-1"})
    found = api.ask()
    assert abs(found.skew) < 60
    whole = api_facts.Server(version="3.8.8", pool=pool, online=online, automations={"a": "b"}, testing=False)
    assert replace(found, skew=0.0) == whole
    assert {path for path, _ in api.seen} == {VERSION, POOL, QUEUES, WORKERS, AUTOMATIONS, BLOCKS, DEPLOYMENTS}


def test_a_pool_with_more_workers_than_a_page_is_read_to_its_end(api: Api) -> None:
    """Whoever stands on the second page would be missing from the gate, or from the strangers that a plan names."""
    api.is_well()
    names = [f"w-{n}" for n in range(201)]

    def workers(handler: BaseHTTPRequestHandler) -> None:
        asked = json.loads(api.body)
        page = names[asked.get("offset", 0) :][: asked.get("limit", 200)]
        reply(200, json.dumps([{"name": one, "status": "ONLINE"} for one in page]).encode())(handler)

    api.answers[WORKERS] = workers
    assert api.ask().online == frozenset(names)


def test_pool_that_is_not_there_is_told(api: Api) -> None:
    api.is_well()
    del api.answers[POOL], api.answers[WORKERS]
    found = api.ask()
    assert (found.status, found.pool, found.online) == (200, Pool(there=False), frozenset())


@pytest.mark.parametrize(("access", "told"), [({}, True), ({"auth": ""}, True)])
def test_server_that_asks_for_no_credential_is_known(api: Api, access: dict[str, str], told: bool) -> None:
    api.is_well()
    assert api.ask().open is False
    api.answers[VERSION] = reply(200, b'"3.8.8"')
    assert api.ask(**access).open is told


def test_prefect_cloud_is_taken_as_it_is_documented(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """An account and a workspace in the address, a key as the bearer's, and no page that tells a version."""
    workspace = "/api/accounts/0a0a0a0a-0000-4000-8000-00000000000a/workspaces/0b0b0b0b-0000-4000-8000-00000000000b"
    api.is_well()
    api.answers = {path.replace("/api", workspace, 1): answer for path, answer in api.answers.items()}
    del api.answers[VERSION.replace("/api", workspace, 1)]
    monkeypatch.setattr(api_facts, "CLOUD", "127.0.0.1")
    found = api.ask(api_url=api.url.replace("/api", workspace), auth="", key="pnu_0123456789")
    assert (found.status, found.version, found.open) == (200, "", False)
    assert found.pool is not None
    assert found.pool.type == "process"
    assert {header for _, header in api.seen} == {"Bearer pnu_0123456789"}
    settings = parse({"HUBLAB_HOSTS": "h", "PREFECT_API_URL": CLOUD_URL, "PREFECT_API_KEY": "pnu_0"}, Path(".env"))
    assert settings.api_url == CLOUD_URL
    assert api_facts.is_cloud(Access(CLOUD_URL)) is False, "here it is 127.0.0.1"
    monkeypatch.undo()
    assert api_facts.is_cloud(Access(CLOUD_URL))
    assert not api_facts.is_cloud(Access("https://prefect.cloud.example.com/api"))


def test_automations_that_the_credential_does_not_reach_are_unknown(api: Api) -> None:
    api.is_well()
    api.answers[AUTOMATIONS] = reply(403)
    assert api.ask().automations is None


@pytest.mark.parametrize(
    ("answer", "on"),
    [
        (reply(200, b"[]"), False),
        (reply(200, b'[{"name": "testing-mode", "data": {"value": "true"}}]'), True),
        (reply(200, b'[{"name": "testing-mode", "data": {"value": " Yes "}}]'), True),
        (reply(200, b'[{"name": "testing-mode", "data": {"value": "false"}}]'), False),
        (reply(403), None),
    ],
)
def test_testing_mode_that_is_on_at_prefect_is_seen(api: Api, answer: Answer, on: bool | None) -> None:
    api.is_well()
    api.answers[BLOCKS] = answer
    assert api.ask().testing is on


def test_servers_clock_is_read_from_its_answer(api: Api) -> None:
    api.answers[VERSION] = reply(200, b'"3.8.8"')
    assert abs((prefect_api.server_now(Access(api.url)) - datetime.now(UTC)).total_seconds()) < 60


DEEP = b"[" * 100_000 + b"]" * 100_000


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (reply(404), "PREFECT_API_URL: URL answers 404 Not Found to /admin/version"),
        (reply(500), "PREFECT_API_URL: URL answers 500 Internal Server Error to /admin/version"),
        (reply(502, b"<h1>Bad gateway</h1>"), "PREFECT_API_URL: URL answers 502 Bad Gateway to /admin/version"),
        (reply(401), "PREFECT_API_AUTH_STRING: URL refuses it (401)"),
        (reply(403), "PREFECT_API_AUTH_STRING: URL refuses it (403)"),
        (
            reply(200, b"<!doctype html>\x1b[2J<title>Not it"),
            "PREFECT_API_URL: URL answers /admin/version with what is not JSON: <!doctype html>?[2J<title>Not it",
        ),
        (
            reply(200, b'{"version": 1}'),
            "PREFECT_API_URL: URL answers /admin/version with no version: it is not Prefect's",
        ),
        (reply(200, b""), "PREFECT_API_URL: URL answers /admin/version with no version: it is not Prefect's"),
        (reply(200, DEEP), f"PREFECT_API_URL: URL answers /admin/version with what is not JSON: {'[' * 60}…"),
        (
            reply(302, Location="https://elsewhere.example/\x1b[2J"),
            "PREFECT_API_URL: URL redirects to https://elsewhere.example/?[2J; name the address of the API itself",
        ),
    ],
    ids=["404", "500", "502", "401", "403", "html", "object", "empty", "deep", "redirect"],
)
def test_each_answer_is_one_clear_line(api: Api, answer: Answer, line: str) -> None:
    api.answers[VERSION] = answer
    assert api.told() == line


@pytest.mark.parametrize("body", [b"{}", b"[1]", b"null", b'[{"name": "x"}]', b'"text"'])
def test_workers_of_another_shape_are_no_traceback(api: Api, body: bytes) -> None:
    api.is_well()
    api.answers[WORKERS] = reply(200, body)
    assert api.ask().status == 200
    if body != b"{}":
        assert "answers with what is not Prefect's" in api.told()


def test_redirect_is_not_followed_with_the_credential(api: Api) -> None:
    other = Api()
    api.answers[VERSION] = reply(307, Location=f"{other.url}/admin/version")
    other.answers[VERSION] = reply(200, b'"3.8.8"')
    assert "redirects to" in api.told()
    assert other.seen == []
    assert api.seen[0][1]
    other.server.shutdown()
    other.server.server_close()


def test_endless_answer_ends(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefect_api, "ANSWER_BYTES", 2 * 1024 * 1024)

    def forever(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b" " * 65536)
        except OSError:
            pass

    api.answers[VERSION] = forever
    assert api.told() == "PREFECT_API_URL: URL answers more than 2 MiB to /admin/version"


@pytest.mark.parametrize("part", ["headers", "body"])
def test_answer_that_trickles_ends(api: Api, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Each byte comes in time, the whole never does."""
    monkeypatch.setattr(prefect_api, "ANSWER_SECONDS", 1.0)
    ended = threading.Event()

    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n" + b"\r\n" * (part == "body"))
        try:
            while not ended.is_set():
                handler.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            pass

    api.answers[VERSION] = trickle
    try:
        assert "did not come to the end of an answer within 1 s" in api.told()
    finally:
        ended.set()


@pytest.mark.parametrize("said", [b"SSH-2.0-OpenSSH_9.2\r\n", b"", b"HTTP/1.1 banana\r\n\r\n"])
def test_server_that_speaks_something_else(said: bytes) -> None:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.wfile.write(said)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        found = api_facts.api(Access(f"http://127.0.0.1:{server.server_address[1]}/api"), "p")
        server.shutdown()
    assert found.status is None
    assert found.error.isprintable()


def test_server_that_is_not_there_is_told_as_refused() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    found = api_facts.api(Access(f"http://127.0.0.1:{port}/api"), "p")
    assert found.status is None
    assert "Connection refused" in found.error


@pytest.mark.parametrize("body", [b'[{"id": "r"}]', b'[{"id": "r", "name": "n", "state": null}]', b'["r"]'])
def test_flow_runs_of_another_shape_are_told_as_no_answer_of_prefects(api: Api, body: bytes) -> None:
    api.answers["/api/flow_runs/filter"] = reply(200, body)
    with pytest.raises(ApiError, match="answers /flow_runs/filter with what is not Prefect's"):
        prefect_api.flow_runs(Access(api.url), "a pool", {})
