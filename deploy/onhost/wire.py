"""What travels to a host and back: dataclasses that both sides have, as JSON. Standard library only, Python 3.11.

The program travels with its question, so both sides are always of one release: a field that is not known, or is
missing, or is of another type, is an error of ours or an answer of somebody else's.
"""

from __future__ import annotations

import json
import types
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")
ALIKE = ((float, int), (Path, str))
# The root-only files that become credentials of the units, each by its own name.
SECRETS = ("profiles.toml", "environment.json", "webhooks.json")


class WireError(ValueError):
    """JSON that is not what was to come; the message names the field and shows no value."""


@dataclass(frozen=True)
class Places:
    """Where a host has what deploys put there, `units` and the lock. `kept`: the units of each release once of record.

    `before`: what there was before a rollout that has not ended. `retired`: what was moved aside of others'.
    """

    base: Path = Path("/opt/hublab")
    config: Path = Path("/etc/hublab")
    secrets: tuple[Path, ...] = tuple(map(Path("/etc/hublab").joinpath, SECRETS))
    state: Path = Path("/var/lib/hublab")
    before: Path = Path("/var/lib/hublab/before")
    kept: Path = Path("/var/lib/hublab/units")
    record: Path = Path("/var/lib/hublab/deploys.jsonl")
    retired: Path = Path("/var/lib/hublab/retired")
    units: Path = Path("/etc/systemd/system")
    lock: Path = Path("/run/hublab")


PLACES = Places()


@dataclass(frozen=True, kw_only=True)
class Query:
    """What a program on a host is asked; each of them has a class of its own, in the module that is the program.

    `token`: of the lock, without which the program is not begun; empty where it may run beside others.
    `looks`: it changes nothing.
    """

    token: str = ""
    places: Places = field(default_factory=lambda: PLACES)
    looks: ClassVar[bool] = False


def encode(what: object) -> str:
    """Dataclasses, and whatever they hold, as JSON."""
    return json.dumps(what, default=_plain)


def _plain(what: Any) -> Any:
    if isinstance(what, Path):
        return str(what)
    return sorted(what) if isinstance(what, frozenset) else {one.name: getattr(what, one.name) for one in fields(what)}


def decode(kind: type[T], text: str) -> T:
    """The dataclass that the other side encoded.

    Raises:
        WireError: it is no JSON, or of another shape.
    """
    try:
        return built(kind, json.loads(text))
    except (json.JSONDecodeError, RecursionError):
        raise WireError("no JSON") from None


def built(kind: type[T], raw: object) -> T:
    """The same from what JSON was read into.

    Raises:
        WireError: it is of another shape.
    """
    found: T = _value(kind, raw, kind.__name__)
    return found


@cache
def _hints(kind: type) -> dict[str, Any]:
    found = get_type_hints(kind)
    return {one.name: found[one.name] for one in fields(kind)}


def _value(kind: Any, raw: Any, where: str) -> Any:
    """One value, as its field says; `where` is the way to it."""
    outer, inner = get_origin(kind), get_args(kind)
    if outer is types.UnionType:
        wanted = [one for one in inner if one is not types.NoneType]
        return None if raw is None else _value(wanted[0], raw, where)
    if is_dataclass(kind) and isinstance(raw, dict):
        return _table(kind, raw, where)
    if outer is dict and isinstance(raw, dict):
        return {_key(inner[0], name, where): _value(inner[1], item, f"{where}.{name}") for name, item in raw.items()}
    if outer is tuple and inner[1:] == (...,) and isinstance(raw, list):
        return tuple(_value(inner[0], item, where) for item in raw)
    if outer is frozenset and isinstance(raw, list):
        return frozenset(raw)
    if kind is Any or type(raw) is kind or (kind, type(raw)) in ALIKE:
        return kind(raw) if kind is Path else raw
    raise WireError(f"{where} is {type(raw).__name__}, not {getattr(kind, '__name__', kind)}")


def _key(kind: Any, name: str, where: str) -> Any:
    """JSON has no keys but text."""
    try:
        return kind(name)
    except ValueError:
        raise WireError(f"{where} has a key that is not {kind.__name__}") from None


def _table(kind: Any, raw: dict[str, Any], where: str) -> Any:
    hints = _hints(kind)
    if strange := sorted(raw.keys() - hints.keys()):
        raise WireError(f"{where} has {', '.join(strange)[:80]}, which is not known")
    values = {name: _value(hints[name], item, f"{where}.{name}") for name, item in raw.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise WireError(f"{where}: {error}") from None
