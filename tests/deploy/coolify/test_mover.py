"""The rollout of one application: its order, what comes back after a failure, and who else is at work."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest

from deploy.coolify import prefect
from deploy.coolify.errors import CoolifyError, RolloutError
from deploy.coolify.ledger import LEASE_SECONDS, LockError
from deploy.coolify.state import Before, Kept
from deploy.onhost.lock import Owner
from deploy.onhost.prefect_api import Access, ApiError
from deploy.onhost.record import Line
from deploy.secret import Secret
from tests.deploy.coolify.script import TOKEN
from tests.deploy.coolify.standin import APP
from tests.deploy.coolify.theatre import ACCESS, NEW, OLD, OWNER, RELEASES, STAYS, Theatre

PATCH, DEPLOY = f"PATCH /applications/{APP}", "POST /deploy"


@pytest.fixture
def theatre() -> Theatre:
    """An application that serves an older commit; a new one is wanted, and the lock is held."""
    made = Theatre()
    made.served()
    made.mover.ledger.take("token", OWNER)
    return made


def serves(theatre: Theatre) -> str:
    return theatre.look().release


def failed(theatre: Theatre, match: str, kind: type[Exception] = RolloutError) -> None:
    with pytest.raises(kind, match=match):
        theatre.mover.move(theatre.plan(), theatre.look(), "ada@desk")


def test_first_deploy_sets_everything_then_deploys_then_records() -> None:
    theatre = Theatre()
    plan = theatre.plan()
    assert plan.reasons[0] == "new"
    theatre.deploy()
    envs = [f"POST /applications/{APP}/envs"] * 7 + [f"PATCH /applications/{APP}/envs"]
    assert theatre.coolify.journal == [*envs, PATCH, DEPLOY]
    assert theatre.coolify.app["git_commit_sha"] == NEW
    assert theatre.coolify.app["settings"]["stop_grace_period"] == 930
    assert serves(theatre) == RELEASES[NEW]
    after = theatre.plan()
    assert (after.reasons, after.changes, after.words) == ((), False, ())


def test_what_was_is_recorded_before_anything_is_changed(theatre: Theatre) -> None:
    theatre.coolify.fails[PATCH] = [httpx.Response(400, json={"message": "no"})]
    failed(theatre, "no", CoolifyError)
    before = theatre.mover.ledger.before()
    assert before is not None
    assert (before.source, before.release, before.ran, before.to) == (OLD, RELEASES[OLD], True, NEW)
    assert before.fields["git_commit_sha"] == OLD


def test_bad_release_leaves_the_old_worker_and_its_settings_come_back(theatre: Theatre) -> None:
    theatre.coolify.ends = ["failed"]
    failed(theatre, "its deployment dep2 is failed; what served before serves on")
    assert "  New container is unhealthy." in theatre.said
    assert TOKEN not in "".join(theatre.said)
    theatre.mover.undo()
    assert theatre.coolify.app["git_commit_sha"] == OLD
    assert theatre.coolify.journal.count(DEPLOY) == 1, "what never took over needs no second deployment"
    assert (serves(theatre), theatre.mover.ledger.before()) == (RELEASES[OLD], None)


def test_finished_is_not_believed_when_another_release_runs(theatre: Theatre) -> None:
    theatre.coolify.lies = ["3.8.8-other"]
    failed(theatre, "Coolify says that deployment dep2 has finished, and .* runs release 3.8.8-other")
    theatre.mover.undo()
    assert theatre.coolify.journal.count(DEPLOY) == 2, "the new one had taken over"
    assert serves(theatre) == RELEASES[OLD]


def test_finished_is_not_believed_when_no_new_worker_is_online(theatre: Theatre) -> None:
    theatre.coolify.lies = [""]
    failed(theatre, "and the new one is not ONLINE at Prefect's server")


def test_first_deploy_that_finished_wrongly_is_stopped_again() -> None:
    theatre = Theatre()
    theatre.coolify.lies = ["3.8.8-other"]
    theatre.mover.ledger.take("token", OWNER)
    failed(theatre, "runs release 3.8.8-other")
    theatre.mover.undo()
    assert theatre.coolify.journal[-1] == f"POST /applications/{APP}/stop"
    assert theatre.look().online == ()


def test_undo_that_fails_says_so_and_stays_open(theatre: Theatre) -> None:
    theatre.coolify.lies = ["3.8.8-other", "3.8.8-third"]
    failed(theatre, "3.8.8-other")
    with pytest.raises(RolloutError, match=r"3\.8\.8-third"):
        theatre.mover.undo()
    assert theatre.mover.ledger.before() is not None


def test_phantom_deployment_is_not_followed_and_asked_for_again(theatre: Theatre) -> None:
    answer = {"deployments": [{"message": "Deployment already queued.", "deployment_uuid": "phantom"}]}
    theatre.coolify.fails[DEPLOY] = [httpx.Response(200, json=answer)]
    theatre.mover.move(theatre.plan(), theatre.look(), "ada@desk")
    assert serves(theatre) == RELEASES[NEW]


def test_coolify_that_only_makes_phantoms_is_given_up(theatre: Theatre) -> None:
    answer = {"deployments": [{"message": "Deployment already queued.", "deployment_uuid": "phantom"}]}
    theatre.coolify.fails[DEPLOY] = [httpx.Response(200, json=answer) for _ in range(10)]
    failed(theatre, "Coolify made no deployment, asked 4 times")


def test_full_queue_is_waited_for(theatre: Theatre) -> None:
    full = {"message": "Deployment queue is full. Please wait for existing deployments to complete."}
    theatre.coolify.fails[DEPLOY] = [httpx.Response(429, headers={"Retry-After": "60"}, json=full)] * 2
    theatre.mover.move(theatre.plan(), theatre.look(), "ada@desk")
    assert serves(theatre) == RELEASES[NEW]
    assert sum("queue is full" in line for line in theatre.said) == 2


def test_deployment_whose_answer_was_lost_is_found(theatre: Theatre) -> None:
    deploy = theatre.coolify.deploy

    def lost() -> str:
        theatre.coolify.deploy = deploy  # type: ignore[method-assign]
        deploy()
        raise httpx.ReadTimeout("slow")

    theatre.coolify.deploy = lost  # type: ignore[method-assign]
    theatre.mover.move(theatre.plan(), theatre.look(), "ada@desk")
    assert len(theatre.coolify.deployments) == 2
    assert serves(theatre) == RELEASES[NEW]


def test_somebody_elses_deployment_is_seen_by_the_plan(theatre: Theatre) -> None:
    theatre.coolify.deploy()
    (problem,) = theatre.plan().problems
    assert problem.what == "somebody else's deployment dep2 is queued"
    assert "not cancelled" in problem.remedy


def test_somebody_elses_deployment_since_the_plan_is_left_alone(theatre: Theatre) -> None:
    plan, state = theatre.plan(), theatre.look()
    theatre.coolify.deploy()
    with pytest.raises(RolloutError, match="somebody else's deployment dep2 is queued; it is left alone"):
        theatre.mover.move(plan, state, "ada@desk")
    assert theatre.coolify.journal == []
    assert theatre.mover.ledger.before() is None


def test_somebody_elses_deployment_behind_ours_is_seen(theatre: Theatre) -> None:
    serve = theatre.coolify.serve

    def followed(release: str) -> None:
        serve(release)
        theatre.coolify.deployments.append({"deployment_uuid": "theirs", "status": "queued", "commit": OLD})

    theatre.coolify.serve = followed  # type: ignore[method-assign]
    failed(theatre, "somebody else's deployment theirs is queued")
    with pytest.raises(RolloutError, match="theirs"):
        theatre.mover.undo()


STEPS = {
    "before the settings": f"POST /applications/{APP}/envs",
    "at the settings": PATCH,
    "at the deploy": DEPLOY,
    "while it is followed": "GET /deployments/dep2",
}


@pytest.mark.parametrize("step", STEPS)
def test_interrupted_rollout_is_converged_by_the_next(step: str, theatre: Theatre) -> None:
    """Whatever was done, the next deploy ends with the wanted release, and the way back still leads to the first."""
    theatre.coolify.envs.pop(0)
    broken = [STEPS[step]]
    plan, state = theatre.plan(), theatre.look()
    original = theatre.coolify.answer

    def answer(request: httpx.Request) -> httpx.Response:
        ask = f"{request.method} {request.url.path.removeprefix('/api/v1')}"
        if ask in broken:
            raise KeyboardInterrupt
        return original(request)

    theatre.mover.coolify._http._transport = httpx.MockTransport(answer)
    with pytest.raises(KeyboardInterrupt):
        theatre.mover.move(plan, state, "ada@desk")
    theatre.sleep(LEASE_SECONDS + 1)  # whoever was interrupted refreshes no lock

    theatre.mover = theatre.operator()
    again = theatre.plan()
    assert again.unfinished
    assert "a rollout that was cut off will be brought to its end" in again.words
    before = theatre.look().before
    assert before is not None
    assert (before.source, before.release) == (OLD, RELEASES[OLD])
    theatre.deploy()
    assert (serves(theatre), theatre.plan().changes) == (RELEASES[NEW], False)
    assert theatre.back().release == OLD


def interrupted_at(theatre: Theatre, moment: str, *, done: bool = False) -> None:
    """The deploy of NEW, by an operator who is gone at that question; `done`: Coolify has dealt with it."""
    plan, state, original = theatre.plan(), theatre.look(), theatre.coolify.answer

    def answer(request: httpx.Request) -> httpx.Response:
        ask = f"{request.method} {request.url.path.removeprefix('/api/v1')}"
        found = original(request) if ask != moment or done else None
        if ask == moment or found is None:
            raise KeyboardInterrupt
        return found

    theatre.mover.coolify._http._transport = httpx.MockTransport(answer)
    with pytest.raises(KeyboardInterrupt):
        theatre.mover.move(plan, state, "ada@desk")
    theatre.sleep(LEASE_SECONDS + 1)
    theatre.mover = theatre.operator()


@pytest.mark.parametrize("image", [False, True], ids=["git", "image"])
def test_deployment_whose_uuid_nobody_noted_any_more_is_known_for_ours(theatre: Theatre, *, image: bool) -> None:
    """Killed between Coolify's answer and the note of it: nothing but the commit tells whose the deployment is."""
    if image:
        for app in (theatre.coolify.app, theatre.coolify.deployments[0]):
            app |= {"build_pack": "dockerimage", "docker_registry_image_tag": NEW, "commit": "HEAD"}
        theatre.wanted = replace(theatre.wanted, coolify=replace(ACCESS, image=("r/w", RELEASES[NEW])))
        theatre.mover.wanted = theatre.wanted
        deploy = theatre.coolify.deploy
        theatre.coolify.deploy = lambda: (deploy(), theatre.coolify.deployments[-1].update(commit="HEAD"))[0]  # type: ignore[method-assign]
    interrupted_at(theatre, DEPLOY, done=True)
    again = theatre.plan()
    assert again.problems == ()
    assert again.unfinished
    theatre.coolify.lies = [RELEASES[NEW]] * 9
    theatre.deploy()
    assert serves(theatre) == RELEASES[NEW]


