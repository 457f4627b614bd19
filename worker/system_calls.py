"""The few system calls that Python has no function for, by the C library that it is linked with."""

from __future__ import annotations

import ctypes
import os

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38


def syscall(number: int, *arguments: object) -> int:
    """Any system call; arguments as ctypes takes them.

    Raises:
        OSError: it failed.
    """
    return _checked(int(_libc.syscall(ctypes.c_long(number), *arguments)))


def prctl(option: int, *arguments: object) -> int:
    """Change something about the calling process; its manual page has the options.

    Raises:
        OSError: it failed.
    """
    padded = [*arguments, *[ctypes.c_ulong(0)] * (4 - len(arguments))]
    return _checked(int(_libc.prctl(option, *padded)))


def no_new_privileges() -> None:
    """Nothing that this process executes gains rights by it, such as by a setuid bit. It cannot be taken back."""
    prctl(_PR_SET_NO_NEW_PRIVS, ctypes.c_ulong(1))


def set_dumpable(*, dumpable: bool) -> None:
    """Whether processes of the same user may read and write this one's memory; executing a program sets it to yes."""
    prctl(_PR_SET_DUMPABLE, ctypes.c_ulong(dumpable))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
