"""What a worker asks Prefect once for all its runs: documents kept for seconds, and what its engines need not ask.

A document is kept for `KEPT_SECONDS`: who edits a deployment sees it in the runs that are claimed after that time. An
error is never kept.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import anyio
from prefect.settings import get_current_settings

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from uuid import UUID

    from prefect.client.orchestration import PrefectClient
    from prefect.client.schemas.objects import FlowRun

    from worker.engine_economy import Known

KEPT_SECONDS = 10.0
POLLED_SECONDS = 20.0
"""How long after a poll an engine may begin with the run as that poll gave it: later it reads the run anew."""
_MOST = 200
_PATIENCE_SECONDS = 2.0  # an engine can ask for itself


class Kept[Key, Value]:
    """Answers of one question, each for some seconds."""

    def __init__(self, ask: Callable[[Key], Awaitable[Value]], clock: Callable[[], float] = time.monotonic) -> None:
        """`ask` is asked for what is not known, or no more."""
        self._ask = ask
        self._clock = clock
        self._answers: dict[Key, tuple[float, Value]] = {}

    async def get(self, key: Key) -> Value:
        """The answer; whatever `ask` raises."""
        now = self._clock()
        if (kept := self._answers.get(key)) and now - kept[0] < KEPT_SECONDS:
            return kept[1]
        found = await self._ask(key)
        self._answers = {one: answer for one, answer in self._answers.items() if now - answer[0] < KEPT_SECONDS}
        if len(self._answers) < _MOST:
            self._answers[key] = now, found
        return found


class Knowledge:
    """What one worker knows for its runs."""

    def __init__(self, client: PrefectClient) -> None:
        """Have this client, which is the worker's, keep deployments and flows; nothing is asked yet."""
        self._client = client
        self._versions_agree = False
        self._polled: dict[UUID, float] = {}
        self._storage = Kept(self._ask_storage)
        for name in ("read_deployment", "read_flow"):
            setattr(client, name, _copies(Kept(getattr(client, name))))

    async def check_version(self) -> None:
        """Ask the server's version, until it fits; while it does not, each engine asks by itself, and says so."""
        if not self._versions_agree:
            # Heartbeats wait for this, and a proxy may let nobody ask.
            with contextlib.suppress(Exception), anyio.move_on_after(_PATIENCE_SECONDS):
                await self._client.raise_for_api_version_mismatch()
                self._versions_agree = True

    def polled(self, asked: float, flow_run_ids: Iterable[UUID]) -> None:
        """These runs were read by a poll that was sent at `asked`, by `time.monotonic`."""
        recent = {one: at for one, at in self._polled.items() if time.monotonic() - at < POLLED_SECONDS}
        self._polled = recent | dict.fromkeys(flow_run_ids, asked)

    async def for_engine(self, flow_run: FlowRun) -> Known:
        """What the run's engine need not ask. What cannot be told soon is missing."""
        http: Any = self._client._client  # noqa: SLF001
        known: Known = {
            "server": str(get_current_settings().api.url),
            "tokens": http.enable_csrf_support,  # False once the server has said so
            "fits": self._versions_agree,
            **await self._storage.get(None),
        }
        if flow_run.deployment_id is not None:
            with contextlib.suppress(Exception), anyio.move_on_after(_PATIENCE_SECONDS):
                if module := _module(await self._client.read_deployment(flow_run.deployment_id)):
                    known["module"] = module
        if time.monotonic() - self._polled.get(flow_run.id, float("-inf")) < POLLED_SECONDS:
            known["run"] = flow_run.model_dump(mode="json")
        return known

    async def _ask_storage(self, _: None) -> Known:
        """Nothing, where it cannot be told, as by a server of before it: that too is kept for a while."""
        with contextlib.suppress(Exception), anyio.move_on_after(_PATIENCE_SECONDS):
            found = (await self._client.read_server_default_result_storage()).default_result_storage_block_id
            return {"storage": str(found) if found else None}
        return {}


def _module(deployment: Any) -> str | None:
    """The entrypoint, where Prefect would do nothing but import it: a module's, without steps before it."""
    entrypoint = deployment.entrypoint
    return entrypoint if entrypoint and ":" not in entrypoint and not deployment.pull_steps else None


def _copies(kept: Kept[Any, Any]) -> Callable[[Any], Awaitable[Any]]:
    """Prefect writes a run's variables into the deployment that it has read: each run gets one of its own."""

    async def read(key: Any) -> Any:
        return (await kept.get(key)).model_copy(deep=True)

    return read
