"""Runs programs of `onhost/` and `legacy/` on a host: as root, with the wanted interpreter, leaving no file there."""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.onhost.lock import LOST

if TYPE_CHECKING:
    from pyinfra.api import Host

ONHOST = Path(__file__).with_name("onhost")

# Finds the interpreter that the settings ask for and hands it the program that arrives on standard input. The lines
# become one: it goes through the login shell in single quotes, which csh ends with the line, and without a backslash,
# which fish reads there.
LAUNCH = """
sudo=;
if [ "$(id -u)" != 0 ]; then
    sudo="sudo -n";
    if ! $sudo true </dev/null 2>/dev/null; then echo '{{"problem": "sudo", "found": "'"$(id -un)"'"}}'; exit 0; fi;
fi;
for candidate in {candidates}; do
    path=$(command -v "$candidate") || continue;
    case $("$path" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' </dev/null 2>/dev/null) in
        {accepted}) exec $sudo {wrap} "$path" -I -X utf8 - ;;
    esac;
done;
found=$(python3 --version 2>&1 | head -n 1 | tr -dc '[:alnum:]. ');
echo '{{"problem": "python", "found": "'"$found"'"}}'
"""


# A step that must not be cut in two runs as a unit of the host's own: it goes on when SSH or the operator's machine
# is gone. Two at once exclude each other by the lock (onhost/lock.py).
DETACHED = (
    "systemd-run --quiet --collect --pipe --wait --unit=hublab-rollout-$$ --description='Hublab rollout'"
    " --property=RuntimeMaxSec={limit} --property=TimeoutStopSec=10"
)
ATTACHED = "timeout --kill-after=5 {limit}"
# What only looks, or writes one small file.
LIMIT_SECONDS = 120


def launcher(python: str, *, detached: bool = False, limit: float = LIMIT_SECONDS) -> str:
    """The shell command that runs a program from standard input, as root, with the wanted interpreter.

    Args:
        python: `3.12`, `3.13` or an absolute path.
        detached: run it as a unit `hublab-rollout-N`, so that it ends what it began.
        limit: seconds after which the host itself ends it.
    """
    wrap = (DETACHED if detached else ATTACHED).format(limit=f"{limit:.0f}")
    if python.startswith("/"):
        return _one_line(LAUNCH.format(candidates=shlex.quote(python), accepted="3.12|3.13", wrap=wrap))
    names = (
        f"/usr/local/bin/python{python}",
        f"/usr/bin/python{python}",
        f"/opt/python{python}/bin/python{python}",
        f"python{python}",
    )
    return _one_line(LAUNCH.format(candidates=" ".join(names), accepted=python, wrap=wrap))


def _one_line(script: str) -> str:
    return " ".join(line.strip() for line in script.strip().splitlines())


# Makes those modules importable from memory, then calls the program's main() with its question; not when the lock
# that the question speaks of is no longer the asker's, and nobody gets the lock before it has ended.
BOOT = """
import json, sys, types
for name, source in json.loads({sources!r}).items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
query = json.loads({query!r})
work = sys.modules["deploy.onhost.lock"].begin(query["lock"]) if "lock" in query else None
try:
    status = sys.modules[{name!r}].main(query)
except OSError as error:
    status = f"{short}: {{error}}"
sys.exit(status)
"""
PACKAGES = ("deploy", "deploy.onhost", "deploy.legacy")
IMPORTS = re.compile(r"^from deploy\.((?:onhost|legacy)\.\w+) import", re.MULTILINE)


def last_line(text: str) -> str:
    """A host's answer; before it a shell's start-up file may print."""
    return text.strip().rpartition("\n")[2]


@cache
def _texts(deploy: Path) -> dict[str, str]:
    """Every on-host module, read once: a deploy whose checkout is edited meanwhile must not send half of the edit."""
    files = (path for package in PACKAGES[1:] for path in (deploy / package.partition(".")[2]).glob("*.py"))
    return {f"{path.parent.name}.{path.stem}": path.read_text() for path in files}


def sources(name: str) -> dict[str, str]:
    """A program's module and those of ours that it imports, each after what it needs itself."""
    text = _texts(ONHOST.parent)[name]
    needed: dict[str, str] = {}
    for part in IMPORTS.findall(text):
        needed |= sources(part)
    return needed | {f"deploy.{name}": text}


def program(name: str, query: dict[str, Any]) -> str:
    """The text of one on-host program with its question.

    Both travel on standard input, so that a secret in the question is in no argument list.

    Args:
        name: of the module below `deploy.onhost`, or with its folder: `legacy.workers`.
        query: what its main() gets; anything that JSON can hold.
    """
    module = name if "." in name else f"onhost.{name}"
    parts = dict.fromkeys(PACKAGES, "") | (sources("onhost.lock") if "lock" in query else {}) | sources(module)
    return BOOT.format(sources=json.dumps(parts), name=f"deploy.{module}", short=name, query=json.dumps(query))


class LockLostError(RuntimeError):
    """The lock is somebody else's, or nobody's: the program was not begun. The message says whose."""


def run(  # noqa: PLR0913 - what a program is run with
    host: Host,
    python: str,
    name: str,
    query: dict[str, Any],
    *,
    detached: bool = False,
    limit: float = LIMIT_SECONDS,
) -> bool:
    """Runs an on-host program and shows its lines as they come; False when it failed, having said why.

    Raises:
        LockLostError: the query's lock is no longer held; nothing was done.
    """
    # `fleet` does without both, and is spared a second of imports.
    from pyinfra.api import StringCommand  # noqa: PLC0415

    from deploy.session import patiently  # noqa: PLC0415

    command, stdin = StringCommand(launcher(python, detached=detached, limit=limit)), program(name, query)
    done, output = patiently(lambda: host.run_shell_command(command, print_output=True, _stdin=stdin, _sudo=False))
    if lost := next((line for line in output.stdout_lines if not done and line.startswith(LOST)), ""):
        raise LockLostError(lost)
    return bool(done)
