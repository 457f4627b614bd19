"""Pictures as data URIs, so that the page is one file."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_KINDS = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}


def data_uri(path: Path) -> str:
    """A picture as a data URI; empty when there is no such file or it holds no picture."""
    try:
        content = path.read_bytes()
    except OSError:
        return ""
    kind = next((kind for magic, kind in _KINDS.items() if content.startswith(magic)), "")
    return f"data:{kind};base64,{base64.b64encode(content).decode()}" if kind else ""
