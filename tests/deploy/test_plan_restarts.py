"""Why a worker is restarted: decided on what its process carries, never on which file this run will write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from deploy.onhost.record import Line
from deploy.plan import make
from deploy.secret import Secret
from deploy.state import FileFacts
from tests.deploy.factories import converged, file_fact, finished, release_name, running, wanted

if TYPE_CHECKING:
    from deploy.planned import Plan
    from deploy.spec import WorkerHost

PROFILES = "/etc/hublab/profiles.toml"


def plan_with(host: WorkerHost | None = None, **worker: Any) -> Plan:
    """The plan for a converged host whose second worker differs."""
    state = converged(wanted())
    second = replace(state.workers[2], **worker)
    return make(host or wanted(), replace(state, workers=state.workers | {2: second}))


@pytest.mark.parametrize(
    ("worker", "reason"),
    [
        ({"release": "3.8.0-old"}, "runs release 3.8.0-old"),
        ({"release": ""}, "runs release unknown"),
        ({"unit_digest": "000000000000"}, "its settings changed"),
        ({"unit_sha256": "0" * 64}, "its unit file was edited"),
        ({"needs_reload": True}, "systemd has not read its unit file"),
        ({"folders_ready": False}, "its state folder is not root's alone, or something else stands in it"),
        ({"enabled": "disabled"}, "does not start at boot"),
        ({"enabled": ""}, "does not start at boot"),
        ({"active": "inactive", "pid": 0}, "is inactive"),
        ({"active": "failed", "pid": 0}, "is failed"),
        ({"active": "failed", "pid": 0, "restarts": 1}, "is failed"),
        ({"active": "activating"}, "is activating"),
        ({"active": "active", "pid": 0}, "is active"),
        ({"active": "activating", "pid": 0, "restarts": 2}, "is activating, started 2 times by systemd"),
        ({"uvloop": True}, "has uvloop loaded"),
        ({"credentials": {}}, "the credential or the API's address changed"),
        ({"credentials": {"profiles.toml": "0" * 64}}, "the credential or the API's address changed"),
    ],
)
def test_restart_says_what_has_changed(worker: dict[str, Any], reason: str) -> None:
    plan = plan_with(**worker)
    assert [(step.name, step.reasons) for step in plan.restarts] == [("hublab-1-2", (reason,))]
    verb = "started" if worker.get("pid") == 0 else "drained and restarted"
    assert plan.words == (f"hublab-1-2 will be {verb}: {reason}",)


def test_worker_that_systemd_does_not_know_is_new() -> None:
    state = converged(wanted())
    plan = make(wanted(), replace(state, workers={1: state.workers[1], 3: state.workers[3]}))
    assert [(step.name, step.reasons) for step in plan.restarts] == [("hublab-1-2", ("new",))]


def test_reasons_are_gathered_and_none_is_told_twice() -> None:
    plan = plan_with(release="old", unit_sha256="0", needs_reload=True, uvloop=True, enabled="disabled", credentials={})
    assert plan.restarts[0].reasons == (
        "runs release old",
        "has uvloop loaded",
        "does not start at boot",
        "the credential or the API's address changed",
    )


def test_a_file_already_written_does_not_hide_an_old_process() -> None:
    """A deploy that was cut off after it wrote the unit: the file is right, the process is not."""
    plan = plan_with(unit_digest="000000000000", needs_reload=True)
    assert plan.restarts[0].reasons == ("its settings changed",)


@pytest.mark.parametrize(
    "setting",
    [
        {"work_pool": "other"},
        {"work_queues": ("default", "slow")},
        {"concurrency": 5},
        {"drain_seconds": 901},
        {"memory_max": "5G"},
        {"read_paths": ("/srv/flows",)},
    ],
)
def test_setting_that_a_worker_carries_restarts_each(setting: dict[str, Any]) -> None:
    state = converged(wanted())
    state.files["/srv/flows"] = FileFacts("0755", 0, 0, "")
    plan = make(wanted(**setting), state)
    assert [step.reasons for step in plan.workers] == [("its settings changed",)] * 3


@pytest.mark.parametrize("setting", [{"gate_seconds": 60}, {"wheels": "index"}, {"python": "/usr/local/bin/python3"}])
def test_setting_of_the_deploy_alone_restarts_none(setting: dict[str, Any]) -> None:
    assert not make(wanted(**setting), converged(wanted())).changes


@pytest.mark.parametrize(
    "file", [None, file_fact(PROFILES, "another"), file_fact(PROFILES, wanted().profiles(), uid=7)]
)
def test_credential_that_is_wrong_on_disk_alone_is_written_and_restarts_none(file: FileFacts | None) -> None:
    """What a worker was started with decides, whatever lies there since and however old it is."""
    state = converged(wanted())
    state.files[PROFILES] = file
    plan = make(wanted(), state)
    assert (plan.secrets, plan.restarts, plan.activates) == ((PROFILES,), (), True)


def test_new_credential_is_written_and_restarts_each() -> None:
    plan = make(wanted(auth_string=Secret("admin:new")), converged(wanted()))
    assert plan.fix_paths == (PROFILES,)
    assert [step.reasons for step in plan.workers] == [("the credential or the API's address changed",)] * 3


def test_worker_that_serves_with_another_credential_than_the_one_on_disk_is_restarted() -> None:
    """A deploy that was cut off, or a way back that was: the file is right already, and a worker read another."""
    state = converged(wanted())
    other = replace(state.workers[2], credentials={"profiles.toml": "0" * 64})
    plan = make(wanted(), replace(state, workers=state.workers | {2: other}))
    assert plan.fix_paths == ()
    assert [step.number for step in plan.restarts] == [2]


def test_other_api_restarts_each() -> None:
    plan = make(wanted(api_url="https://other.example.com/api"), converged(wanted()))
    assert len(plan.restarts) == 3


def test_restart_carries_the_unit_that_will_be_written() -> None:
    step = plan_with(active="failed", pid=0).restarts[0]
    assert f"ExecStart=/opt/hublab/releases/{release_name()}/venv/bin/python -P -s -m worker" in step.unit
    assert running(wanted(), 2).unit_digest in step.unit


def test_worker_whose_gate_was_cut_off_goes_through_it_again() -> None:
    state = replace(converged(wanted()), rollout_open=True)
    first, second = state.workers[1], state.workers[2]
    unfinished = {
        "prefect-worker@1.service": first.unit_sha256,
        "prefect-worker@2.service": "",
    }
    plan = make(wanted(), replace(state, unfinished=unfinished))
    assert [(step.number, step.reasons) for step in plan.restarts] == [(second.number, ("its gate was cut off",))]


def test_rollout_that_only_lacks_its_end_is_brought_to_it() -> None:
    plan = make(wanted(), replace(converged(wanted()), rollout_open=True))
    assert plan.activates
    assert plan.restarts == ()
    assert plan.words == ("a rollout that was cut off will be brought to its end",)


def test_lock_that_is_left_is_all_that_there_is_to_do() -> None:
    plan = make(wanted(), replace(converged(wanted()), lock="locked by somebody"))
    assert plan.changes
    assert not plan.activates
    assert plan.words == ()


def test_runs_in_flight_are_waited_for_and_only_those() -> None:
    host = wanted(workers=3)
    state = converged(host, "3.8.0-old")
    for number, doing in ((1, "polling default, 2 runs in flight"), (2, "polling default, 1 run in flight"), (3, "")):
        state.workers[number] = replace(state.workers[number], doing=doing)
    words = make(host, state).words
    assert (
        "hublab-1-1 will be drained and restarted: runs release 3.8.0-old; 2 runs in flight will be waited for" in words
    )
    assert (
        "hublab-1-2 will be drained and restarted: runs release 3.8.0-old; 1 run in flight will be waited for" in words
    )
    assert "hublab-1-3 will be drained and restarted: runs release 3.8.0-old" in words


def test_change_of_prefect_is_told() -> None:
    state = converged(wanted(), "old", releases={"old": finished("old", prefect="3.4.1")})
    words = make(wanted(), state).words
    assert any(word.startswith("release of record: old → ") and "(Prefect 3.4.1 → 3." in word for word in words)


def test_release_that_failed_before_is_told_when_it_is_tried_once_more() -> None:
    line = Line("ada@desk", at="T", to=release_name(), result="x failed its gate")
    words = make(wanted(), converged(wanted(), "old", deploys=(line,))).words
    assert f"release {release_name()} is tried once more: ada@desk's deploy of T failed (x failed its gate)" in words
    assert make(wanted(), converged(wanted(), deploys=(line,))).words == ()
