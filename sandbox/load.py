"""Short flow runs that go on arriving while hosts are changed, and how each of them ended."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from sandbox import runs
from sandbox.errors import SandboxError
from sandbox.past import FLOWS
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    import httpx

    from sandbox import Sandbox


class Load(threading.Thread):
    """One run every `every` seconds, `most` of them at the most, each in flight for `seconds`, until told to stop."""

    every, most, seconds = 4.0, 200, 1.0

    def __init__(self, sandbox: Sandbox) -> None:
        """Nothing is started yet."""
        super().__init__(daemon=True)
        self.sandbox, self.stopped = sandbox, threading.Event()
        self.created: list[str] = []

    def register(self, api: httpx.Client) -> str:
        """The deployment whose runs they are."""
        return runs.register(api, "flows.py:nap", directory=str(FLOWS), queue="default")

    def look(self) -> None:
        """Called after each run was created."""

    def settle(self, api: httpx.Client, run: str) -> None:
        """Returns when the run has ended."""
        runs.await_state(api, run, timeout=300)

    def run(self) -> None:
        """Until it is stopped."""
        with self.sandbox.api() as api:
            deployment = self.register(api)
            while not self.stopped.is_set() and len(self.created) < self.most:
                self.created.append(runs.start(api, deployment, {"seconds": self.seconds}))
                self.look()
                self.stopped.wait(self.every)

    def finish(self) -> list[tuple[str, int]]:
        """State and number of attempts of every run, once all have ended."""
        self.stopped.set()
        self.join(60)
        ended = []
        with self.sandbox.api() as api:
            for run in self.created:
                self.settle(api, run)
                found = api.get(f"/flow_runs/{run}").raise_for_status().json()
                ended.append((found["state"]["type"], found["run_count"]))
        return ended


class Trickle(Load):
    """Fewer of them, tagged so that one may be run again if it is lost."""

    every, most, seconds = 6.0, 60, 0.5

    def register(self, api: httpx.Client) -> str:
        """The deployment with the tag."""
        deployment = super().register(api)
        api.patch(f"/deployments/{deployment}", json={"tags": ["run-again"]}).raise_for_status()
        return deployment

    def settle(self, api: httpx.Client, run: str) -> None:
        """Returns when the run has completed, or its time is over."""
        completes(api, run, timeout=240)


def completes(api: httpx.Client, run: str, *, timeout: float) -> bool:
    """Whether a run completes in time, also if it is lost on the way, which is a crash for a moment."""
    try:
        return wait_for(lambda: runs.state(api, run).type == "COMPLETED", "it completes", timeout, every=1)
    except SandboxError:
        return False
