"""The table that the operator reads at the end."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from deploy.coolify.plan import ApplicationPlan
from deploy.plan import make
from deploy.rollout.machine import Outcome
from deploy.rollout.member import Member
from deploy.rollout.report import announce, as_data, render, row, warn
from tests.deploy.factories import bare, converged, finished, legacy, prefect_version, release_name, running, wanted

if TYPE_CHECKING:
    from deploy.state import HostState


def member(before: HostState, after: HostState | None = None, outcome: Outcome | None = None, **host: Any) -> Member:
    """A host of this run; only the table's own part of it, no connection."""
    made = wanted(**host)
    return Member(cast("Any", None), made, after or before, make(made, before), outcome)


def test_row_of_a_host_that_was_deployed() -> None:
    outcome = Outcome(reached=True, ended=True, gates=3)
    assert row(member(bare(), converged(wanted()), outcome)) == (
        "hublab-1 (hublab-1.example.com)",
        release_name(),
        prefect_version(),
        "absent",
        "3 of 3",
        "3 of 3 COMPLETED",
        "deployed",
    )


def test_host_that_was_as_wanted() -> None:
    assert row(member(converged(wanted())))[4:] == ("3 of 3", "not needed", "no change")


def test_failed_host_says_why_and_shows_what_still_serves() -> None:
    name, host = release_name(), wanted()
    mixed = {1: running(host, 1), 2: running(host, 2, "old"), 3: running(host, 3, "old", active="failed", pid=0)}
    before = converged(host, "old")
    releases = {"old": finished("old", prefect="3.6.6"), name: finished(name)}
    after = bare(workers=mixed, releases=releases, online=frozenset({"hublab-1-1", "hublab-1-2"}))
    outcome = Outcome(ok=False, reached=True, gates=1, reason="hublab-1-2 failed its gate")
    assert row(member(before, after, outcome))[1:] == (
        " + ".join(sorted((name, "old"))),
        f"3.6.6 + {prefect_version()}",
        "absent",
        "2 of 3",
        "1 of 3 COMPLETED",
        "FAILED: hublab-1-2 failed its gate",
    )


def test_host_that_was_not_started() -> None:
    outcome = Outcome(ok=False, reason="not started: the rollout stopped at h1")
    assert row(member(bare(), outcome=outcome))[1:] == (
        *("none", "–", "absent", "0 of 3", "not run"),
        "FAILED: not started: the rollout stopped at h1",
    )


def test_host_that_has_a_problem_since_the_plan_was_made() -> None:
    barred = converged(wanted(), api_status=401)
    assert row(member(barred))[4:] == ("–", "not run", "FAILED: cannot be deployed to, see above")


def test_rollout_that_was_interrupted_is_not_called_deployed() -> None:
    interrupted = row(member(bare(), outcome=Outcome(reached=True, gates=1)))
    assert interrupted[-1] == "FAILED: interrupted; the next deploy brings it to its end"


def test_host_that_could_not_be_looked_at_afterwards_is_unknown() -> None:
    """What was seen before the deploy is no longer true of it."""
    unseen = member(converged(wanted()), outcome=Outcome(ok=False, reached=True, gates=2, reason="it is gone"))
    unseen.plan = member(bare()).plan
    unseen.unseen = True
    assert row(unseen)[1:] == (*["unknown"] * 4, "2 of 3 COMPLETED", "FAILED: it is gone")


def test_lock_that_was_given_back_in_the_end_is_no_reason() -> None:
    over = member(bare())
    over.unlock()
    assert row(over, failed=True)[-1] == "FAILED: see above"


def test_lost_lock_is_the_reason_also_before_the_rollout() -> None:
    lost = member(bare())
    lost.lost = "the lock is no longer ours: locked by bob@laptop"
    assert row(lost, failed=True)[-1] == "FAILED: the lock is no longer ours: locked by bob@laptop"


def test_host_that_nobody_came_to() -> None:
    assert row(member(bare()))[-1] == "not reached"


def test_uvloop_is_told_wherever_it_is_loaded() -> None:
    host = wanted()
    loaded = converged(host, workers={1: running(host, 1, uvloop=True)})
    assert row(member(loaded))[3] == "PRESENT"
    assert row(member(converged(host, legacy=(legacy(),))))[3] == "PRESENT"
    assert row(member(converged(host, legacy=(legacy(uvloop=()),))))[3] == "absent"


def test_only_wanted_workers_count_as_online() -> None:
    state = converged(wanted(), online=frozenset({"hublab-1-1", "elsewhere-1", "hublab-1-9"}))
    assert row(member(state))[4] == "1 of 3"


def test_table_is_aligned() -> None:
    text = render([member(converged(wanted())), member(bare(hostname=""), address="10.0.0.7")])
    lines = text.splitlines()
    assert len(lines) == 4
    assert lines[0].split()[:5] == ["host", "release", "Prefect", "uvloop", "workers"]
    assert set(lines[1]) == {"─", " "}
    assert lines[3].startswith("10.0.0.7 ")
    starts = [lines[1].index("─", at) for at in (0, lines[1].index(" "))]
    assert lines[2][starts[1] :].startswith(release_name())
    assert lines[3][starts[1] :].startswith("none")
    assert not any(line.endswith(" ") for line in lines)


@pytest.mark.parametrize(("anybody", "times"), [(True, 1), (False, 0)])
def test_the_plan_says_once_that_the_api_answers_whoever_reaches_it(
    anybody: bool, times: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Also where a credential is set here: a server that asks nobody for it is as open."""
    found = member(bare(api_status=200, api_open=anybody), api_url="https://prefect.example.com/api")
    found = replace(found, host=cast("Any", SimpleNamespace(print_prefix="")))
    with caplog.at_level("INFO", logger="pyinfra"):
        announce(found)
    assert caplog.text.count("answers without a credential") == times
    assert len(as_data(found)["warnings"]) == times


def test_what_several_hosts_are_warned_of_is_said_once_with_their_names(caplog: pytest.LogCaptureFixture) -> None:
    """A file of the operator's machine that others can read is one file, whatever the number of hosts."""
    readable = ("/root/.env: mode 0644 -> chmod 600 /root/.env",)
    hosts = [
        replace(
            member(converged(wanted()), address=f"h{number}", exposed=readable, allow=("jit",) * (number == 2)),
            host=cast("Any", SimpleNamespace(print_prefix=f"[h{number}] ")),
        )
        for number in range(1, 6)
    ]
    with caplog.at_level("INFO", logger="pyinfra"):
        warn(hosts)
    said = [line.partition("warning")[1] + line.partition("warning")[2] for line in caplog.messages]
    assert f"warning for h1, h2, h3, 2 more: {readable[0]}" in said
    assert caplog.text.count("mode 0644") == 1
    assert [line for line in caplog.messages if "jit" in line and line.startswith("[h2] warning: ")]


def test_application_is_warned_of_where_there_is_nothing_to_do(caplog: pytest.LogCaptureFixture) -> None:
    plan = ApplicationPlan("coolify:app1", warnings=("auto deploy is on",))
    found = SimpleNamespace(address="coolify:app1", wanted=wanted(), plan=plan, host=SimpleNamespace(print_prefix=""))
    with caplog.at_level("INFO", logger="pyinfra"):
        warn([cast("Any", found)])
    assert not plan.changes
    assert "warning: auto deploy is on" in caplog.messages
