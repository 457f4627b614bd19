"""What `report_host.py` says of a host, asked over a connection."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyinfra.api import StringCommand

from deploy import spec
from deploy.remote import launcher, program

if TYPE_CHECKING:
    from pyinfra.api import Host


@dataclass(frozen=True)
class Report:
    """What a host does right now. `doing`: unit → the worker's own words; `queue`: None when Prefect did not answer."""

    doing: dict[str, str] = field(default_factory=dict)
    history: tuple[dict[str, Any], ...] = ()
    lock: dict[str, Any] | None = None
    queue: dict[str, int] | None = None


def ask(host: Host, wanted: spec.WorkerHost, numbers: list[int]) -> Report:
    """Asks one host.

    Raises:
        RuntimeError: it answered something else.
    """
    query = {
        "units": [spec.unit_name(number) for number in numbers],
        "audit": spec.AUDIT,
        "folder": spec.LOCK,
        "pool": wanted.work_pool,
        **wanted.api_access(),
    }
    done, output = host.run_shell_command(
        StringCommand(launcher(wanted.python)), _stdin=program("report_host", query), _sudo=False
    )
    try:
        return parse(json.loads(output.stdout)) if done else parse({})
    except (ValueError, KeyError) as error:
        raise RuntimeError(output.output[-400:] or "it said nothing") from error


def parse(raw: dict[str, Any]) -> Report:
    """Pure: the JSON of `report_host.py` as typed data."""
    return Report(raw["doing"], tuple(raw["history"]), raw["lock"], raw["queue"])
