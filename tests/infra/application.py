"""An application of Coolify's as it is, by Coolify's API and Prefect's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.coolify.look import client, look
from deploy.coolify.prefect import Prefect

if TYPE_CHECKING:
    from deploy.coolify.state import ApplicationState
    from deploy.spec import WorkerHost


def seen(wanted: WorkerHost) -> ApplicationState:
    """What there is of it, which no problem keeps from being seen."""
    with client(wanted) as coolify:
        found = look(wanted, coolify, Prefect(wanted.api_access()))
    assert not found.problem, found.problem
    return found
