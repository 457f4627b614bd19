"""The webhooks of a host: settings, unit, plan, and their part of the rollout."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from deploy.onhost.roll_webhooks import gate_url, release_of
from deploy.onhost.worker_unit import verify
from deploy.plan import make, towards
from deploy.rollout import report
from deploy.rollout.conductor import conduct
from deploy.rollout.member import Member
from deploy.secret import Secret
from deploy.service import unit, webhooks_unit
from deploy.state import FileFacts, HostState, Worker
from deploy.webhooks import Webhooks
from tests.deploy.factories import SENTINEL, converged, release_name, wanted
from tests.deploy.rollout.test_conductor import Recorder
from tests.deploy.service.test_unit_exposure import exposure
from tests.deploy.units import RELEASE, directives, environment, render

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.planned import Plan
    from deploy.spec import WorkerHost

OWN = "webhook-secret-onboarding-start"
WEBHOOKS = Webhooks("127.0.0.1", 8080, {"webhook-secret": Secret(SENTINEL), OWN: Secret(f"{SENTINEL}-own")})
SECRETS = {"mode": "0600", "uid": 0, "gid": 0}


def with_webhooks(**changes: Any) -> WorkerHost:
    return wanted(webhooks=WEBHOOKS, **changes)


def text(webhooks: Webhooks = WEBHOOKS, release: str = RELEASE) -> str:
    return webhooks_unit.render(wanted(webhooks=webhooks), webhooks, release=release, python_prefix="/opt/python3.12")


def serving(**changes: Any) -> HostState:
    """A host whose webhooks serve as a deploy left them."""
    rendered = webhooks_unit.render(with_webhooks(), WEBHOOKS, release=release_name(), python_prefix="/usr/local")
    webhooks = Worker(
        0,
        unit_sha256=hashlib.sha256(rendered.encode()).hexdigest(),
        active="active",
        pid=77,
        enabled="enabled",
        release=release_name(),
        unit_digest=unit.digest_of(rendered),
        credentials={
            "profiles.toml": hashlib.sha256(wanted().profiles().encode()).hexdigest(),
            "webhooks.json": hashlib.sha256(WEBHOOKS.document().encode()).hexdigest(),
        },
    )
    state = converged(wanted(), users=frozenset(with_webhooks().users()))
    secrets = FileFacts("0600", 0, 0, hashlib.sha256(WEBHOOKS.document().encode()).hexdigest())
    files = state.files | {"/etc/hublab/webhooks.json": secrets}
    return replace(state, webhooks=replace(webhooks, **changes), files=files)


def test_they_trust_whom_the_host_trusts_and_are_opened_in_nothing_else() -> None:
    """Prefect's API may be behind an authority of one's own: what they accept would be handed on to nobody."""
    host = with_webhooks(allow=("jit", "proc", "ca"))
    opened = webhooks_unit.render(host, WEBHOOKS, release=RELEASE, python_prefix="/opt/python3.12")
    assert directives(opened) == directives(text())
    told = environment(opened).items() - environment(text()).items()
    store = "/etc/ssl/certs/ca-certificates.crt"
    assert {key: value for key, value in told if key != "HUBLAB_UNIT"} == {
        "SSL_CERT_FILE": store,
        "REQUESTS_CA_BUNDLE": store,
    }


def test_the_unit_is_shut_in_exactly_as_a_workers(tmp_path: Path) -> None:
    """Every line of the sandbox is the worker's, but for the folder that is its own; and one port to listen at."""
    shared = unit.fill("hardening.j2", **unit.visible("F", "/usr", ["S"]), root="R")
    keys = [key for key, _ in directives(shared)]
    assert len(keys) > 30
    own = [pair for pair in directives(text()) if pair[0] in keys]
    spool = " /var/lib/hublab/webhooks/spool"
    alike = [(key, value.replace(spool, "").replace(spool.replace(" ", " +"), "")) for key, value in own]
    theirs = [(key, value.replace("worker-1", "webhooks")) for key, value in directives(render()) if key in keys]
    assert alike == theirs
    assert alike != own
    assert dict(directives(text()))["SocketBindDeny"] == "any"
    assert dict(directives(text()))["SocketBindAllow"] == "tcp:8080"
    assert exposure(tmp_path, text()) <= 1.0


