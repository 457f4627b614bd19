"""The small Coolify and the small Prefect behind sockets of this machine, for programs that are started."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx

from deploy.onhost.prefect_api import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.deploy.coolify.theatre import Theatre


@contextmanager
def server(answer: Callable[[httpx.Request], httpx.Response]) -> Iterator[str]:
    """An address that answers so."""

    class Handler(BaseHTTPRequestHandler):
        def any_method(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            url = f"http://127.0.0.1{self.path}"
            response = answer(
                httpx.Request(self.command, url, headers=dict(self.headers), content=self.rfile.read(length))
            )
            content = response.read()
            self.send_response(response.status_code)
            for name in response.headers.keys() & {"retry-after"}:
                self.send_header(name, response.headers[name])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    for method in ("GET", "POST", "PATCH", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.any_method)
    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{web.server_address[1]}"
    finally:
        web.shutdown()
        web.server_close()
        thread.join()


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
        coolify = stack.enter_context(server(theatre.coolify.answer))
        prefect = stack.enter_context(server(lambda request: as_http(theatre, request)))
        yield coolify, f"{prefect}/api"
