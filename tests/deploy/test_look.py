"""A connection to a host that has lost its power ends by itself."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from paramiko import ChannelException, SSHException
from pyinfra.api import DeployError

from deploy import session
from deploy.look import answer, look, notice_silence
from deploy.state import HostState
from tests.deploy.factories import wanted

if TYPE_CHECKING:
    from pyinfra.api import Host


def host(client: object) -> Host:
    return cast("Host", SimpleNamespace(connector=SimpleNamespace(client=client)))


def test_silence_ends_the_connection() -> None:
    told: dict[str, Any] = {}
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as line:
        transport = SimpleNamespace(sock=line, set_keepalive=lambda seconds: told.update(keepalive=seconds))
        notice_silence(host(SimpleNamespace(get_transport=lambda: transport, exec_command=None)))
        assert told == {"keepalive": 8}
        assert line.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 25_000


def test_connection_that_is_closed_is_an_error_that_pyinfra_knows() -> None:
    """Any other ends the run of all hosts, wherever the others are."""

    def closed(*_: object, **__: object) -> None:
        raise EOFError

    line = SimpleNamespace(sock=object(), set_keepalive=lambda _: None)
    client = SimpleNamespace(exec_command=closed, get_transport=lambda: line)
    for _ in range(2000):  # each look at a host says it anew
        notice_silence(host(client))
    with pytest.raises(SSHException, match="the connection was closed"):
        client.exec_command("true")


def test_connection_through_a_jump_host_is_kept_alive_all_the_same() -> None:
    told: dict[str, Any] = {}
    transport = SimpleNamespace(sock=object(), set_keepalive=lambda seconds: told.update(keepalive=seconds))
    notice_silence(host(SimpleNamespace(get_transport=lambda: transport, exec_command=None)))
    assert told == {"keepalive": 8}


def test_host_without_a_connection_is_let_be() -> None:
    notice_silence(host(None))
    notice_silence(host(SimpleNamespace(get_transport=lambda: None)))


def test_what_a_shells_start_up_file_prints_is_no_part_of_the_answer() -> None:
    assert answer("h1", ["Welcome to h1!", "{not this}", '{"problem": "sudo"}']) == HostState(problem="sudo")


def test_answer_that_is_none_is_told_as_that() -> None:
    with pytest.raises(DeployError, match=r"h1 answered no JSON: \?\[2JThis account"):
        answer("h1", ["\x1b[2JThis account is not available"])


@pytest.mark.parametrize("error", [EOFError(), SSHException("SSH session not active"), OSError("Socket is closed")])
def test_host_that_hangs_up_on_the_question_is_named(error: Exception) -> None:
    with pytest.raises(DeployError, match="h1 closed the connection before it answered"):
        look(cast("Host", Answers([error])), wanted())


def test_session_that_is_refused_is_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """sshd grants MaxSessions over one connection; one of them ends sooner or later."""
    monkeypatch.setattr(session, "PAUSE_SECONDS", 0)
    refused = ChannelException(2, "Connect failed")
    there = Answers([refused, refused, ['{"problem": "sudo"}']])
    assert look(cast("Host", there), wanted()).problem == "sudo"
    with pytest.raises(DeployError, match=r"h1 closed the connection before it answered.*Connect failed"):
        look(cast("Host", Answers([refused] * session.TRIES)), wanted())


def test_host_that_fails_at_the_question_says_why() -> None:
    with pytest.raises(DeployError, match="h1 could not be looked at: sh: fork: Resource temporarily unavailable"):
        look(cast("Host", Answers([["sh: fork: Resource temporarily unavailable"]], done=False)), wanted())
    with pytest.raises(DeployError, match="h1 could not be looked at: it said nothing"):
        look(cast("Host", Answers([[]], done=False)), wanted())


class Answers:
    """A host that answers so each time that a session is asked for."""

    name = "h1"

    def __init__(self, answers: list[Exception | list[str]], *, done: bool = True) -> None:
        self.answers, self.done = answers, done
        self.connector = SimpleNamespace(client=None)

    def run_shell_command(self, *_: object, **__: object) -> tuple[bool, SimpleNamespace]:
        found = self.answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return self.done, SimpleNamespace(stdout_lines=found, output_lines=found)