def test_deployment_of_another_commit_since_is_somebody_elses(theatre: Theatre) -> None:
    interrupted_at(theatre, DEPLOY)
    theatre.coolify.deployments.append({"deployment_uuid": "theirs", "status": "queued", "commit": "c" * 40})
    (problem,) = theatre.plan().problems
    assert "somebody else's deployment theirs" in problem.what


def test_deployment_that_was_all_right_is_not_made_again(theatre: Theatre) -> None:
    """Who was gone while it was followed: the new worker has drained nobody in vain."""
    interrupted_at(theatre, "GET /deployments/dep2", done=True)
    assert "waiting" not in "".join(theatre.said)
    theatre.deploy()
    assert ": ONLINE, release 3.8.8-new" in "".join(theatre.said)
    assert theatre.coolify.journal.count(DEPLOY) == 1
    assert (serves(theatre), theatre.plan().changes) == (RELEASES[NEW], False)
    assert theatre.back().release == OLD


def test_deployment_that_had_ended_when_the_next_operator_came_is_not_made_again(theatre: Theatre) -> None:
    interrupted_at(theatre, "GET /deployments/dep2", done=True)
    for _ in range(2):
        theatre.coolify.advance(theatre.coolify.deployments[-1])
    again = theatre.plan()
    assert (again.reasons, again.unfinished) == ((), True)
    theatre.deploy()
    assert theatre.coolify.journal.count(DEPLOY) == 1
    assert (theatre.plan().changes, theatre.back().release) == (False, OLD)


