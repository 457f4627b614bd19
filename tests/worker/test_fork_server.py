"""The fork server's loop, without a worker."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from worker import fork_server

if TYPE_CHECKING:
    import pytest


def test_a_child_holds_the_server_s_line_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A socket object left behind would close a descriptor by its number, when the engine ends: a loop's own by then.

    Engines were seen to spin for ever at their end, with logs that the API was not there to take.
    """
    monkeypatch.setattr(fork_server, "_fork", lambda _line: 0)
    worker, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine, engines = socket.socketpair()
    with worker, mine, engines:
        number = control.fileno()
        socket.send_fds(worker, [b"1"], [engines.fileno()])
        line = fork_server.serve(control, [])
        assert line is not None
        line.close()
        assert control.fileno() == -1
        socket.close(number)


def test_a_server_whose_worker_has_gone_ends() -> None:
    worker, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker.close()
    with control:
        assert fork_server.serve(control, []) is None
