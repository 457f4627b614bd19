"""A service that is away is asked again, and what could not be seen is no success."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from e2e import target
from e2e.errors import AwayError
from e2e.outside.api import Api
from e2e.outside.resend import Sent
from e2e.watch import Watch
from tests.e2e.test_diagnose import at, record
from tests.e2e.test_guard import written

if TYPE_CHECKING:
    from pathlib import Path

    from e2e.outside import Outside


class Services:
    """All three at once; what they answer is told to them, an error is raised."""

    def __init__(self) -> None:
        self.runs: Any = []
        self.sent: Any = []

    def outside(self) -> Outside:
        prefect = SimpleNamespace(runs_since=lambda _: self._answer(self.runs))
        resend = SimpleNamespace(sent_since=lambda _: self._answer(self.sent), body=lambda _: "<p>x</p>")
        notion = SimpleNamespace(enrolments=lambda _: [])
        return cast("Outside", SimpleNamespace(prefect=prefect, resend=resend, notion=notion, mailbox=None))

    @staticmethod
    def _answer(what: Any) -> Any:
        if isinstance(what, Exception):
            raise what
        return what


def test_service_that_is_away_is_said_once_and_again_well_when_it_answers() -> None:
    services, said = Services(), list[str]()
    watch = Watch(services.outside(), record(), "e2e-1", said.append)
    services.runs = AwayError("Prefect: POST /x: 401")
    watch.look(notion=False)
    watch.look(notion=False)
    assert [text for text in said if "401" in text] == ["Prefect: POST /x: 401; it is asked again"]
    assert watch.blind() == ["The last look did not show everything: Prefect: POST /x: 401."]
    services.runs = []
    watch.look(notion=False)
    assert watch.blind() == []


def test_mail_to_a_stranger_is_found_and_nobody_is_named(tmp_path: Path) -> None:
    services, aim = Services(), target.load(written(tmp_path), "production")
    watch = Watch(services.outside(), record(), "e2e-1", lambda _: None)
    services.sent = [
        Sent("before", ("you@example.com",), "s", at(-5), "sent"),
        Sent("ours", ("me+e2e-1-signup@example.com",), "s", at(5), "sent"),
    ]
    assert watch.strangers(aim) == []
    services.sent.append(Sent("theirs", ("me@example.com", "you@example.com"), "s", at(6), "sent"))
    assert watch.strangers(aim) == ["The mail theirs at Resend went to another address than me@example.com."]
    services.sent = AwayError("Resend: 500")
    assert watch.strangers(aim) == ["Whether a mail went to another address is not known: Resend: 500."]


@pytest.mark.parametrize(("answers", "asked"), [([503, 429, 200], 3), ([401], 1), ([500] * 9, 4), ([404], 1)])
def test_reads_are_tried_again_where_that_may_help(
    monkeypatch: pytest.MonkeyPatch, answers: list[int], asked: int
) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(answers[len(seen) - 1], json={"well": True}, headers={"retry-after": "0"})

    monkeypatch.setattr("time.sleep", lambda _: None)
    api = Api("Prefect", "http://x", {"Authorization": "Bearer hush"})
    api._client = httpx.Client(base_url="http://x", transport=httpx.MockTransport(answer))
    if 200 in answers:
        assert api.ask("GET", "/y") == {"well": True}
    else:
        with pytest.raises(AwayError, match=f"Prefect: GET /y: {answers[0]}") as error:
            api.ask("GET", "/y")
        assert "hush" not in str(error.value)
    assert len(seen) == asked
