"""Who is in the way of the webhooks: real sockets on loopback."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from deploy.onhost import webhooks_port
from deploy.onhost.state import PortFault

UNIT = "hublab-webhooks.service"
SERVE = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); input()"


def test_free_port_is_left_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert webhooks_port.fault("127.0.0.1", port, UNIT) is None
    with socket.socket() as again:  # without SO_REUSEADDR, which would do beside a socket that was only left bound
        again.bind(("127.0.0.1", port))


@pytest.mark.parametrize(("held", "bind"), [("127.0.0.1", "127.0.0.1"), ("", "127.0.0.1"), ("127.0.0.1", "0.0.0.0")])
def test_port_that_is_taken_is_told_with_its_holder(held: str, bind: str) -> None:
    with socket.create_server((held, 0)) as server:
        fault = webhooks_port.fault(bind, server.getsockname()[1], UNIT)
    assert fault is not None
    assert (fault.error, fault.pid) == ("", os.getpid())
    assert fault.command


def test_another_process_is_found() -> None:
    with subprocess.Popen([sys.executable, "-c", SERVE], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            fault = webhooks_port.fault("127.0.0.1", int(process.stdout.readline()), UNIT)
        finally:
            process.communicate(b"\n", timeout=180)
    assert fault is not None
    assert fault.pid == process.pid
    assert fault.command.startswith("python")


def test_same_port_at_another_address_is_in_nobodys_way() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        assert webhooks_port.fault("127.0.0.1", server.getsockname()[1], UNIT) is None


def test_the_webhooks_themselves_are_not_in_their_own_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhooks_port, "unit_of", lambda _: UNIT)
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert webhooks_port.fault("127.0.0.1", server.getsockname()[1], UNIT) is None
        assert webhooks_port.fault("127.0.0.1", server.getsockname()[1], "other.service") is not None


def test_address_of_another_host() -> None:
    assert webhooks_port.fault("192.0.2.1", 8080, UNIT) == PortFault(
        "Cannot assign requested address", pid=0, unit=None, command=""
    )
