"""What a release is made of: the project's lock, and the operator's own packages behind it.

HUBLAB_EXTRA_REQUIREMENTS of the environment, else of `.env`, names a lock with hashes, for flows that need more than
the campaign does. It is held to the project's own: no package in two versions, no uvloop, nothing without a hash.
"""

from __future__ import annotations

import os
import re
from functools import cache
from typing import TYPE_CHECKING

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from deploy.env_file import ROOT, SettingsError, asked

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
    path = root / os.path.expanduser(value)  # noqa: PTH111 - of the root, unless it is absolute or a home's
    try:
        found = blocks(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{KEY}: {value!r} cannot be read ({error}); name a lock with hashes") from error
    ours = {name: version for block in blocks(LOCK.read_text()) for name, version in _pinned(block)}
    faults = [f"{KEY}: {fault}" for block in found if (fault := _fault(block, ours))]
    if faults:
        raise SettingsError("\n".join(faults))
    return "".join(block for block in found if not any(name in ours for name, _ in _pinned(block)))


def _pinned(block: str) -> list[tuple[str, str]]:
    """Name and version of a requirement that is one version's; none of any other."""
    try:
        requirement = Requirement(block.partition("\n")[0].partition(" --hash")[0].rstrip("\\ "))
    except InvalidRequirement:
        return []
    pins = [item.version for item in requirement.specifier if item.operator == "==" and "*" not in item.version]
    whole = len(pins) == 1 and len(requirement.specifier) == 1 and not requirement.url
    return [(canonicalize_name(requirement.name), pins[0])] if whole else []


def _fault(block: str, ours: Mapping[str, str]) -> str:
    line = block.partition("\n")[0].rstrip("\\ ")[:80]
    if not (pinned := _pinned(block)):
        return f"{line!r} is no package with one version (name==1.2.3); {REMEDY}"
    ((name, version),) = pinned
    if name == SHUT_OUT:
        return f"{line!r}: uvloop is what these releases shut out; take it away, and the extra that asks for it"
    if not HASH.search(block):
        return f"{line!r} has no --hash=sha256:; {REMEDY}"
    if ours.get(name, version) != version:
        return f"{line!r}: the release has {name}=={ours[name]}; {REMEDY}"
    return ""
