"""`./hublab run-again`: what it says of each flow run."""

from __future__ import annotations

from typing import Any

import pytest

from deploy.onhost import run_again
from deploy.onhost.prefect_api import Access, ApiError

ACCEPTED = {"status": "ACCEPT", "details": {}}
REFUSED = {"status": "ABORT", "details": {"reason": "it runs"}}


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
    def request(*_: object) -> Any:
        if isinstance(answer, ApiError):
            raise answer
        return answer

    monkeypatch.setattr(run_again, "request", request)
    asked = run_again.RunAgain(runs=("7",), access=Access(api_url="http://p"))
    assert run_again.main(asked) == status
    assert said in capsys.readouterr().out
