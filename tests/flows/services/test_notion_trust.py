"""Whom a client of Notion trusts is read once, and again where it has changed."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import certifi

from flows.services.notion_gateway import trust

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_authorities_are_read_once_and_again_where_their_file_is_another_or_has_changed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    usual = trust()
    assert trust() is usual
    file = shutil.copy2(certifi.where(), tmp_path / "authorities.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    own = trust()
    assert own is not usual
    assert trust() is own
    os.utime(file, ns=(1, 1))
    assert trust() is not own
