"""Starting both stand-ins: in threads of a test, or as the process `python -m sandbox.standins`."""

from __future__ import annotations

import contextvars
import ipaddress
import socket
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from sandbox.standins.notion import Notion
from sandbox.standins.resend import Resend
from sandbox.standins.workspace import furnish
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.applications import Starlette

STARTUP_SECONDS = 10


@dataclass
class StandIns:
    """Two running stand-ins, their addresses and what a client needs to use them."""

    notion: Notion
    resend: Resend
    notion_url: str
    resend_url: str
    databases: dict[str, str]
    sender: str

    def environment(self) -> dict[str, str]:
        """The settings of `flows` which point at these stand-ins."""
        blocks = {"notion-token": self.notion.token, "resend-api-key": self.resend.key, **self.databases}
        return {
            "HUBLAB_NOTION_URL": self.notion_url,
            "HUBLAB_RESEND_URL": self.resend_url,
            "HUBLAB_SENDER": self.sender,
            **{name.upper().replace("-", "_"): value for name, value in blocks.items()},
        }


def private(address: str) -> str:
    """The address, if nothing outside this machine's own networks can reach it.

    Raises:
        ValueError: a public or wildcard address.
    """
    where = ipaddress.ip_address(address)
    if where.is_unspecified or not (where.is_loopback or where.is_private):
        raise ValueError(f"--address: {address} is neither loopback nor private; the stand-ins hold no real guard")
    return address


def bound(address: str, port: int = 0) -> socket.socket:
    """A listening socket, on a free port when `port` is 0."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((private(address), port))
    listener.listen(512)
    return listener


def address_of(listener: socket.socket) -> str:
    """Where it is reached."""
    host, port = listener.getsockname()
    return f"http://{host}:{port}"


def built(
    listeners: tuple[socket.socket, socket.socket], *, domain: str = "hublab.test", per_minute: int = 180
) -> StandIns:
    """Both stand-ins with a furnished workspace; nothing serves yet."""
    notion = Notion("ntn_standin_token", per_minute=per_minute)
    resend = Resend("re_standin_key", domain=domain)
    urls = [address_of(listener) for listener in listeners]
    return StandIns(notion, resend, urls[0], urls[1], furnish(notion.store), f"Hublab <hello@{domain}>")


def server(app: Starlette) -> uvicorn.Server:
    """A quiet uvicorn on asyncio's own loop."""
    config = uvicorn.Config(app, loop="asyncio", log_level="critical", access_log=False, timeout_graceful_shutdown=1)
    return uvicorn.Server(config)


@contextmanager
def serving(app: Starlette, listener: socket.socket | None = None) -> Iterator[str]:
    """Serve `app` in a thread for as long as the block runs; its address, on a free port where none is given.

    Raises:
        SandboxError: it did not start in time.
    """
    running, listener = server(app), listener or bound("127.0.0.1")
    context = contextvars.copy_context()  # what the caller has set holds in the thread as well
    thread = threading.Thread(target=context.run, args=(running.run, [listener]), daemon=True)
    thread.start()
    wait_for(lambda: running.started, "a stand-in serves", STARTUP_SECONDS, every=0.01)
    try:
        yield address_of(listener)
    finally:
        running.should_exit = True
        thread.join(STARTUP_SECONDS)
        listener.close()


@contextmanager
def stand_ins(*, per_minute: int = 180) -> Iterator[StandIns]:
    """Both stand-ins on free loopback ports."""
    listeners = bound("127.0.0.1"), bound("127.0.0.1")
    both = built(listeners, per_minute=per_minute)
    with serving(both.notion.app(), listeners[0]), serving(both.resend.app(), listeners[1]):
        yield both
