"""A connection to a host that has lost its power ends by itself."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from deploy.look import notice_silence

if TYPE_CHECKING:
    from pyinfra.api import Host


def host(client: object) -> Host:
    return cast("Host", SimpleNamespace(connector=SimpleNamespace(client=client)))


def test_silence_ends_the_connection() -> None:
    told: dict[str, Any] = {}
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as line:
        transport = SimpleNamespace(sock=line, set_keepalive=lambda seconds: told.update(keepalive=seconds))
        notice_silence(host(SimpleNamespace(get_transport=lambda: transport)))
        assert told == {"keepalive": 8}
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 25_000


def test_connection_through_a_jump_host_is_kept_alive_all_the_same() -> None:
    told: dict[str, Any] = {}
    transport = SimpleNamespace(sock=object(), set_keepalive=lambda seconds: told.update(keepalive=seconds))
    notice_silence(host(SimpleNamespace(get_transport=lambda: transport)))
    assert told == {"keepalive": 8}


def test_host_without_a_connection_is_let_be() -> None:
    notice_silence(host(None))
    notice_silence(host(SimpleNamespace(get_transport=lambda: None)))
