"""The run's own logger; outside a run (a command of the operator's, the webhook app) the module's."""

from __future__ import annotations

import logging
from typing import Any

from prefect.exceptions import MissingContextError
from prefect.logging import get_run_logger


def log() -> Any:
    """A logger that Prefect shows with the run, where there is one."""
    try:
        return get_run_logger()
    except MissingContextError:
        return logging.getLogger("hublab.flows")
