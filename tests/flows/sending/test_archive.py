"""What says that a mail went out, an hour later: no variable of a real server's any more."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

from flows.sending import frozen
from flows.services.prefect_api import Prefect
from flows.webhooks import app, archive
from flows.webhooks.background import Repeated

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.flows.world import World


def test_the_variables_of_mails_that_went_out_go_and_a_run_that_is_tried_again_knows_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    email, runs = world.enrolled("signup")
    enrolment = runs[0].parameters["enrolment"]
    assert world.send(enrolment, 1).name == "Completed"
    name = frozen.place(enrolment["key"], 1)
    with Prefect() as prefect:
        known = frozen.thaw(prefect, enrolment["key"], 1)
        assert known is not None
        archive.once()
        assert prefect.variable(name)["accepted"] == known.accepted  # it is young
        monkeypatch.setattr(frozen, "ARCHIVED_AFTER", -timedelta(minutes=1))
        assert archive.once() >= 1
        assert prefect.variable(name) is None
        assert frozen.thaw(prefect, enrolment["key"], 1) == known
    assert f"sent: {known.accepted}" in str(world.send(enrolment, 1).message)
    assert len(world.accepted(email)) == 1


def test_what_is_done_again_and_again_goes_on_when_it_has_failed(caplog: pytest.LogCaptureFixture) -> None:
    done, enough = list[int](), threading.Event()

    def work(_wait: object) -> None:
        done.append(1)
        if len(done) == 1:
            raise ValueError("not now")
        enough.set()

    one = Repeated("work", timedelta(milliseconds=1), work, "it was not done")
    one.start()
    assert enough.wait(60)
    one.stop()
    assert "it was not done: ValueError: not now" in caplog.text
    count = len(done)
    assert not threading.Event().wait(0.05)
    assert len(done) == count


def test_the_webhooks_process_reads_ahead_and_archives(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = {name: threading.Event() for name in ("reader", "archive")}
    for name, event in began.items():
        monkeypatch.setattr(getattr(app, name), "once", lambda *_, event=event: event.set())
        monkeypatch.setattr(getattr(app, name), "EVERY", timedelta(milliseconds=1))
    with Prefect() as prefect:
        receiver = app.Receiver(prefect.settings(), tmp_path)
    receiver.start()
    try:
        assert all(event.wait(60) for event in began.values())
    finally:
        receiver.stop()


def test_what_is_at_work_ends_with_its_process() -> None:
    began = threading.Event()

    def work(wait: Callable[[float], bool]) -> None:
        began.set()
        assert wait(600)

    one = Repeated("work", timedelta(milliseconds=1), work, "it was not done")
    one.start()
    assert began.wait(60)
    one.stop(60)
    assert not one._thread.is_alive()