def test_deployment_that_lacks_what_is_wanted_now_is_followed_by_another(theatre: Theatre) -> None:
    interrupted_at(theatre, "GET /deployments/dep2", done=True)
    theatre.wanted = replace(theatre.wanted, concurrency=7)
    theatre.mover.wanted = theatre.wanted
    theatre.deploy()
    assert theatre.coolify.journal.count(DEPLOY) == 2
    assert theatre.plan().changes is False


AWAY: list[httpx.Response | Exception] = [
    httpx.ConnectError("refused"),
    httpx.Response(500, json={"message": "Server Error"}),
    httpx.Response(503),
    httpx.Response(429, headers={"Retry-After": "1"}),
]


@pytest.mark.parametrize("ask", ["GET /deployments/dep2", f"GET /deployments/applications/{APP}"])
@pytest.mark.parametrize("failure", AWAY, ids=["refused", "500", "503", "429"])
def test_coolify_that_is_away_for_minutes_in_a_deployment_is_waited_for(
    theatre: Theatre, failure: httpx.Response | Exception, ask: str
) -> None:
    """It updates itself, and a drain takes a quarter of an hour: the deployment goes on meanwhile."""
    advance = theatre.coolify.advance

    def away(found: dict[str, object]) -> None:
        advance(found)
        if found["status"] == ("in_progress" if ask.endswith("dep2") else "finished"):
            theatre.coolify.fails[ask] = [failure] * 20

    theatre.coolify.advance = away  # type: ignore[method-assign]
    theatre.mover.move(theatre.plan(), theatre.look(), "ada@desk")
    assert serves(theatre) == RELEASES[NEW]
    assert sum("waiting for it" in line for line in theatre.said) == 1


