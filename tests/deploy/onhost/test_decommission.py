"""A host leaves: what the plan says goes, goes; what is others', or was accepted and not handed on, stays."""

from __future__ import annotations

import pwd
import re
import subprocess
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from deploy import leaving
from deploy.fleet.standing import Status
from deploy.fleet.status import as_words, vanished
from deploy.onhost import decommission
from deploy.onhost.prefect_api import ApiError
from deploy.onhost.wire import Places
from deploy.state import HostState
from tests.deploy.factories import bare, converged, running, wanted

if TYPE_CHECKING:
    from pathlib import Path

HOST = wanted(workers=2)
UNITS = ("prefect-worker@1.service", "prefect-worker@2.service")


def test_plan_names_all_that_goes() -> None:
    workers = {1: running(HOST, 1, doing="at work, 2 runs in flight"), 2: running(HOST, 2)}
    plan = leaving.make(HOST, converged(HOST, workers=workers))
    assert plan.changes
    assert plan.surplus == (1, 2)
    assert plan.words == (
        f"{', '.join(UNITS)} will be drained and removed; 2 flow runs in flight are waited for",
        *(f"{path} will be removed" for path in ("/opt/hublab", "/etc/hublab", "/var/lib/hublab")),
        "the users of the workers and of the webhooks will be removed",
        "no other worker is ONLINE in the pool default: its flow runs will wait for one",
    )


def test_host_that_no_deploy_has_seen_has_nothing_to_lose() -> None:
    plan = leaving.make(HOST, bare())
    assert not plan.changes
    assert plan.words == ("nothing that a deploy puts on a host is there",)


def test_server_that_is_gone_keeps_no_host() -> None:
    assert not leaving.make(HOST, converged(HOST, api_status=None, api_error="Connection refused")).problems
    assert leaving.make(HOST, HostState(problem="sudo", found="ada")).problems


def test_another_worker_of_the_pool_goes_on() -> None:
    state = converged(HOST)
    more = converged(HOST, online=state.online | {"hublab-2-1"})
    assert not any("no other worker" in word for word in leaving.make(HOST, more).words)


def test_workers_that_were_not_seen_are_not_taken_for_none() -> None:
    """All that they run from would be removed under them."""
    state = converged(HOST, workers={}, faults={"workers": "OSError: systemd does not say how they are"})
    (problem,) = leaving.make(HOST, state).problems
    assert problem.what == "the host's workers could not be looked at: OSError: systemd does not say how they are"


@pytest.fixture
def told() -> list[Any]:
    """What systemd and Prefect were told."""
    return []


