"""The webhooks as a service of the deploy: rolled through a gate, proved, put back, at work while Prefect is away."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from sandbox import runs
from sandbox.waiting import wait_for
from tests.hosts.conftest import ROOT, as_wanted, main_pids, webhooks

if TYPE_CHECKING:
    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator, Result

UNIT = "hublab-webhooks.service"
LINES = (
    "NoNewPrivileges|CapabilityBoundingSet|SystemCallFilter|ProtectSystem|ProtectHome|NoExecPaths|ExecPaths"
    "|RootDirectory|BindPaths|BindReadOnlyPaths"
)
PATH = f"/etc/systemd/system/{UNIT}"
LOOSENED = f"sed -i -E '/^({LINES})=/d' {PATH} && systemctl daemon-reload && systemctl restart {UNIT}"
CHECKS = ("test_webhooks", "test_a_unit_that_nobody_asked_for")


@pytest.fixture(scope="module", autouse=True)
def settings(operator: Operator, machine: Machine) -> dict[str, str]:
    """What `.env` says of the webhooks; deployed before the first test here."""
    wanted = webhooks(machine)
    as_wanted(operator)
    before = main_pids(machine)
    result = operator.deploy(**wanted)
    assert result.status == 0, result.text
    assert f"plan: {UNIT} will be started: new" in result.text
    assert re.search(r"webhooks: http://\S+:8080/health answers 200", result.text), result.text
    assert main_pids(machine) == before, "a worker was touched"
    return wanted


def pid(machine: Machine) -> str:
    return machine.ssh(f"systemctl show --property=MainPID --value {UNIT}").stdout.strip()


def test_a_second_deploy_changes_nothing(operator: Operator, machine: Machine, settings: dict[str, str]) -> None:
    before = pid(machine)
    result = operator.deploy(**settings)
    assert result.status == 0, result.text
    assert "plan: nothing to do" in result.text
    assert pid(machine) == before


def test_everything_about_them_verifies(operator: Operator, settings: dict[str, str]) -> None:
    result = verify(operator, settings)
    assert result.status == 0, result.text


def verify(operator: Operator, settings: dict[str, str], only: tuple[str, ...] = CHECKS) -> Result:
    """`./hublab verify`, what of it is about the webhooks, with these settings."""
    return operator.verify(*only, **settings)


@pytest.mark.parametrize(
    ("broken", "undone", "noticed"),
    [
        (
            f"systemctl stop {UNIT}",
            f"systemctl start {UNIT}",
            ["test_a_unit_that_nobody_asked_for_is_not_there", "test_webhooks_are_active_and_start_at_boot"],
        ),
        (
            LOOSENED,
            "true",
            [
                "test_systemd_rates_the_webhooks_as_shut_in",
                "test_webhooks_have_no_privilege",
                "test_webhooks_do_not_see",
                "test_webhooks_could_not_write_even_as_root",
            ],
        ),
        (
            "chmod 0644 /etc/hublab/webhooks.json; chmod 0755 /var/lib/hublab/webhooks/spool",
            "chmod 0700 /var/lib/hublab/webhooks/spool",
            ["test_webhooks_secrets_are_where_they_must_be_and_nowhere_else", "test_webhooks_spool_is_their_own"],
        ),
        (
            'printf \'{"webhook-secret": "another"}\' > /etc/hublab/webhooks.json',
            "true",
            ["test_webhooks_answer_and_know_their_callers"],
        ),
    ],
    ids=["stopped", "loosened", "readable", "another secret"],
)
def test_what_is_broken_is_noticed_and_put_right_by_a_deploy(
    operator: Operator, machine: Machine, settings: dict[str, str], broken: str, undone: str, noticed: list[str]
) -> None:
    machine.ssh(broken)
    result = verify(operator, settings, tuple(noticed))
    machine.ssh(undone)
    unnoticed = [check for check in noticed if not re.search(rf"FAILED .*::{check}\b", result.text)]
    assert not unnoticed, result.text
    mended = operator.deploy(**settings)
    assert mended.status == 0, mended.text
    assert verify(operator, settings, tuple(noticed)).status == 0


def test_a_unit_that_cannot_listen_is_put_back(operator: Operator, machine: Machine, settings: dict[str, str]) -> None:
    # Whoever listens before the step that starts them is told of by the plan: this one comes with it.
    late = "until systemctl -q is-active 'hublab-rollout-*'; do sleep .1; done; exec python3 -m http.server 8081"
    machine.ssh(f"systemd-run --quiet --unit=taken /bin/sh -c '{late}'")
    workers = main_pids(machine)
    try:
        result = operator.deploy(**settings | {"HUBLAB_WEBHOOKS": f"{machine.address}:8081"}, HUBLAB_GATE_SECONDS="20")
    finally:
        machine.ssh("systemctl stop taken")
    assert result.status != 0
    assert "webhooks: FAILED" in result.text
    assert "address already in use" in result.text, "the journal's last lines are not on the screen"
    assert "webhooks: put back on release" in result.text
    assert main_pids(machine) == workers
    assert httpx.get(f"http://{machine.address}:8080/health", trust_env=False).status_code == 200
    assert operator.deploy(**settings).status == 0


def test_they_start_and_accept_while_prefect_is_away(
    operator: Operator, machine: Machine, sandbox: Sandbox, settings: dict[str, str]
) -> None:
    names = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING")
    environment = os.environ | {name: operator.settings[name] for name in names}
    subprocess.run(
        [sys.executable, "-m", "flows.operator.register"], cwd=ROOT, env=environment, check=True, timeout=300
    )
    sandbox.stop_api()
    try:
        machine.ssh(f"systemctl restart {UNIT}", timeout=120)
        body = {"email": "delivered+away@resend.dev", "first_name": "Ada", "assessment_score": 50}
        url = f"http://{machine.address}:8080/webhook/christmas-signup"
        for _ in range(2):
            answer = httpx.post(
                url, json=body, headers={"x-webhook-secret": settings["WEBHOOK_SECRET"]}, trust_env=False
            )
            assert answer.status_code == httpx.codes.ACCEPTED
        kept = machine.ssh("ls /var/lib/hublab/webhooks/spool/enrolments").stdout.split()
        assert len([name for name in kept if name.endswith(".json")]) == 1
        machine.ssh(f"systemctl kill --signal=KILL {UNIT}")
    finally:
        sandbox.start_api()
    query = {"flow_runs": {"idempotency_key": {"any_": [answer.json()["key"]]}}}
    with sandbox.api() as api:
        found = wait_for(
            lambda: list(runs.pages(api, "/flow_runs/filter", query)), "what was accepted reaches Prefect", 180, every=1
        )
    assert len(found) == 1


def test_without_the_setting_they_go(operator: Operator, machine: Machine) -> None:
    result = operator.deploy()
    assert result.status == 0, result.text
    assert f"{UNIT} will be stopped and removed" in result.text
    left = machine.ssh(f"ls {PATH} /etc/hublab/webhooks.json", check=False)
    assert left.stdout == ""
    assert verify(operator, {}).status == 0
