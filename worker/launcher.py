"""Executes a command within a flow run's domain: for runs that need a fresh interpreter, and for hooks.

Run by its path with `python -I -S`, in the worker's own environment: nothing that a run has written, and no variable of
its, is read before the domain is entered. The order comes by standard input, since an argument list can be seen by all.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from worker.domain import Domain

ISOLATED = ("-P", "-s")
"""Options of an interpreter that takes no code from the working directory or the user's own folders."""
COMMAND = (sys.executable, "-I", "-S", __file__)
_NOT_FOUND = 127


class Launch(TypedDict):
    """What is to be executed, with which environment, and in which domain."""

    command: list[str]
    environment: dict[str, str]
    domain: Domain
    input: str


def order(command: Sequence[str], environment: Mapping[str, str], domain: Domain, told: str = "") -> bytes:
    """What the launcher is to read; `told` is what the command will read from its own standard input."""
    launch = Launch(command=list(command), environment=dict(environment), domain=domain, input=told)
    return json.dumps(launch).encode()


def main() -> None:
    """Read, enter, execute."""
    sys.path.append(str(Path(__file__).parents[1]))
    from worker.domain import enter  # noqa: PLC0415 - found from here on

    launch: Launch = json.load(sys.stdin.buffer)
    enter(launch["domain"])
    source = _input(launch)
    os.dup2(source, sys.stdin.fileno())
    os.close(source)
    try:
        os.execvpe(launch["command"][0], launch["command"], launch["environment"])  # noqa: S606 - as it was configured
    except OSError as error:
        sys.stderr.write(f"{launch['command'][0]}: {error.strerror}\n")
        sys.exit(_NOT_FOUND)


def _input(launch: Launch) -> int:
    """A descriptor of what the command reads; a file, since nobody is left here to fill a pipe."""
    if not launch["input"]:
        return os.open(os.devnull, os.O_RDONLY)
    import tempfile  # noqa: PLC0415 - in the domain, and for hooks alone

    source, path = tempfile.mkstemp(dir=launch["domain"]["writable"][0])
    Path(path).unlink()
    with open(source, "wb", closefd=False) as file:
        file.write(launch["input"].encode())
    os.lseek(source, 0, os.SEEK_SET)
    return source


if __name__ == "__main__":
    main()
