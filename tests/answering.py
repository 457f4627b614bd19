"""A service behind a socket of this machine, which answers as a test says."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def answering(answer: Callable[[httpx.Request], httpx.Response]) -> Iterator[str]:
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

    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
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
