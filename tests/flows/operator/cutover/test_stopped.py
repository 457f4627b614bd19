"""A take-over and the way back, stopped after a write and gone on with; two operators at once."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from datetime import timedelta

import pytest

from flows.operator import preflight
from flows.operator.cutover import going_back, lock, stage, taking
from flows.operator.cutover.__main__ import main
from flows.operator.cutover.facts import BlockedError
from flows.services import notion_schema as schema
from flows.services.prefect_api import Prefect
from sandbox.past import campaign as before
from tests.flows.operator.cutover.test_takes_over import key_of, live, live_of, theirs
from tests.flows.past import SEND, Past, Stopped, in_turn, stopped_after


@pytest.fixture
def gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was killed counts as gone at once; and templates, which no write depends on, are rendered by other tests."""
    monkeypatch.setattr(lock, "LEASE", timedelta(0))
    monkeypatch.setattr(preflight, "templates", lambda _notion, _settings: ())


def held_by() -> lock.Holder:
    with Prefect() as prefect:
        found = lock.holder(prefect)
    assert found
    return found


def test_of_two_at_once_the_second_is_told_who_and_after_a_kill_the_third_goes_on(
    past: Past, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = past.person(5)
    with contextlib.suppress(Stopped), stopped_after(24) as done:
        main(["--apply"])
    assert "POST /api/flow_runs/ " in done[-1]  # in the midst of somebody
    there = [(run["id"], run["state_id"]) for run in past.runs()]
    for way in ("--back", "--apply"):
        capsys.readouterr()
        assert main([way]) == 1
        said = capsys.readouterr().err
        assert said.startswith("nothing was changed:")
        assert f"{held_by().who} has been taking over since" in said
        assert "was it killed, run this again in" in said
    assert [(run["id"], run["state_id"]) for run in past.runs()] == there
    assert main([]) == 0
    assert "WARNING: " + held_by().who in capsys.readouterr().out
    with monkeypatch.context() as later:
        later.setattr(lock, "LEASE", timedelta(0))
        assert main(["--apply"]) == 0
    assert set(live(past, ada)) == {6, 7}
    assert held_by().released  # who came to the end leaves nothing that waits


def test_who_was_thought_dead_and_wakes_writes_nothing_more(server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "RENEW", timedelta(0))
    with Prefect() as prefect, lock.held(prefect, "taking over") as first:
        first.hold()
        assert held_by().alive
        with monkeypatch.context() as late:
            late.setattr(lock, "LEASE", timedelta(0))
            with lock.held(prefect, "going back") as second:
                with pytest.raises(lock.LostError, match="another came after this one"):
                    first.hold()
                late.undo()
                second.hold()
                assert held_by().what == "going back"


def test_of_two_who_find_it_free_at_the_same_moment_one_has_it(server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second reads before the first has written, and writes after; nothing of it is left."""
    with Prefect() as prefect:
        read, stale = lock.holders, lock.holders(prefect)
        with lock.held(prefect, "taking over") as first:
            answers = iter([stale])
            monkeypatch.setattr(lock, "holders", lambda one: next(answers, None) or read(one))
            with pytest.raises(lock.HeldError, match="has been taking over"), lock.held(prefect, "going back"):
                pytest.fail("two hold it")
            monkeypatch.setattr(lock, "holders", read)
            monkeypatch.setattr(lock, "RENEW", timedelta(0))
            first.hold()


def test_who_was_only_slow_keeps_the_next_one_from_beginning(server: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is found without a sign of life, and gives one before the other has written that it takes over."""
    with Prefect() as prefect, lock.held(prefect, "taking over"):
        read = lock.holders
        (there,) = read(prefect)
        answers = iter([[replace(there, age=2 * lock.LEASE)]])
        monkeypatch.setattr(lock, "holders", lambda one: next(answers, None) or read(one))
        with pytest.raises(lock.HeldError, match="has been taking over"), lock.held(prefect, "going back"):
            pytest.fail("two hold it")


def test_an_error_or_ctrl_c_leaves_nothing_that_the_next_has_to_wait_for(server: None) -> None:
    with Prefect() as prefect:
        for error in (KeyboardInterrupt, LookupError):
            with pytest.raises(error), lock.held(prefect, "taking over"):
                raise error
            assert held_by().released


def nothing_is_lost(past: Past, email: str, where: str) -> None:
    """Mails 6 and 7 are with one side at least; where both have them, the deployment is of the one that goes on."""
    ours = {run["parameters"]["step"] for run in live_of(past, email) if run["state_type"] == "SCHEDULED"}
    flat = {
        run["parameters"]["email_number"]
        for run in past.mails_of(email)
        if "enrolment" not in run["parameters"] and run["state_type"] == "SCHEDULED"
    }
    assert ours | flat == {6, 7}, where
    entrypoint = past.api.get(f"/deployments/{past.ids[SEND]}").json()["entrypoint"]
    if "back" in where and flat:  # ours cannot be begun then
        assert not entrypoint.startswith("flows."), where
    elif "back" not in where and ours:  # theirs only wait then
        assert entrypoint.startswith("flows."), where


@pytest.mark.long
def test_killed_after_each_write_in_turn_it_comes_to_its_end(past: Past, gone: None) -> None:
    ada = past.person(5)
    stops = 0
    for where in in_turn(lambda: taking.apply("default")):
        nothing_is_lost(past, ada, where)
        stops += 1
    assert stops > 20
    assert set(live(past, ada)) == {6, 7}
    assert len({run["idempotency_key"] for run in live_of(past, ada)}) == len(live_of(past, ada)) == 7


@pytest.mark.long
def test_the_way_back_killed_after_each_write_in_turn_comes_to_its_end(past: Past, gone: None) -> None:
    ada = past.person(5)
    taking.apply("default")
    stops = 0
    for where in in_turn(gone_back):
        nothing_is_lost(past, ada, f"back: {where}")
        stops += 1
    assert stops > 10
    assert set(theirs(past, ada)) == {6, 7}


def gone_back() -> None:
    with contextlib.suppress(BlockedError):  # it had come to its end
        going_back.back()


def anew(past: Past) -> str:
    """The past as if nothing of it had been taken over, with somebody in the midst; the address."""
    past.forget()
    with Prefect() as prefect:
        stage.forget(prefect)
    before.deploy(past.api)
    return past.person(5)


def stopped_at(past: Past, number: int) -> bool:
    """Stop a take-over after its write of that number, go on, and look; False when it has not so many."""
    ada = anew(past)
    with contextlib.suppress(Stopped), stopped_after(number) as done:
        taking.apply("default")
    if len(done) < number:
        return False
    where = f"after write {number}, {done[-1]}"
    nothing_is_lost(past, ada, where)
    taking.apply("default")
    assert set(live(past, ada)) == {6, 7}, where
    assert schema.read(past.world.record(ada), "Enrolment Key") == key_of(ada), where
    assert len({run["idempotency_key"] for run in live_of(past, ada)}) == len(live_of(past, ada)) == 7, where
    with Prefect() as prefect:
        assert set(stage.kept(prefect)[SEND]["tags"]) >= {"christmas"}, where  # what was there before, not ours
    return True


def back_stopped_at(past: Past, number: int) -> bool:
    """The same with the way back."""
    ada = anew(past)
    taking.apply("default")
    with contextlib.suppress(Stopped), stopped_after(number) as done:
        going_back.back()
    if len(done) < number:
        return False
    where = f"back: after write {number}, {done[-1]}"
    nothing_is_lost(past, ada, where)
    gone_back()
    assert set(theirs(past, ada)) == {6, 7}, where
    assert past.api.get(f"/deployments/{past.ids[SEND]}").json()["pull_steps"] == before.PULL_STEPS, where
    return True


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_the_way_back_stopped_after_each_write_and_run_again(past: Past, gone: None) -> None:
    stops = 0
    while back_stopped_at(past, stops + 1):
        stops += 1
    assert stops > 10


def test_the_way_back_stopped_in_the_midst_of_somebody(past: Past, gone: None) -> None:
    assert back_stopped_at(past, 14)


@pytest.mark.faults
@pytest.mark.timeout(7200)
def test_stopped_after_each_write_and_run_again_nothing_is_lost_and_nothing_doubled(past: Past, gone: None) -> None:
    stops = 0
    while stopped_at(past, stops + 1):
        stops += 1
    assert stops > 20