def test_coolify_that_stays_away_is_given_up(theatre: Theatre) -> None:
    theatre.coolify.fails["GET /deployments/dep2"] = [httpx.ConnectError("refused")] * 5000
    failed(theatre, "does not answer", CoolifyError)


BUSY = "GET /deployments/dep2"


@pytest.mark.parametrize("ask", [PATCH, f"POST /applications/{APP}/envs"])
@pytest.mark.parametrize("failure", AWAY, ids=["refused", "500", "503", "429"])
def test_setting_that_coolify_could_not_take_just_then_is_set_again(
    theatre: Theatre, failure: httpx.Response | Exception, ask: str
) -> None:
    """200 questions a minute is what it takes, and a wave of applications asks more."""
    theatre.wanted = replace(theatre.wanted, concurrency=7)
    theatre.mover.wanted = theatre.wanted
    theatre.coolify.fails[ask] = [failure] * 20
    theatre.deploy()
    assert theatre.plan().changes is False
    assert sum("waiting for it" in line for line in theatre.said) == 1


def test_way_back_waits_for_a_coolify_that_is_busy(theatre: Theatre) -> None:
    theatre.coolify.lies = ["3.8.8-other"]
    failed(theatre, "runs release 3.8.8-other")
    theatre.coolify.fails[PATCH] = [httpx.Response(429, headers={"Retry-After": "60"})]
    theatre.coolify.fails["GET /deployments/dep2"] = [httpx.ConnectError("refused")] * 20
    theatre.mover.undo()
    assert (theatre.coolify.app["git_commit_sha"], serves(theatre)) == (OLD, RELEASES[OLD])


