"""The limits that all workers share, at a real server: who calls one service and then another asks once for both."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from flows.services.prefect_api import NotRegisteredError, Prefect

if TYPE_CHECKING:
    from collections.abc import Iterator


class Counted:
    """Two limits of this test's own, and what Prefect was asked for."""

    def __init__(self, prefect: Prefect, monkeypatch: pytest.MonkeyPatch) -> None:
        self.prefect, self.asked = prefect, list[list[str]]()
        self.one, self.other = (f"{uuid4()}" for _ in range(2))
        for name in (self.one, self.other):
            body = {"name": name, "limit": 5, "slot_decay_per_second": 0.001}
            prefect.client.request("POST", "/v2/concurrency_limits/", json=body)
        increment = prefect.client.increment_concurrency_slots

        def counted(*, names: list[str], **more: Any) -> Any:
            self.asked.append(names)
            return increment(names=names, **more)

        monkeypatch.setattr(prefect.client, "increment_concurrency_slots", counted)

    def taken(self, name: str) -> int:
        found = self.prefect.client.request("POST", "/v2/concurrency_limits/filter", json={}).json()
        return round(float(next(one["active_slots"] for one in found if one["name"] == name)))


@pytest.fixture
def limits(server: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Counted]:
    with Prefect() as prefect:
        yield Counted(prefect, monkeypatch)


def test_call_that_was_had_with_another_is_not_asked_for_again_and_counts(limits: Counted) -> None:
    limits.prefect.wait_for(limits.one, limits.other)
    limits.prefect.wait_for(limits.other)
    assert limits.asked == [[limits.one, limits.other]]
    assert (limits.taken(limits.one), limits.taken(limits.other)) == (1, 1)
    limits.prefect.wait_for(limits.other)
    assert limits.asked[1:] == [[limits.other]]
    assert limits.taken(limits.other) == 2


def test_tries_that_follow_each_other_have_one_call_of_the_other_service_and_not_one_each(limits: Counted) -> None:
    for _ in range(3):
        limits.prefect.wait_for(limits.one, limits.other)
    assert (limits.taken(limits.one), limits.taken(limits.other)) == (3, 1)


def test_limit_that_is_not_there_is_named_and_nothing_is_had(limits: Counted) -> None:
    with pytest.raises(NotRegisteredError, match="'nowhere' is not at Prefect"):
        limits.prefect.wait_for(limits.one, "nowhere")
    with pytest.raises(NotRegisteredError, match="'nowhere' is not at Prefect"):
        limits.prefect.wait_for("nowhere")
