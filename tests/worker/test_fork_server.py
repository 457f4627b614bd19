"""The fork server's loop, without a worker."""

from __future__ import annotations

import errno
import importlib
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from sandbox.local.processes import AUTH, environment
from tests.worker.world import TOP
from worker import fork_server, forked_engine

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.local.server import Api


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


def test_a_server_that_cannot_fork_closes_the_line_and_serves_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a run has begun as many processes as the worker may have."""

    def refuse() -> int:
        raise BlockingIOError(errno.EAGAIN, "no more processes")

    monkeypatch.setattr(os, "fork", refuse)
    monkeypatch.setattr(os, "listdir", lambda _: ["the only thread"])
    worker, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    mine, engines = socket.socketpair()
    with control, mine:
        socket.send_fds(worker, [b"1"], [engines.fileno()])
        engines.close()
        worker.shutdown(socket.SHUT_WR)
        with worker:
            assert fork_server.serve(control, []) is None
        assert mine.recv(1) == b""


def test_a_server_whose_worker_has_gone_ends() -> None:
    worker, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker.close()
    with control:
        assert fork_server.serve(control, []) is None


WHO_READS_ALL = """
import importlib, os, sys
from worker.fork_server import PRELOAD
readers = set()
class Watched(os._Environ):
    def items(self):
        readers.add(sys._getframe(1).f_globals["__name__"])
        return super().items()
os.environ.__class__ = Watched
for name in PRELOAD:
    importlib.import_module(name)
print(*sorted(readers))
"""


def test_who_goes_through_the_whole_environment_while_the_server_imports_is_known() -> None:
    """For what others read in this way, a run with another value must not be forked: look for its names there.

    wsgiref copies the environment for servers of CGI, which no engine is.
    """
    command = [sys.executable, "-c", WHO_READS_ALL]
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=TOP)
    assert said.stdout.split() == ["pydantic_settings.sources.utils", "wsgiref.handlers"]


def test_folder_that_was_not_there_when_the_server_looked_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "later"))
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("only_there_later")
    (tmp_path / "later").mkdir()
    (tmp_path / "later/only_there_later.py").write_text("")
    forked_engine._look_anew()
    importlib.import_module("only_there_later")
    monkeypatch.delitem(sys.modules, "only_there_later")


ONE_RUN = """
import sys
from pydantic import BaseModel
from worker import engine_economy
from worker.fork_server import preload
preload()
engine_economy.warm()
from prefect import flow, task

def left(kind):
    for other in kind.__subclasses__():
        yield from left(other)
        if other.__module__.startswith("prefect.") and not other.__pydantic_complete__:
            yield f"{other.__module__}.{other.__name__}"

modules, models = set(sys.modules), set(left(BaseModel))
task(lambda: None, name="step")
flow(lambda: task(lambda: None, name="step")(), name="once")()
print(*sorted({*sys.modules} - modules), *sorted(models - {*left(BaseModel)}))
"""


def test_run_finds_imported_and_completed_what_it_needs_of_prefect(api: Api, tmp_path: Path) -> None:
    """Else each run would do by itself, and in memory of its own, what the server has done once for all."""
    env = environment(tmp_path, PREFECT_API_URL=f"http://127.0.0.1:{api.port}/api", PREFECT_API_AUTH_STRING=AUTH)
    said = subprocess.run([sys.executable, "-c", ONE_RUN], env=env, capture_output=True, text=True, check=True)
    assert not said.stdout.split()
