"""Both stand-ins over HTTP, as a client meets them; each test has its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sandbox.standins.serve import StandIns, stand_ins

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def both() -> Iterator[StandIns]:
    with stand_ins(per_minute=100_000) as running:
        running.resend.per_second = 100_000
        yield running


class Service:
    """One of them, with its credentials."""

    def __init__(self, url: str, headers: dict[str, str]) -> None:
        self.client = httpx.Client(base_url=url, headers=headers, timeout=30, trust_env=False)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        answer = self.client.request(method, path, json=body, headers=headers)
        return answer.status_code, answer.json()


@pytest.fixture
def resend(both: StandIns) -> Iterator[Service]:
    one = Service(both.resend_url, {"Authorization": f"Bearer {both.resend.key}", "User-Agent": "tests"})
    yield one
    one.client.close()


@pytest.fixture
def notion(both: StandIns) -> Iterator[Service]:
    headers = {"Authorization": f"Bearer {both.notion.token}", "Notion-Version": "2025-09-03"}
    one = Service(f"{both.notion_url}/v1", headers)
    yield one
    one.client.close()
