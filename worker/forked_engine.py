"""A fresh fork of the fork server becomes what `python -m prefect.engine` would be.

What an interpreter's start would have settled is settled anew: session, standard streams, environment, folder, module
search path, process title, `multiprocessing`'s key, Prefect's settings and logging. Python itself reseeds `random` in a
child, OpenSSL its own. Before any of this reads a file, the child enters the run's domain.
"""

from __future__ import annotations

import atexit
import ctypes
import json
import multiprocessing.process
import os
import re
import runpy
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, NoReturn, TypedDict

import worker
from worker.control_line import redirect
from worker.domain import enter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.domain import Domain
    from worker.engine_economy import Known
    from worker.preloaded import Preloaded

LENGTH = struct.Struct("q")
"""Of an order, before it; and the form of the process id in a child's first message."""
READY, GO = b"r", b"g"
_ENGINE = "prefect.engine"
_SETTINGS_FILES = (".env", "prefect.toml", "pyproject.toml")
"""What Prefect reads settings from, where a run works."""
_HANDLERS = "prefect.logging.handlers."


class Order(TypedDict):
    """What the worker asks for.

    `own` are variables over those of the environment: folders of the run's own. `known` need not be asked at Prefect.
    """

    flow_run: str
    environment: dict[str, str]
    own: dict[str, str]
    domain: Domain
    cwd: str
    silent: bool
    known: Known


def run(line: socket.socket, own: Preloaded) -> None:
    """Prepare, wait for the worker's go, and run the engine; `own` is kept or forgotten, as the run needs it.

    Nothing of the run happens before that byte, and the worker alone can send it. When it closes the line instead, it
    has started the run elsewhere, or is dead.
    """
    try:
        os.setsid()
        socket.send_fds(line, [LENGTH.pack(os.getpid())], [os.pidfd_open(os.getpid())])
        order = _read_order(line)
        if order is None:
            os._exit(os.EX_OK)
        ours = _become(order, line.fileno(), own)
        line.sendall(READY)
        if line.recv(1) != GO:
            os._exit(os.EX_OK)
    except BaseException:  # noqa: BLE001 - the worker sees the line close, and starts the run in the old way
        traceback.print_exc()
        os._exit(os.EX_SOFTWARE)
    line.close()
    try:
        runpy.run_module(_ENGINE, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if ours and isinstance(end.code, int | None):
            _leave(end.code or os.EX_OK)
        raise
    if ours:
        _leave(os.EX_OK)


def _leave(status: int) -> NoReturn:
    """End as an interpreter does, exit handlers and all, but without taking each module apart: 0.06 CPU seconds.

    For the release's own flows alone: another's may leave it to a file's destructor to write the last lines.
    """
    threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001 - no public name, as the next
    atexit._run_exitfuncs()  # noqa: SLF001
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _read_order(line: socket.socket) -> Order | None:
    with line.makefile("rb") as stream:
        head = stream.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return None
        (length,) = LENGTH.unpack(head)
        text = stream.read(length)
    if len(text) < length:
        return None
    order: Order = json.loads(text)
    return order


def _become(order: Order, line: int, own: Preloaded) -> bool:
    """Whether the run is one of the release's own flows, whose modules are there already."""
    _set_title(sys.executable, "-m", _ENGINE, order["flow_run"])
    enter(order["domain"])
    _redirect(line, silent=order["silent"])
    os.environ.clear()
    os.environ.update(order["environment"] | order["own"])
    redirect(os.environ)
    os.chdir(order["cwd"])
    if not os.environ.get("PYTHONSAFEPATH"):
        sys.path.insert(0, str(Path.cwd()))
    sys.argv = ["-m"]  # runpy puts the engine's file there
    sys.orig_argv = [sys.executable, "-m", _ENGINE]
    _be_patient(order["flow_run"])
    economy = _economy()
    _forget_worker()
    _look_anew()
    tempfile.tempdir = None
    time.tzset()
    _renew_key()
    _refresh_prefect(own.environment)
    ours = own.suits(order["known"].get("module", ""), os.environ)
    if not ours:
        own.forget()
    economy(order["known"])
    return ours


def _forget_worker() -> None:
    """A customer's own package may have this name, and runpy warns of a module that is there already.

    What goes over all modules, or all finders, copies the page of each: three megabytes an engine.
    """
    ours = [f"worker.{name}" for name, part in vars(worker).items() if isinstance(part, ModuleType)]
    for name in (*ours, "worker", _ENGINE):
        sys.modules.pop(name, None)


def _look_anew() -> None:
    """For a folder that was not there when the server looked. What is in one, its finder reads anew when it changes."""
    for folder in sys.path:
        if folder in sys.path_importer_cache and sys.path_importer_cache[folder] is None:
            del sys.path_importer_cache[folder]


def _be_patient(flow_run: str) -> None:
    from worker import engine_patience  # noqa: PLC0415 - it imports Prefect's client, and the worker this module

    engine_patience.install(flow_run, os.environ.pop(engine_patience.CLAIM, ""))


def _economy() -> Callable[[Known], None]:
    from worker import engine_economy  # noqa: PLC0415 - as above

    return engine_economy.install


def _redirect(line: int, *, silent: bool) -> None:
    """Keep the line and the standard streams alone; the server's own descriptors must not reach a flow."""
    os.closerange(3, line)
    os.closerange(line + 1, os.sysconf("SC_OPEN_MAX"))
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2) if silent else (0,):
        os.dup2(null, stream)
    os.close(null)


def _refresh_prefect(environment: Mapping[str, str]) -> None:
    """Read settings and profile as an engine that starts now would, and set up logging; not where nothing differs.

    A worker gives its runs all settings that it has, so that variables alone tell whether `environment`, in which the
    server has imported, had the same. To read them and set up logging takes half of the CPU time of a short run.
    Handlers of the operator's own are always made anew: the server's have files and connections, which are closed here,
    so that they would write into whatever the run opens under the same number.
    """
    import prefect.context  # noqa: PLC0415 - preloaded by the server, and not for the worker, which imports this too
    import prefect.logging.configuration  # noqa: PLC0415

    logging = prefect.logging.configuration.PROCESS_LOGGING_CONFIG
    plain = all(str(one.get("class")).startswith(_HANDLERS) for one in logging.get("handlers", {}).values())
    same = _for_prefect(os.environ) == _for_prefect(environment) and not any(map(os.path.exists, _SETTINGS_FILES))
    if plain and same:
        return
    prefect.context.refresh_global_settings_context()
    logging.clear()
    prefect.logging.configuration.setup_logging()


def _for_prefect(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that are settings; Prefect's own, with two underscores, are none."""
    named = {name.upper(): value for name, value in environment.items()}
    return {name: value for name, value in named.items() if re.match("PREFECT_(?!_)", name)}


def _renew_key() -> None:
    """By this key `multiprocessing` believes what comes over a connection: another run must not have the same."""
    multiprocessing.process.current_process().authkey = os.urandom(32)


def _set_title(*words: str) -> None:
    """Make `ps` show these words, in the place of the server's own; as much of them as there is room for."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    begin, end = int(fields[45]), int(fields[46])
    title = "\0".join(words).encode()[: end - begin - 1]
    ctypes.memmove(begin, title.ljust(end - begin, b"\0"), end - begin)
