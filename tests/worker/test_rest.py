"""What the gate's client says of an API that it cannot ask."""

from __future__ import annotations

import ssl
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING

import pytest

from worker.connection import Connection
from worker.rest import ApiError, Rest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def signed_by_nobody(tmp_path: Path) -> Iterator[str]:
    """The address of an API whose certificate no public authority has signed."""
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    words = "-x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    command = ["openssl", "req", *words.split(), "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}/api"
        server.shutdown()
        thread.join()


def test_certificate_of_an_own_authority_is_named_with_what_has_it_trusted(signed_by_nobody: str) -> None:
    """The plan, which asks by the host's own Python, sees nothing: the host may trust that authority."""
    with Rest(Connection(signed_by_nobody, {}), 1) as rest, pytest.raises(ApiError) as refusal:
        rest.get("/health")
    assert "its certificate is not trusted; where your own authority has signed it" in str(refusal.value)
    assert "HUBLAB_ALLOW=ca" in str(refusal.value)
