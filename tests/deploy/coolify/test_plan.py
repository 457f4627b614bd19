"""What differs at an application, in words; and what stands in the way, each with its remedy."""

from __future__ import annotations

import re
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from deploy.coolify import revision
from deploy.coolify.answers import Application, ApplicationSettings, Deployment, Server, Variable
from deploy.coolify.environment import Entry
from deploy.coolify.plan import ApplicationPlan, make
from deploy.coolify.state import ApplicationState, Before, Kept, Revision, Running
from deploy.coolify.wanted import environment, fields
from deploy.coolify.words import NO_LOG, log
from deploy.release import identity
from deploy.secret import Secret
from deploy.webhooks import Webhooks
from deploy.words import warnings
from tests.deploy.coolify.standin import APP
from tests.deploy.coolify.theatre import NEW, OLD, Theatre, application
from tests.deploy.factories import SENTINEL, converged

if TYPE_CHECKING:
    from pathlib import Path

    from deploy.spec import WorkerHost

HOST = application()
ENDS = ("failed", "finished")
HERE = Revision(NEW, (), pushed=True, remote="git@example.com:ada/hublab.git")
SETTINGS = ApplicationSettings(stop_grace_period=930)
# Literals: the tests must not learn from the deploy what is right.
AS_WANTED: dict[str, Any] = {
    "uuid": APP,
    "name": "worker",
    "status": "running:healthy",
    "build_pack": "dockerfile",
    "git_repository": "https://example.com/ada/hublab",
    "git_commit_sha": NEW,
    "dockerfile_location": "/deploy/container/Dockerfile",
    "dockerfile_target_build": "worker",
    "health_check_enabled": True,
    "health_check_type": "cmd",
    "health_check_command": "python -m worker.healthy",
    "health_check_interval": 5,
    "health_check_timeout": 15,
    "health_check_start_period": 10,
    "health_check_retries": 36,
    "limits_memory": "4g",
    "custom_docker_run_options": "--cap-drop=ALL --init",
    "settings": SETTINGS,
}


def variable(entry: Entry, **changes: Any) -> Variable:
    body = entry.body() | {"comment": entry.mark("salt")} | changes
    return Variable.model_validate(body)


def state(host: WorkerHost = HOST, **changes: Any) -> ApplicationState:
    """What a finished deploy leaves."""
    app = Application(**{**AS_WANTED, **changes.pop("app", {})})
    ready = ApplicationState(
        version="4.3.11",
        app=app,
        server=Server(uuid="srv1", name="hublab"),
        variables=tuple(variable(entry) for entry in environment(host)),
        running=(Running(f"{APP}-1", online=True, release="r-new", created="1"),),
        revision=HERE,
        releases=frozenset({"r-new"}),
    )
    return replace(ready, **changes)


def reasons(host: WorkerHost = HOST, **changes: Any) -> tuple[str, ...]:
    plan = make(host, state(**changes))
    assert not plan.problems
    return plan.reasons


def problem(**changes: Any) -> str:
    (found,) = make(HOST, state(**changes)).problems
    return f"{found.what} -> {found.remedy}"


def test_application_as_planned_is_left_alone() -> None:
    plan = make(HOST, state())
    assert (plan.problems, plan.reasons, plan.restarts) == ((), (), ())


@pytest.mark.parametrize(
    ("app", "words"),
    [
        ({"settings": ApplicationSettings(stop_grace_period=30)}, "stop_grace_period 30 → 930"),
        ({"health_check_command": ""}, "health_check_command none → python -m worker.healthy"),
        ({"health_check_enabled": False}, "health_check_enabled False → True"),
        ({"limits_memory": "0"}, "limits_memory 0 → 4g"),
        ({"custom_docker_run_options": "--init"}, "custom_docker_run_options --init → --cap-drop=ALL --init"),
        ({"dockerfile_location": "/Dockerfile"}, "dockerfile_location /Dockerfile → /deploy/container/Dockerfile"),
        ({"git_commit_sha": "HEAD"}, "git_commit_sha HEAD → bbbbbbbbbb"),
    ],
)
def test_settings_that_differ_are_told_with_both_values(app: dict[str, Any], words: str) -> None:
    assert reasons(app=app) == (words,)


