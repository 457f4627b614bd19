"""The sandbox's mail server alone, for tests that boot no machine."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox import mail, place, teardown
from sandbox.layout import layout, shared_trees

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TREES = shared_trees()


@contextmanager
def mail_server(root: Path, box: str) -> Iterator[mail.MailServer]:
    """Exim and Dovecot on loopback, with one box, for as long as the block runs."""
    where = layout(root, TREES)
    place.claim(where)
    try:
        yield mail.start(where, box)
    finally:
        teardown.down(where)
