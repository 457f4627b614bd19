"""A flow of somebody else's: what it finds in its environment, and what it tries that the sandbox refuses or allows."""

from __future__ import annotations

import hashlib
import importlib
import json
import mmap
import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from prefect import flow
from prefect.states import Completed

if TYPE_CHECKING:
    from collections.abc import Callable

    from prefect.client.schemas.objects import State

HOST = "private.example"


def outcome(work: Callable[[], Any]) -> str:
    try:
        work()
    except Exception as error:  # noqa: BLE001 - it is what is asked for
        return type(error).__name__
    return "done"


def jit() -> None:
    """Memory that is written and executed, as compilers of the run's own time need it."""
    mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def proc() -> None:
    Path("/proc/meminfo").read_text()


def trust(folder: str) -> None:
    """A handshake with whom the host's own authority vouches for; both ends are here, so that no network is asked."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), httpx.create_ssl_context()
    server.load_cert_chain(f"{folder}/private.pem")
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(back, there, server_hostname=HOST)
    answerer = server.wrap_bio(there, back, server_side=True)
    for one in (caller, answerer) * 3:
        try:
            one.do_handshake()
        except ssl.SSLWantReadError:
            continue
    caller.do_handshake()


@flow
def needs(folder: str, package: str) -> State[None]:
    tries = {"jit": jit, "proc": proc, "ca": lambda: trust(folder), "package": lambda: importlib.import_module(package)}
    found = {name: outcome(work) for name, work in tries.items()}
    variables = {
        name: hashlib.sha256(value.encode()).hexdigest()
        for name, value in os.environ.items()
        if name.startswith("TRY_")
    }
    return Completed(message=json.dumps({"found": found, "variables": variables}))