def test_grace_is_the_drain_and_half_a_minute() -> None:
    found = fields(application(drain_seconds=61, gate_seconds=12), Application(uuid=APP), NEW)
    assert (found["stop_grace_period"], found["health_check_retries"]) == (91, 3)


IMAGE = {"build_pack": "dockerimage", "docker_registry_image_name": "r/w", "docker_registry_image_tag": "latest"}


def with_image(name: str, tag: str) -> WorkerHost:
    access = HOST.coolify
    assert access is not None
    return application(coolify=replace(access, image=(name, tag)))


def test_image_application_is_moved_by_the_tag_that_is_named() -> None:
    plan = make(with_image("r/new", "r-new"), state(app=IMAGE))
    assert plan.reasons == (
        "docker_registry_image_tag latest → r-new",
        "docker_registry_image_name r/w → r/new",
    )
    assert plan.release == "r-new"


def test_image_application_that_serves_is_as_planned_without_a_name() -> None:
    app = {**IMAGE, "docker_registry_image_tag": "r-new"}
    assert reasons(app=app) == ()
    assert make(with_image("r/w", "r-old"), state(app=app)).problems


def test_image_that_is_not_named_or_of_another_checkout_is_refused() -> None:
    assert problem(app=IMAGE).startswith("HUBLAB_COOLIFY_IMAGE: missing")
    (found,) = make(with_image("r/w", "r-other"), state(app=IMAGE)).problems
    assert found.what == "HUBLAB_COOLIFY_IMAGE: r-other is not the release of this checkout"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"comment": None}, "was not set by a deploy"),
        ({"comment": Entry("X", Secret("other"), secret=True).mark()}, "has another value"),
        ({"is_literal": False}, "is not literal"),
        ({"is_buildtime": True}, "is an argument of the build"),
        ({"is_runtime": False}, "is not there when it runs"),
        ({"is_shown_once": False}, "can be read in Coolify"),
    ],
)
def test_variables_that_differ_are_told_without_a_value(changes: dict[str, Any], words: str) -> None:
    there = [variable(entry) for entry in environment(HOST)]
    there[-1] = variable(environment(HOST)[-1], **changes)
    plan = make(HOST, state(variables=tuple(there)))
    assert plan.reasons == (f"PREFECT_API_AUTH_STRING {words}",)
    assert [entry.key for entry in plan.entries] == ["PREFECT_API_AUTH_STRING"]
    assert SENTINEL not in str(plan)


def test_variable_that_is_missing_and_secret_that_previews_get() -> None:
    there = [variable(entry) for entry in environment(HOST)][1:]
    there.append(variable(environment(HOST)[-1], is_preview=True, is_shown_once=False))
    assert reasons(variables=tuple(there)) == (
        "HUBLAB_WORK_POOL is missing",
        "PREFECT_API_AUTH_STRING goes to previews of pull requests",
    )


def test_environment_of_others_is_left_alone() -> None:
    mine = state().variables
    assert reasons(variables=(*mine, Variable(key="TZ", is_buildtime=True))) == ()


@pytest.mark.parametrize(
    ("running", "words"),
    [
        ((), "new"),
        ((Running(f"{APP}-1", online=False, release="r-new"),), "is not ONLINE at Prefect's server"),
        ((Running(f"{APP}-1", online=True, release="r-old", created="1"),), "runs release r-old"),
        ((Running(f"{APP}-1", online=True),), "runs release unknown"),
    ],
)
def test_worker_that_is_not_the_wanted_one(running: tuple[Running, ...], words: str) -> None:
    assert reasons(running=running)[0] == words


def test_the_newest_worker_decides_while_the_old_one_drains() -> None:
    old = Running(f"{APP}-0", online=True, release="r-old", created="0")
    assert reasons(running=(old, *state().running)) == ()


def test_commit_that_changes_nothing_of_the_release_drains_nobody() -> None:
    plan = make(HOST, state(app={"git_commit_sha": OLD}, revision=replace(HERE, pushed=False)))
    assert (plan.problems, plan.reasons, plan.release) == ((), (), OLD)


