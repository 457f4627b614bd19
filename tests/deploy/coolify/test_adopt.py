"""A compose application with a stock worker is replaced: gated first, its runs ended, stopped; nothing deleted."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from deploy.coolify import drain, revision
from deploy.coolify.__main__ import adopt
from deploy.coolify.adopt import Adoption
from deploy.coolify.errors import CoolifyError, RolloutError
from deploy.coolify.state import Revision
from deploy.coolify.suspect import faults, worker_name
from deploy.onhost.prefect_api import ApiError
from tests.deploy.coolify.standin import APP
from tests.deploy.coolify.theatre import NEW, RELEASES, Coolify, FakePrefect, Theatre

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from deploy.coolify.mover import Mover

OLD_APP = "oldoldold"
COMPOSE = """
services:
  worker:
    image: python:3.11-slim
    container_name: perfect
    command: sh -c "pip install prefect==3.4.1 'uvicorn[standard]==0.34.0' &&
      prefect worker start --pool default --name perfect-worker --with-healthcheck"
"""


OLD = {
    "uuid": OLD_APP,
    "name": "perfect",
    "build_pack": "dockercompose",
    "docker_compose_raw": COMPOSE,
    "environment_id": 7,
    "destination": {"uuid": "net1", "server": {"uuid": "srv1"}},
    "settings": {},
}


class Past(FakePrefect):
    """A pool with a stock worker that has runs in flight: each look at them ends one."""

    def __init__(self) -> None:
        super().__init__()
        self.queues = {"default": False, "mail": False, "closed": True, "probe-x": False}
        self.runs = ["one", "two"]
        self.seen: list[dict[str, bool]] = []
        for name in ("perfect-worker", "second"):
            self.workers[name] = {"name": name, "status": "ONLINE", "release": "", "created": "2026"}

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        if self.away:
            raise ConnectionRefusedError("refused")
        if path == "/work_pools/default/queues/filter":
            return [{"name": name, "is_paused": paused} for name, paused in self.queues.items()]
        if path.startswith("/work_pools/default/queues/") and path.rpartition("/")[2] not in self.queues:
            raise ApiError(404, "absent")
        if path.startswith("/work_pools/default/queues/"):
            self.queues[path.rpartition("/")[2]] = body["is_paused"]
            return None
        if path == "/flow_runs/filter" and "name" not in body["flow_runs"]:
            self.seen.append(dict(self.queues))
            theirs = [{"name": name, "labels": {"prefect.worker.name": "perfect-worker"}} for name in self.runs]
            if self.queues["default"] and self.runs:
                self.runs.pop()
            ours = {"name": "ours", "labels": {"prefect.worker.name": "x", "hublab.release": "r"}}
            return [*theirs, ours][body["offset"] : body["offset"] + body["limit"]]
        return super().ask(path, body, method)


class Host(Coolify):
    """The old application beside the one that is made."""

    old = "running:unhealthy"
    told: Mapping[str, Any] = OLD
    theirs: Sequence[Mapping[str, str]] = ({"key": "NOTION_TOKEN"},)

    def _route(self, method: str, path: str, body: Any) -> Any:
        routes: dict[str, Callable[[], Any]] = {
            f"GET /applications/{OLD_APP}": lambda: {**OLD, **self.told, "status": self.old},
            f"GET /applications/{OLD_APP}/envs": lambda: list(self.theirs),
            f"GET /applications/{OLD_APP}/logs": lambda: {"logs": "raise NotImplementedError\nget_child_watcher"},
            f"POST /applications/{OLD_APP}/stop": self._stop,
            "GET /projects": lambda: [{"uuid": "prj1", "name": "p"}],
            "GET /projects/prj1": lambda: {"uuid": "prj1", "environments": [{"id": 7, "name": "production"}]},
            "POST /applications/public": lambda: self._create(body),
        }
        answer = routes.get(f"{method} {path}")
        return answer() if answer else super()._route(method, path, body)

    def _stop(self) -> dict[str, str]:
        self.old = "exited:unhealthy"
        return {"message": "stopping"}

    def _create(self, body: dict[str, Any]) -> httpx.Response:
        self.app = {**self.app, "git_commit_sha": body["git_commit_sha"], "name": body["name"], "asked": body}
        return httpx.Response(201, json={"uuid": APP, "domains": None})


class Stage(Theatre):
    """An operator who adopts."""

    def __init__(self) -> None:
        super().__init__()
        self.prefect = Past()
        self.coolify = Host(self.prefect)
        self.mover = self.operator()

    @property
    def past(self) -> Past:
        assert isinstance(self.prefect, Past)
        return self.prefect

    @property
    def host(self) -> Host:
        assert isinstance(self.coolify, Host)
        return self.coolify

    def adoption(self, mover: Mover | None = None) -> Adoption:
        wanted = replace(self.wanted, address=f"coolify:{OLD_APP}", application=OLD_APP)
        here = Revision(NEW, (), pushed=True, remote="https://example.com/ada/hublab.git", branch="main")
        return Adoption(
            wanted,
            (mover or self.mover).coolify,
            self.prefect,
            self.said.append,
            see=lambda *_: self.look(),
            here=lambda: here,
            sleep=self.sleep,
        )

    def adopt(self, by: str = "") -> str:
        adoption = self.adoption()
        return adoption.run(adoption.find(), "ada@desk", by)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_faults_are_named_as_far_as_they_can_be_seen(stage: Stage) -> None:
    found = stage.adoption().find()
    assert found.worker == "perfect-worker"
    assert found.runs == ("one", "two")
    text = "\n".join(found.faults)
    for part in ("a worker of Prefect's own", "--with-healthcheck", "uvloop", "has the crash", "30 s to stop"):
        assert part in text
    assert "prefect 3.4.1 is older than 3.6.6" in text
    assert "uvicorn 0.34.0 is older than 0.36" in text
    assert stage.coolify.journal == []


def test_new_one_is_gated_before_the_old_ones_queues_are_paused_and_it_is_stopped(stage: Stage) -> None:
    assert stage.adopt() == APP
    journal = [line for line in stage.coolify.journal if "envs" not in line]
    assert journal == [
        "POST /applications/public",
        f"PATCH /applications/{APP}",
        "POST /deploy",
        f"POST /applications/{OLD_APP}/stop",
    ]
    asked = stage.coolify.app["asked"]
    assert (asked["project_uuid"], asked["environment_name"]) == ("prj1", "production")
    assert (asked["server_uuid"], asked["destination_uuid"]) == ("srv1", "net1")
    assert (asked["git_repository"], asked["build_pack"]) == ("https://example.com/ada/hublab.git", "dockerfile")
    assert stage.look().release == RELEASES[NEW]
    assert stage.past.runs == []
    assert stage.past.queues == {"default": False, "mail": False, "closed": True, "probe-x": False}
    assert stage.past.seen[-1] == {"default": True, "mail": True, "closed": True, "probe-x": False}


def test_bad_release_leaves_the_old_one_and_its_queues(stage: Stage) -> None:
    stage.coolify.ends = ["failed"]
    with pytest.raises(RolloutError, match="deployment dep1 is failed"):
        stage.adopt()
    assert stage.host.old.startswith("running")
    assert not any(queues["default"] for queues in stage.past.seen)


def test_runs_that_do_not_end_keep_the_old_one_and_open_the_queues(stage: Stage) -> None:
    stage.past.runs = [f"run{number}" for number in range(1000)]
    with pytest.raises(RolloutError, match=r"still in flight after 900 s .* to Crashed first"):
        stage.adopt()
    assert stage.host.old.startswith("running")
    assert stage.past.queues["default"] is False


def test_adoption_that_was_interrupted_goes_on_with_the_same_application(stage: Stage) -> None:
    stage.coolify.ends = ["failed"]
    with pytest.raises(RolloutError):
        stage.adopt()
    assert stage.adopt() == APP
    assert stage.coolify.journal.count("POST /applications/public") == 1
    assert stage.host.old.startswith("exited")


@pytest.mark.parametrize("made", [True, False])
def test_application_that_a_cut_left_unnoted_is_found_by_its_name_and_one_not_made_is_made(
    stage: Stage, made: bool
) -> None:
    """Its uuid was in an answer that nobody wrote down."""
    adoption = stage.adoption()
    create = adoption.coolify.create

    def cut_off(kind: str, fields: Any) -> str:
        if made:
            create(kind, fields)
        raise KeyboardInterrupt

    adoption.coolify.create = cut_off  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        adoption.run(adoption.find(), "ada@desk")
    adoption.coolify.create = create  # type: ignore[method-assign]
    assert stage.adopt() == APP
    assert stage.coolify.journal.count("POST /applications/public") == 1


def test_queues_that_an_interrupted_one_left_paused_are_opened_by_the_next(stage: Stage) -> None:
    adoption, opened = stage.adoption(), stage.past.ask

    def cut_off(path: str, body: Any = None, method: str | None = None) -> Any:
        if body == {"is_paused": False}:
            raise KeyboardInterrupt
        return opened(path, body, method)

    stage.past.ask = cut_off  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        adoption.run(adoption.find(), "ada@desk")
    stage.past.ask = opened  # type: ignore[method-assign]
    assert stage.past.queues["default"] is True
    stage.adopt()
    assert stage.past.queues == {"default": False, "mail": False, "closed": True, "probe-x": False}


def test_application_that_was_made_by_hand_is_taken(stage: Stage) -> None:
    assert stage.adopt(by=APP) == APP
    assert "POST /applications/public" not in stage.coolify.journal


def test_remote_that_takes_a_key_asks_for_one_made_by_hand(stage: Stage) -> None:
    adoption = stage.adoption()
    adoption._here = lambda: Revision(NEW, (), pushed=True, remote="git@example.com:ada/hublab.git")
    with pytest.raises(RolloutError, match=f"./hublab coolify adopt {OLD_APP} --by "):
        adoption.run(adoption.find(), "ada@desk")


def test_coolify_that_does_not_know_the_application_says_so(stage: Stage) -> None:
    adoption = stage.adoption()
    adoption.wanted = replace(adoption.wanted, application="nobody")
    with pytest.raises(CoolifyError, match="'nobody' is the uuid of no application"):
        adoption.find()


def test_what_a_deploy_has_set_up_is_not_adopted(stage: Stage) -> None:
    """A worker of ours, or the webhooks: it would be stopped, for nothing."""
    stage.host.theirs = [{"key": "PREFECT_API_URL", "comment": "hublab:salt:digest"}]
    with pytest.raises(RolloutError, match="perfect: a deploy of this project has set it up -> "):
        stage.adoption().find()
    assert stage.coolify.journal == []


def test_application_without_a_trace_of_prefect_is_not_adopted(stage: Stage) -> None:
    """A uuid in the wrong line of the list is that of somebody's website, which would be stopped."""
    stage.host.told = {"docker_compose_raw": "services: {web: {image: nginx}}"}
    with pytest.raises(
        RolloutError, match="perfect: its compose file, start command, log and environment name no Prefect"
    ):
        stage.adoption().find()
    assert stage.coolify.journal == []
    stage.host.theirs = [{"key": "PREFECT_API_URL"}]
    assert stage.adoption().find().worker == ""