def test_the_unit_has_its_own_state_and_no_secret() -> None:
    found = dict(directives(text()))
    assert found["StateDirectory"] == "hublab/webhooks/tmp hublab/webhooks/prefect hublab/webhooks/spool"
    assert found["BindPaths"].split() == [f"/var/lib/{path}" for path in found["StateDirectory"].split()]
    assert (found["User"], found["Group"]) == ("hublab-webhooks", "hublab-webhooks")
    assert found["Type"] == "notify"
    assert "--secrets %d/webhooks.json" in found["ExecStart"]
    assert environment(text())["PREFECT_PROFILES_PATH"] == "%d/profiles.toml"
    assert SENTINEL not in text()
    verify("hublab-webhooks.service", re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text(), flags=re.MULTILINE))


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080/health"),
        ("0.0.0.0", "http://127.0.0.1:8080/health"),
        ("::", "http://[::1]:8080/health"),
        ("10.1.2.3", "http://10.1.2.3:8080/health"),
    ],
)
def test_the_gate_asks_where_the_unit_listens(bind: str, url: str) -> None:
    rendered = text(replace(WEBHOOKS, bind=bind))
    assert gate_url(rendered) == url
    assert release_of(rendered) == RELEASE


def plan_for(state: HostState, host: WorkerHost | None = None) -> Plan:
    return make(host or with_webhooks(), state)


def test_as_wanted_is_left_alone() -> None:
    assert not plan_for(serving()).changes


def test_new_webhooks_are_started_and_their_secrets_written() -> None:
    plan = plan_for(converged(wanted()))
    assert plan.fix_paths == ("/etc/hublab/webhooks.json",)
    assert plan.webhooks is not None
    assert plan.webhooks.reasons == ("new",)
    assert not plan.restarts
    assert "hublab-webhooks.service will be started: new" in plan.words


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"release": "3.8.0-old"}, "runs release 3.8.0-old"),
        ({"unit_digest": "0" * 12}, "its settings changed"),
        ({"unit_sha256": "0" * 64}, "its unit file was edited"),
        ({"active": "failed", "pid": 0}, "is failed"),
        ({"enabled": "disabled"}, "does not start at boot"),
        ({"uvloop": True}, "has uvloop loaded"),
    ],
)
def test_why_they_are_restarted(change: dict[str, Any], reason: str) -> None:
    plan = plan_for(serving(**change))
    verb = "started" if change.get("pid") == 0 else "restarted"
    assert plan.words == (f"hublab-webhooks.service will be {verb}: {reason}",)
    assert not plan.restarts


def test_a_way_back_gives_them_the_unit_that_was_kept_with_its_release() -> None:
    kept = text(replace(WEBHOOKS, port=8081), "old")
    units = {"hublab-webhooks.service": kept, "prefect-worker@1.service": "another"}
    step = towards(with_webhooks(), replace(serving(), kept={"old": units}), "old").webhooks
    assert step is not None
    assert step.unit == kept
    assert step.reasons == (f"runs release {release_name()}",)


def test_an_api_in_a_private_network_is_open_to_them_and_to_the_workers() -> None:
    plan = plan_for(replace(serving(), reach=("10.9.8.7",)))
    assert plan.webhooks is not None
    for step in (plan.webhooks, *plan.workers):
        assert "IPAddressAllow=10.9.8.7/32" in step.unit, step.name


def test_a_rotated_secret_restarts_them_and_no_worker() -> None:
    webhooks = replace(WEBHOOKS, secrets={"webhook-secret": Secret("another")})
    plan = plan_for(serving(), wanted(webhooks=webhooks))
    assert plan.fix_paths == ("/etc/hublab/webhooks.json",)
    assert plan.webhooks is not None
    assert plan.webhooks.reasons == ("its secrets changed",)
    assert not plan.restarts


