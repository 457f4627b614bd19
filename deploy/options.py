"""What may stand beside a target on make's command line: `make deploy LIMIT=host`.

The Makefile calls it before anything else, by whatever Python is there: standard library only, Python 3.8 or later.
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from pathlib import Path

# Variable → what it looks like, and that in words.
OPTIONS = {
    "LIMIT": (r"[^\s,'\"$;&|]+(,[^\s,'\"$;&|]+)*", "one host of HUBLAB_HOSTS, or several with commas between them"),
    "WAVE": (r"[1-9]\d*", "a number of hosts"),
    "RELEASE": (r"[0-9A-Za-z][\w.+-]*", "the id of a release, as `make history` shows it"),
    "HOSTS": (r"[1-9]\d?", "a number of hosts in the sandbox"),
    "PAST": ("1", "1, or leave it out"),
    "JSON": ("1", "1, or leave it out"),
    "LIST": ("1", "1, or leave it out"),
    "CUSTOMERS": ("1", "1, or leave it out"),
    "YES": ("1", "1, or leave it out"),
    "COMPLAINED": ("1", "1, or leave it out"),
    "MAIL": (r"[\w.-]+:[1-9]\d*", "a mail as its run's messages name it, key:step"),
    "SPEED": (r"\d+(\.\d+)?", "a number"),
    "EVERY": (r"\d+(\.\d+)?", "a number of seconds"),
    "ENROLMENTS": (r"[1-9]\d*", "a number"),
    "TESTS": (r"[\w./ *\[\]:-]+", "folders or files of tests"),
    "TEMPLATE": (r"[\w.-]+", "the name of a template"),
    "TO": (r"[^\s'\"$;&|]+@[^\s'\"$;&|]+", "an address"),
    "APPLY": ("yes", "yes, or leave it out"),
    "BACK": ("yes", "yes, or leave it out"),
    "PERSON": (r"[^\s'\"$;&|]+@[^\s'\"$;&|]+", "an address"),
    "RUNS": (r"[0-9a-fA-F-]{36}([ ,]+[0-9a-fA-F-]{36})*", "ids of flow runs, as `make status` shows them"),
    "APP": (r"(coolify:)?[a-z0-9-]{8,64}", "the uuid of an application, as `make coolify-list` shows it"),
    "BY": (r"(coolify:)?[a-z0-9-]{8,64}", "the uuid of an application that was made for this"),
    "BASE": (r"[\w./:@-]+", "an image, like docker.io/library/python:3.12-slim-bookworm@sha256:…"),
    "TARGET": ("worker|webhooks", "worker or webhooks"),
    "HTML": (r"[^\s'\"$;&|]+", "a file to write, like campaign.html"),
    "ROOM": (r"[\w.*]+", "names of mutants, like worker.drain*"),
    "BUDGET": (r"[1-9]\d*", "a number of seconds"),
    "ENV": (r"[^\s'\"$;&|]+", "a file like .env"),
}
# What the tools themselves take, for any target.
EVERYWHERE = ("HUBLAB_ENV_FILE", "HUBLAB_KEEP_SANDBOX", "HUBLAB_SANDBOX_SUBNET", "HUBLAB_SANDBOX_SUITE",
              "HUBLAB_SANDBOX_TREES", "UV_NO_PROGRESS")  # fmt: skip
# Misspelt in the environment it would touch more hosts than was meant; others there may be somebody else's.
NARROWING = "LIMIT"
ALIKE = 0.8


def faults(taken: dict[str, list[str]], given: dict[str, str], environ: dict[str, str]) -> list[str]:
    """What is wrong with a command line, one a line. Pure.

    Args:
        taken: Target → the variables that it takes, for each target that was named.
        given: What stands on the command line.
        environ: The environment, which make takes variables from as well.
    """
    found = []
    for target, names in taken.items():
        found += [_unknown(target, name, names) for name in given if name not in (*names, *EVERYWHERE)]
        found += [_wrong(name, given[name]) for name in names if name in given]
        if NARROWING in names:
            found += [_wrong(NARROWING, environ[NARROWING])] if NARROWING in environ else []
            found += [
                f"{name}: set in the environment, and `make {target}` takes {NARROWING}; correct it, or unset {name}"
                for name in environ
                if name != NARROWING and _near(name, [NARROWING], ALIKE)
            ]
    return [fault for fault in dict.fromkeys(found) if fault]


def strangers(goals: list[str], targets: list[str]) -> list[str]:
    """Words that are no target: make would come to them last, when the targets before them are done. Pure."""
    found = []
    for goal in goals:
        if goal not in targets:
            near = difflib.get_close_matches(goal.lower(), targets, n=1)
            hint = f"did you mean {near[0]}?" if near else "`make help` lists them"
            found.append(f"{goal}: is no target of make; " + (f"write {goal}=…" if goal.upper() in OPTIONS else hint))
    return found


def known_targets(makefiles: list[str]) -> list[str]:
    """Every target of the project, as `.PHONY` lines of its makefiles have them."""
    texts = [Path(name).read_text(encoding="utf-8") for name in makefiles]
    lines = [line for text in texts for line in re.findall(r"^\.PHONY:(.*)$", text, re.MULTILINE)]
    return [".venv/ready"] + [name for line in lines for name in line.split()]


def _near(name: str, names: list[str], cutoff: float) -> list[str]:
    return difflib.get_close_matches(name.upper(), names, n=1, cutoff=cutoff)


def _wrong(name: str, value: str) -> str:
    pattern, words = OPTIONS[name]
    return "" if re.fullmatch(pattern, value) else f"{name}: {value!r} is not {words}"


def _unknown(target: str, name: str, names: list[str]) -> str:
    if name.startswith(("HUBLAB_", "PREFECT_", "NOTION_", "RESEND_")):
        return f"{name}: is not for make's command line; write it into .env"
    near = _near(name, names, 0.5)
    takes = f"it takes {', '.join(names)}" if names else "it takes none"
    return f"{name}: `make {target}` knows no such variable; " + (f"did you mean {near[0]}?" if near else takes)


def main(arguments: list[str]) -> int:
    """`'makefiles' 'target:VARIABLE VARIABLE' … -- VARIABLE=value …`; 0, or 2 and the faults, with | between."""
    line = arguments.index("--")
    targets = [part.partition(":") for part in arguments[1:line]]
    taken = {target: names.split() for target, _, names in targets}
    given = {name: value for name, _, value in (part.partition("=") for part in arguments[line + 1 :])}
    # What stands on the command line is exported to the programs that make starts.
    environ = {name: value for name, value in os.environ.items() if name not in given}
    found = strangers(list(taken), known_targets(arguments[0].split())) or faults(taken, given, environ)
    print("|".join(fault.replace("|", "/") for fault in found))  # noqa: T201 - make shows it
    return 2 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
