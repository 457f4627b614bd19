"""`./hublab run-again`: what it says of each flow run, and by way of which host it is asked."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.fleet import again
from deploy.fleet.connect import FleetError, Reply, UnreachableError
from deploy.onhost import run_again
from deploy.onhost.prefect_api import Access, ApiError

ACCEPTED = {"status": "ACCEPT", "details": {}}
REFUSED = {"status": "ABORT", "details": {"reason": "it runs"}}
RUN = "0b9f6e0e-8a55-4a1e-9a35-1a0f2f5f0c11"


class Server:
    """Answers for the state of a run, and when it is set; `asked` has what it was told to set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, state: str, answer: Any = ACCEPTED) -> None:
        self.state, self.answer, self.asked = state, answer, list[Any]()
        monkeypatch.setattr(run_again, "request", self.request)

    def request(self, _: Access, path: str, body: Any = None) -> Any:
        if isinstance(self.answer, ApiError):
            raise self.answer
        if not path.endswith("/set_state"):
            return {"state": {"type": self.state, "name": self.state.title()}}
        self.asked.append(body)
        return self.answer


def status_of_one() -> int:
    return run_again.main(run_again.RunAgain(runs=("7",), access=Access(api_url="http://p")))


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [
        (ACCEPTED, 0, "flow run 7 will be run again"),
        (REFUSED, 1, "flow run 7 is not run again: it runs"),
        (ApiError(404, "http://p answers 404"), 1, "flow run 7 is not run again: Prefect has no run of this id"),
        (ApiError(None, "http://p does not answer"), 1, "flow run 7 is not run again: http://p does not answer"),
    ],
)
def test_each_run_is_answered_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], answer: Any, status: int, said: str
) -> None:
    Server(monkeypatch, "CRASHED", answer)
    assert status_of_one() == status
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("state", ["SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "PAUSED", "COMPLETED"])
def test_run_that_goes_on_or_was_done_meanwhile_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: str
) -> None:
    """Prefect takes the new state of a RUNNING run as well: it would be at work twice at once."""
    server = Server(monkeypatch, state)
    assert status_of_one() == 1
    assert server.asked == []
    assert f"flow run 7 is not run again: it is {state.title()}" in capsys.readouterr().out


@pytest.mark.parametrize("state", ["CRASHED", "FAILED", "CANCELLED"])
def test_run_that_ended_undone_is_run_again(monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    server = Server(monkeypatch, state)
    assert status_of_one() == 0
    assert len(server.asked) == 1


class Fleet:
    """Hosts that are asked in their order; `asked` names those that answered, or refused."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **hosts: FleetError | str) -> None:
        self.hosts, self.asked = hosts, list[str]()
        monkeypatch.setenv("RUNS", RUN)
        monkeypatch.setattr(again, "send", self.send)
        monkeypatch.setattr(again, "ask_all", self.ask_all)

    def send(self, name: Any, _: list[str]) -> str:
        self.asked.append(name)
        found = self.hosts[name]
        if isinstance(found, FleetError):
            raise found
        return found

    def ask_all(self, question: Any, _: Any) -> list[Reply[str]]:
        return [self.reply(name, question) for name in self.hosts]

    def reply(self, name: str, question: Any) -> Reply[str]:
        try:
            return Reply(name, question(name))
        except FleetError as error:
            return Reply(name, None, str(error))


def test_host_that_is_gone_with_its_runs_is_not_the_only_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = Fleet(monkeypatch, h1=UnreachableError("cannot be reached: timed out"), h2="will be run again\n", h3="no\n")
    assert again.main() == 0
    assert fleet.asked == ["h1", "h2"], "one request, by the first that can be reached"
    assert capsys.readouterr().out == "h1 cannot be reached: timed out\nwill be run again\n"


def test_refusal_is_asked_of_nobody_else(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fleet = Fleet(monkeypatch, h1=FleetError("did not answer: it is Running"), h2="will be run again\n")
    assert again.main() == 1
    assert fleet.asked == ["h1"]
    assert capsys.readouterr().out == "h1 did not answer: it is Running\n"


def test_no_host_that_can_be_reached_is_said_of_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gone = UnreachableError("cannot be reached: timed out")
    Fleet(monkeypatch, h1=gone, h2=gone)
    assert again.main() == 1
    assert capsys.readouterr().out == "h1 cannot be reached: timed out\nh2 cannot be reached: timed out\n"
