"""The webhooks as an application of Coolify's, which `./hublab` deploys: what they accepted outlives a redeploy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx
import pytest

from sandbox.coolify.daemon import NETWORK
from sandbox.local.processes import AUTH
from sandbox.waiting import wait_for
from tests.deploy.coolify.standin import APP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.operator import Result
    from tests.containers.stage import Stage

UUID = "hookhook"
ADDRESS = f"coolify:{UUID}"
HANDLER = "christmas-signup-handler"
DOMAIN = "https://hooks.example.com"
SECRET = "webhook-sentinel-81c2"
ENV = {
    "HUBLAB_WEBHOOKS": ADDRESS,
    "HUBLAB_PUBLIC_URL": DOMAIN,
    "WEBHOOK_SECRET": SECRET,
    "RESEND_WEBHOOK_SECRET": "whsec_dGVzdC10ZXN0LXRlc3QtdGVzdA==",
    "UNSUBSCRIBE_SECRET": "unsubscribe-sentinel-81c2",
}
SPOOL = "/var/lib/hublab/webhooks"
ENDS_AT_ONCE = {"flows/webhooks/service.py": 'raise SystemExit("these webhooks have had enough")\n'}


class Hooks:
    """The application beside the workers', and its callers, who reach its containers by their network."""

    deployed: Result

    def __init__(self, stage: Stage) -> None:
        """Nothing of it is deployed yet."""
        self.stage, self.app = stage, stage.add(UUID, name="webhooks")

    def hublab(self, *words: str, **more: str) -> Result:
        """A command for it alone."""
        return self.stage.desk.hublab(*words, "--limit", ADDRESS, **ENV, **more)

    def sign_up(self, name: str, container: str = "") -> int:
        """A signup; the status of the answer."""
        what = f"--format={{{{.NetworkSettings.Networks.{NETWORK}.IPAddress}}}}"
        address = self.stage.daemon.docker("inspect", what, container or self.stage.container(self.app)).stdout.strip()
        payload = {"email": f"delivered+{name}@resend.dev", "first_name": "Ada", "assessment_score": 50}
        url, headers = f"http://{address}:8080/webhook/christmas-signup", {"x-webhook-secret": SECRET}
        return httpx.post(url, json=payload, headers=headers, trust_env=False, timeout=30).status_code

    def waiting(self) -> int:
        """What was accepted and is not handed on."""
        found = self.stage.run(self.stage.container(self.app), "sh", "-c", f"find {SPOOL} -name '*.json' | wc -l")
        return int(found)


@pytest.fixture(scope="module")
def hooks(stage: Stage) -> Iterator[Hooks]:
    """The application, whose first deploy was one with its worker's."""
    stage.back_to_first()
    stage.api.ensure_pool()
    made = Hooks(stage)
    made.deployed = stage.desk.hublab("deploy", "--yes", **ENV)
    yield made
    stage.remove(made.app)


def test_first_deploy_sets_it_up_beside_the_worker_and_then_all_is_as_planned(hooks: Hooks) -> None:
    stage, text = hooks.stage, hooks.deployed.text
    assert hooks.deployed.status == 0, text
    assert f"no volume is at {SPOOL}" in text
    assert f"release {stage.releases[stage.first]}" in text
    assert SECRET not in text
    results = {line.split()[1]: line for line in text.splitlines() if line.rstrip().endswith(("no change", "deployed"))}
    assert results[f"(coolify:{APP})"].endswith("no change"), text
    assert results[f"({ADDRESS})"].endswith("1 of 1 COMPLETED  deployed"), text
    assert stage.serves(hooks.app) == stage.releases[stage.first]
    assert hooks.app.app["fqdn"] == DOMAIN
    planned = stage.desk.hublab("plan", **ENV)
    assert planned.status == 0, planned.text
    status = hooks.hublab("status")
    assert (status.status, "serves, release" in status.text) == (0, True), status.text
    verified = hooks.hublab("verify")
    assert verified.status == 0, verified.text
    (passed,) = [line for line in verified.text.splitlines() if " passed" in line]
    assert "7 passed" in passed, verified.text


def test_nothing_that_was_accepted_is_lost_or_doubled_in_a_redeploy(hooks: Hooks) -> None:
    """While nobody takes it, since the flows are not registered: the old container, both, the new one alone."""
    stage, old = hooks.stage, hooks.stage.container(hooks.app)
    answers = [hooks.sign_up("first")]
    second = stage.made({"flows/second.py": '"""A module that the first release has not."""\n'}, [UUID])

    def call(now: str) -> None:
        if now == f"stops {old}":
            answers.extend(hooks.sign_up(f"both-{name}", name) for name in hooks.app.containers())

    stage.coolify.moment = call
    done = hooks.hublab("deploy", "--yes")
    stage.coolify.moment = lambda _: None
    assert done.status == 0, done.text
    assert old not in hooks.app.containers()
    assert stage.serves(hooks.app) == stage.releases[second]
    answers.append(hooks.sign_up("alone"))
    assert answers == [202] * 4
    assert hooks.waiting() == 4
    deployment = stage.api.deploy(f"flows.{HANDLER}.nobody", HANDLER)
    wait_for(lambda: hooks.waiting() == 0, lambda: f"{hooks.waiting()} wait", every=0.5)
    found = stage.api.post("/flow_runs/filter", {"deployments": {"id": {"any_": [deployment]}}})
    emails = [run["parameters"]["payload"]["email"] for run in found]
    assert len(emails) == len(set(emails)) == 4, emails

    back = hooks.hublab("rollback", "--yes")
    assert back.status == 0, back.text
    assert stage.serves(hooks.app) == stage.releases[stage.first]
    assert hooks.sign_up("back") == 202


def test_bad_release_never_takes_over(hooks: Hooks) -> None:
    stage, old, fields = hooks.stage, hooks.stage.container(hooks.app), dict(hooks.app.app)
    stage.made(ENDS_AT_ONCE, [UUID])
    done = hooks.hublab("deploy", "--yes", HUBLAB_GATE_SECONDS="15")
    assert done.status == 1, done.text
    assert "these webhooks have had enough" in done.text
    assert "rolled back" in done.text
    assert (stage.container(hooks.app), hooks.app.app) == (old, fields)
    assert hooks.sign_up("still") == 202


def test_without_its_secrets_it_says_which_and_ends(hooks: Hooks) -> None:
    there = {item["key"]: item["value"] for item in hooks.app.envs}
    told = (f"--env=PREFECT_API_URL={there['PREFECT_API_URL']}", f"--env=PREFECT_API_AUTH_STRING={AUTH}")
    image = f"{UUID}:{hooks.stage.first}"
    done = hooks.stage.daemon.docker("run", "--rm", "--network", NETWORK, *told, image, check=False)
    assert (done.returncode, "webhook-secret" in done.stderr.lower().replace("_", "-")) == (78, True), done.stderr
