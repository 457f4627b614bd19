"""What a worker keeps for its runs, and what their engines do later: without a server."""

from __future__ import annotations

import contextlib
import json
import os
import ssl
import threading
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_URL, uuid4, uuid5

import anyio
import httpx
import pytest
from prefect import flow_engine, results
from prefect._internal import version_checking
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.settings import (
    PREFECT_API_SSL_CERT_FILE,
    PREFECT_API_TLS_INSECURE_SKIP_VERIFY,
    PREFECT_API_URL,
    PREFECT_CLIENT_CSRF_SUPPORT_ENABLED,
    temporary_settings,
)

from worker import engine_economy, known

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


SERVER = "https://127.0.0.1:1/api"
TOLD: engine_economy.Known = {"server": SERVER, "tokens": False, "fits": True}


class Document:
    """As much of a deployment as matters here."""

    def __init__(self, **parts: Any) -> None:
        self.entrypoint, self.job_variables = "a.b", {"env": {"A": "1"}}
        self.pull_steps: list[dict[str, Any]] = []
        self.__dict__ |= parts

    def model_copy(self, *, deep: bool) -> Document:
        assert deep
        return Document(**self.__dict__ | {"job_variables": {"env": dict(self.job_variables["env"])}})


class Client:
    """As much of Prefect's client."""

    def __init__(self, **parts: Any) -> None:
        self.asked: list[str] = []
        self.document, self.storage = Document(**parts), "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
        self._client = SimpleNamespace(enable_csrf_support=True)

    async def read_deployment(self, key: Any) -> Document:
        self.asked.append("deployment")
        if key == uuid5(NAMESPACE_URL, "gone"):
            raise LookupError(key)
        return self.document

    async def read_flow(self, _: Any) -> Document:
        return self.document

    async def read_server_default_result_storage(self) -> Any:
        self.asked.append("storage")
        return SimpleNamespace(default_result_storage_block_id=self.storage)

    async def raise_for_api_version_mismatch(self) -> None:
        self.asked.append("version")
        if self.storage is None:
            raise RuntimeError("Failed to reach API")


def run(deployment: str | None = "one") -> FlowRun:
    deployment_id = uuid5(NAMESPACE_URL, deployment) if deployment else None
    return FlowRun(flow_id=uuid4(), deployment_id=deployment_id, parameters={"a": 1})


async def test_documents_are_kept_for_seconds_and_no_run_changes_the_next_ones() -> None:
    client: Any = Client()
    knowledge = known.Knowledge(client)
    one = run()
    first = await client.read_deployment(one.deployment_id)
    first.job_variables["env"]["SECRET"] = "of the first run"
    assert (await client.read_deployment(one.deployment_id)).job_variables == {"env": {"A": "1"}}
    for _ in range(2):
        told = await knowledge.for_engine(one)
        assert (told["module"], told["storage"]) == ("a.b", client.storage)
    assert client.asked == ["deployment", "storage"]


async def test_what_was_kept_long_enough_is_asked_anew_and_an_error_is_not_kept() -> None:
    now, answers = [0.0], iter(("old", None, "new"))

    async def ask(key: str) -> str:
        if (found := next(answers)) is None:
            raise LookupError("away")
        return found

    kept = known.Kept(ask, lambda: now[0])
    assert await kept.get("a") == "old"
    now[0] += known.KEPT_SECONDS - 0.1
    assert await kept.get("a") == "old"
    now[0] += 0.2
    with pytest.raises(LookupError):
        await kept.get("a")
    assert await kept.get("a") == "new"


@pytest.mark.parametrize(
    "parts", [{"entrypoint": "file.py:flow"}, {"pull_steps": [{"a": {}}]}, {"entrypoint": None}], ids=str
)
async def test_a_deployment_that_takes_more_than_an_import_is_read_by_the_engine(parts: dict[str, Any]) -> None:
    client: Any = Client(**parts)
    assert "module" not in await known.Knowledge(client).for_engine(run())


@pytest.mark.parametrize("deployment", ["gone", None])
async def test_what_cannot_be_told_the_engine_asks_for_itself(deployment: str | None) -> None:
    client: Any = Client()
    client.read_server_default_result_storage = None  # of an older server
    assert not {"module", "storage"} & (await known.Knowledge(client).for_engine(run(deployment))).keys()


