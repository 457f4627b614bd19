"""Looking at a host over pyinfra: one fact, one round trip, whatever is asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast, override

from pyinfra.api import FactBase, StringCommand

from deploy.remote import launcher, program
from deploy.state import parse, question

if TYPE_CHECKING:
    from pyinfra.api import Host

    from deploy.spec import WorkerHost
    from deploy.state import HostState


class HostJson(FactBase[dict[str, Any]]):
    """The answer of `onhost/inspect_host.py`."""

    @override
    def command(self, python: str) -> StringCommand:
        return StringCommand(launcher(python))

    @override
    @staticmethod
    def default() -> dict[str, Any]:
        return {"problem": "silent"}

    @override
    def process(self, output: list[str]) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads("\n".join(output)))


def look(host: Host, wanted: WorkerHost, *, kept: bool = False) -> HostState:
    """Asks the host once; with `kept`, also for the units of former releases.

    Raises:
        PyinfraError: the connection broke; pyinfra has said so.
    """
    stdin = program("inspect_host", question(wanted, kept=kept))
    return parse(host.get_fact(HostJson, python=wanted.python, _stdin=stdin, _sudo=False))
