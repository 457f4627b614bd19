"""A payload over a connection that is gone: the reason is told, and nobody waits."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
from paramiko import ChannelException, SSHException

from deploy import session
from deploy.release import upload

if TYPE_CHECKING:
    from pathlib import Path

    from pyinfra.api import Host


@pytest.mark.parametrize(
    "error",
    [EOFError(), SSHException("SSH session not active"), OSError("Socket is closed"), ChannelException(2, "no")],
)
def test_host_that_grants_no_session_is_an_upload_that_failed(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever else it were would end the run of all hosts, and the table would call each of them not reached."""
    monkeypatch.setattr(session, "PAUSE_SECONDS", 0)

    def refuse() -> None:
        raise error

    client = SimpleNamespace(get_transport=lambda: SimpleNamespace(open_session=refuse))
    host = SimpleNamespace(connector=SimpleNamespace(client=client))
    with pytest.raises(upload.UploadError, match="the host grants no session"):
        upload.send(cast("Host", host), tmp_path / "payload.tar")