async def test_run_is_handed_over_for_seconds_after_the_poll_that_gave_it() -> None:
    client: Any = Client()
    knowledge, polled, stale, unknown = known.Knowledge(client), run(), run(), run()
    now = time.monotonic()
    knowledge.polled(now - known.POLLED_SECONDS, [stale.id])
    knowledge.polled(now, [polled.id])
    told = (await knowledge.for_engine(polled))["run"]
    assert json.loads(json.dumps(told)) == told
    assert FlowRun.model_validate(told) == polled
    for other in (stale, unknown):
        assert "run" not in await knowledge.for_engine(other)


async def test_engines_skip_the_questions_that_the_server_has_answered() -> None:
    client: Any = Client()
    knowledge = known.Knowledge(client)

    async def told() -> tuple[bool, bool]:
        found = await knowledge.for_engine(run())
        return found["tokens"], found["fits"]

    client.storage = None
    await knowledge.check_version()  # which fails
    assert await told() == (True, False)
    client.storage = "there"
    await knowledge.check_version()
    await knowledge.check_version()
    assert client.asked.count("version") == 2
    client._client.enable_csrf_support = False
    assert await told() == (False, True)


async def test_who_is_not_answered_asks_no_longer_than_heartbeats_can_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "_PATIENCE_SECONDS", 0.01)
    client: Any = Client()
    client.raise_for_api_version_mismatch = client.read_server_default_result_storage = anyio.sleep_forever
    knowledge = known.Knowledge(client)
    with anyio.fail_after(30):
        await knowledge.check_version()
        told = await knowledge.for_engine(run())
    assert not told["fits"]
    assert "storage" not in told


class Context:
    """A context that says when it is entered and left."""

    def __init__(self) -> None:
        self.entered, self.left, self.go_on = threading.Event(), threading.Event(), threading.Event()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self.name = name
        self.entered.set()
        self.go_on.wait(60)
        yield
        self.left.set()


def test_a_short_run_never_begins_what_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    context = Context()
    with engine_economy._later(context)("short") as nothing:
        assert nothing is None
    assert not context.entered.is_set()


def test_a_long_run_begins_it_and_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_economy, "LATER_SECONDS", 0.0)
    context = Context()
    context.go_on.set()
    with engine_economy._later(context)(name="long"):
        assert context.entered.wait(60)
        assert context.name == "long"
        assert not context.left.is_set()
    assert context.left.wait(60)


def test_a_run_that_ends_while_it_begins_is_not_held_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_economy, "LATER_SECONDS", 0.0)
    context = Context()
    with engine_economy._later(context)("between"):
        assert context.entered.wait(60)
    assert not context.left.is_set()
    context.go_on.set()
    assert context.left.wait(60)


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Prefect as an engine's, taken back at the end."""
    from prefect.client.orchestration import PrefectClient, SyncPrefectClient  # noqa: PLC0415

    for where, name in [
        *((flow_engine, name) for name in ("_send_heartbeats", "observe_flow_run_suspension")),
        *((flow_engine, name) for name in ("load_flow", "load_flow_run")),
        *((results, f"_{how}_server_default_result_storage_block_id") for how in ("read", "aread")),
        *((kind, "__init__") for kind in (PrefectClient, SyncPrefectClient)),
    ]:
        monkeypatch.setattr(where, name, getattr(where, name))
    with temporary_settings({PREFECT_API_URL: SERVER, PREFECT_CLIENT_CSRF_SUPPORT_ENABLED: True}):
        yield monkeypatch
    version_checking._clear_api_version_check_cache()


def contexts(*clients: Any) -> list[ssl.SSLContext]:
    return [client._client._transport._pool._ssl_context for client in clients]


