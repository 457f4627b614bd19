"""The body of a webhook call: bounded, JSON, an object; or the answer that says what it is not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastapi import Request

MAX_BODY = 64 * 1024


class Refusal(Exception):  # noqa: N818 - an answer
    """A call that is answered with an error."""

    def __init__(self, status: int, detail: Any) -> None:
        """`status` is HTTP's."""
        super().__init__(detail)
        self.status, self.detail = status, detail


async def limited(request: Request) -> bytes:
    """The raw body. Raises Refusal: 413 over 64 KB, declared or not; 415 for what is not JSON."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "the body must be application/json")
    declared = request.headers.get("content-length", "0")
    if not declared.isdecimal() or int(declared) > MAX_BODY:
        raise Refusal(413, f"the body must not be over {MAX_BODY} bytes")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise Refusal(413, f"the body must not be over {MAX_BODY} bytes")
    return bytes(body)


def parsed(body: bytes) -> dict[str, Any]:
    """The body as an object. Raises Refusal (422)."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise Refusal(422, "the body is not JSON") from None
    if not isinstance(found, dict):
        raise Refusal(422, "the body is not a JSON object")
    return found
