"""The worker's side of systemd's notification protocol (sd_notify(3)): one datagram per message, no library needed."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableMapping


class Notifier:
    """Tells systemd what the worker does; silent where there is no systemd."""

    def __init__(self, address: str | None = None, watchdog_seconds: float | None = None) -> None:
        """Speak to the datagram socket at `address`; `watchdog_seconds` is how long systemd waits for a beat."""
        self._address = f"\0{address[1:]}" if address and address.startswith("@") else address
        self.watchdog_seconds = watchdog_seconds

    @classmethod
    def from_environment(cls, environ: MutableMapping[str, str]) -> Notifier:
        """Take systemd's variables out of the environment: a flow run must not speak for its worker."""
        address = environ.pop("NOTIFY_SOCKET", None)
        microseconds = environ.pop("WATCHDOG_USEC", "")
        meant = environ.pop("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        watches = address and meant and microseconds.isdigit() and int(microseconds) > 0
        return cls(address, int(microseconds) / 1e6 if watches else None)

    def send(self, *assignments: str) -> None:
        """Send `KEY=value` lines as one message. A systemd that does not listen is no reason to lose a flow run."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sock:
                sock.sendto("\n".join(assignments).encode(), self._address)
        except OSError:
            return