def test_first_deploy_that_goes_back_waits_for_a_coolify_that_is_busy() -> None:
    theatre = Theatre()
    theatre.coolify.lies = ["3.8.8-other"]
    theatre.mover.ledger.take("token", OWNER)
    failed(theatre, "runs release 3.8.8-other")
    theatre.coolify.fails[f"POST /applications/{APP}/stop"] = [httpx.Response(429, headers={"Retry-After": "60"})]
    theatre.mover.undo()
    assert theatre.look().online == ()


def test_coolify_that_says_when_to_come_back_is_not_asked_before(theatre: Theatre) -> None:
    """Each question before its time may count against the next."""
    theatre.coolify.fails[BUSY] = [httpx.Response(429, headers={"Retry-After": "300"})] * 2
    since = theatre.clock()
    theatre.mover.move(theatre.plan(), theatre.look(), "ada@desk")
    assert serves(theatre) == RELEASES[NEW]
    assert theatre.clock() - since >= 600


def test_coolify_that_is_busy_for_longer_than_is_waited_ends_it_at_once(theatre: Theatre) -> None:
    theatre.coolify.fails[BUSY] = [httpx.Response(429, headers={"Retry-After": "3600"})]
    since = theatre.clock()
    failed(theatre, "try again in 3600 s", CoolifyError)
    assert theatre.clock() - since < 300


def test_another_release_in_a_new_worker_is_told_at_once(theatre: Theatre) -> None:
    theatre.coolify.lies = ["3.8.8-other"]
    plan, state, since = theatre.plan(), theatre.look(), theatre.clock()
    with pytest.raises(RolloutError, match=r"runs release 3\.8\.8-other"):
        theatre.mover.move(plan, state, "ada@desk")
    assert theatre.clock() - since < theatre.wanted.gate_seconds, "there is nothing to wait for"


def test_workers_of_containers_that_are_gone_are_taken_off_prefects_list() -> None:
    """Each deployment brings a worker and a queue of another name; lists of Prefect's have 200 entries."""
    theatre = Theatre()
    for commit in (OLD, NEW, OLD, NEW):
        theatre.served(commit)
    names = {worker["name"] for worker in theatre.prefect.workers.values()}
    assert names == {f"{APP}-3"}
    assert theatre.prefect.probe_queues == {f"probe-{APP}-3"}


def test_worker_that_is_merely_silent_keeps_its_queue() -> None:
    """Who polls a queue that is not there gets no runs at all: none of a container that may live is removed."""
    theatre = Theatre()
    theatre.served(OLD)
    theatre.commit = NEW
    theatre.mover.ledger.take("token", OWNER)
    plan = theatre.plan()
    theatre.mover.move(plan, theatre.look(), "ada@desk")
    preview = f"{APP}-pr-7"
    theatre.prefect.workers[preview] = {"name": preview, "status": "OFFLINE", "release": "", "created": "2026"}
    newest = theatre.prefect.workers[f"{APP}-1"]
    newest["status"] = "OFFLINE"
    theatre.mover.commit(plan)
    assert set(theatre.prefect.workers) == {f"{APP}-0", f"{APP}-1", preview}
    newest["status"] = "ONLINE"
    theatre.mover.commit(plan)
    assert set(theatre.prefect.workers) == {f"{APP}-1", preview}
    assert theatre.prefect.probe_queues == {f"probe-{APP}-1"}


def test_list_that_prefect_does_not_shorten_is_no_fault_of_the_deploy(theatre: Theatre) -> None:
    theatre.prefect.keeps = True
    theatre.deploy()
    assert serves(theatre) == RELEASES[NEW]


def test_rollback_goes_to_the_one_before_with_its_settings(theatre: Theatre) -> None:
    theatre.coolify.app["limits_memory"] = "1g"
    theatre.deploy()
    plan = theatre.back()
    assert plan.release == OLD
    theatre.deploy(plan)
    assert serves(theatre) == RELEASES[OLD]
    assert theatre.coolify.app["git_commit_sha"] == OLD
    assert theatre.look().current == OLD


