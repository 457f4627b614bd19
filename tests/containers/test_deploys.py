"""The product's own commands against Coolify's API, a real dockerd below it, and a real server of Prefect's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox.waiting import wait_for
from tests.deploy.coolify.script import TOKEN
from tests.deploy.coolify.standin import APP

if TYPE_CHECKING:
    from tests.containers.stage import Stage

ADDRESS = f"coolify:{APP}"
STARTS_NO_RUN = {"worker/probe_flow.py": 'raise RuntimeError("no run starts here")\n'}
EXITS_AT_ONCE = {"worker/__main__.py": 'raise SystemExit("this worker has had enough")\n'}


def test_first_deploy_is_built_from_git_gated_and_then_all_is_as_planned(serving: Stage) -> None:
    first = serving.releases[serving.first]
    assert serving.planned.status == 2, serving.planned.text
    assert "will be started: new" in serving.planned.text
    assert serving.deployed.status == 0, serving.deployed.text
    assert f": ONLINE, release {first}" in serving.deployed.text
    assert TOKEN not in serving.planned.text + serving.deployed.text
    assert serving.serves() == first
    again = serving.desk.hublab("plan")
    assert again.status == 0, again.text
    status = serving.desk.hublab("status")
    assert status.status == 0, status.text
    assert f"as planned  release {first}" in status.text
    verified = serving.desk.hublab("verify")
    assert verified.status == 0, verified.text
    assert serving.first[:10] in serving.desk.hublab("history").text


def test_upgrade_under_load_drains_the_old_worker_and_the_way_back_leads_to_it(serving: Stage) -> None:
    old = serving.container()
    run = serving.flow_run("long")
    serving.begun(old, "long")
    serving.desk.at(serving.second)
    with serving.desk.begin("deploy", "--yes") as upgrade:
        wait_for(lambda: "SIGTERM: 1 run in flight" in serving.log(old), "the old worker drains", every=0.5)
        during = [serving.short_run() for _ in range(3)]
        ended = [serving.api.wait_state(item, "COMPLETED", "FAILED", "CRASHED") for item in during]
        assert ended == ["COMPLETED"] * 3, "the new worker takes what is due while the old one drains"
        assert serving.api.state(run) == "RUNNING"
        other = serving.desk.hublab("deploy", "--yes")
        assert other.status == 1, other.text
        assert "locked by" in other.text
        assert "Nothing was changed" in other.text
        assert upgrade.poll() is None
        serving.let_end(old, "long")
        text, _ = upgrade.communicate(timeout=300)
    assert upgrade.returncode == 0, text
    assert (serving.api.state(run), serving.api.run(run)["run_count"]) == ("COMPLETED", 1)
    assert [serving.api.run(item)["run_count"] for item in during] == [1] * 3
    assert serving.serves() == serving.releases[serving.second]

    back = serving.desk.hublab("rollback", "--yes")
    assert back.status == 0, back.text
    assert serving.app.app["git_commit_sha"] == serving.first
    assert serving.serves() == serving.releases[serving.first]


@pytest.mark.parametrize(
    ("files", "why"),
    [(STARTS_NO_RUN, "New container is"), (EXITS_AT_ONCE, "this worker has had enough")],
    ids=["its runs do not start", "it exits at once"],
)
def test_bad_release_never_takes_over(serving: Stage, files: dict[str, str], why: str) -> None:
    old, fields = serving.container(), dict(serving.app.app)
    serving.made(files)
    done = serving.desk.hublab("deploy", "--yes", HUBLAB_GATE_SECONDS="15")
    assert done.status == 1, done.text
    assert why in done.text
    assert "is failed; what served before serves on; rolled back" in done.text
    assert (serving.container(), serving.app.app) == (old, fields)
    run = serving.short_run()
    assert serving.api.wait_state(run, "COMPLETED", "FAILED", "CRASHED") == "COMPLETED"


def test_finished_that_left_another_container_is_not_believed(serving: Stage) -> None:
    """Coolify says finished, and what runs is an image of before: the worker itself says so."""
    first = serving.releases[serving.first]
    serving.desk.at(serving.second)
    serving.app.lies = [f"{APP}:{serving.first}"]
    done = serving.desk.hublab("deploy", "--yes")
    assert done.status == 1, done.text
    assert f"has finished, and {APP}-" in done.text
    assert f"runs release {first}; rolled back" in done.text
    assert (serving.app.app["git_commit_sha"], serving.serves()) == (serving.first, first)
    assert serving.desk.hublab("unlock").text.count("was not locked") == 1
