"""A connection to a host that has lost its power ends by itself."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from pyinfra.api import DeployError
from pyinfra.api.exceptions import FactProcessError

from deploy.look import HostJson, look, notice_silence
from tests.deploy.factories import wanted

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


def test_what_a_shells_start_up_file_prints_is_no_part_of_the_answer() -> None:
    assert HostJson().process(["Welcome to h1!", "{not this}", '{"problem": "sudo"}']) == {"problem": "sudo"}


def test_answer_that_is_none_is_told_as_that() -> None:
    with pytest.raises(FactProcessError, match=r"answered no JSON: \?\[2JThis account"):
        HostJson().process(["\x1b[2JThis account is not available"])


def test_host_that_hangs_up_on_the_question_is_named() -> None:
    """paramiko says so by an EOFError, which is none of the errors that pyinfra knows."""

    def hang_up(*_: object, **__: object) -> None:
        raise EOFError

    there = SimpleNamespace(name="h1", connector=SimpleNamespace(client=None), get_fact=hang_up)
    with pytest.raises(DeployError, match="h1 closed the connection before it answered"):
        look(cast("Host", there), wanted())