def test_a_deploy_cut_off_after_the_file_restarts_them_all_the_same() -> None:
    profiles = hashlib.sha256(wanted().profiles().encode()).hexdigest()
    plan = plan_for(serving(credentials={"profiles.toml": profiles, "webhooks.json": "0" * 64}))
    assert plan.webhooks is not None
    assert "its secrets changed" in plan.webhooks.reasons


def test_what_is_no_longer_wanted_is_removed_and_its_release_with_it() -> None:
    state = serving(release="3.8.0-old")
    plan = plan_for(replace(state, releases=state.releases | {"3.8.0-old": state.releases[release_name()]}), wanted())
    assert plan.words == (
        "hublab-webhooks.service will be stopped and removed: HUBLAB_WEBHOOKS does not name this host",
        "release 3.8.0-old will be removed",
    )


def rolled(state: HostState, host: WorkerHost, failing: str = "") -> tuple[Recorder, Any]:
    machine = Recorder(host, state, make(host, state), [], frozenset(failing.split()))
    return machine, conduct([machine], "deploy@desk")[host.address]


def test_they_come_after_the_workers_and_before_the_end() -> None:
    machine, outcome = rolled(converged(wanted(), workers={}), with_webhooks(workers=1))
    assert [line.rpartition(" ")[2] for line in machine.journal] == [
        *("put_secrets", "hublab-1-1", "roll_webhooks", "finish_host")
    ]
    query, detached = machine.asked["roll_webhooks"]
    assert detached
    assert query["unit"] == "hublab-webhooks.service"
    assert gate_url(query["text"]) == "http://127.0.0.1:8080/health"
    assert SENTINEL not in json.dumps(query)
    assert (outcome.ok, outcome.gates, outcome.done) == (True, 1, ["hublab-1-1", "webhooks"])


def test_a_failed_gate_stops_the_rollout_with_its_reason() -> None:
    machine, outcome = rolled(serving(release="old"), with_webhooks(), failing="roll_webhooks")
    assert (outcome.ok, outcome.reason) == (False, "the webhooks failed their gate; rolled back")
    assert machine.asked["finish_host"][0]["switch"] is False


def test_workers_that_fail_leave_the_webhooks_as_they_were() -> None:
    state = serving(release="old")
    machine, outcome = rolled(replace(state, workers={}), with_webhooks(), failing="hublab-1-1")
    assert not outcome.ok
    assert "roll_webhooks" not in machine.asked


def test_removal_asks_with_no_text() -> None:
    machine, outcome = rolled(serving(), wanted())
    assert machine.asked["roll_webhooks"][0]["text"] == ""
    assert outcome.done == []


def table(state: HostState, host: WorkerHost) -> list[str]:
    return report.render([Member(None, host, state, make(host, state))]).splitlines()  # type: ignore[arg-type]


def test_the_table_shows_them_where_there_are_any() -> None:
    heading, _, line = table(serving(), with_webhooks())
    assert "webhooks" in heading
    assert f"active, {release_name()}" in line
    assert "webhooks" not in table(converged(wanted()), wanted())[0]
    assert "–" in table(converged(wanted()), with_webhooks())[2]
    assert "failed" in table(serving(active="failed", pid=0), with_webhooks())[2]


def test_the_plan_says_which_route_stays_closed_and_what_opens_it() -> None:
    told = "/webhook/onboarding-start stays closed (401) until .env has WEBHOOK_SECRET_ONBOARDING_START"
    shared = replace(WEBHOOKS, secrets={"webhook-secret": Secret(SENTINEL)})
    assert told in make(wanted(webhooks=shared), converged(wanted())).words
    assert told in make(wanted(webhooks=shared), serving()).words
    assert told not in make(with_webhooks(), converged(wanted())).words
    assert told not in make(wanted(), converged(wanted())).words
