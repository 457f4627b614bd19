"""A deploy whose process is killed, wherever Coolify and Docker are just then; the next one brings it to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.deploy.coolify.standin import APP

if TYPE_CHECKING:
    from tests.containers.stage import Stage

HERE = f"/applications/{APP}"
# In the order of a deploy: the next one meets what all before it have left. Between two of them nothing is changed.
MOMENTS = (f"before POST {HERE}/envs", f"after PATCH {HERE}/envs", f"after PATCH {HERE}", "after POST /deploy")


def test_killed_at_each_step_and_converged_by_the_next(serving: Stage) -> None:
    """Settings, environment, wish, new container, old one that drains: each time as if nobody had ever been there."""
    more, old = {"HUBLAB_CONCURRENCY": "3"}, serving.container()
    run = serving.flow_run("kept")
    serving.begun(old, "kept")
    serving.desk.at(serving.second)
    for moment in MOMENTS:
        serving.killed_at(moment, **more)
    serving.killed_at(f"stops {old}", **more)
    assert serving.app.deployments[-1]["status"] == "in_progress"
    with serving.desk.operator.begin("python", "cli", "deploy", "--yes", **more) as last:
        serving.let_end(old, "kept")
        text, _ = last.communicate(timeout=600)
    assert last.returncode == 0, text
    assert "its owner is gone; taken over" in text
    assert serving.serves() == serving.releases[serving.second]
    assert (serving.api.state(run), serving.api.run(run)["run_count"]) == ("COMPLETED", 1)
    assert serving.desk.hublab("plan", **more).status == 0
    back = serving.desk.hublab("rollback", "--yes", **more)
    assert back.status == 0, back.text
    assert serving.serves() == serving.releases[serving.first], "the way back leads to what served before all this"
