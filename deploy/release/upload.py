"""Brings one file to a host over the connection that is open already, into a folder that nobody but root can enter.

pyinfra's own upload, where sudo is needed, goes through a name in /tmp that every local user can foretell.
"""

from __future__ import annotations

import contextlib
import shlex
from typing import TYPE_CHECKING

from paramiko import SSHException

from deploy import spec
from deploy.remote import last_line
from deploy.session import patiently

if TYPE_CHECKING:
    from pathlib import Path

    from paramiko import Channel
    from pyinfra.api import Host

SILENCE_SECONDS = 120.0
CHUNK = 1 << 18
# `mktemp -d` makes the folder for its owner alone, and the one that it is in can be written by root alone.
MAKE = f"folder=$(mktemp -d {spec.BASE}/.arriving-XXXXXXXX)"
KEEP = 'cat > "$folder/payload.tar" && echo "$folder"'
RECEIVE = f'umask 077 && {MAKE} && {{ {KEEP} || {{ rm -r "$folder"; exit 1; }}; }}'
AS_ROOT = 'sudo=; [ "$(id -u)" = 0 ] || sudo="sudo -n"; exec $sudo sh -c {receive}'


class UploadError(RuntimeError):
    """The file did not arrive; the message says why."""


def send(host: Host, file: Path) -> str:
    """The folder of root's on the host in which the file now lies, as `payload.tar`.

    Raises:
        UploadError: the host refused it, or was silent for SILENCE_SECONDS.
    """
    return last_line(pour_into(host, RECEIVE, file))


def pour_into(host: Host, receive: str, file: Path, silence: float = SILENCE_SECONDS) -> str:
    """What a shell's program says that root runs on the host with a file on its standard input.

    Args:
        host: the host.
        receive: the program, in one line: a login shell of another kind ends its quotes with the line.
        file: the file.
        silence: seconds.

    Raises:
        UploadError: it failed, or the host was silent for so long.
    """
    command = f"sh -c {shlex.quote(AS_ROOT.format(receive=shlex.quote(receive)))}"
    try:
        channel = patiently(host.connector.client.get_transport().open_session)  # type: ignore[attr-defined]
    except (OSError, EOFError, SSHException) as error:
        raise UploadError(f"the host grants no session ({error or 'it was silent'}); deploy again") from error
    channel.settimeout(silence)
    try:
        channel.exec_command(command)
        _pour(file, channel)
        said = channel.makefile("r").read().decode().strip()
        if channel.recv_exit_status():
            raise UploadError(
                channel.makefile_stderr("r").read().decode().strip()[-500:] or "the connection broke; deploy again"
            )
    except (OSError, EOFError, SSHException) as error:
        raise UploadError(f"the connection broke ({error or 'it was silent'}); deploy again") from error
    finally:
        channel.close()
    return str(said)


def _pour(file: Path, channel: Channel) -> None:
    with file.open("rb") as stream, contextlib.suppress(OSError):
        # A host that stops listening says why in its own words, which are read next.
        while chunk := stream.read(CHUNK):
            channel.sendall(chunk)
        channel.shutdown_write()