@pytest.fixture
def host(told: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> decommission.Decommission:
    """The folders of a host that was deployed to, and a systemd and a Prefect that note what they are told."""
    monkeypatch.setattr(decommission, "must", lambda *argv, **_: told.append(argv))
    monkeypatch.setattr(decommission, "remove_worker", lambda unit, *_: told.append(unit))
    monkeypatch.setattr(decommission, "request", lambda _, path, method: told.append((method, path)))
    monkeypatch.setattr(decommission, "users", lambda _: [])
    for name in ("units", "etc", "opt/releases/r/venv", "opt/python/3.12.1-0123456789", "run"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("worker-1/tmp", "before", "units/r", "webhooks/spool/enrol"):
        (tmp_path / "lib" / name).mkdir(parents=True)
    (tmp_path / "lib/worker-1/tmp/run").write_text("of a run")
    below = {"units": "units", "config": "etc", "base": "opt", "state": "lib", "lock": "run"}
    here: dict[str, Any] = {key: tmp_path / place for key, place in below.items()}
    query = leaving.question(HOST, converged(HOST))
    return replace(query, webhooks="hublab-webhooks.service", places=Places(**here))


def test_all_that_a_deploy_has_put_there_goes(
    host: decommission.Decommission, told: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert decommission.main(host) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["units"]
    assert tuple(told[:2]) == UNITS
    assert ("DELETE", "/work_pools/default/workers/hublab-1-2") in told
    assert ("DELETE", "/work_pools/default/queues/probe-hublab-1-1") in told
    assert "left: " not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["opt", "etc", "lib"])
def test_what_lies_behind_a_link_goes_with_the_link(name: str, host: decommission.Decommission, tmp_path: Path) -> None:
    (tmp_path / name).rename(tmp_path / "elsewhere")
    (tmp_path / name).symlink_to("elsewhere")
    assert decommission.main(host) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["units"]


def test_what_others_have_behind_a_link_stays(
    host: decommission.Decommission, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "opt").rename(tmp_path / "data")
    (tmp_path / "opt").symlink_to("data")
    (tmp_path / "data/others").mkdir()
    assert decommission.main(host) == 0
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["others"]
    assert not (tmp_path / "opt").is_symlink()
    assert f"left: {tmp_path / 'data'}: {tmp_path / 'opt'} led there" in capsys.readouterr().out


def test_what_is_others_or_not_handed_on_stays_and_is_named(
    host: decommission.Decommission, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "lib/webhooks/spool/enrol/waiting").write_text("{}")
    (tmp_path / "lib/retired/drop-ins").mkdir(parents=True)
    (tmp_path / "lib/deploys.jsonl").touch()
    (tmp_path / "units/prefect-worker.service").symlink_to("/dev/null")
    assert decommission.main(host) == 0
    assert sorted(path.name for path in (tmp_path / "lib").iterdir()) == ["deploys.jsonl", "retired", "webhooks"]
    assert (tmp_path / "lib/webhooks/spool/enrol/waiting").read_text() == "{}"
    said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("left: ")]
    assert len(said) == 4
    assert any("1 payload that was accepted" in line for line in said)
    assert any("systemctl unmask prefect-worker.service" in line for line in said)


def test_server_that_is_away_is_no_reason_to_stay(
    host: decommission.Decommission, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def away(*_: Any, method: str) -> None:
        raise ApiError(None, "could not be reached")

    monkeypatch.setattr(decommission, "request", away)
    assert decommission.main(host) == 0
    said = capsys.readouterr().out
    assert "left at Prefect's server: /work_pools/default/workers/hublab-1-1 (could not be reached)" in said


def test_only_users_of_deploys_are_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("root", "hublab", "hublab-worker-1", "hublab-worker-12", "hublab-webhooks", "hublab-admin", "hublabber")
    monkeypatch.setattr(pwd, "getpwall", lambda: [SimpleNamespace(pw_name=name) for name in names])
    assert decommission.users("hublab") == ["hublab-worker-12", "hublab-worker-1", "hublab-webhooks", "hublab"]


def test_user_whose_files_remain_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Else they would be the next user's who gets its number."""
    (tmp_path / "result").touch()
    me = pwd.getpwuid((tmp_path / "result").stat().st_uid).pw_name
    calls: list[list[str]] = []
    real = subprocess.run

    def run(command: list[str], **options: Any) -> Any:
        calls.append(command)
        return real(command if command[0] == "find" else ["true"], **options)

    monkeypatch.setattr(subprocess, "run", run)
    decommission.remove_user(me, [str(tmp_path)])
    assert re.search(rf"left: user {me}, since {tmp_path}\S* is its", capsys.readouterr().out)
    assert not any(command[0] == "userdel" for command in calls)
    decommission.remove_user(me, [])
    assert calls[-1] == ["userdel", me]


def test_worker_of_a_host_that_is_named_no_more_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that all hosts know of and none has; not when some host was not asked, whose it may be."""
    monkeypatch.delenv("LIMIT", raising=False)
    fleet = [
        Status("h1", online=("h1-1",), pool="default", others=("app", "h2-1", "h3-1")),
        Status("h2", online=("h2-1",), pool="default", others=("app", "h1-1", "h3-1")),
        Status("app", online=("app",), pool="default", others=("h1-1", "h2-1", "h3-1"), address="coolify:0123456789"),
        Status("webhooks", online=("hooks",), address="coolify:9876543210"),
    ]
    (line,) = vanished(fleet)
    assert line.startswith("ONLINE in the pool default, and of no host in HUBLAB_HOSTS: h3-1 -> ")
    assert f"{line}\n" in as_words(fleet)
    assert vanished([*fleet, Status("h4", reachable=False)]) == []
    assert vanished([Status("h1", pool="default")]) == []
    monkeypatch.setenv("LIMIT", "h1")
    assert vanished(fleet) == []