def test_healthy_application_of_ours_has_no_fault() -> None:
    assert list(faults("python -m worker\nprefect 3.8.8", {"HUBLAB_WORK_POOL"}, 930, compose=False)) == []


@pytest.mark.parametrize(
    ("text", "name"),
    [("worker start --name a-1 --pool p", "a-1"), ("--name='b'", "b"), ('--name "c"', "c"), ("worker start", "")],
)
def test_name_of_a_worker_is_read_from_its_command(text: str, name: str) -> None:
    assert worker_name(text, {"a-1", "b", "c"}) == name


def test_run_that_was_polled_just_before_the_queues_were_paused_is_waited_for() -> None:
    run, slept = {"name": "late", "labels": {}}, list[float]()
    answers = [[], [run], [run], [run], [run], [], []]

    server = FakePrefect()
    server.ask = lambda *_: answers.pop(0)  # type: ignore[method-assign]
    assert drain.wait(server, "p", "", 900, slept.append) == []
    assert len(slept) == 6


@pytest.mark.parametrize(("app", "by"), [("", ""), ("../servers", ""), ("Worker", ""), (OLD_APP, "x y")])
def test_what_is_no_uuid_reaches_no_address(
    app: str, by: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("APP", app)
    monkeypatch.setenv("BY", by)
    nobody: Any = None
    assert adopt(nobody, nobody) == 2
    assert capsys.readouterr().err.startswith(f"{'--by' if by else 'UUID'}: {by or app!r} is not the uuid")


def test_application_that_takes_its_own_place_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would be deployed over the stock worker and its runs, and then be stopped for the old one."""
    monkeypatch.setenv("APP", OLD_APP)
    monkeypatch.setenv("BY", f"coolify:{OLD_APP}")
    nobody: Any = None
    assert adopt(nobody, nobody) == 2
    assert capsys.readouterr().err == (
        f"--by: {OLD_APP} is the old one itself; name the application that takes its place, or leave it out\n"
    )


@pytest.mark.parametrize(
    "command",
    [
        "prefect worker start --pool default --name perfect-worker-$HOSTNAME",
        "prefect worker start --pool default --name 'perfect worker 1'",
        "prefect worker start --pool default --name perfect-worker\nprefect worker start --pool default --name second",
    ],
    ids=["put together by the shell", "with blanks", "two workers"],
)
def test_runs_of_a_worker_whose_name_cannot_be_read_are_waited_for_with_those_of_all_others(
    stage: Stage, command: str
) -> None:
    """A part of a name is nobody's, and nobody has runs in flight."""
    stage.host.told = {"docker_compose_raw": command}
    found = stage.adoption().find()
    assert (found.worker, found.runs) == ("", ("one", "two"))


def test_new_application_that_somebody_has_deleted_is_made_anew(stage: Stage) -> None:
    stage.coolify.ends = ["failed"]
    with pytest.raises(RolloutError):
        stage.adopt()
    adoption = stage.adoption()
    adoption.ledger.note_adoption(replace(adoption.ledger.adoption(), new="deleted"))
    assert stage.adopt() == APP
    assert stage.host.old.startswith("exited")


def test_queues_stay_paused_until_an_old_one_has_stopped_whose_stop_got_no_answer(stage: Stage) -> None:
    """Open before, the stock worker would take a run, and be killed with it."""
    stop, seen = stage.host._stop, list[bool]()

    def lost() -> Any:
        seen.append(stage.past.queues["default"])
        stop()
        raise httpx.ReadTimeout("slow")

    stage.host._stop = lost  # type: ignore[method-assign]
    assert stage.adopt() == APP
    assert seen == [True]
    assert stage.past.queues["default"] is False


@pytest.mark.parametrize("moment", ["while the runs end", "when the old one has stopped"])
def test_prefect_that_is_away_for_a_moment_leaves_no_queue_paused(stage: Stage, moment: str) -> None:
    """Its restart: nobody would begin a run until somebody adopts again, and nobody would say so."""
    slept, stop, looks = stage.sleep, stage.host._stop, [4]

    def sleep(seconds: float) -> None:
        slept(seconds)
        there = stage.past.queues["default"] if moment == "while the runs end" else stage.past.away
        stage.past.away = there and looks[0] > 0
        looks[0] -= stage.past.away

    def stopped() -> dict[str, str]:
        stage.past.away = moment == "when the old one has stopped"
        return stop()

    stage.sleep = sleep  # type: ignore[method-assign]
    stage.host._stop = stopped  # type: ignore[method-assign]
    assert stage.adopt() == APP
    assert looks == [0]
    assert stage.host.old.startswith("exited")
    assert stage.past.queues == {"default": False, "mail": False, "closed": True, "probe-x": False}


def test_prefect_that_stays_away_is_told_with_the_queues_that_are_paused(stage: Stage) -> None:
    stop = stage.host._stop

    def stopped() -> dict[str, str]:
        stage.past.away = True
        return stop()

    stage.host._stop = stopped  # type: ignore[method-assign]
    with pytest.raises(RolloutError, match=r"queues default, mail of pool default are still paused, .* -> do it again"):
        stage.adopt()


def test_queue_that_somebody_deletes_meanwhile_keeps_no_other_paused(stage: Stage) -> None:
    stop = stage.host._stop

    def stopped() -> dict[str, str]:
        del stage.past.queues["default"]
        return stop()

    stage.host._stop = stopped  # type: ignore[method-assign]
    assert stage.adopt() == APP
    assert stage.past.queues["mail"] is False


def test_coolify_that_is_away_while_the_old_one_stops_opens_no_queue_before(stage: Stage) -> None:
    stop = stage.host._stop

    def stopped() -> dict[str, str]:
        stage.coolify.fails[f"GET /applications/{OLD_APP}"] = [httpx.Response(503)] * 9
        return stop()

    stage.host._stop = stopped  # type: ignore[method-assign]
    assert stage.adopt() == APP
    assert stage.coolify.fails[f"GET /applications/{OLD_APP}"] == []
    assert stage.past.queues["default"] is False


def test_token_in_the_remote_goes_to_coolify_which_has_no_other_way_to_read_it(stage: Stage, tmp_path: Path) -> None:
    remote, adoption = "https://ci:sentinel-7@example.com/ada/hublab.git", stage.adoption()
    for words in (("init", "-q"), ("remote", "add", "origin", remote)):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    adoption._here = lambda: replace(revision.revision(tmp_path), commit=NEW)
    adoption.run(adoption.find(), "ada@desk")
    assert stage.coolify.app["asked"]["git_repository"] == remote
    assert "sentinel-7" not in "\n".join(stage.said)
