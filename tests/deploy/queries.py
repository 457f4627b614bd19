"""The question of every program that runs on a host, and one with nothing in it, for tests that do not look inside."""

from __future__ import annotations

import importlib
from dataclasses import MISSING, fields
from typing import Any

from deploy import remote
from deploy.onhost.wire import Query

ROOMS = ("onhost", "legacy")


def kinds() -> list[type[Query]]:
    """By the modules that have a program."""
    files = [path for room in ROOMS for path in sorted(remote.ONHOST.with_name(room).glob("*.py"))]
    names = [f"deploy.{path.parent.name}.{path.stem}" for path in files if "\ndef main(" in path.read_text()]
    modules = [importlib.import_module(name) for name in names]
    return [
        item
        for module in modules
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Query) and item.__module__ == module.__name__
    ]


KINDS = kinds()


def blank[Kind: Query](kind: type[Kind]) -> Kind:
    """Every field that has to be given is None, whatever its type is."""
    nothing: dict[str, Any] = {
        one.name: None for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING
    }
    return kind(**nothing)
