"""Runs programs of `onhost/` and `legacy/` on a host: as root, with the wanted interpreter, leaving no file there."""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import spec
from deploy.onhost.lock import LOST
from deploy.onhost.wire import encode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyinfra.api import Host

    from deploy.onhost.wire import Query

ONHOST = Path(__file__).with_name("onhost")

# Finds the interpreter that the settings ask for and hands it the program that arrives on standard input: one that a
# release can be built for, else any that can look at the host, which is told that it does not fit. One that somebody
# else than root could exchange, or put a module into, is passed over unrun. The lines become one: it goes through the
# login shell in single quotes, which csh ends with the line (and takes a ! for a word of its history, but before a
# blank or =), and without a backslash, which fish reads there.
LAUNCH = """
safe() {{
    real=$(readlink -f "$1"); name=${{real##*/}}; near=${{1%/*}}/../lib/$name; far=${{real%/*}}/../lib/$name;
    more=/usr/local/lib/$name;
    doubt=$(
        namei -l "$1" "$near" "$near"/*-packages "$far" "$far"/*-packages "$more" "$more"/*-packages 2>/dev/null |
        awk '{others}'
    );
    [ -z "$doubt" ];
}};
sudo=;
if [ "$(id -u)" != 0 ]; then
    sudo="sudo -n";
    if ! $sudo true </dev/null 2>/dev/null; then echo '{{"problem": "sudo", "found": "'"$(id -un)"'"}}'; exit 0; fi;
fi;
for candidate in {candidates}; do
    path=$(command -v "$candidate") && safe "$path" || continue;
    case $("$path" -I -c '{probe}' </dev/null 2>/dev/null) in
        {accepted}) exec $sudo {wrap} "$path" -I -X utf8 - ;;
    esac;
done;
for candidate in {lookers}; do
    path=$(command -v "$candidate") && safe "$path" || continue;
    "$path" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' </dev/null 2>/dev/null || continue;
    exec $sudo {wrap} "$path" -I -X utf8 - unfit;
done;
passed="${{doubt:+, passed over: $(echo "$doubt" | tr -dc '[:alnum:]./_ ()-')}}";
path=$(command -v python3) && safe "$path" && found=$("$path" --version 2>&1 | head -n 1 | tr -dc '[:alnum:]. ');
found="${{found:-none}}$passed";
libc=$(getconf GNU_LIBC_VERSION 2>/dev/null | tr ' ' -);
echo '{{"problem": "python", "found": "'"$found"'", "machine": "'"$(uname -m)"'", "libc": "'"$libc"'"}}'
"""
# Of `namei -l`: a step of a way that is not root's, or that others can write and is no link, nor sticky as /tmp is; a
# way that leads nowhere is none.
# Members of Debian's group staff are as good as root: they may write below /usr/local, where root's PATH begins.
OTHERS = (
    '$1 == "f:" {path = $2; next} '
    '$2 == "-" && $3 == "No" {next} '
    '{others = substr($1, 9, 1) == "w" || (substr($1, 6, 1) == "w" && $3 != "root" && $3 != "staff")} '
    '$2 != "root" || (others && substr($1, 1, 1) != "l" && tolower(substr($1, 10, 1)) != "t") '
    '{print path " (see " $4 ")"; exit} '
    'END {if (path == "") print "all of them (no namei is there to look with)"}'
)
# Its version, where a worker finds in it what it needs.
PROBE = (
    "import sys; from importlib.util import find_spec; "
    'needs = ("_bz2", "_ctypes", "_hashlib", "_lzma", "_sqlite3", "_ssl", "venv", "zlib"); '
    'all(map(find_spec, needs)) and print("%d.%d.%d" % sys.version_info[:3])'
)


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
        python: as in HUBLAB_PYTHON: `auto`, `3.12`, `3.12.16` or an absolute path.
        detached: run it as a unit `hublab-rollout-N`, so that it ends what it began.
        limit: seconds after which the host itself ends it.
    """
    wrap = (DETACHED if detached else ATTACHED).format(limit=f"{limit:.0f}")
    fixed, exact = python.startswith("/"), python.count(".") > 1 and not python.startswith("/")
    minors = spec.PYTHONS if python == spec.AUTO or fixed else (".".join(python.split(".")[:2]),)
    return one_line(
        LAUNCH.format(
            candidates=shlex.quote(python) if fixed else " ".join(_places(minors)),
            probe=PROBE,
            accepted=python if exact else "|".join(f"{minor}.*" for minor in minors),
            lookers="" if fixed else "/usr/bin/python3 python3",
            wrap=wrap,
            others=OTHERS,
        )
    )


def one_line(script: str) -> str:
    """A shell's script whose lines end as commands do, in one."""
    return " ".join(line.strip() for line in script.strip().splitlines())


def _places(minors: Sequence[str]) -> list[str]:
    """The shell's words: the system's own, what a deploy brought (the newest first), and whatever the PATH has."""
    brought = f"ls -d {spec.PYTHON}/*/bin/python{{0}} 2>/dev/null | sort -rV"
    system = ("/usr/local/bin/python{0}", "/usr/bin/python{0}", "/opt/python{0}/bin/python{0}")
    return [
        *(place.format(minor) for minor in minors for place in system),
        *(f"$({brought.format(minor)})" for minor in minors),
        *(f"python{minor}" for minor in minors),
    ]


# Makes those modules importable from memory, then calls the program's main() with its question; not when the lock
# that the question speaks of is no longer the asker's, and nobody gets the lock before it has ended.
BOOT = """
import json, sys, types
for name, source in json.loads({sources!r}).items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
program = sys.modules[{name!r}]
query = sys.modules["deploy.onhost.wire"].decode(program.{kind}, {query!r})
begin = query.token and sys.modules["deploy.onhost.lock"].begin
work = begin and begin(query.places.lock, query.token, looks=query.looks)
try:
    status = program.main(query)
except (OSError, RuntimeError) as error:  # a HostError is one
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


def name_of(query: Query) -> str:
    """The program that a question is for: the module of its class, as in `finish_host` or `legacy.workers`."""
    return type(query).__module__.removeprefix("deploy.").removeprefix("onhost.")


def program(query: Query) -> str:
    """The text of one on-host program with its question.

    Both travel on standard input, so that a secret in the question is in no argument list.
    """
    kind = type(query)
    parts = dict.fromkeys(PACKAGES, "") | (sources("onhost.lock") if query.token else {})
    parts |= sources(kind.__module__.removeprefix("deploy."))
    return BOOT.format(
        sources=json.dumps(parts), name=kind.__module__, kind=kind.__name__, short=name_of(query), query=encode(query)
    )


class LockLostError(RuntimeError):
    """The lock is somebody else's, or nobody's: the program was not begun. The message says whose."""


def run(host: Host, python: str, query: Query, *, detached: bool = False, limit: float = LIMIT_SECONDS) -> bool:
    """Runs an on-host program and shows its lines as they come; False when it failed, having said why.

    Raises:
        LockLostError: the query's lock is no longer held; nothing was done.
    """
    # `fleet` does without both, and is spared a second of imports.
    from pyinfra.api import StringCommand  # noqa: PLC0415

    from deploy.session import patiently  # noqa: PLC0415

    command, stdin = StringCommand(launcher(python, detached=detached, limit=limit)), program(query)
    done, output = patiently(lambda: host.run_shell_command(command, print_output=True, _stdin=stdin, _sudo=False))
    if lost := next((line for line in output.stdout_lines if not done and line.startswith(LOST)), ""):
        raise LockLostError(lost)
    return bool(done)
