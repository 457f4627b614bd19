"""How often Prefect is asked for a mail: counted on the wire, the same on every machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from bench import prefect_requests, results
from bench.prefect_requests import kind

if TYPE_CHECKING:
    from pathlib import Path

# By whom, what, and how often at the most: once for a run, a seventh for the enrolment, and a margin for
# what is kept for seconds and counts anew where a machine is slow: two of them in the sum, where the goal is 20.
MOST = 22
EACH = {
    ("engine", "GET /csrf-token"): 0,
    ("engine", "GET /admin/version"): 0,
    ("engine", "GET /admin/storage"): 0,
    ("engine", "POST /variables/filter"): 2.8,
    ("engine", "POST /v2/concurrency_limits/increment"): 1.6,
    ("engine", "POST /artifacts/filter"): 1.1,
    ("engine", "POST /block_documents/filter"): 1.2,
    ("engine", "POST /flow_runs/ID/set_state"): 2.3,
    ("engine", "GET /flow_runs/ID"): 1.5,
    ("worker", "POST /flow_runs/ID/set_state"): 1.2,
    ("worker", "PATCH /flow_runs/ID"): 0,
    ("worker", "PATCH /flow_runs/ID/labels"): 1.2,
}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("GET /api/flow_runs/0190b0a4-0000-7000-8000-000000000001", "GET /flow_runs/ID"),
        ("GET /api/csrf-token?client=0190b0a4-0000-7000-8000-000000000001", "GET /csrf-token"),
        ("POST /api/work_pools/default/queues/filter", "POST /work_pools/NAME/queues/filter"),
        ("GET /api/deployments/name/a/b", "GET /deployments/name/NAME/NAME"),
        ("PATCH /api/variables/name/mail-1-2", "PATCH /variables/name/NAME"),
        ("POST /api/v2/concurrency_limits/increment", "POST /v2/concurrency_limits/increment"),
    ],
)
def test_requests_are_told_by_what_they_ask(asked: str, told: str) -> None:
    assert kind(asked) == told


def test_nothing_is_compared_with_a_commit_that_nobody_can_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["prefect_requests"])
    monkeypatch.setattr(prefect_requests, "campaign", lambda _: pytest.fail("it measures all the same"))
    monkeypatch.setattr(results, "raw", lambda _: {"before": {}, "before_commit": "0123456789ab"})
    with pytest.raises(SystemExit):
        prefect_requests.main()
    assert "0123456789ab, which is no commit of this history; measure it anew with --before" in capsys.readouterr().err


@pytest.mark.long
def test_a_mail_asks_prefect_no_more_often_than_this(tmp_path: Path) -> None:
    with prefect_requests.campaign(tmp_path) as place:
        prefect_requests.measure(place, range(1))  # what is learnt once and kept for all is learnt here
        found = prefect_requests.measure(place, range(1, 2))
    assert found["engine"]["POST /flow_runs"] >= 1  # both sides were heard
    assert found["worker"]["POST /flow_runs/ID/set_state"] >= 1
    for name in prefect_requests.LONG_RUNS:
        found["engine"].pop(name, None)
    for name in prefect_requests.KEPT:
        found["worker"].pop(name, None)
    assert prefect_requests.total(found) <= MOST, prefect_requests.counted(found)
    too_often = {one: found[one[0]].get(one[1], 0) for one, most in EACH.items() if found[one[0]].get(one[1], 0) > most}
    assert not too_often