def test_prefects_clients_share_a_context_and_nobody_else_has_it(changed: pytest.MonkeyPatch) -> None:
    engine_economy.install({})
    one, two = contexts(get_client(), get_client(sync_client=True))
    assert one is two
    assert one.verify_mode is ssl.CERT_REQUIRED
    with httpx.Client() as theirs:
        other: Any = theirs._transport
        assert other._pool._ssl_context is not one
    with temporary_settings({PREFECT_API_TLS_INSECURE_SKIP_VERIFY: True}):
        (unsafe,) = contexts(get_client())
    assert unsafe is not one
    assert unsafe.verify_mode is ssl.CERT_NONE
    mine = ssl.create_default_context()
    assert contexts(get_client(httpx_settings={"verify": mine})) == [mine]


def test_authorities_that_are_replaced_are_read_anew(changed: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import certifi  # noqa: PLC0415

    engine_economy.install({})
    (file := tmp_path / "ca.pem").write_bytes(one := open(certifi.where(), "rb").read())  # noqa: PTH123, SIM115
    with temporary_settings({PREFECT_API_SSL_CERT_FILE: str(file)}):
        (before,) = contexts(get_client())
        end = b"-----END CERTIFICATE-----\n"
        file.write_bytes(one.partition(end)[0] + end)
        (after,) = contexts(get_client())
    assert (len(before.get_ca_certs()), len(after.get_ca_certs())) > (1, 1)
    assert len(after.get_ca_certs()) == 1


async def test_engine_believes_its_worker_about_the_storage(changed: pytest.MonkeyPatch) -> None:
    engine_economy.install({**TOLD, "storage": None})
    read: Any = results
    assert read._read_server_default_result_storage_block_id() is None
    assert await read._aread_server_default_result_storage_block_id() is None
    engine_economy.install({**TOLD, "storage": "6ba7b810-9dad-11d1-80b4-00c04fd430c8"})
    assert str(read._read_server_default_result_storage_block_id()) == "6ba7b810-9dad-11d1-80b4-00c04fd430c8"


def test_flow_is_imported_without_its_deployment_and_what_it_starts_does_not_know(changed: pytest.MonkeyPatch) -> None:
    engine_economy.install({**TOLD, "module": "bench.until.until"})
    loaded = flow_engine.load_flow(run())
    assert loaded.name == "until"
    assert engine_economy._ENTRYPOINT not in os.environ


def test_engine_begins_with_the_run_as_it_was_claimed(changed: pytest.MonkeyPatch) -> None:
    claimed = run()
    engine_economy.install({**TOLD, "run": claimed.model_dump(mode="json")})
    assert flow_engine.load_flow_run(flow_run_id=claimed.id) == claimed


def test_flow_that_cannot_be_imported_says_so(changed: pytest.MonkeyPatch) -> None:
    engine_economy.install({**TOLD, "module": "no_such_module.flow"})
    with pytest.raises(ModuleNotFoundError):
        flow_engine.load_flow(run())
    assert engine_economy._ENTRYPOINT not in os.environ


def asks_for_tokens(client: Any) -> bool:
    return bool(client._client.enable_csrf_support)


def checks_version(client: Any) -> bool:
    key = version_checking._api_version_check_key(str(client.api_url), client.client_version())
    return not version_checking._is_api_version_check_cached(key)


@pytest.mark.parametrize("kind", [{}, {"sync_client": True}], ids=str)
def test_what_the_server_has_told_the_worker_is_not_asked_and_of_another_server_all_is(
    changed: pytest.MonkeyPatch, kind: dict[str, Any]
) -> None:
    version_checking._clear_api_version_check_cache()
    engine_economy.install(TOLD)
    client: Any = get_client(**kind)
    assert not asks_for_tokens(client)
    assert not checks_version(client)
    with temporary_settings({PREFECT_API_URL: "https://127.0.0.1:2/api"}):
        other: Any = get_client(**kind)
        assert asks_for_tokens(other)
        assert checks_version(other)


def test_run_that_has_another_server_than_its_worker_is_told_nothing(changed: pytest.MonkeyPatch) -> None:
    plain: Any = results
    version_checking._clear_api_version_check_cache()
    before = plain._read_server_default_result_storage_block_id
    with temporary_settings({PREFECT_API_URL: "https://127.0.0.1:2/api"}):
        engine_economy.install({**TOLD, "storage": None})
        client: Any = get_client()
        assert asks_for_tokens(client)
        assert checks_version(client)
    assert plain._read_server_default_result_storage_block_id is before
