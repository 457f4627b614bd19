"""Whether the webhooks can listen where they shall: tried for a moment, and if not, who does. Standard library only."""

from __future__ import annotations

import errno
import glob
import socket
from pathlib import Path

from deploy.onhost.common import read
from deploy.onhost.processes import links, unit_of
from deploy.onhost.state import PortFault
from deploy.onhost.untrusted import of_proc, printable

LISTENING = "0A"


def fault(bind: str, port: int, unit: str) -> PortFault | None:
    """Why `unit` could not listen at an address of this host; None when it could, or does."""
    family = socket.AF_INET6 if ":" in bind else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as tried:
        # As servers do: what is left of closed connections is in nobody's way, and whoever listens is.
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            tried.bind((bind, port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                return PortFault(error.strerror or str(error), 0, None, "")
        else:
            return None
    pid = listener(port)
    holder = unit_of(pid) if pid else None
    if holder == unit:
        return None
    words = of_proc(f"/proc/{pid}/cmdline").decode(errors="replace").split("\0") if pid else []
    return PortFault("", pid, holder, printable(" ".join(Path(word).name for word in words[:3]).strip()))


def listener(port: int) -> int:
    """The id of the process that listens at a TCP port (proc(5): /proc/net/tcp, /proc/PID/fd); 0 when none is seen."""
    rows = [line.split() for table in ("tcp", "tcp6") for line in read(f"/proc/net/{table}").decode().splitlines()[1:]]
    wanted = {
        f"socket:[{row[9]}]" for row in rows if row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port
    }
    pids = [int(Path(entry).name) for entry in glob.glob("/proc/[0-9]*")] if wanted else []
    return next((pid for pid in pids if not wanted.isdisjoint(links(pid).values())), 0)
