"""The stand-ins' own endpoints, under /_standin: misbehaviour, clock, settings, state, calls."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse
from starlette.routing import Route

from sandbox.standins.faults import Fault, FaultBook

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.requests import Request
    from starlette.responses import Response

    from sandbox.standins.clock import Clock


def not_modelled(error: Callable[..., Response]) -> dict[Any, Any]:
    """Starlette's handlers for a path or a method that a stand-in does not have, in its service's form."""

    async def refused(request: Request, _: Exception) -> Response:
        said = f"{request.method} {request.url.path} is not modelled by the stand-in."
        return error(400, "validation_error", said)

    return dict.fromkeys((404, 405), refused)


def admin_routes(
    book: FaultBook,
    clock: Clock,
    settings: Callable[[dict[str, Any]], None],
    state: Callable[[], dict[str, Any]],
) -> list[Route]:
    """Routes that a test, the chaos run and the demo use; the real services have nothing like them."""

    async def faults(request: Request) -> JSONResponse:
        if request.method == "DELETE":
            book.rules.clear()
        elif request.method == "POST":
            try:
                book.rules.extend(Fault(**rule) for rule in await request.json())
            except (TypeError, ValueError) as problem:
                return JSONResponse({"error": str(problem)}, 422)
        return JSONResponse([vars(rule) for rule in book.rules])

    async def advance(request: Request) -> JSONResponse:
        clock.advance(float((await request.json())["seconds"]))
        return JSONResponse({"now": clock.now().isoformat()})

    async def change(request: Request) -> JSONResponse:
        settings(await request.json())
        return JSONResponse({"ok": True})

    async def show(_: Request) -> JSONResponse:
        return JSONResponse(state())

    async def calls(request: Request) -> JSONResponse:
        if request.method == "DELETE":
            book.calls.clear()
        counted = Counter(f"{method} {path}" for method, path in book.calls)
        return JSONResponse({"total": len(book.calls), "calls": dict(counted), "spoilt": book.spoilt})

    return [
        Route("/_standin/faults", faults, methods=["GET", "POST", "DELETE"]),
        Route("/_standin/clock", advance, methods=["POST"]),
        Route("/_standin/settings", change, methods=["POST"]),
        Route("/_standin/state", show),
        Route("/_standin/calls", calls, methods=["GET", "DELETE"]),
    ]
