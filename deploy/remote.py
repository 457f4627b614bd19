"""Runs programs of `onhost/` and `legacy/` on a host: as root, with the wanted interpreter, leaving no file there."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyinfra.api import Host

ONHOST = Path(__file__).with_name("onhost")

# Finds the interpreter that the settings ask for and hands it the program that arrives on standard input.
LAUNCH = """
sudo=
if [ "$(id -u)" != 0 ]; then
    sudo="sudo -n"
    if ! $sudo true </dev/null 2>/dev/null; then echo '{{"problem": "sudo", "found": "'"$(id -un)"'"}}'; exit 0; fi
fi
for candidate in {candidates}; do
    path=$(command -v "$candidate") || continue
    case $("$path" -I -c 'import sys; print("%d.%d" % sys.version_info[:2])' </dev/null 2>/dev/null) in
        {accepted}) exec $sudo {wrap} "$path" -I - ;;
    esac
done
found=$(python3 --version 2>&1 | head -n 1 | tr -d '"\\')
echo '{{"problem": "python", "found": "'"$found"'"}}'
"""


# A step that must not be cut in two runs as a unit of the host's own: it goes on when SSH or the operator's machine
# is gone, and since systemd starts no second unit of the same name, two operators cannot do it at once.
DETACHED = "systemd-run --quiet --collect --pipe --wait --unit=hublab-rollout --description='Hublab rollout'"


def launcher(python: str, *, detached: bool = False) -> str:
    """The shell command that runs a program from standard input, as root, with the wanted interpreter.

    Args:
        python: `3.12`, `3.13` or an absolute path.
        detached: run it as the unit `hublab-rollout`, so that it ends what it began.
    """
    wrap = DETACHED if detached else ""
    if python.startswith("/"):
        return LAUNCH.format(candidates=shlex.quote(python), accepted="3.12|3.13", wrap=wrap)
    names = (
        f"/usr/local/bin/python{python}",
        f"/usr/bin/python{python}",
        f"/opt/python{python}/bin/python{python}",
        f"python{python}",
    )
    return LAUNCH.format(candidates=" ".join(names), accepted=python, wrap=wrap)


# Makes those modules importable from memory, then calls the program's main() with its question; not when the lock
# that the question speaks of is no longer the asker's.
BOOT = """
import json, sys, types
for name, source in json.loads({sources!r}).items():
    module = sys.modules[name] = types.ModuleType(name)
    exec(compile(source, name, "exec"), module.__dict__)
query = json.loads({query!r})
if "lock" in query:
    sys.modules["deploy.onhost.lock"].require(query["lock"])
sys.exit(sys.modules[{name!r}].main(query))
"""
PACKAGES = ("deploy", "deploy.onhost", "deploy.legacy")
IMPORTS = re.compile(r"^from deploy\.((?:onhost|legacy)\.\w+) import", re.MULTILINE)


def sources(name: str) -> dict[str, str]:
    """A program's module and those of ours that it imports, each after what it needs itself."""
    text = (ONHOST.parent / f"{name.replace('.', '/')}.py").read_text()
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
    return BOOT.format(sources=json.dumps(parts), name=f"deploy.{module}", query=json.dumps(query))


def run(host: Host, python: str, name: str, query: dict[str, Any], *, detached: bool = False) -> bool:
    """Runs an on-host program and shows its lines as they come; False when it failed, having said why."""
    from pyinfra.api import StringCommand  # noqa: PLC0415 - `fleet` does without, and is spared a second of imports

    done, _ = host.run_shell_command(
        StringCommand(launcher(python, detached=detached)),
        print_output=True,
        _stdin=program(name, query),
        _sudo=False,
    )
    return bool(done)
