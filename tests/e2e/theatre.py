"""What the end-to-end run is played to, without machines: the real flows, webhooks and funnel page, served here."""

from __future__ import annotations

import contextlib
import contextvars
import threading
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import httpx
from prefect.exceptions import ObjectAlreadyExists
from prefect.flow_engine import run_flow
from prefect.settings import PREFECT_API_URL

from e2e import browser, diagnose, enter, run, target
from e2e.outside import opened
from e2e.record import Record
from e2e.target import SECRETS
from e2e.watch import Watch
from flows.operator.register import flow_of
from flows.operator.secret_blocks import write
from flows.services.prefect_api import Prefect
from flows.services.settings import Settings, from_environment
from flows.webhooks.app import build
from sandbox import env_file
from sandbox.funnel.app import PATH, Funnel
from sandbox.standins.serve import address_of, bound, serving
from sandbox.waiting import wait_for
from tests.flows.world import settings_at_prefect

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.target import Target
    from sandbox.mail import MailServer
    from tests.flows.world import World

MAILBOX = "delivered@resend.dev"
MINUTE = 2.0
TAG = "e2e-{}"
_AHEAD = timedelta(seconds=1)
_ENROLLED_WITHIN = 180.0  # seconds


class Worker(threading.Thread):
    """Polls the pool as a worker does, and runs what is due, one after the other, in this process."""

    def __init__(self) -> None:
        super().__init__(name="worker", daemon=True)
        self._context = contextvars.copy_context()
        self._enough = threading.Event()

    def run(self) -> None:
        self._context.run(self._poll)

    def _poll(self) -> None:
        with Prefect() as prefect:
            # By the queue of its gate it is known for a worker of this project.
            with contextlib.suppress(ObjectAlreadyExists, httpx.HTTPStatusError):  # it is there already
                prefect.client.create_work_queue("probe-theatre", work_pool_name="default")
            while not self._enough.wait(0.3):
                beat = {"name": "theatre", "heartbeat_interval_seconds": 30}
                prefect.client.request("POST", "/work_pools/default/workers/heartbeat", json=beat)
                before = (datetime.now(UTC) + _AHEAD).isoformat()
                asked = {"work_queue_names": ["campaign-handlers", "campaign"], "scheduled_before": before}
                found = prefect.client.request("POST", "/work_pools/default/get_scheduled_flow_runs", json=asked).json()
                for one in found:
                    self._one(prefect, one["flow_run"]["id"])

    def _one(self, prefect: Prefect, identity: str) -> None:
        if self._enough.is_set():
            return
        run_ = prefect.client.read_flow_run(identity)
        entrypoint = prefect.client.read_deployment(run_.deployment_id).entrypoint
        with contextlib.suppress(Exception):  # what a run raises is in its state
            run_flow(flow_of(entrypoint), flow_run=run_, parameters=run_.parameters, return_type="state")

    def stop(self) -> None:
        self._enough.set()
        self.join(60)


class Theatre:
    """The campaign and its `.env`."""

    def __init__(self, world: World, post: MailServer, folder: Path) -> None:
        self.world, self.post, self.folder = world, post, folder
        self._stack = contextlib.ExitStack()
        self.values: dict[str, str] = {}

    def __enter__(self) -> Self:
        hooks, page = bound("127.0.0.1"), bound("127.0.0.1")
        self.hooks_url, self.page_url = map(address_of, (hooks, page))
        self.values = self.world.environment | {
            "PREFECT_API_URL": str(PREFECT_API_URL.value()),
            "HUBLAB_PUBLIC_URL": self.hooks_url,
            "FUNNEL_URL": f"{self.page_url}{PATH}",
            "TESTING_ADDRESS": MAILBOX,
            "TESTING_MAILBOX": self.post.imap,
            "HUBLAB_TESTING_MINUTE_SECONDS": str(MINUTE),
        }
        # A test may play for another of Resend's addresses.
        more = {"TESTING_ADDRESS": self.world.environment["TESTING_ADDRESS"]}
        settings = from_environment(self.values | more)
        delivery = self.world.services.resend.delivery
        delivery.relay(self.post.smtp)
        self._stack.callback(delivery.relay, None)
        self._stack.enter_context(settings_at_prefect())
        write(settings)
        self.receiver = contextlib.ExitStack()
        self.receiver.enter_context(serving(build(Settings(settings), self.folder / "spool"), hooks))
        self._stack.callback(self.receiver.close)
        webhook = f"{self.hooks_url}/webhook/christmas-signup"
        self._stack.enter_context(serving(Funnel(webhook, self.values["WEBHOOK_SECRET"]).app(), page))
        self.worker = Worker()
        self.worker.start()
        self._stack.callback(self._forget)
        self._stack.callback(self._stop_worker)
        return self

    def _stop_worker(self) -> None:
        """Whichever is at work by then: a test may have put another in the first one's place."""
        self.worker.stop()

    def _forget(self) -> None:
        """What a run left open would be mail to others, for the next one."""
        with opened(self.target()) as outside, Prefect() as prefect:
            for one in outside.prefect.open_runs():
                prefect.client.delete_flow_run(UUID(one.id))

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def target(self, **changed: str) -> Target:
        """What the run is told; some of it changed."""
        file = self.folder / "env"
        env_file.write(file, self.values | changed)
        return target.load(file, "sandbox")

    def entered(self, aim: Target, *sequences: str) -> Record:
        """The contacts went in, or tried to; nothing is followed."""
        record = Record("sandbox", datetime.now(UTC), minute=MINUTE)
        record.enrolments = enter.expected(aim, sequences, TAG.format(time.time_ns()))
        with browser.opened() as chromium:
            enter.enter(aim, record, chromium, self.folder / "out/pictures")
        return record

    def followed(self, aim: Target, *sequences: str, patience: float) -> Record:
        """They went in and were followed, although it was not permitted to start.

        Patience is for the mails: however busy the machine, the handlers first come to their end.
        """
        record = self.entered(aim, *sequences)
        with opened(aim) as outside:
            tag = record.enrolments[0].to.partition("+")[2].rpartition("-")[0]
            watch = Watch(outside, record, tag, run.say)

            def enrolled() -> bool:
                watch.look(notion=False)
                return all(one.handler_ended for one in record.enrolments)

            wait_for(enrolled, "the handlers' runs have ended", _ENROLLED_WITHIN)
            watch.until_settled(patience)
            record.diagnosis = diagnose.diagnose(record, watch.facts(aim))
        return record

    def play(self, *sequences: str, patience: float = 60, yes: bool = True, **changed: str) -> Record:
        """One run. How late a mail may be, is the sandbox's to show: here one worker does all, on whatever machine."""
        wish = run.Wish(sequences, patience, yes=yes, out=self.folder / "out", latest=300)
        return run.run(self.target(**changed), wish)


def secrets(values: dict[str, Any]) -> list[str]:
    """What must be in no report."""
    return [str(values[name]) for name in SECRETS]
