"""Finds in the code what an operator may be told: message by message, with the remedy where there is one."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

GAP = "…"  # what is only known when it happens
# What stands before the message among the arguments of an error.
BEFORE = {"ApiError": 1, "UnusableTemplateError": 1, "NotYetError": 1}


@dataclass(frozen=True)
class Reader:
    """Turns an expression of the code into the texts that it may become."""

    known: dict[str, ast.expr]  # what a function's own names were given, where they were given something once

    def texts(self, node: ast.expr) -> list[str]:
        """Every text that the expression may be; `…` for what only the moment knows."""
        match node:
            case ast.Constant(value=value):
                return [str(value)]
            case ast.JoinedStr(values=parts):
                return ["".join(texts) for texts in product(*map(self._part, parts))]
            case ast.BinOp(left=left, right=right, op=ast.Add()):
                return ["".join(texts) for texts in product(self.texts(left), self.texts(right))]
            case ast.IfExp() | ast.BoolOp():
                parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values
                return [text for part in parts for text in self.texts(part)]
            case ast.Name(id=name) if name in self.known:
                return Reader({}).texts(self.known[name])
        return [GAP]

    def _part(self, node: ast.expr) -> list[str]:
        """Of an f-string: what stands there as it is, or either of two texts."""
        inner = node.value if isinstance(node, ast.FormattedValue) else node
        if "env_file" in ast.unparse(inner):
            return [".env"]
        constant = isinstance(inner, ast.Name) and inner.id.isupper()
        return self.texts(inner) if constant or isinstance(inner, ast.IfExp | ast.Constant) else [GAP]


def messages(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """Maker (an error, a function), message and remedy (or nothing) of everything in a file."""
    constants = {name: value for name, value in _given(tree).items() if name.isupper()}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error"):
            for call in _calls(node, "__init__"):
                yield from _of(node.name, call, Reader(_given(node)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            reader = Reader(constants | _given(node))
            for call in _calls(node):
                yield from _of(_name(call), call, reader)
            if re.search(r"(^|_)fault(_|$)", node.name):
                yield from (("returned", text, "") for text in _returned(node, reader))


def connections(tree: ast.Module) -> Iterator[tuple[str, str, str]]:
    """The remedies of `deploy/remedies.py`: each is found by a pattern, of which the page shows the words."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            for key, value in ast.literal_eval(node.value).items():
                pattern = re.sub(r"\(\?:(.*?)\)", lambda match: match[1].replace("|", " / "), key)
                words = pattern.replace(r"(\S+)", GAP).replace("|", " / ")
                yield "REMEDIES", words, re.sub(r"\{\d\}", GAP, value)


def _returned(function: ast.AST, reader: Reader) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Return) and node.value is not None:
            yield from reader.texts(node.value)


def _calls(tree: ast.AST, name: str = "") -> list[ast.Call]:
    found = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and node.args]
    return [call for call in found if not name or _name(call) == name]


def _name(call: ast.Call) -> str:
    """Of a list it is the list of faults alone that is told."""
    words = ast.unparse(call.func).split(".")
    return "faults.append" if words[-2:] == ["faults", "append"] else words[-1]


def _given(function: ast.AST) -> dict[str, ast.expr]:
    found: dict[str, list[ast.expr]] = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            found.setdefault(node.targets[0].id, []).append(node.value)
    return {name: values[0] for name, values in found.items() if len(values) == 1}


def _of(maker: str, call: ast.Call, reader: Reader) -> Iterator[tuple[str, str, str]]:
    """A problem has its remedy behind what it says, and so has a template's error; a setting's fault its key before."""
    arguments = [reader.texts(argument) for argument in call.args[BEFORE.get(maker, 0) :]]
    match maker, arguments:
        case "fault", [keys, _, remedies]:
            yield from ((maker, f"{key}: {GAP} {said}", "") for key, said in product(keys, remedies))
        case "Problem" | "UnusableTemplateError", [texts, remedies]:
            remedy = " / ".join(part for part in dict.fromkeys(remedies) if part != GAP)
            yield from ((maker, text, remedy) for text in texts)
        case _, [texts, *_]:
            yield from ((maker, text, "") for text in texts)
