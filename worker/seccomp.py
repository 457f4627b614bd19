"""A filter for one system call that checks nothing but the user: prlimit64 on somebody else's process.

A flow run could set its worker's CPU limit to one second with it, which is a SIGKILL. systemd's SystemCallFilter cannot
look at arguments. https://docs.kernel.org/userspace-api/seccomp_filter.html
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

from worker.system_calls import no_new_privileges, prctl

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM
_LOAD, _IF_EQUAL, _IF_GREATER_EQUAL, _RETURN = 0x20, 0x15, 0x35, 0x06
# In struct seccomp_data: the number, the architecture, and the arguments as pairs of words, the lower one first.
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000  # x86-64's numbers for another ABI, which would pass unseen
_PRLIMIT = {"x86_64": (0xC000003E, 302), "aarch64": (0xC00000B7, 261)}


def own_limits_only() -> bool:
    """Refuse to set the limits of other processes from now on, here and in whatever this one starts.

    Returns:
        Whether it is so; the numbers are known for x86-64 and aarch64.

    Raises:
        OSError: the kernel refused.
    """
    known = _PRLIMIT.get(platform.machine())
    if not known:
        return False
    code = b"".join(_program(*known, os.getpid()))
    instructions = ctypes.create_string_buffer(code, len(code))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    program = Program(len(code) // 8, ctypes.addressof(instructions))
    no_new_privileges()
    prctl(_PR_SET_SECCOMP, ctypes.c_ulong(_MODE_FILTER), ctypes.byref(program))
    return True


def _program(architecture: int, prlimit: int, own: int) -> list[bytes]:
    """Refused: another architecture; limits that are set (the third argument is no null) for another process."""

    def argument(number: int, half: int = 0) -> int:
        return _ARGUMENTS + 8 * number + 4 * half

    allow, refuse = 12, 13
    steps = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IF_EQUAL, 2, refuse, architecture),
        (_LOAD, 0, 0, _NUMBER),
        (_IF_GREATER_EQUAL, refuse, 4, _X32),
        (_IF_EQUAL, 5, allow, prlimit),
        (_LOAD, 0, 0, argument(0)),
        (_IF_EQUAL, allow, 7, 0),
        (_IF_EQUAL, allow, 8, own),
        (_LOAD, 0, 0, argument(2)),
        (_IF_EQUAL, 10, refuse, 0),
        (_LOAD, 0, 0, argument(2, half=1)),
        (_IF_EQUAL, allow, refuse, 0),
        (_RETURN, 0, 0, _ALLOW),
        (_RETURN, 0, 0, _REFUSE),
    ]
    # The kernel counts a jump from the next instruction on.
    jumps = {_IF_EQUAL, _IF_GREATER_EQUAL}
    return [
        struct.pack("=HBBI", code, *((yes - here - 1, no - here - 1) if code in jumps else (0, 0)), value)
        for here, (code, yes, no, value) in enumerate(steps)
    ]
