"""Looking at a host over pyinfra's connection: one program, one round trip, whatever is asked."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import gevent
from paramiko import SSHException
from pyinfra.api import DeployError, StringCommand

from deploy.onhost.untrusted import printable
from deploy.onhost.wire import WireError, decode
from deploy.release.interpreter import settle
from deploy.remote import launcher, program
from deploy.session import patiently
from deploy.state import HostState, question

if TYPE_CHECKING:
    from pyinfra.api import Host

    from deploy.spec import WorkerHost


ALIVE_SECONDS = 8
# A connection that answers nothing for so long is dead; the lock's lease on the host ends a moment later.
SILENCE_SECONDS = 25
CONNECT_SECONDS = 20
# More than `inspect_host.py` gets on the host.
LOOK_SECONDS = 150


def look(host: Host, wanted: WorkerHost, *, kept: bool = False) -> HostState:
    """Asks the host once; with `kept`, also for the units of former releases.

    Raises:
        DeployError: it did not answer, or no JSON, or not within LOOK_SECONDS; the message says why.
    """
    notice_silence(host)
    command, stdin = StringCommand(launcher(wanted.python)), program(question(wanted, kept=kept))
    with gevent.Timeout(LOOK_SECONDS, DeployError(f"{host.name} did not answer within {LOOK_SECONDS} s")):
        try:
            done, output = patiently(lambda: host.run_shell_command(command, _stdin=stdin, _sudo=False))
        except (EOFError, OSError, SSHException) as error:
            said = f"{host.name} closed the connection before it answered ({error or type(error).__name__})"
            raise DeployError(f"{said}; nothing was changed by that") from None
    if not done:
        said = output.output_lines[-1] if output.output_lines else "it said nothing"
        raise DeployError(f"{host.name} could not be looked at: {printable(said)}")
    return settle(answer(host.name, output.stdout_lines), wanted.python)


def answer(name: str, lines: list[str]) -> HostState:
    """What `onhost/inspect_host.py` says: the last line; before it a shell's start-up file may print.

    Raises:
        DeployError: it is no JSON, or none of that program's.
    """
    try:
        return decode(HostState, lines[-1]) if lines else HostState(problem="silent")
    except WireError as error:
        raise DeployError(f"{name} answered no JSON: {printable(lines[-1])}") from error


def notice_silence(host: Host) -> None:
    """Lets the connection end when the host has lost its power: who waits for an answer would wait for ever."""
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client else None
    if transport is None:
        return
    name_the_end(client)
    transport.set_keepalive(ALIVE_SECONDS)
    if isinstance(transport.sock, socket.socket) and hasattr(socket, "TCP_USER_TIMEOUT"):
        transport.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, SILENCE_SECONDS * 1000)


def name_the_end(client: Any) -> None:
    """Has a connection that is closed while a session is opened say so by an error that pyinfra knows.

    paramiko says it by EOFError, which would end the run of all hosts, and each would be called "not reached".
    """
    begin = client.exec_command
    if getattr(begin, "names_the_end", False):
        return

    def exec_command(*words: Any, **options: Any) -> Any:
        try:
            return begin(*words, **options)
        except EOFError as error:
            raise SSHException("the connection was closed") from error

    exec_command.names_the_end = True  # type: ignore[attr-defined]
    client.exec_command = exec_command


def connected(host: Host) -> bool:
    """Whether the connection stands, as far as this side knows: to a host with the known key, that has let us in."""
    client = getattr(host.connector, "client", None)
    transport = client.get_transport() if client else None
    return client is None or bool(transport and transport.is_authenticated())


def hang_up(host: Host) -> None:
    """Closes the connection, so that whoever waits for an answer over it learns that none will come."""
    client = getattr(host.connector, "client", None)
    if client is not None:
        client.close()


def connect_again(host: Host) -> None:
    """A new connection in place of one that broke, to a host with the same key.

    Raises:
        ConnectError: it cannot be reached, or is another one.
        DeployError: nothing came within CONNECT_SECONDS.
    """
    with gevent.Timeout(CONNECT_SECONDS, DeployError(f"no answer within {CONNECT_SECONDS} s")):
        hang_up(host)
        host.connector.disconnect()  # forgets what went over the old one
        try:
            host.connector.connect()
        except BaseException:
            hang_up(host)  # paramiko leaves open what it did not trust
            raise
    notice_silence(host)
