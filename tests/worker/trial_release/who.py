"""Tells in which process this module was imported."""

import os
from pathlib import Path

from prefect import flow

IMPORTED_IN = os.getpid()
ASKED = os.environ.get("TRIAL_ASKED")


@flow
def who(file: str) -> None:
    """Write the process that imported this module, and the value that it found then."""
    Path(file).write_text(f"{IMPORTED_IN} {ASKED}")
