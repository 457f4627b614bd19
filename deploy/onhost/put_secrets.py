"""Writes the credentials of a host, as part of its rollout: what was there before is kept for the way back."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from deploy.onhost.before import keep_secret, remove_halves
from deploy.onhost.common import say, write_atomically
from deploy.onhost.wire import Query


@dataclass(frozen=True, kw_only=True)
class PutSecrets(Query):
    """Each file's content by its path."""

    content: dict[str, str] = field(repr=False)


def main(query: PutSecrets) -> int:
    """Root-only files, each in one step: never there half written, nor for a moment readable by others."""
    os.umask(0o077)
    for path, content in query.content.items():
        target = Path(path)
        keep_secret(query.places.before, target)
        remove_halves(target)
        write_atomically(target, content, 0o600)
        say(f"{path} is written")
    return 0