def test_rollback_names_what_has_served() -> None:
    theatre = Theatre()
    (problem,) = theatre.back().problems
    assert problem.what == "there is no release before this one"
    theatre.served(OLD)
    (problem,) = theatre.back().problems
    assert problem.remedy == "check out what shall run, and `./hublab deploy`"
    (problem,) = theatre.back("c" * 10).problems
    assert problem.what.startswith("--to: cccccccccc has not served here")
    assert OLD[:10] in problem.remedy


def test_two_operators_one_gets_the_lock_and_the_other_is_told_who_has_it(theatre: Theatre) -> None:
    with pytest.raises(LockError, match="locked by ada@desk since 2026-01-02T"):
        theatre.operator().ledger.take("other", Owner("bob@desk", "deploy of release c"))


def test_lock_of_who_is_gone_is_taken_over_and_he_does_nothing_more(theatre: Theatre) -> None:
    plan, state = theatre.plan(), theatre.look()
    theatre.sleep(LEASE_SECONDS + 1)
    other = theatre.operator()
    assert other.ledger.take("other", Owner("bob@desk", "deploy")).startswith("locked by ada@desk")
    with pytest.raises(LockError, match="no longer ours: locked by bob@desk"):
        theatre.mover.move(plan, state, "ada@desk")
    assert theatre.coolify.journal == []


def test_lock_lost_while_a_deployment_is_followed_ends_the_step(theatre: Theatre) -> None:
    def taken(found: dict[str, object]) -> None:
        theatre.operator().ledger.unlock()

    theatre.coolify.advance = taken  # type: ignore[method-assign]
    failed(theatre, "no longer ours: it was removed", LockError)
    assert theatre.mover.ledger.before() is not None


def test_prefect_that_is_away_for_a_moment_is_waited_for(theatre: Theatre) -> None:
    advance = theatre.coolify.advance

    def away(found: dict[str, object]) -> None:
        advance(found)
        theatre.prefect.away = found["status"] == "in_progress"

    theatre.coolify.advance = away  # type: ignore[method-assign]
    theatre.mover.move(theatre.plan(), theatre.look(), "ada@desk")
    assert serves(theatre) == RELEASES[NEW]


def test_token_that_is_revoked_in_the_middle_is_said_and_the_next_deploy_ends_it(theatre: Theatre) -> None:
    revoked = httpx.Response(401, json={"message": "Unauthenticated."})
    theatre.coolify.fails["GET /deployments/dep2"] = [revoked]
    failed(theatre, "HUBLAB_COOLIFY_TOKEN: Coolify does not take it", CoolifyError)
    theatre.deploy()
    assert serves(theatre) == RELEASES[NEW]
    assert theatre.coolify.journal.count(DEPLOY) == 1, "what was under way has come to its end"


def test_history_keeps_the_latest_lines_that_fit() -> None:
    theatre = Theatre()
    for number in range(100):
        theatre.mover.ledger.add(Line(at=str(number), result="x" * 200))
    lines = theatre.mover.ledger.history()
    assert lines[-1].at == "99"
    assert 10 < len(lines) < 30


def test_records_of_a_release_to_come_are_read_by_this_one() -> None:
    """Somebody has deployed with a newer checkout; whoever goes back to this one reads what that has written."""
    theatre = Theatre()
    books, before, kept = theatre.mover.ledger, Before(OLD, "r", {}, ran=True), Kept(NEW, "r2", {})
    books.open(before)
    books.keep(kept)
    for variable in theatre.coolify.prefect.variables.values():
        for entry in variable["value"] if isinstance(variable["value"], list) else [variable["value"]]:
            entry["more"] = "of later"
    assert (books.before(), books.kept()) == (before, (kept,))


def test_server_whose_database_is_busy_is_asked_again_and_no_other_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[object] = [ApiError(503, "busy"), ApiError(503, "busy"), "3.8.8", ApiError(401, "who")]
    slept: list[float] = []

    def request(*_: object) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(prefect, "request", request)
    monkeypatch.setattr("time.sleep", slept.append)
    server = prefect.Prefect(Access("http://127.0.0.1:9/api"))
    assert server.version() == "3.8.8"
    assert slept == [0.5, 1.0]
    with pytest.raises(ApiError, match="who"):
        server.ask("/variables/")
    assert answers == []


