"""The sandbox's mail server alone, for tests that boot no machine."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from e2e.target import CHECKOUT
from sandbox import mail, place, teardown
from sandbox.layout import layout

if TYPE_CHECKING:
    from collections.abc import Iterator

TREES = Path(os.environ.get("HUBLAB_SANDBOX_TREES") or CHECKOUT / ".hublab/trees")


@contextmanager
def mail_server(root: Path, box: str) -> Iterator[mail.MailServer]:
    """Exim and Dovecot on loopback, with one box, for as long as the block runs."""
    where = layout(root, TREES)
    place.claim(where)
    try:
        yield mail.start(where, box)
    finally:
        teardown.down(where)
