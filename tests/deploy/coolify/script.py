"""Coolify's recorded answers, given again: one a question, in the order in which a test names them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from deploy.coolify.client import Client
from deploy.secret import Secret

RECORDED = json.loads(Path(__file__).with_name("recorded.json").read_text())
TOKEN = "3|sentinel-c001"
URL = "https://coolify.example.com"


def recorded(ask: str, case: str = "") -> httpx.Response:
    """An answer as Coolify 4.3.11 gave it."""
    (found,) = [item for item in RECORDED if item["ask"] == ask and item.get("case", "") == case]
    content = found["text"].encode() if "text" in found else json.dumps(found["answer"]).encode()
    return httpx.Response(found["status"], headers=found.get("headers", {}), content=content)


class Script:
    """Answers each question with the next of the answers that were named for it; the last one again and again."""

    def __init__(self) -> None:
        self.answers: dict[str, list[httpx.Response | Exception]] = {}
        self.asked: list[str] = []
        self.bodies: list[Any] = []
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []
        self.client = Client(URL, Secret(TOKEN), transport=httpx.MockTransport(self._answer), sleep=self.slept.append)

    def on(self, ask: str, *answers: httpx.Response | Exception | str) -> Script:
        """What comes on a question: an answer, an error, or the name of a recorded case."""
        found = [recorded(ask, item) if isinstance(item, str) else item for item in answers or ("",)]
        self.answers.setdefault(ask, []).extend(found)
        return self

    def _answer(self, request: httpx.Request) -> httpx.Response:
        ask = f"{request.method} {request.url.path.removeprefix('/api/v1')}"
        self.asked.append(ask)
        self.requests.append(request)
        self.bodies.append(json.loads(request.content) if request.content else None)
        waiting = self.answers[ask]
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        if isinstance(found, Exception):
            raise found
        return httpx.Response(found.status_code, headers=found.headers, content=found.content)


def says(status: int, answer: object = None, **headers: str) -> httpx.Response:
    """An answer of one's own."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, content=json.dumps(answer).encode())