def test_prefect_cloud_says_no_version_and_is_never_open() -> None:
    cloud = prefect.Prefect(Access("https://api.prefect.cloud/api/accounts/a/workspaces/w", key="pnu_1"))
    assert cloud.version() == ""
    assert not cloud.is_open()


def test_finished_deployment_that_left_the_old_container_is_not_taken_for_a_new_one() -> None:
    """The release is the same when settings alone have changed: only a worker that was not there shows it."""
    theatre = Theatre()
    theatre.served(NEW)
    theatre.mover.ledger.take("token", OWNER)
    theatre.coolify.app["limits_memory"] = "1g"
    theatre.coolify.lies = [STAYS]
    failed(theatre, "has finished, and the new one is not ONLINE at Prefect's server")


def test_way_back_of_a_second_try_leads_to_what_was_before_the_first(theatre: Theatre) -> None:
    theatre.coolify.fails[DEPLOY] = [httpx.Response(400, json={"message": "no"})]
    failed(theatre, "no", CoolifyError)
    assert theatre.coolify.app["git_commit_sha"] == NEW
    theatre.coolify.ends = ["failed"]
    failed(theatre, "is failed")
    theatre.mover.undo()
    assert theatre.coolify.app["git_commit_sha"] == OLD


def test_uuid_that_nobody_has_is_told_with_its_key_in_env() -> None:
    theatre = Theatre("nobody")
    theatre.coolify.uuid = APP
    (problem,) = theatre.plan().problems
    assert problem.what.startswith("HUBLAB_HOSTS: 'nobody' is the uuid of no application")
    assert "./hublab coolify list" in problem.remedy


@pytest.mark.parametrize("status", [401, 403])
def test_credential_that_prefect_refuses_is_named(status: int) -> None:
    theatre = Theatre(api_key=Secret("sentinel-key"), auth_string=None)
    theatre.prefect.refuses = status
    (problem,) = theatre.plan().problems
    assert problem.what == f"PREFECT_API_KEY: https://prefect.example.com/api refuses it ({status})"
    assert problem.remedy == "put the credential that the server was started with into .env"


def lingering(theatre: Theatre) -> None:
    """Prefect calls a worker ONLINE for two minutes after it has drained."""
    serve = theatre.coolify.serve

    def served(release: str) -> None:
        there = {name: dict(worker) for name, worker in theatre.prefect.workers.items()}
        serve(release)
        for name, worker in there.items():
            theatre.prefect.workers[name]["status"] = worker["status"]

    theatre.coolify.serve = served  # type: ignore[method-assign]


def answered_with(theatre: Theatre, status: int) -> None:
    """Coolify makes the deployment, and the answer says that something broke."""
    deploy = theatre.coolify._deploy

    def broken() -> httpx.Response:
        theatre.coolify._deploy = deploy  # type: ignore[method-assign]
        deploy()
        return httpx.Response(status)

    theatre.coolify._deploy = broken  # type: ignore[method-assign]


def test_way_back_knows_a_deployment_whose_answer_was_an_error(theatre: Theatre) -> None:
    lingering(theatre)
    answered_with(theatre, 500)
    failed(theatre, "Coolify answers 500", CoolifyError)
    theatre.mover.undo()
    assert [item["commit"] for item in theatre.coolify.deployments] == [OLD, NEW, OLD]
    assert serves(theatre) == RELEASES[OLD]


def test_deployment_that_a_proxy_was_too_impatient_for_is_found(theatre: Theatre) -> None:
    answered_with(theatre, 524)
    theatre.mover.move(theatre.plan(), theatre.look(), "ada@desk")
    assert (len(theatre.coolify.deployments), serves(theatre)) == (2, RELEASES[NEW])


def test_way_back_of_a_first_deploy_stops_what_an_unnoted_deployment_has_started() -> None:
    theatre = Theatre()
    theatre.mover.ledger.take("token", OWNER)
    interrupted_at(theatre, DEPLOY, done=True)
    theatre.mover.ledger.take("token", OWNER)
    theatre.mover.undo()
    assert theatre.coolify.journal[-1] == f"POST /applications/{APP}/stop"
    assert theatre.look().online == ()


