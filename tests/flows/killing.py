"""Between a try and all it calls: a proxy that counts the calls and kills the caller before or after one of them."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Killer:
    """Knows whom to kill, and at which call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.stop(0)
        self.aim(None, 0, "before")

    def aim(self, pid: int | None, at: int | str, when: str) -> None:
        """Kill `pid` `before` or `after` its call number `at`, from 1, or the first of that name; 0 kills nobody."""
        with self._lock:
            self.pid, self.at, self.when, self.calls = pid, at, when, list[str]()

    def stop(self, at: int) -> None:
        """Have the next try stopped once its call number `at` is done and before it has the answer."""
        with self._lock:
            self._stop_at, self.stopped, self.go_on = at, threading.Event(), threading.Event()

    def call(self, name: str) -> str | None:
        """Count a call; what to do with it."""
        with self._lock:
            self.calls.append(name)
            if self._stop_at == len(self.calls):
                return "stop"
            return self.when if self.pid and self.at in (len(self.calls), name) else None

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(self.pid or 0), signal.SIGKILL)


@contextmanager
def proxy(upstream: str, killer: Killer) -> Iterator[str]:
    """An address that stands for `upstream`."""
    to = urlsplit(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

        def serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            what = killer.call(f"{self.command} {self.path}")
            if what == "before":
                killer.kill()
                self.close_connection = True
                return
            connection = http.client.HTTPConnection(str(to.hostname), int(to.port or 80), timeout=60)
            headers = {k: v for k, v in self.headers.items() if k.lower() not in HOP | {"host"}}
            try:
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException):
                self.close_connection = True
                return
            finally:
                connection.close()
            if what == "stop":
                killer.stopped.set()
                killer.go_on.wait(120)
            if what == "after":
                killer.kill()
                self.close_connection = True
                return
            with contextlib.suppress(OSError):
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in HOP:
                        self.send_header(name, value)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = serve  # noqa: N815 - http.server's names

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{to.path}"
    finally:
        server.shutdown()
        server.server_close()


class Tries:
    """Runs the bodies of the flows in processes that may be killed."""

    def __init__(self, zygote: subprocess.Popen[str], killer: Killer) -> None:
        self._zygote, self.killer = zygote, killer

    def once(self, what: str, arguments: list[Any], runs: int, at: int | str = 0, when: str = "before") -> int:
        """One try; its status, negative for the signal that ended it."""
        self.begin(what, arguments, runs, at, when)
        return self.end()

    def begin(self, what: str, arguments: list[Any], runs: int, at: int | str = 0, when: str = "before") -> None:
        """Begin one try; `end` waits for it."""
        assert self._zygote.stdin
        assert self._zygote.stdout
        self._zygote.stdin.write(json.dumps({"what": what, "arguments": arguments, "runs": runs}) + "\n")
        self._zygote.stdin.flush()
        self.killer.aim(json.loads(self._zygote.stdout.readline())["pid"], at, when)
        self._zygote.stdin.write("go\n")
        self._zygote.stdin.flush()

    def stopped(self) -> bool:
        """Wait until the try is stopped, or has come to its end; whether it is stopped."""
        assert self._zygote.stdout
        while not self.killer.stopped.wait(0.02):
            if select.select([self._zygote.stdout], [], [], 0)[0]:
                return False
        return True

    def end(self) -> int:
        """Let the try go on, and wait for its end; its status, negative for the signal that ended it."""
        assert self._zygote.stdout
        self.killer.go_on.set()
        return os.waitstatus_to_exitcode(json.loads(self._zygote.stdout.readline())["status"])


@contextmanager
def tries(api: str, environment: dict[str, str]) -> Iterator[Tries]:
    """A zygote whose calls to Prefect, Notion and Resend all go by the killer."""
    killer = Killer()
    with contextlib.ExitStack() as stack:
        more = {
            "PREFECT_API_URL": stack.enter_context(proxy(api, killer)),
            "HUBLAB_NOTION_URL": stack.enter_context(proxy(environment["HUBLAB_NOTION_URL"], killer)),
            "HUBLAB_RESEND_URL": stack.enter_context(proxy(environment["HUBLAB_RESEND_URL"], killer)),
            "PREFECT_LOGGING_TO_API_ENABLED": "false",
        }
        zygote = subprocess.Popen(
            [sys.executable, "-m", "tests.flows.zygote"],
            cwd=ROOT,
            env=os.environ | environment | more,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            yield Tries(zygote, killer)
        finally:
            assert zygote.stdin
            zygote.stdin.close()
            try:
                zygote.wait(10)
            except subprocess.TimeoutExpired:
                zygote.kill()
                zygote.wait(10)