def test_rollout_that_was_cut_off_is_a_reason() -> None:
    before = Before(OLD, "r-old", {}, ran=True)
    assert reasons(before=before) == ("its rollout was cut off",)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"app": {"build_pack": "dockercompose"}}, "compose application.* -> ./hublab coolify adopt app1app1"),
        ({"app": {"base_directory": "/app"}}, "base directory is /app.* -> set it to / in Coolify"),
        ({"revision": replace(HERE, folder="ops")}, "base directory is /: .* -> set it to /ops in Coolify"),
        ({"app": {"build_pack": "nixpacks"}}, "build pack is nixpacks.* -> name another application"),
        ({"app": {"ports_mappings": "80:80"}}, "maps ports of the host .80:80.* -> clear it in Coolify"),
        (
            {"app": {"settings": SETTINGS.model_copy(update={"is_consistent_container_name_enabled": True})}},
            "fixed name.* -> clear it",
        ),
        ({"app": {"additional_servers_count": 1}}, "more than one server"),
        ({"server": Server(uuid="s", name="hublab", is_reachable=False)}, "does not reach its server hublab"),
        ({"deployments": (Deployment(deployment_uuid="d1", status="in_progress"),)}, "somebody else's deployment d1"),
        ({"variables": (Variable(key="HUBLAB_WORKER_NAME"),)}, "HUBLAB_WORKER_NAME.* -> remove it"),
        ({"problem": "HUBLAB_COOLIFY_TOKEN: bad -> make one"}, "HUBLAB_COOLIFY_TOKEN: bad -> make one"),
    ],
)
def test_what_stands_in_the_way_has_a_remedy(changes: dict[str, Any], words: str) -> None:
    assert re.search(words, problem(**changes))


@pytest.mark.parametrize(
    ("here", "words"),
    [
        (Revision(), "no git repository"),
        (replace(HERE, changed=("worker/probe.py",)), "not committed: worker/probe.py.* -> commit and push"),
        (replace(HERE, pushed=False), "no remote branch has commit bbbbbbbbbb -> git push"),
        (replace(HERE, extra=("flows/campaigns/x.toml",)), "HUBLAB_CAMPAIGNS: flows/campaigns/x.toml would be missing"),
        (replace(HERE, packages=2), "HUBLAB_EXTRA_REQUIREMENTS: 2 packages would be missing"),
    ],
)
def test_checkout_that_coolify_cannot_build(here: Revision, words: str) -> None:
    assert re.search(words, problem(revision=here, running=()))


def test_drain_that_coolify_would_cut_off_is_refused() -> None:
    (found,) = make(application(drain_seconds=2900), state()).problems
    assert found.what.startswith("HUBLAB_DRAIN_SECONDS: 2900 with HUBLAB_GATE_SECONDS 180 makes 3120 s")


@pytest.mark.parametrize("value", ["user:it's", "user:two\nlines", "user:ends\\"])
def test_credential_that_coolify_would_break_is_refused_without_showing_it(value: str) -> None:
    host = application(auth_string=Secret(value))
    (found,) = make(host, state()).problems
    assert found.what.startswith("its environment: PREFECT_API_AUTH_STRING: has ")
    assert value not in found.what


def test_words_say_what_is_built_from_where_and_what_is_worth_knowing() -> None:
    app = {
        "git_repository": "https://example.com/eve/other",
        "git_commit_sha": "HEAD",
        "pre_deployment_command": "true",
        "settings": SETTINGS.model_copy(
            update={"is_auto_deploy_enabled": True, "is_preview_deployments_enabled": True}
        ),
    }
    plan = make(application(write_paths=("/srv/x",)), state(app=app))
    assert "eve/other by Coolify" in "\n".join(plan.words)
    told = "\n".join(plan.warnings)
    for part in (
        "auto deploy is on",
        "previews of pull requests are on: ",
        "its pre_deployment_command runs",
        "HUBLAB_WRITE_PATHS",
    ):
        assert part in told
    assert "this checkout's remote is git@example.com:ada/hublab.git" in told


