"""What a forked engine asks once, later or not at all, because its worker has asked it or because most runs are short.

- Whether the server wants CSRF tokens and has a version that fits: as far as its worker is told, for that server alone.
- Whether results go to a storage of the server's: Prefect's engine asks twice a run; here the worker has, not long ago.
- The run itself, to begin with, and the deployment, where it only says which module to import: the worker has read
  both for the claim. What has become of the run since is looked at in the moment before it begins
  (`worker.engine_patience`).
- Which process it is, it tells by itself, with the flow's version, which it tells anyway.
- Heartbeats, and the watch for somebody who suspends the run, each with a thread, a client and a websocket of its own:
  they begin when the run is fifteen seconds old, half of the least interval that Prefect allows between two heartbeats.
  The watch begins with a look at the run's state: it misses no suspension.
- Certificates: Prefect's clients share one context, which no other client of the flow's ever sees.

Imports nothing of this project, as `worker.engine_patience`. All of Prefect's private names that are used here are in
tests/worker/test_prefect_internals.py.
"""

from __future__ import annotations

import contextvars
import os
import ssl
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict
from uuid import UUID

import certifi
import prefect.client.orchestration
import prefect.flow_engine
import prefect.results
from prefect._internal import version_checking as checking
from prefect.client.schemas.objects import FlowRun
from prefect.settings import get_current_settings
from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.flows import Flow

    type _Setup = Callable[..., AbstractContextManager[Any]]

LATER_SECONDS = 15.0
_MODELS = (
    *("prefect.client.schemas.actions", "prefect.client.schemas.objects", "prefect.client.schemas.responses"),
    "prefect.events.schemas.events",
)
_ENTRYPOINT, _RUN = "PREFECT__FLOW_ENTRYPOINT", "PREFECT__FLOW_RUN_ID"


class Known(TypedDict, total=False):
    """What the worker tells of its server; what is missing, and all of another server, the engine asks for itself.

    `server` is the address of its API; `tokens`: whether it may want CSRF tokens; `fits`: whether its version does;
    `storage`: the block of its result storage, None where it has none; `module`: the deployment's entrypoint, where
    nothing else of the deployment is needed to load the flow; `run`: the flow run as it was claimed, as JSON.
    """

    server: str
    tokens: bool
    fits: bool
    storage: str | None
    module: str
    run: dict[str, Any]


def install(known: Known) -> None:
    """Change Prefect in this process, whose settings are the run's."""
    if known and known["server"] != str(get_current_settings().api.url):
        known = {}
    for kind in (prefect.client.orchestration.PrefectClient, prefect.client.orchestration.SyncPrefectClient):
        _change(kind, known)
        _tell_process(kind)
    engine: Any = prefect.flow_engine
    engine._send_heartbeats = _later(engine._send_heartbeats)  # noqa: SLF001 - see above
    engine.observe_flow_run_suspension = _later(engine.observe_flow_run_suspension)
    if known.get("fits"):
        _know_version(known["server"])
    if "storage" in known:
        _know_storage(known["storage"])
    if "module" in known:
        _know_module(known["module"])
    if "run" in known:
        engine.load_flow_run = lambda flow_run_id: FlowRun.model_validate(known["run"] | {"id": flow_run_id})


def _tell_process(kind: Any) -> None:
    """Have the engine say which process it is with what it tells of its run before it begins it."""
    plain, run, process = kind.update_flow_run, os.environ.get(_RUN), str(os.getpid())

    def update(self: Any, flow_run_id: Any, *args: Any, **kwargs: Any) -> Any:
        own = {"infrastructure_pid": process} if str(flow_run_id) == run else {}
        return plain(self, flow_run_id, *args, **own | kwargs)

    kind.update_flow_run = update


def _know_version(server: str) -> None:
    for address in (server, f"{server.rstrip('/')}/"):
        checking._cache_api_version_check(checking._api_version_check_key(address, prefect.__version__))  # noqa: SLF001


def _know_storage(block: str | None) -> None:
    found = UUID(block) if block else None

    async def told() -> UUID | None:
        return found

    results: Any = prefect.results
    results._read_server_default_result_storage_block_id = lambda: found  # noqa: SLF001
    results._aread_server_default_result_storage_block_id = told  # noqa: SLF001


def _know_module(entrypoint: str) -> None:
    """By Prefect's own variable, which must not reach what the flow itself starts."""
    engine: Any = prefect.flow_engine
    plain = engine.load_flow

    def load_flow(flow_run: FlowRun) -> Flow[..., Any]:
        os.environ[_ENTRYPOINT] = entrypoint
        try:
            found: Flow[..., Any] = plain(flow_run)
        finally:
            os.environ.pop(_ENTRYPOINT, None)
        return found

    engine.load_flow = load_flow


class _Later(AbstractContextManager[None]):
    """Another context, entered by a thread of its own once this one is some seconds old; never, if it has ended."""

    def __init__(self, make: Callable[[], AbstractContextManager[Any]]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._ended = False
        self._inner: AbstractContextManager[Any] | None = None
        # A thread has no context of its own: without this one, Prefect would not find its settings.
        self._timer = threading.Timer(LATER_SECONDS, contextvars.copy_context().run, [self._begin])
        self._timer.daemon = True

    def __enter__(self) -> None:
        self._timer.start()

    def _begin(self) -> None:
        if self._ended:
            return
        inner = self._make()
        inner.__enter__()
        with self._lock:
            if not self._ended:
                self._inner = inner
                return
        inner.__exit__(None, None, None)

    def __exit__(self, *exc_info: object) -> None:
        self._timer.cancel()
        with self._lock:
            self._ended = True
        if self._inner is not None:
            self._inner.__exit__(None, None, None)


def _later(setup: _Setup) -> _Setup:
    return lambda *args, **kwargs: _Later(lambda: setup(*args, **kwargs))


_contexts: dict[tuple[str, int, int], ssl.SSLContext] = {}


def _context(cafile: str) -> ssl.SSLContext:
    """The context that trusts a file of authorities as it is now; made once, and by the fork server for all."""
    stat = Path(cafile).stat()
    key = (cafile, stat.st_mtime_ns, stat.st_size)
    if key not in _contexts:
        _contexts[key] = ssl.create_default_context(cafile=cafile)
    return _contexts[key]


def warm() -> None:
    """For the fork server: the context that Prefect's clients have where no setting says otherwise, and its models."""
    _context(certifi.where())
    _complete(BaseModel)


def _complete(kind: type[BaseModel]) -> None:
    """Complete what the client sends and receives: pydantic leaves a model to its first use, which is in each run."""
    if kind.__module__ in _MODELS:
        kind.model_rebuild(raise_errors=False)
    for other in kind.__subclasses__():
        _complete(other)


def _change(kind: Any, known: Known) -> None:
    """Have Prefect's clients take the context, where they would make one that verifies; no token is asked in vain."""
    plain = kind.__init__

    def init(self: Any, api: Any, *args: Any, httpx_settings: dict[str, Any] | None = None, **kwargs: Any) -> None:
        settings, asked = get_current_settings().api, httpx_settings or {}
        if not settings.tls_insecure_skip_verify and "verify" not in asked:
            asked = asked | {"verify": _context(str(settings.ssl_cert_file or certifi.where()))}
        plain(self, api, *args, httpx_settings=asked, **kwargs)
        if api == known.get("server") and not known["tokens"]:
            self._client.enable_csrf_support = False

    kind.__init__ = init
