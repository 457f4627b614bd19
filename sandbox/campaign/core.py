"""A running campaign: who it is reached by, and what can be done with it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from flows.campaigns.model import sequence as find_sequence
from flows.webhooks.callers import variable
from sandbox.campaign import mails
from sandbox.campaign.contacts import PAYLOADS, PROJECTS
from sandbox.cgroup import Cgroup
from sandbox.errors import SandboxError
from sandbox.layout import CHECKOUT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from flows.campaigns.model import Sequence
    from sandbox.campaign.mails import Mail
    from sandbox.core import Sandbox

_COMMAND_SECONDS = 600.0
SECRETS = ("WEBHOOK_SECRET", "RESEND_WEBHOOK_SECRET", "UNSUBSCRIBE_SECRET", "NOTION_TOKEN", "RESEND_API_KEY")


@dataclass(frozen=True)
class Campaign:
    """A campaign in a sandbox.

    Attributes:
        sandbox: Where it runs.
        environment: Everything that its `.env` has: the deploy's settings and the campaign's own.
        checkout: The folder of the project whose code it is.
    """

    sandbox: Sandbox
    environment: Mapping[str, str]
    checkout: Path = CHECKOUT

    @property
    def env_file(self) -> Path:
        """The `.env` for the operator's commands; mode 0600, since secrets are in it."""
        return env_file(self.sandbox)

    @property
    def secrets(self) -> dict[str, str]:
        """The secrets, by the names of their environment variables."""
        return {name: self.environment[name] for name in SECRETS}

    @property
    def webhooks_url(self) -> str:
        """Where the webhooks listen, without a path."""
        return self.environment["HUBLAB_PUBLIC_URL"]

    @property
    def notion_url(self) -> str:
        """The stand-in for Notion."""
        return self.environment["HUBLAB_NOTION_URL"]

    @property
    def inbox_url(self) -> str:
        """The stand-in for Resend; its page is the inbox."""
        return self.environment["HUBLAB_RESEND_URL"]

    @property
    def prefect_url(self) -> str:
        """Prefect's page."""
        return self.sandbox.api_url.removesuffix("/api")

    @property
    def speed(self) -> float:
        """How many times faster than in testing mode the mails follow each other."""
        return 60 / float(self.environment["HUBLAB_TESTING_MINUTE_SECONDS"])

    def enrol(self, sequence: str, email: str, **more: Any) -> str:
        """Post what a visitor would, through the real webhook; the enrolment's key.

        Args:
            sequence: `signup`, `noshow`, `postcall` or `onboarding`.
            email: The contact; `contacts.address` makes addresses that are delivered to.
            more: Fields of the payload that differ.

        Raises:
            SandboxError: The webhook did not answer 202.
        """
        return self.post(find_sequence(PROJECTS, sequence), PAYLOADS[sequence] | {"email": email} | more)

    def post(self, sequence: Sequence, body: dict[str, Any]) -> str:
        """Post this to a sequence's webhook; the enrolment's key. Raises SandboxError as `enrol`."""
        secret = self.environment.get(variable(sequence.webhook)) or self.environment["WEBHOOK_SECRET"]
        headers = {"x-webhook-secret": secret}
        url = f"{self.webhooks_url}/webhook/{sequence.webhook}"
        answer = httpx.post(url, json=body, headers=headers, timeout=30, trust_env=False)
        if answer.status_code != httpx.codes.ACCEPTED:
            raise SandboxError(f"{url} answered {answer.status_code}: {answer.text}")
        return sequence.key_of(body)

    def mails(self, keys: Iterable[str]) -> list[Mail]:
        """Every mail of these enrolments, whether it is there yet or not, in order."""
        with self.sandbox.api() as api:
            runs = mails.runs_of(api, keys := list(keys))
        return mails.mails(keys, runs, self.standin("resend")["mails"])

    def standin(self, service: str, path: str = "state", body: Any = None) -> Any:
        """Ask the stand-in for `notion` or `resend` under /_standin, or tell it something."""
        url = f"{self.notion_url if service == 'notion' else self.inbox_url}/_standin/{path}"
        method = "GET" if body is None else "POST"
        return httpx.request(method, url, json=body, timeout=60, trust_env=False).raise_for_status().json()

    def command(self, module: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one of the operator's commands against it, such as `flows.operator.preflight`.

        Raises:
            SandboxError: With `check`, when it failed; its output is in the error.
        """
        names = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
        environment = os.environ | {name: self.environment[name] for name in names}
        done = self._python(environment, module, *arguments)
        if check and done.returncode:
            raise SandboxError(f"{module}: exit status {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        return done

    def status(self) -> subprocess.CompletedProcess[str]:
        """What `./hublab status` says; 0 when all is as planned and no run is left behind."""
        return self._python(os.environ | {"HUBLAB_ENV_FILE": str(self.env_file)}, "deploy.fleet", "status")

    def _python(self, environment: Mapping[str, str], *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *words],
            cwd=self.checkout,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_COMMAND_SECONDS,
            check=False,
        )

    def down(self) -> None:
        """Stop the stand-ins and forget the campaign; the sandbox and what was deployed stay."""
        group(self.sandbox).kill()
        for path in (env_file(self.sandbox), answer_file(self.sandbox)):
            path.unlink(missing_ok=True)


def env_file(sandbox: Sandbox) -> Path:
    """Where the campaign's `.env` is."""
    return sandbox.layout.campaign_file


def answer_file(sandbox: Sandbox) -> Path:
    """Where the stand-ins write how they are reached."""
    return sandbox.layout.root / "standins.json"


def group(sandbox: Sandbox) -> Cgroup:
    """The cgroup of the stand-ins: they end with the sandbox."""
    return Cgroup(f"{sandbox.layout.cgroup}/standins")
