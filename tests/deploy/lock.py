"""What must hold between pyproject.toml and the two locks: functions of their texts that give the faults.

No network: what a package asks for is taken from the metadata that is installed here, which the locks put there.
"""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FLOORS = ("prefect>=3.6.6", "uvicorn>=0.36")
PIN = re.compile(
    r"^([A-Za-z0-9._-]+)==([^\s;\\]+)(?: ; ([^\\\n]+?))?(?: \\)?$(.*?)(?=^\S|\Z)", re.MULTILINE | re.DOTALL
)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
# How a package is known here: its version and its Requires-Dist lines.
Known = tuple[str, list[str]]


@dataclass(frozen=True)
class Pin:
    """One line of a lock."""

    name: str
    version: str
    marker: str
    hashes: int

    @property
    def here(self) -> bool:
        """Whether it is installed on a machine like this one."""
        return not self.marker or Marker(self.marker).evaluate()


def pins(lock: str) -> list[Pin]:
    return [
        Pin(canonicalize_name(name), version, marker.strip(), len(HASH.findall(rest)))
        for name, version, marker, rest in PIN.findall(lock)
    ]


def asked(pyproject: str, group: str = "") -> list[Requirement]:
    """The direct dependencies, and those of one group with the groups that it includes."""
    table = tomllib.loads(pyproject)

    def of(name: str) -> Iterator[str]:
        for item in table["dependency-groups"][name]:
            if isinstance(item, str):
                yield item
            else:
                yield from of(item["include-group"])

    return [Requirement(text) for text in [*table["project"]["dependencies"], *(of(group) if group else ())]]


def excluded(pyproject: str) -> set[str]:
    uv: dict[str, Any] = tomllib.loads(pyproject)["tool"].get("uv", {})
    return {canonicalize_name(name) for name in uv.get("exclude-dependencies", [])}


def unmet(requirement: Requirement, found: list[Pin]) -> str | None:
    """Why a requirement does not hold in a lock; None when it does."""
    mine = [pin for pin in found if pin.name == canonicalize_name(requirement.name)]
    if not mine:
        return "is not locked"
    wrong = [pin.version for pin in mine if not requirement.specifier.contains(pin.version, prereleases=True)]
    return f"is locked at {wrong[0]}" if wrong else None


def direct_faults(pyproject: str, lock: str, group: str = "") -> list[str]:
    """What pyproject.toml asks for is locked, at a version that it allows."""
    found = pins(lock)
    return [f"{item} {why}" for item in asked(pyproject, group) if (why := unmet(item, found))]


@cache
def installed(name: str) -> Known | None:
    try:
        known = importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None
    return known.version, known.requires or []


def closure_faults(
    pyproject: str, lock: str, group: str = "", known: Callable[[str], Known | None] = installed
) -> list[str]:
    """What the locked packages ask for is locked as well, and nothing is locked that nobody asks for."""
    found, shut_out = pins(lock), excluded(pyproject)
    here = {pin.name: pin for pin in found if pin.here}
    faults: list[str] = []
    seen: set[tuple[str, str]] = set()
    todo = asked(pyproject, group)
    while todo:
        item = todo.pop()
        name = canonicalize_name(item.name)
        if name in shut_out or (item.marker and not item.marker.evaluate({"extra": ""})):
            continue
        if why := unmet(item, list(here.values())):
            faults.append(f"{item} {why}")
            continue
        for extra in {"", *item.extras} - {extra for package, extra in seen if package == name}:
            seen.add((name, extra))
            facts = known(name)
            if facts is None or facts[0] != here[name].version:
                faults.append(f"{name} {here[name].version} is locked, {facts and facts[0]} is installed: run make")
                break
            todo += _wants(tuple(facts[1]), extra)
    faults += [f"{name} is locked and nobody asks for it" for name in set(here) - {name for name, _ in seen}]
    return sorted(set(faults))


@cache
def _wants(lines: tuple[str, ...], extra: str) -> list[Requirement]:
    """What a package asks for here, with one of its extras; the markers are settled."""
    wanted = []
    for line in lines:
        item = Requirement(line)
        if item.marker is None or item.marker.evaluate({"extra": extra}):
            item.marker = None
            wanted.append(item)
    return wanted


def hash_faults(lock: str) -> list[str]:
    """Every pin has hashes, and every line that is no comment belongs to a pin."""
    faults = [f"{pin.name} has no hash" for pin in pins(lock) if not pin.hashes]
    stray = [line for line in lock.splitlines() if re.match(r"[^\s#]", line) and not PIN.match(line)]
    return faults + [f"{line!r} is no pin" for line in stray] + ([] if pins(lock) else ["the lock is empty"])


def floor_faults(lock: str) -> list[str]:
    """The versions below (or above) which the fault comes back; the reasons are in pyproject.toml."""
    return [f"{floor} {why}" for floor in FLOORS if (why := unmet(Requirement(floor), pins(lock)))]


def uvloop_faults(pyproject: str, lock: str) -> list[str]:
    """uvloop is in no lock, is excluded from resolving, and would make it fail were the exclusion ignored."""
    uv: dict[str, Any] = tomllib.loads(pyproject)["tool"].get("uv", {})
    faults = [f"{pin.name} {pin.version} is locked" for pin in pins(lock) if pin.name == "uvloop"]
    if "uvloop" not in excluded(pyproject):
        faults.append("[tool.uv] exclude-dependencies has no uvloop")
    if "uvloop==0" not in uv.get("constraint-dependencies", []):
        faults.append("[tool.uv] constraint-dependencies has no uvloop==0, the tripwire")
    faults += [f"{item} asks for uvicorn's own uvloop" for item in asked(pyproject) if "standard" in item.extras]
    return faults


def agreement_faults(lock: str, dev: str) -> list[str]:
    """The operator's machine has all that hosts have, at the same versions."""
    mine = {(pin.name, pin.version) for pin in pins(dev)}
    return [
        f"{pin.name} {pin.version} is locked for hosts and not for operators"
        for pin in pins(lock)
        if (pin.name, pin.version) not in mine
    ]