def test_plan_of_a_new_application_has_a_line_for_each_setting() -> None:
    plan = Theatre().plan()
    assert plan.words[1:4] == (
        "worker (ada/hublab by Coolify) will be started: new",
        "worker: git_commit_sha HEAD → bbbbbbbbbb",
        "worker: dockerfile_location none → /deploy/container/Dockerfile",
    )
    assert "worker: HUBLAB_WORK_POOL is missing" in plan.words
    assert len(plan.words) == 1 + len(plan.reasons)
    assert max(map(len, plan.words)) < 100


def test_what_is_worth_knowing_is_told_where_there_is_nothing_to_do() -> None:
    plan = make(application(write_paths=("/srv/x",)), state())
    assert not plan.reasons
    assert "HUBLAB_WRITE_PATHS" in "\n".join(plan.warnings)


def test_what_reaches_the_runs_of_a_host_alone_is_named() -> None:
    told = application(environment=(("SHOP_TOKEN", Secret("sentinel-9")),), allow=("jit",))
    words = "\n".join(make(told, state()).warnings)
    assert "HUBLAB_ENVIRONMENT does not reach its container: set SHOP_TOKEN in Coolify" in words
    assert "HUBLAB_ALLOW does not hold there: jit" in words
    assert "sentinel-9" not in words


def test_two_plans_that_differ_in_their_lock_alone_are_the_same() -> None:
    assert replace(make(HOST, state()), lock="x") == make(HOST, state())
    assert ApplicationPlan("a") != ApplicationPlan("b")


def test_value_is_known_again_by_its_comment_and_no_other_is() -> None:
    for secret in (True, False):
        entry = Entry("KEY", Secret("value"), secret=secret)
        assert entry.is_marked(entry.mark())
        assert not Entry("KEY", Secret("other"), secret=secret).is_marked(entry.mark())
        assert not entry.is_marked("")
        assert not entry.is_marked("hublab:")
        assert entry.mark() != entry.mark(), "two of one value do not look alike"
        assert len(entry.mark()) < 256


def test_log_of_a_deployment_without_what_is_hidden_or_ours() -> None:
    text = '[{"output": "one\\ntwo TOKEN"}, {"output": "x", "hidden": true}, {"output": null}]'
    assert log(text, ["TOKEN", ""]) == ["one", "two ***"]
    assert log("") == [NO_LOG]
    assert log("no json") == ["no json"]


def test_release_of_this_checkout_is_known_whatever_python_the_image_has() -> None:
    found = revision.releases()
    assert identity.release_id("3.12.12", "/usr/local") in found
    assert identity.release_id("3.13.5", "/usr") in found
    assert "3.8.8-0000000000" not in found


def test_container_that_passed_no_gate_is_not_what_serves() -> None:
    """Its worker is ONLINE at Prefect for a while after Coolify has removed it."""
    failed = Running(f"{APP}-2", online=True, release="", created="2")
    serves = Running(f"{APP}-1", online=True, release="r-new", created="1")
    assert reasons(running=(serves, failed)) == ()
    assert reasons(running=(failed,)) == ("runs release unknown",)


def test_address_of_prefect_that_leads_the_container_to_itself_is_told() -> None:
    for url in ("http://localhost:4200/api", "http://127.0.0.1:4200/api", "http://[::1]:4200/api"):
        words = "\n".join(make(application(api_url=url), state()).warnings)
        assert f"PREFECT_API_URL: {url} is the container itself in there" in words
    assert "the container itself" not in "\n".join(make(HOST, state()).warnings)


def test_prefect_that_asks_nobody_for_a_credential_is_told_as_of_a_host() -> None:
    theatre = Theatre()
    assert theatre.plan().warnings == ()
    theatre.prefect.open = True
    (told,) = theatre.plan().warnings
    assert told.startswith("the API at https://prefect.example.com/api answers without a credential: whoever reaches")
    assert told == warnings(theatre.wanted, converged(theatre.wanted, api_open=True))[0], "so that it is said once"
    near = Theatre(api_url="http://127.0.0.1:4200/api", prefect=theatre.prefect)
    assert "without a credential" not in "".join(near.plan().warnings)


def test_tag_of_an_image_is_told_whole() -> None:
    tags = [f"3.9.1-c3dffce85e-{end}" for end in ("3385db", "41fa02")]
    found = state(app=IMAGE | {"docker_registry_image_tag": tags[0]}, releases=frozenset(tags[1:]))
    words = "\n".join(make(with_image("r/w", tags[1]), found).words)
    assert f"docker_registry_image_tag {tags[0]} → {tags[1]}" in words
    assert f"release of record: none → {tags[1]}" in words


