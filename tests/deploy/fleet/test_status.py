"""What status and history make of the hosts' answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from deploy.fleet import history, status
from deploy.fleet.connect import Reply
from deploy.fleet.standing import Status
from deploy.onhost import record, report_host
from deploy.onhost.left_runs import LeftRun
from deploy.onhost.report_host import Locked, Queue, Report
from deploy.plan import make
from tests.deploy.factories import bare, converged, finished, release_name, wanted

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.state import HostState

HOST = wanted()
LINE = record.Line("ada@desk", to="r2", at="2026-01-02T03:04:05Z", seconds=61.4)
CURE = "-> remove it on the host, ./hublab deploy"
DOING = {f"prefect-worker@{number}.service": "polling default, 0 runs in flight" for number in (1, 2, 3)}
QUIET = Report(doing=DOING, queue=Queue(0, 0))


def judged(state: HostState, now: Report = QUIET) -> Status:
    state = replace(state, deploys=state.deploys or (LINE,))
    return status.judge(HOST, make(HOST, state), replace(now, state=state))


def test_status_of_a_host_as_planned() -> None:
    found = judged(converged(HOST))
    assert found.as_planned
    assert status.render(found).splitlines() == [
        f"hublab-1 (hublab-1.example.com)  as planned  release {release_name()}",
        "  hublab-1-1: polling default, 0 runs in flight",
        "  hublab-1-2: polling default, 0 runs in flight",
        "  hublab-1-3: polling default, 0 runs in flight",
        "  due: 0, late: 0",
        "  last: deploy of release r2 by ada@desk at 2026-01-02T03:04:05Z: ok",
    ]


def test_deploy_that_failed_is_told_with_what_came_of_it() -> None:
    release = release_name()
    line = replace(LINE, to="bad", result="hublab-1-2 failed its gate; rolled back")
    found = judged(converged(HOST, deploys=(LINE, line), releases={name: finished(name) for name in (release, "bad")}))
    told = "ada@desk's deploy of 2026-01-02T03:04:05Z failed (hublab-1-2 failed its gate; rolled back)"
    assert found.last == f"FAILED: release bad: {told}; the release of record is {release}"
    assert found.drift == (f"release bad will be removed: {told}",)


def test_settings_that_failed_leave_their_release_as_it_was() -> None:
    line = replace(LINE, to=release_name(), result="x failed its gate; rolled back")
    assert judged(converged(HOST, deploys=(line,))).last.endswith("; it serves with the settings of before")


def test_drop_in_is_drift_when_it_is_for_our_units_and_trouble_when_it_is_for_all() -> None:
    ours = "/run/systemd/system/prefect-worker@.service.d/x.conf"
    all_services = "/etc/systemd/system/service.d/y.conf"
    vendor = "/usr/lib/systemd/system/service.d/10-timeout-abort.conf"
    host = converged(HOST)
    host.workers[2] = replace(host.workers[2], drop_ins=(ours, all_services, vendor))
    found = judged(host)
    assert found.drift == (f"hublab-1-2 will be drained and restarted: {ours} changes its unit",)
    assert found.trouble == (f"{all_services} changes the units of this deploy, and no deploy removes it {CURE}",)


def test_drop_in_for_all_services_is_trouble_where_the_webhooks_alone_have_it() -> None:
    path = "/etc/systemd/system/hublab-.service.d/y.conf"
    host = converged(HOST)
    found = judged(replace(host, webhooks=replace(host.workers[1], number=0, drop_ins=(path,))))
    assert f"{path} changes the units of this deploy, and no deploy removes it {CURE}" in found.trouble


def test_draining_worker_is_no_trouble_of_its_own() -> None:
    now = replace(QUIET, doing={"prefect-worker@1.service": "draining, 2 runs in flight, 40 s left"})
    assert "  hublab-1-1: draining, 2 runs in flight, 40 s left" in status.render(judged(converged(HOST), now))


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({"queue": Queue(7, 3)}, "trouble: 3 flow runs are late"),
        (
            {"left": (LeftRun("a1", "wise-fox", "Lost", "lost", again=True),)},
            "trouble: 1 flow run is lost: wise-fox (a1) -> ./hublab run-again a1",
        ),
        (
            {
                "left": tuple(
                    LeftRun(f"i{n}", f"n{n}", "Pending", "stuck: claimed, and not begun", again=False) for n in range(7)
                )
            },
            "trouble: 7 flow runs are stuck: claimed, and not begun: n0 (i0), n1 (i1), n2 (i2), n3 (i3)",
        ),
        (
            {"doing": {"prefect-worker@2.service": "waiting for Prefect's API, 1 run in flight; API unreachable"}},
            "trouble: hublab-1-2 is waiting for Prefect's API, 1 run in flight; API unreachable -> see to the",
        ),
        ({"queue": None}, "trouble: Prefect's server did not say what is due"),
        ({"lock": Locked("locked by x", orphaned=True)}, "trouble: locked by x: its owner is gone"),
    ],
)
def test_trouble_is_told_and_is_not_as_planned(now: dict[str, Any], said: str) -> None:
    found = judged(converged(HOST), replace(QUIET, **now))
    assert not found.as_planned
    assert said in status.render(found)


def test_held_lock_and_full_queue_are_shown_and_are_no_trouble() -> None:
    now = replace(QUIET, queue=Queue(7, 0), lock=Locked("locked by ada@desk", orphaned=False))
    found = judged(converged(HOST), now)
    assert found.as_planned
    assert "  lock: locked by ada@desk" in status.render(found)
    assert "  due: 7, late: 0" in status.render(found)


def test_drift_is_the_plan_in_words() -> None:
    found = judged(converged(HOST, "3.8.0-old"))
    assert not found.as_planned
    assert f"  drift: release of record: 3.8.0-old → {release_name()}" in status.render(found)


def test_worker_that_is_not_online_is_trouble() -> None:
    found = judged(replace(converged(HOST), online=frozenset({"hublab-1-1", "hublab-1-3"})))
    assert found.trouble == (
        f"hublab-1-2 is not ONLINE at Prefect's server -> ./hublab logs {HOST.address} 2 says why",
    )


def test_host_that_cannot_be_deployed_to() -> None:
    found = judged(bare(api_status=401))
    assert any("refuses it (401)" in item for item in found.trouble)
    assert found.last == "deploy of release r2 by ada@desk at 2026-01-02T03:04:05Z: ok"


def test_unreachable_host_is_not_as_planned() -> None:
    found = status.unreachable(Reply("h9", None, "cannot be reached: no route"))
    assert not found.as_planned
    assert "  trouble: cannot be reached: no route" in status.render(found)


def test_last_line_says_whom_to_look_at() -> None:
    good, bad = judged(converged(HOST)), status.unreachable(Reply("h9", None, "cannot be reached: no route"))
    assert status.summary([good, good]) == "2 of 2 hosts as planned"
    assert status.summary([good, bad]) == "1 of 2 hosts as planned; not: h9"


def test_history_of_all_hosts_in_the_order_of_time() -> None:
    later = replace(LINE, at="2026-01-03T00:00:00Z", seconds=None, result="x failed its gate; rolled back")
    replies = [
        Reply("h1", Report(history=(LINE, later))),
        Reply("h2", Report(history=(replace(LINE, at="2026-01-02T12:00:00Z"),))),
        Reply[Report]("h3", None, "cannot be reached"),
    ]
    lines = history.lines(replies)
    assert [(host, line.at[8:13]) for host, line in lines] == [("h1", "02T03"), ("h2", "02T12"), ("h1", "03T00")]
    assert history.row(*lines[0]) == ("2026-01-02T03:04:05Z", "h1", "ada@desk", "deploy", "–", "r2", "61 s", "ok")
    commits = replace(LINE, previous="a" * 40, to="b" * 40)
    assert history.row("coolify:app1", commits)[4:6] == ("a" * 10, "b" * 10)
    assert history.row(*lines[2])[6:] == ("–", "x failed its gate; rolled back")


def test_record_with_half_a_line_is_read(tmp_path: Path) -> None:
    (tmp_path / "deploys.jsonl").write_text('{"at": "1"}\n{"at": "2", "wh\n[]\n{"at": "3"}\n')
    assert record.deploys(tmp_path / "deploys.jsonl") == (record.Line(at="1"), record.Line(at="3"))
    assert record.deploys(tmp_path / "none") == ()


def test_line_after_one_that_a_full_disk_left_in_half_is_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "deploys.jsonl"
    path.write_text('{"at": "1"}\n{"at": "2", "who"')
    record.append(path, record.Line(at="3"))
    record.append(path, record.Line(at="4"))
    assert record.deploys(path) == tuple(record.Line(at=number) for number in "134")


def test_worker_says_what_it_does_and_systemd_of_one_that_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = (
        "Id=a.service\nStatusText=polling q, 1 run in flight\nActiveState=active\n\n"
        "Id=b.service\nStatusText=polling q, 1 run in flight\nActiveState=failed\n\n"
        "Id=c.service\nStatusText=\nActiveState=activating\n"
    )
    monkeypatch.setattr(report_host, "ask", lambda *_: shown)
    assert report_host.doing(["a", "b", "c"]) == {
        "a.service": "polling q, 1 run in flight",
        "b.service": "failed",
        "c.service": "activating",
    }


def test_line_is_kept_as_every_release_has_kept_it() -> None:
    line = replace(LINE, previous="r1", workers=("h-1",))
    told = {"at": "2026-01-02T03:04:05Z", "who": "ada@desk", "what": "deploy", "from": "r1", "to": "r2"}
    assert line.kept() == {**told, "workers": ["h-1"], "result": "ok", "seconds": 61.4}
    assert record.Line.of(line.kept()) == line
    assert "seconds" not in replace(line, seconds=None).kept()
    assert record.Line.of({"from": None, "to": "r2", "workers": 3, "seconds": "x", "more": 1}) == record.Line(to="r2")


def test_what_several_hosts_are_warned_of_is_said_once_with_their_names() -> None:
    readable = "/root/.env: mode 0644 -> chmod 600 /root/.env"
    hosts = [Status(f"h{number}", warnings=(readable,)) for number in range(1, 5)]
    hosts[1] = replace(hosts[1], warnings=(readable, "jit is open"))
    said = status.as_words(hosts)
    assert said.count(readable) == 1
    assert f"\nwarning for h1, h2, h3, 1 more: {readable}\n" in said
    assert "  warning: jit is open\n" in said.partition("h2")[2].partition("h3")[0]
    assert f"  warning: {readable}\n" in status.as_words(hosts[:1])
