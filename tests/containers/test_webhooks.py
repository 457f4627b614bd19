"""The webhooks' image as an application of Coolify's with a volume: what it has accepted outlives a redeploy."""

from __future__ import annotations

import itertools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import httpx
import pytest

from deploy.container import image as built
from sandbox.coolify.daemon import NETWORK
from sandbox.local.processes import AUTH
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.coolify.daemon import Daemon
    from sandbox.local.server import Api

HANDLER = "christmas-signup-handler"
SECRETS = {
    "WEBHOOK_SECRET": "webhook-test",
    "RESEND_WEBHOOK_SECRET": "whsec_dGVzdC10ZXN0LXRlc3QtdGVzdA==",
    "UNSUBSCRIBE_SECRET": "unsubscribe-test",
}
# Of one of them the check by HTTP is no part: it is what Coolify's field for a command takes.
HEALTH = "python -m flows.webhooks.healthy"
SPOOL = "/var/lib/hublab/webhooks"
_NAMES = itertools.count(1)


@dataclass
class Webhooks:
    """One container of theirs, on a volume that others have as well."""

    daemon: Daemon
    image: str
    address: str
    name: str

    def start(self) -> Self:
        """As Coolify's compose file has it, with a persistent storage and a health check by command."""
        told = {**SECRETS, "PREFECT_API_URL": self.address, "PREFECT_API_AUTH_STRING": AUTH}
        self.daemon.docker(
            *("run", "--detach", "--name", self.name, "--network", NETWORK, "--restart=unless-stopped"),
            *("--cap-drop=ALL", "--init", f"--health-cmd={HEALTH}", "--health-interval=1s", "--health-timeout=15s"),
            *(f"--env={key}={value}" for key, value in told.items()),
            *(f"--volume=webhooks:{SPOOL}", self.image),
        )
        return self

    def is_(self, what: str) -> str:
        """What Docker says of it."""
        return self.daemon.docker("inspect", f"--format={{{{{what}}}}}", self.name).stdout.strip()

    def healthy(self) -> Self:
        """Wait until Docker calls it healthy."""

        def why() -> str:
            said = self.daemon.docker("logs", self.name)
            return f"{self.name} is healthy\n{self.is_('json .State.Health')}\n{said.stdout}{said.stderr}"

        wait_for(lambda: self.is_(".State.Health.Status") == "healthy", why, every=0.5)
        return self

    def url(self) -> str:
        """Where it listens, on the containers' network."""
        return f"http://{self.is_(f'.NetworkSettings.Networks.{NETWORK}.IPAddress')}:8080"

    def sign_up(self, name: str) -> int:
        """A signup; the status of the answer."""
        payload = {"email": f"delivered+{name}@resend.dev", "first_name": "Ada", "assessment_score": 50}
        headers = {"x-webhook-secret": SECRETS["WEBHOOK_SECRET"]}
        url = f"{self.url()}/webhook/christmas-signup"
        return httpx.post(url, json=payload, headers=headers, trust_env=False, timeout=30).status_code

    def stop(self) -> None:
        """As Coolify does, once another one is healthy."""
        self.daemon.docker("stop", "--time=30", self.name)
        self.daemon.docker("rm", self.name)


@pytest.fixture(scope="module")
def webhooks_image(daemon: Daemon, image: str, base_image: str) -> str:
    """From the worker's layers."""
    assert image
    return built.build(base_image, "webhooks", ["--network=host"], {**os.environ, **daemon.environment})


@pytest.fixture
def start(daemon: Daemon, webhooks_image: str, address: str) -> Iterator[Any]:
    started: list[Webhooks] = []

    def begin() -> Webhooks:
        started.append(Webhooks(daemon, webhooks_image, address, f"webhooks-{next(_NAMES)}"))
        return started[-1].start()

    yield begin
    for item in started:
        daemon.docker("rm", "--force", item.name, check=False)
    daemon.docker("volume", "rm", "--force", "webhooks")


def waiting(webhooks: Webhooks) -> int:
    return int(webhooks.daemon.docker("exec", webhooks.name, "sh", "-c", f"find {SPOOL} -name '*.json' | wc -l").stdout)


def test_nothing_that_was_accepted_is_lost_or_doubled_in_a_redeploy(start: Any, api: Api) -> None:
    """While nobody takes it, since the flows are not registered: the old container, both, the new one alone."""
    old = start().healthy()
    assert old.sign_up("first") == 202
    new = start().healthy()
    assert [old.sign_up("second"), new.sign_up("third")] == [202, 202]
    old.stop()
    assert new.sign_up("fourth") == 202
    assert waiting(new) == 4
    deployment = api.deploy(f"flows.{HANDLER}.nobody", HANDLER)
    wait_for(lambda: waiting(new) == 0, lambda: f"{waiting(new)} wait", every=0.5)
    found = api.post("/flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}})
    emails = sorted(run["parameters"]["payload"]["email"] for run in found)
    assert emails == sorted(f"delivered+{name}@resend.dev" for name in ("first", "second", "third", "fourth"))


def test_without_its_secrets_it_says_which_and_ends(daemon: Daemon, webhooks_image: str, address: str) -> None:
    told = (f"--env=PREFECT_API_URL={address}", f"--env=PREFECT_API_AUTH_STRING={AUTH}")
    done = daemon.docker("run", "--rm", "--network", NETWORK, *told, webhooks_image, check=False)
    assert (done.returncode, "webhook-secret" in done.stderr.lower().replace("_", "-")) == (78, True), done.stderr
