"""Renders a unit and reads it back, as systemd would."""

from __future__ import annotations

import re
from typing import Any

from deploy.service import unit
from tests.deploy.factories import wanted

RELEASE = "3.8.8-0123456789"


def render(number: int = 1, prefix: str = "/opt/python3.12", reach: tuple[str, ...] = (), **host: Any) -> str:
    place = {"hostname": "hublab-1", "release": RELEASE, "python_prefix": prefix}
    return unit.render(wanted(**host), number=number, reach=reach, **place)


def directives(text: str) -> list[tuple[str, str]]:
    """Every line that systemd acts on, except Environment, in order; a section counts as one."""
    lines = [line for line in text.splitlines() if line and not line.startswith(("#", "Environment"))]
    return [(line, "") if line.startswith("[") else (line.partition("=")[0], line.partition("=")[2]) for line in lines]


def environment(text: str) -> dict[str, str]:
    """What a worker is told, as systemd reads it: quotes, backslashes and doubled specifier signs undone."""
    found = {}
    for line in re.findall(r"^Environment=(.*)$", text, re.MULTILINE):
        assert re.fullmatch(r'"(?:[^"\\]|\\.)*"|[^"\\ ]*', line), f"systemd would read another value: {line}"
        bare = re.sub(r"\\(.)", r"\1", line[1:-1] if line.startswith('"') else line)
        found[bare.partition("=")[0]] = bare.partition("=")[2].replace("%%", "%")
    return found
