"""A way from the containers' network to one port of this machine's loopback, and to no other."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Connection(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        """Both ways at once, until either side has enough."""
        with socket.create_connection(("127.0.0.1", self.server.to)) as there:  # type: ignore[attr-defined]
            back = threading.Thread(target=_pour, args=(there, self.request), daemon=True)
            back.start()
            _pour(self.request, there)
            back.join()


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    to = 0


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def forward(address: str, port: int) -> Iterator[int]:
    """For as long as the block runs; yields the port at `address`."""
    with _Server((address, 0), _Connection) as server:
        server.to = port
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()
