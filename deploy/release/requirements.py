"""What a release is made of: the project's lock, and the operator's own packages behind it.

HUBLAB_EXTRA_REQUIREMENTS of the environment, else of `.env`, names a lock with hashes, for flows that need more than
the campaign does. It is held to the project's own: no package in two versions, no uvloop, nothing without a hash.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from deploy.env_file import ROOT, SettingsError, asked, named

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KEY = "HUBLAB_EXTRA_REQUIREMENTS"
LOCK = ROOT / "requirements.lock"
REMEDY = (
    "make it so: uv pip compile yours.in --constraint requirements.lock --universal --python-version 3.12 "
    "--generate-hashes --no-header --no-emit-index-url -o yours.lock"
)
# The release shuts it out, and would then lack what asked for it.
SHUT_OUT = "uvloop"
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def blocks(text: str) -> list[str]:
    """The requirements of a lock, each with its hashes; comments are left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    found: list[str] = []
    for line in lines:
        if line[0].isspace() and found:
            found[-1] += line + "\n"
        else:
            found.append(line + "\n")
    return found


@cache
def locked_versions(lock: Path = LOCK) -> Mapping[str, str]:
    """Name → version, of every line of the project's lock, whatever its marker."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text(), re.MULTILINE))


@cache
def names() -> frozenset[str]:
    """The packages of a release, by the names that locks write.

    Raises:
        SettingsError: HUBLAB_EXTRA_REQUIREMENTS cannot be used.
    """
    return frozenset(pin.key for block in blocks(text()) if (pin := _pin(block)))


@cache
def text(root: Path = ROOT) -> str:
    """The whole lock of a release, for every platform.

    Raises:
        SettingsError: HUBLAB_EXTRA_REQUIREMENTS cannot be used.
    """
    return LOCK.read_text() + added(root)


def added(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> str:
    """What the operator's lock adds to the project's; nothing where none is named.

    Raises:
        SettingsError: with every fault of it, one a line.
    """
    value = asked(KEY, root, environ)
    if not value:
        return ""
    path = named(value, root)
    try:
        found = blocks(path.read_text("utf-8-sig"))
    except (OSError, ValueError) as error:  # no UTF-8, or a path with a NUL in it
        raise SettingsError(f"{KEY}: {value!r} cannot be read ({error}); name a lock with hashes") from error
    ours = locked_versions()
    faults = [f"{KEY}: {fault}" for block in found if (fault := _fault(block, ours))]
    if faults:
        raise SettingsError("\n".join(faults))
    return "".join(_written(block, pin) for block in found if (pin := _pin(block)) and pin.key not in ours)


def extra(root: Path = ROOT) -> tuple[str, ...]:
    """What the operator's lock adds, as `name version`.

    Raises:
        SettingsError: as `added`.
    """
    pins = (_pin(block) for block in blocks(added(root)))
    return tuple(dict.fromkeys(f"{pin.name} {pin.version}" for pin in pins if pin))


@dataclass(frozen=True)
class Pin:
    """A requirement that is one version's; `marker` says where it holds, nothing for everywhere."""

    name: str
    version: str
    marker: str

    @property
    def key(self) -> str:
        """The name as locks write it."""
        return canonicalize_name(self.name)


def _pin(block: str) -> Pin | None:
    try:
        found = Requirement(block.partition("\n")[0].partition(" --hash")[0].rstrip("\\ "))
    except InvalidRequirement:
        return None
    pins = [item.version for item in found.specifier if item.operator == "==" and "*" not in item.version]
    whole = len(pins) == 1 and len(found.specifier) == 1
    return Pin(found.name, pins[0], str(found.marker or "")) if whole else None


def _written(block: str, pin: Pin) -> str:
    """A requirement as the project's own lock has it, whoever wrote it: that is how locks are read here."""
    line = f"{pin.name}=={pin.version}" + (f" ; {pin.marker}" if pin.marker else "")
    return " \\\n    ".join([line, *HASH.findall(block)]) + "\n"


def _fault(block: str, ours: Mapping[str, str]) -> str:
    line = block.partition("\n")[0].rstrip("\\ ")[:80]
    if (pin := _pin(block)) is None:
        return f"{line!r} is no package with one version (name==1.2.3); {REMEDY}"
    if pin.key == SHUT_OUT:
        return f"{line!r}: uvloop is what these releases shut out; take it away, and the extra that asks for it"
    if not HASH.search(block):
        return f"{line!r} has no --hash=sha256:; {REMEDY}"
    if ours.get(pin.key, pin.version) != pin.version:
        return f"{line!r}: the release has {pin.key}=={ours[pin.key]}; {REMEDY}"
    return ""
