"""The rooms of the project and their files: who imports whom."""

from __future__ import annotations

import ast
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ROOMS = ("cli", "deploy", "worker", "flows", "sandbox", "e2e")


@cache
def files() -> dict[str, ast.Module]:
    """Module → its code."""
    paths = {path.relative_to(ROOT).with_suffix(""): path for room in ROOMS for path in (ROOT / room).rglob("*.py")}
    return {".".join(name.parts).removesuffix(".__init__"): ast.parse(path.read_text()) for name, path in paths.items()}


def imported(node: ast.AST, *, as_it_loads: bool) -> Iterator[str]:
    """Modules of the project; `as_it_loads`: neither those of functions nor those that only types are taken from."""
    for child in ast.iter_child_nodes(node):
        later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
        if as_it_loads and (later or (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING")):
            continue
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            names = [f"{child.module}.{alias.name}" for alias in child.names]
            yield from (name if name in files() else str(child.module) for name in names)
        else:
            yield from imported(child, as_it_loads=as_it_loads)


def test_files_are_in_no_circle_as_they_load() -> None:
    found = {name: {*imported(tree, as_it_loads=True)} & files().keys() - {name} for name, tree in files().items()}
    assert sum(map(len, found.values())) > len(found), "the imports were not seen"
    TopologicalSorter(found).prepare()


def test_deploys_files_are_in_no_circle_of_types_either() -> None:
    own = {name: tree for name, tree in files().items() if name.startswith("deploy.")}
    found = {name: {*imported(tree, as_it_loads=False)} & own.keys() - {name} for name, tree in own.items()}
    TopologicalSorter(found).prepare()


@pytest.mark.parametrize(
    ("room", "seen"), [("deploy", {"deploy", "worker"}), ("flows", {"flows", "worker"}), ("worker", {"worker"})]
)
def test_room_imports_nothing_of_another(room: str, seen: set[str]) -> None:
    """Nor in a function: each runs where the others are not."""
    own = {name: tree for name, tree in files().items() if name.partition(".")[0] == room}
    found = {name: {*imported(tree, as_it_loads=False)} & files().keys() for name, tree in own.items()}
    assert any(found.values()), "the imports were not seen"
    assert not [(name, other) for name in found for other in found[name] if other.partition(".")[0] not in seen]
