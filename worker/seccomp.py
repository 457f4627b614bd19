"""A filter for what systemd's SystemCallFilter= cannot tell apart, since it looks at no arguments.

prlimit64 on somebody else's process checks nothing but the user: a flow run could set its worker's CPU limit to one
second with it, which is a SIGKILL. And for what Landlock lets through: it knows TCP alone, while a socket of multipath
TCP is bound to the same ports, and serves whoever speaks plain TCP; and it lets a run watch a folder that it cannot
read, whose names it would learn. https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import socket
import struct
from typing import NamedTuple

from worker.system_calls import no_new_privileges, prctl

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _ERROR = 0x7FFF0000, 0x00050000
_LOAD, _IF_EQUAL, _IF_GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
# In struct seccomp_data: the number, the architecture, and the arguments as pairs of words, the lower one first.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000  # x86-64's numbers for another ABI, which would pass unseen
_PROTOCOLS = (0, socket.IPPROTO_TCP, socket.IPPROTO_UDP, socket.IPPROTO_ICMP, socket.IPPROTO_ICMPV6)


class _Numbers(NamedTuple):
    """Of an architecture and of its system calls."""

    architecture: int
    prlimit: int
    socket: int
    watch: tuple[int, ...]
    """inotify_init1, fanotify_init; where there is one, inotify_init."""


_NUMBERS = {
    "x86_64": _Numbers(0xC000003E, 302, 41, (294, 300, 253)),
    "aarch64": _Numbers(0xC00000B7, 261, 198, (26, 262)),
}
_Step = tuple[int, str, str, int]


def restrict() -> bool:
    """Refuse from now on what is named above, here and in whatever this process starts.

    Returns:
        Whether it is so; the numbers are known for x86-64 and aarch64.

    Raises:
        OSError: the kernel refused.
    """
    known = _NUMBERS.get(platform.machine())
    if not known:
        return False
    code = b"".join(_program(known, os.getpid()))
    instructions = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    program = Program(len(code) // 8, ctypes.addressof(instructions))
    no_new_privileges()
    prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(program))
    return True


def _program(numbers: _Numbers, own: int) -> list[bytes]:
    """The instructions; a word between them is the place of that name, "" the next instruction."""
    return _assemble(
        (_LOAD, "", "", _ARCHITECTURE),
        (_IF_EQUAL, "", "refuse", numbers.architecture),
        (_LOAD, "", "", _NUMBER),
        (_IF_GREATER_EQUAL, "refuse", "", _X32),
        (_IF_EQUAL, "protocol", "", numbers.socket),
        *((_IF_EQUAL, "absent", "", number) for number in numbers.watch),
        (_IF_EQUAL, "", "allow", numbers.prlimit),
        # Refused: limits that are set (the third argument is no null) for another process.
        (_LOAD, "", "", _argument(0)),
        (_IF_EQUAL, "allow", "", 0),
        (_IF_EQUAL, "allow", "", own),
        (_LOAD, "", "", _argument(2)),
        (_IF_EQUAL, "", "refuse", 0),
        (_LOAD, "", "", _argument(2, half=1)),
        (_IF_EQUAL, "allow", "refuse", 0),
        "protocol",
        (_LOAD, "", "", _argument(2)),
        *((_IF_EQUAL, "allow", "", protocol) for protocol in _PROTOCOLS),
        # As a kernel answers that was built without it: whoever asks for multipath TCP then goes on with plain TCP.
        (_RETURN, "", "", _ERROR | errno.EPROTONOSUPPORT),
        # Likewise: most programs then look now and again.
        "absent",
        (_RETURN, "", "", _ERROR | errno.ENOSYS),
        "allow",
        (_RETURN, "", "", _ALLOW),
        "refuse",
        (_RETURN, "", "", _ERROR | errno.EPERM),
    )


def _argument(number: int, half: int = 0) -> int:
    return _ARGUMENTS + 8 * number + 4 * half


def _assemble(*program: _Step | str) -> list[bytes]:
    steps: list[_Step] = []
    places: dict[str, int] = {}
    for part in program:
        if isinstance(part, str):
            places[part] = len(steps)
        else:
            steps.append(part)
    # The kernel counts a jump from the next instruction on.
    return [
        struct.pack("=HBBI", code, *(places[to] - here - 1 if to else 0 for to in (yes, no)), value)
        for here, (code, yes, no, value) in enumerate(steps)
    ]
