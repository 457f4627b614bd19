"""The sandbox as a stage: everything that production has, set up from nothing; and what is done to it in the midst.

The only module here that knows the sandbox; a run against production never loads it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from e2e.errors import StageError
from e2e.record import Event
from sandbox import Sandbox, env_file, mail
from sandbox.campaign import setup
from sandbox.errors import SandboxError
from sandbox.funnel import service
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from e2e.record import Record
    from sandbox.campaign import Campaign

MAILBOX = "delivered@resend.dev"
WORKERS = 2
KILLED = "prefect-worker@1"
_REDEPLOY_SECONDS = 1900.0
_BACK_SECONDS = 180.0
# The setting that the redeploy changes, from one value to the other.
_CHANGED, _VALUES = "HUBLAB_CONCURRENCY", ("4", "5")


@dataclass(frozen=True)
class Stage:
    """A sandbox with a campaign and a funnel page; the campaign's `.env` names all of it."""

    campaign: Campaign

    @classmethod
    def up(cls, root: Path | None, speed: float, mailbox: str = MAILBOX) -> Stage:
        """Set it up, or go on with the one that is there.

        Args:
            root: The sandbox's folder; the checkout's own by default.
            speed: How many times faster than in testing mode the mails follow each other.
            mailbox: The one address that may receive mail.

        Raises:
            SandboxError: A step failed; says which and how.
        """
        settings = {"HUBLAB_WORKERS": str(WORKERS), "TESTING_ADDRESS": mailbox}
        campaign = setup.start(Sandbox.up(root=root), speed=speed, settings=settings)
        stage = cls(campaign)
        server = mail.start(campaign.sandbox.layout, mailbox)
        campaign.standin("resend", "settings", {"smtp": server.smtp})
        stage.change(FUNNEL_URL=service.start(campaign), TESTING_MAILBOX=server.imap)
        return stage

    @property
    def settings(self) -> dict[str, str]:
        """What the `.env` says now."""
        return env_file.read(self.campaign.env_file)

    def change(self, **settings: str) -> None:
        """Change some of it; mode 0600, since secrets are in it."""
        env_file.write(self.campaign.env_file, self.settings | settings)

    def kill_worker(self) -> None:
        """End one worker with SIGKILL, as the kernel does when memory runs out; return when systemd has another.

        Raises:
            StageError: No other came up.
        """
        before = self._main_pid()
        self._ssh(f"systemctl kill --kill-whom=main --signal=KILL {KILLED}")
        try:
            wait_for(
                lambda: self._main_pid() not in {"0", before} and self._active(),
                f"{KILLED} is back; python -m sandbox ssh",
                _BACK_SECONDS,
                every=0.5,
            )
        except SandboxError as error:
            raise StageError(str(error)) from error

    def _main_pid(self) -> str:
        return self._ssh(f"systemctl show --property=MainPID --value {KILLED}").strip()

    def _active(self) -> bool:
        return self._ssh(f"systemctl is-active {KILLED} || true").strip() == "active"

    def _ssh(self, command: str) -> str:
        try:
            return self.campaign.sandbox.hosts[0].ssh(command).stdout
        except SandboxError as error:
            raise StageError(str(error)) from error

    def redeploy(self) -> None:
        """Deploy with one setting changed, as an operator would: every worker is restarted, one after the other.

        Raises:
            StageError: The deploy failed; its last lines are in the error.
        """
        now = self.settings.get(_CHANGED, _VALUES[0])
        self.change(**{_CHANGED: next(value for value in _VALUES if value != now)})
        try:
            setup.deploy(self.campaign)
        except SandboxError as error:
            raise StageError(str(error)) from error


class Disturbance(threading.Thread):
    """In the midst of a run, once a handler runs: a worker is killed, then all are redeployed."""

    def __init__(self, stage: Stage, record: Record, say: Callable[[str], None]) -> None:
        """Not started yet; what is done is written into `record` and said."""
        super().__init__(name="disturbance", daemon=True)
        self._stage, self._record, self._say = stage, record, say
        self._enough = threading.Event()
        self.problem = ""

    def run(self) -> None:
        """Wait for the first handler, then do both."""
        while not any(one.handler_started for one in self._record.enrolments):
            if self._enough.wait(0.5):
                self.problem = "nobody was killed and nothing redeployed: no handler ran"
                return
        try:
            self._event("a worker is killed")
            self._stage.kill_worker()
            self._event("redeploy begins")
            self._stage.redeploy()
            self._event("redeploy ends")
        except StageError as error:
            self.problem = str(error)

    def _event(self, what: str) -> None:
        self._record.events.append(Event(datetime.now(UTC), what))
        self._say(what)

    def finished(self) -> str:
        """Wait for its end; what went wrong, empty when nothing did."""
        self._enough.set()
        self.join(_REDEPLOY_SECONDS)
        if self.is_alive():
            return "the redeploy has not ended"
        return self.problem