@pytest.mark.parametrize("end", ["failed", "cancelled-by-user"])
def test_deployment_that_ended_badly_after_the_new_worker_had_passed_goes_back_by_another(
    theatre: Theatre, end: str
) -> None:
    """The time of the job ran out, or somebody cancelled it, while the old worker drained: it does not serve on."""
    lingering(theatre)
    advance = theatre.coolify.advance

    def took_over(found: dict[str, object]) -> None:
        advance(found)
        if found["deployment_uuid"] == "dep2" and found["status"] == "finished":
            found["status"] = end

    theatre.coolify.advance = took_over  # type: ignore[method-assign]
    failed(theatre, f"its deployment dep2 is {end}, after the new worker had passed its gate")
    theatre.mover.undo()
    assert theatre.coolify.journal.count(DEPLOY) == 2
    assert (serves(theatre), theatre.mover.ledger.before()) == (RELEASES[OLD], None)


def test_deployment_that_comes_late_is_known_for_ours(theatre: Theatre) -> None:
    """The request is still at work in Coolify when its answer is not waited for any more."""
    deploy, asked = theatre.coolify._deploy, list[int]()

    def slow() -> object:
        asked.append(1)
        if len(asked) == 1:
            raise httpx.ReadTimeout("slow")
        if len(asked) == 2:
            deploy()  # the first
        return deploy()

    theatre.coolify._deploy = slow  # type: ignore[method-assign]
    theatre.mover.move(theatre.plan(), theatre.look(), "ada@desk")
    assert (len(theatre.coolify.deployments), serves(theatre)) == (2, RELEASES[NEW])


def test_checkout_of_before_is_what_is_deployed_after_a_rollout_that_was_cut_off(theatre: Theatre) -> None:
    """Coolify has the new commit by then, and never deployed it."""
    interrupted_at(theatre, DEPLOY)
    assert theatre.coolify.app["git_commit_sha"] == NEW
    theatre.commit = OLD
    assert theatre.plan().release == OLD
    theatre.deploy()
    assert [item["commit"] for item in theatre.coolify.deployments] == [OLD, OLD]
    assert (serves(theatre), theatre.look().current, theatre.plan().changes) == (RELEASES[OLD], OLD, False)


def test_preview_is_no_deployment_and_no_worker_of_the_application(theatre: Theatre) -> None:
    """It neither stands in the way, nor is it what serves; and its worker polls the pool as one of nobody."""
    theatre.coolify.deployments.append(
        {"deployment_uuid": "pr", "status": "in_progress", "commit": "c" * 40, "pull_request_id": 7}
    )
    name = f"{APP}-pr-7"
    theatre.prefect.workers[name] = {"name": name, "status": "ONLINE", "release": "3.8.8-pr", "created": "2027"}
    assert theatre.plan().problems == ()
    assert serves(theatre) == RELEASES[OLD]
    assert theatre.look().others == {name}


def test_worker_that_is_online_ran_though_coolify_says_that_it_exited(theatre: Theatre) -> None:
    """Its word is a minute old, or of a time when it did not reach the server: the way back would stop all."""
    theatre.coolify.app["status"] = "exited:unhealthy"
    theatre.coolify.lies = ["3.8.8-other"]
    failed(theatre, "runs release 3.8.8-other")
    theatre.mover.undo()
    assert serves(theatre) == RELEASES[OLD]


def test_variable_that_was_taken_away_for_a_deployment_that_failed_is_still_in_the_container_and_in_the_plan() -> None:
    theatre = Theatre(api_key=Secret("k" * 20))
    theatre.served(NEW)
    theatre.wanted = replace(theatre.wanted, api_key=None)
    theatre.mover = theatre.operator()
    theatre.mover.ledger.take("token", OWNER)
    theatre.coolify.ends = ["failed"]
    failed(theatre, "is failed")
    theatre.mover.undo()
    assert "its last deployment dep2 is failed" in theatre.plan().reasons[0]
    theatre.deploy()
    assert theatre.plan().reasons == ()
