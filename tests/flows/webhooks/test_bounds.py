"""The webhook app towards callers who are slow, silent, too many or gone in the midst; and on a disk gone bad."""

from __future__ import annotations

import contextlib
import contextvars
import json
import logging
import socket
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from starlette.testclient import TestClient

import flows
from flows.services.settings import Settings
from flows.webhooks import http
from flows.webhooks.app import build
from flows.webhooks.bodies import MAX_BODY
from flows.webhooks.spool import Spool
from sandbox.standins.serve import bound
from tests.flows.webhooks.test_callers import GIVEN
from tests.flows.webhooks.test_routes import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = b"POST /webhook/christmas-signup HTTP/1.1\r\nhost: x\r\nx-webhook-secret: shared\r\n"
HEAD += b"content-type: application/json\r\n"


SERVED: list[uvicorn.Server] = []


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, int]]:
    """The app as the service serves it, with short times and few connections; Prefect is away."""
    monkeypatch.setattr(http.Bounded, "head_seconds", 2)
    monkeypatch.setattr(http.Bounded, "body_seconds", 2)
    monkeypatch.setattr(http.Bounded, "answer_seconds", 5)
    monkeypatch.setattr(http.Bounded, "most", 5)
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        config = uvicorn.Config(
            build(Settings(GIVEN), tmp_path / "spool"), loop="asyncio", access_log=False, log_config=None,
            timeout_graceful_shutdown=1, **http.options(),
        )  # fmt: skip
        running, listener = uvicorn.Server(config), bound("127.0.0.1")
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)  # of each connection; so that it fills
        thread = threading.Thread(target=contextvars.copy_context().run, args=(running.run, [listener]), daemon=True)
        thread.start()
        while not running.started:
            assert thread.is_alive()
            time.sleep(0.01)
        SERVED[:] = [running]
        yield listener.getsockname()
        running.should_exit = True
        thread.join(20)
        listener.close()


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer may take for ever: what ends a connection is the time of a head, or of a body."""
    monkeypatch.setattr(http.Bounded, "answer_seconds", 600)


@contextmanager
def connected(address: tuple[str, int], sent: bytes = b"") -> Iterator[socket.socket]:
    with socket.create_connection(address, timeout=30) as one:
        one.sendall(sent)
        yield one


def ended(one: socket.socket) -> bool:
    """Wait until the other side has ended the connection."""
    try:
        while one.recv(4096):
            pass
    except ConnectionResetError:
        pass
    return True


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        HEAD[:30],
        HEAD,
        HEAD + b"content-length: 50\r\n\r\n{",
        HEAD + b"transfer-encoding: chunked\r\n\r\n1\r\n{\r\n",
    ],
)
def test_who_is_silent_in_the_midst_is_let_go(address: tuple[str, int], patient: None, sent: bytes) -> None:
    with connected(address, sent) as one:
        assert ended(one)


@pytest.mark.parametrize("start", [HEAD[:5], HEAD + b"content-length: 60000\r\n\r\n"])
def test_who_trickles_is_let_go_all_the_same(address: tuple[str, int], patient: None, start: bytes) -> None:
    with connected(address, start) as one:
        one.settimeout(0.05)
        while True:
            try:
                one.sendall(b"a")
                if not one.recv(4096):
                    break
            except TimeoutError:
                continue
            except (ConnectionResetError, BrokenPipeError):
                break


def test_a_call_that_follows_another_on_its_connection_has_its_time_again(address: tuple[str, int]) -> None:
    body = json.dumps({"email": "delivered+1@resend.dev", "first_name": "Ada", "assessment_score": 50}).encode()
    whole = HEAD + b"content-length: %d\r\n\r\n" % len(body) + body
    with connected(address) as one:
        for _ in range(3):
            time.sleep(0.8)  # longer than the time of one head, in all
            one.sendall(whole)
            answer = b""
            while not answer.endswith(b"}"):
                more = one.recv(4096)
                assert more, "the connection was ended"
                answer += more
            assert answer.startswith(b"HTTP/1.1 202")
        one.sendall(HEAD)
        assert ended(one)


def test_more_connections_than_the_bound_are_refused_and_the_others_served(address: tuple[str, int]) -> None:
    with connected(address, HEAD) as first, connected(address, HEAD), connected(address, HEAD):
        with connected(address, HEAD), connected(address, HEAD), connected(address) as sixth:
            assert ended(sixth)
        first.sendall(b"content-length: 0\r\n\r\n")
        assert first.recv(4096).startswith(b"HTTP/1.1 422")


def test_a_head_that_is_too_large_is_refused_also_when_it_comes_whole(address: tuple[str, int]) -> None:
    body = b'{"email": "delivered+1@resend.dev", "first_name": "Ada", "assessment_score": 50}'
    for size, wanted in ((8_000, b"HTTP/1.1 202"), (20_000, b"HTTP/1.1 400"), (60_000, b"HTTP/1.1 400")):
        head = HEAD + b"x-long: " + b"a" * size + b"\r\ncontent-length: %d\r\n\r\n" % len(body)
        with connected(address, head + body) as one:
            assert one.recv(4096).startswith(wanted), size


def test_who_does_not_read_the_answers_is_let_go(address: tuple[str, int]) -> None:
    """Requests one behind the other, until their answers fill every buffer on the way."""
    state = SERVED[0].server_state
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        one.settimeout(2)
        one.connect(address)
        with contextlib.suppress(TimeoutError, ConnectionResetError, BrokenPipeError):
            for _ in range(20_000):
                one.sendall(b"GET /nowhere HTTP/1.1\r\nhost: x\r\nx-long: %s\r\n\r\n" % (b"a" * 4_000))
            pytest.fail("every answer went somewhere")
        eventually(lambda: not state.connections and not state.tasks, 30)


def test_who_hangs_up_in_the_midst_of_a_body_leaves_no_traceback(
    address: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(5):
        with connected(address, HEAD + b"content-length: 50\r\n\r\n{"):
            pass
    body = b"{}"
    with connected(address, HEAD + b"connection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body) as one:
        assert ended(one)
    # It came after the others, so that all have been taken; now each must have ended.
    state = SERVED[0].server_state
    eventually(lambda: not state.connections and not state.tasks)
    assert [record for record in caplog.records if record.exc_info] == []


def test_no_websocket_and_no_name_of_the_server(address: tuple[str, int]) -> None:
    upgrade = b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAA\r\n"
    with connected(address, b"GET /health HTTP/1.1\r\nhost: x\r\n" + upgrade + b"\r\n") as one:
        answer = one.recv(4096).lower()
    assert answer.startswith(b"http/1.1 200")
    assert b"server:" not in answer


def test_the_bounds_are_those_that_the_callers_page_names() -> None:
    told = "A head has at most 16 KB and must be whole in 10 s, a body 64 KB and 20 s, at most 512 connections are open"
    told = f"{told}, and who does not take an answer within 60 s is let go"
    assert told in (Path(str(flows.__file__)).parent.parent / "docs" / "callers.md").read_text("utf-8")
    assert (http.Bounded.head_seconds, http.Bounded.body_seconds, http.Bounded.answer_seconds) == (10, 20, 60)
    assert http.Bounded.most == 512
    assert MAX_BODY == 64 * 1024
    assert http.options() == {
        "http": http.Bounded,
        "ws": "none",
        "timeout_keep_alive": 15,
        "limit_concurrency": 512,
        "h11_max_incomplete_event_size": 16 * 1024,
        "server_header": False,
    }


@pytest.mark.parametrize("path", ["/openapi.json", "/docs", "/redoc", "/health/", "/webhook/christmas-signup/", "/"])
def test_nothing_is_public_that_need_not_be(tmp_path: Path, path: str) -> None:
    client = TestClient(build(Settings(GIVEN), tmp_path), follow_redirects=False)
    for answer in (client.get(path), client.post(path)):
        assert answer.status_code == 404
        assert "location" not in answer.headers


# -- the disk ---------------------------------------------------------------------------------------------------------

BROKEN = [b"", b"{", b"[]", b"null", b'{"kind": "event"}', b'{"kind": "else", "key": "x"}', b"\xff", b"[" * 100_000]
BROKEN += [
    b'{"kind": "event", "event": {}}',
    b'{"kind": "event", "event": {"email": "a@b.ca", "status": "Bounced", "at": "", "email_id": [1]}}',
    b'{"kind": "suppression", "event": {"email": 5, "unsubscribe": true}}',
    b'{"kind": "booking", "booking": {}}',
    b'{"kind": "booking", "booking": []}',
    b'{"kind": "enrolment", "key": 5, "campaign": [], "sequence": "s", "payload": {}, "received_at": ""}',
    b'{"kind": "enrolment", "key": "k", "campaign": "c", "sequence": "s", "payload": "x", "received_at": ""}',
    b'{"kind": "confirmation", "enrolment": null, "at": ""}',
    b'{"kind": "alarm", "alarm": {}, "text": ""}',
]


@pytest.mark.parametrize("content", BROKEN)
def test_a_broken_file_is_set_aside_and_told_and_what_is_newer_goes(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "enrolments").mkdir()
    (tmp_path / "enrolments" / "0.json").write_bytes(content)
    app = build(Settings(GIVEN), tmp_path)
    spool = Spool(tmp_path / "enrolments")
    entry = {"kind": "enrolment", "campaign": "c", "sequence": "s", "payload": {}, "received_at": ""}
    spool.put("x", entry)
    assert [found["key"] for _, found in spool.entries()] == ["x"]
    assert (spool.waiting, spool.broken) == (1, 1)
    assert (tmp_path / "enrolments" / "broken" / "0.json").read_bytes() == content
    app = build(Settings(GIVEN), tmp_path)  # also after a restart
    assert "1 broken files" in app.state.describe()
    answer = TestClient(app).get("/health")
    assert (answer.status_code, answer.json()["enrolments"]["broken"]) == (503, 1)


def test_a_name_in_the_spool_that_leads_nowhere_is_set_aside_too(tmp_path: Path) -> None:
    (tmp_path / "0.json").symlink_to(tmp_path / "gone")
    (tmp_path / "1.json").mkdir()
    spool = Spool(tmp_path)
    assert list(spool.entries()) == []
    assert (spool.waiting, spool.broken) == (0, 2)
    assert Spool(tmp_path).broken == 2


def test_what_is_wrong_is_said_to_the_operator_and_not_to_the_world(tmp_path: Path) -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api", PREFECT_CLIENT_MAX_RETRIES: 0}):
        app = build(Settings(GIVEN), tmp_path)
        Spool(tmp_path / "enrolments")
        with TestClient(app) as client:
            body = {"email": "delivered+1@resend.dev", "first_name": "Ada", "assessment_score": 50}
            assert client.post(
                "/webhook/christmas-signup", json=body, headers={"x-webhook-secret": "shared"}
            ).is_success
            eventually(lambda: "Error" in app.state.describe())
            told = client.get("/health").json()
    assert told["enrolments"]["trouble"] is True
    assert "Error" not in json.dumps(told)
