"""The engine's side of `worker.control_channel`. Imports nothing of this project: `engine_patience` has it by path."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping

SOCKET = "HUBLAB__CONTROL_SOCKET"


def redirect(environ: MutableMapping[str, str]) -> None:
    """Let Prefect's listener, which knows a port alone, connect to the file that the worker named, once it connects."""
    path = environ.pop(SOCKET, "")
    if not path:
        return
    from prefect._internal import control_listener  # noqa: PLC0415 - the worker imports this module too

    class Line(socket.socket):
        def __init__(self, *_: object) -> None:
            super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)

        def connect(self, _: object) -> None:
            super().connect(path)

    used = ("AF_INET", "SOCK_STREAM", "SHUT_RDWR")
    control_listener.socket = SimpleNamespace(  # type: ignore[attr-defined, assignment]
        socket=Line, **{name: getattr(socket, name) for name in used}
    )