WEBHOOKS = Webhooks("", 8080, {}, "https://hooks.example.com")
THEIRS = (Variable(key="NOTION_TOKEN"),)


def test_what_runs_there_and_is_none_of_ours_is_not_replaced_by_a_deploy() -> None:
    """A stock worker, whose runs would be killed within 30 s; or, by a slip in a list of uuids, somebody's website."""
    told = problem(variables=THEIRS, running=())
    assert told.startswith("it runs (running:healthy), and no deploy of this project has set it up: Coolify would stop")
    assert told.endswith(
        f"-> ./hublab coolify adopt {APP}, where it is a worker; else stop it in Coolify, if it may be replaced"
    )
    assert "adopt" not in make(replace(HOST, webhooks=WEBHOOKS), state(variables=THEIRS, running=())).problems[0].remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"app": {"status": "exited:unhealthy"}},
        {"running": (Running(f"{APP}-1", online=True, release="r-old", created="1"),)},
        {"kept": (Kept(OLD, "r-old", {}),)},
        {"before": Before(OLD, "r-old", {}, ran=True)},
        {"variables": state().variables},
    ],
)
def test_what_does_not_run_or_is_ours_is_deployed_to(changes: dict[str, Any]) -> None:
    assert make(HOST, state(**{"variables": THEIRS, "running": (), **changes})).problems == ()


def test_commit_that_somebody_has_set_by_hand_is_not_what_is_wanted() -> None:
    """What runs is right, and the next start would bring the other."""
    found = state(app={"git_commit_sha": "c" * 40}, kept=(Kept(NEW, "r-new", {}),))
    plan = make(HOST, found)
    assert (plan.reasons, plan.release, plan.switch) == (("git_commit_sha cccccccccc → bbbbbbbbbb",), NEW, False)


@pytest.mark.parametrize(
    "remote",
    [
        "https://ci:sentinel-7@example.com/ada/hublab.git",
        "https://sentinel-7@example.com/ada/hublab",
        "https://ci:a@sentinel-7@example.com/ada/hublab",
    ],
)
def test_credential_in_an_address_of_git_is_shown_by_no_plan(remote: str, tmp_path: Path) -> None:
    """As a CI clones, and as somebody may have written it into Coolify."""
    for words in (("init", "-q"), ("remote", "add", "origin", remote)):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    here = revision.revision(tmp_path)
    plan = make(
        HOST,
        state(
            app={"git_repository": remote.replace("ada", "eve"), "limits_memory": "0"},
            revision=replace(HERE, remote=here.remote),
        ),
    )
    told = "\n".join((*plan.words, *plan.warnings))
    assert "https://example.com/eve/hublab" in told
    assert "sentinel-7" not in told


def test_address_of_git_over_ssh_is_as_it_was_written(tmp_path: Path) -> None:
    for words in (("init", "-q"), ("remote", "add", "origin", "git@example.com:ada/hublab.git")):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    assert revision.revision(tmp_path).remote == "git@example.com:ada/hublab.git"


def test_checkout_in_a_folder_of_its_repository_is_built_there(tmp_path: Path) -> None:
    (tmp_path / "ops").mkdir()
    subprocess.run(["git", "-C", str(tmp_path), "init", "-q"], check=True)
    here = revision.revision(tmp_path / "ops")
    assert here.folder == "ops"
    assert make(HOST, state(app={"base_directory": "/ops/"}, revision=replace(HERE, folder=here.folder))).problems == ()


def test_checkout_without_git_says_nothing_of_where_coolify_builds() -> None:
    assert make(HOST, state(app={"base_directory": "/ops"}, revision=Revision())).problems == ()


def test_deployment_that_failed_last_is_a_reason_since_its_environment_was_set_already() -> None:
    past = tuple(Deployment(deployment_uuid=f"d{2 - at}", status=status) for at, status in enumerate(ENDS))
    assert reasons(deployments=past) == ("its last deployment d2 is failed, what runs has the environment of before",)
    assert reasons(deployments=past[1:]) == ()
