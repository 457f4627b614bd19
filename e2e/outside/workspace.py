"""What a Notion workspace calls its properties: by `notion.toml`, which lies beside the `.env`.

["Email Sequence"]
"Email" = "email"                                           # another name
"First Name" = { name = "Name", kind = "title" }            # another kind as well
"Segment" = { options = { CRITICAL = "Critical" } }         # ours = theirs
"Template Type" = false                                     # not there
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from e2e.errors import RefusedError

if TYPE_CHECKING:
    from pathlib import Path

FILE, TITLE = "notion.toml", "title"
# What is found by its kind whatever its name, and what records are asked for by.
KINDS = {"Template Name": TITLE, "Email": "email"}


class Workspace:
    """Where the contract's properties are; what the file does not name is there under its own name."""

    def __init__(self, given: dict[str, Any] | None = None) -> None:
        """`given` as the file has it: database → property → what is said of it."""
        self._given = given or {}

    def asked(self, database: str, name: str, operator: str, value: str) -> dict[str, Any]:
        """A filter on one property."""
        there, kind = _place(name, self._given.get(database, {}).get(name))
        return {"property": TITLE if kind == TITLE else there, kind: {operator: value}}

    def values(self, database: str, page: dict[str, Any]) -> dict[str, str]:
        """A page's properties as texts, by the contract's names; without what the workspace does not have."""
        there, said = page["properties"], self._given.get(database, {})
        found = {name: text(value) for name, value in there.items() if name not in said}
        for name in {**KINDS, **said}:
            if said.get(name) is False:
                continue
            label, kind = _place(name, said.get(name))
            for shown, value in there.items():
                if value["type"] == TITLE if kind == TITLE else shown == label:
                    found[name] = _ours(said.get(name), text(value))
        return found


def read(folder: Path) -> Workspace:
    """The workspace of the `.env` that lies in a folder.

    Raises:
        RefusedError: the file is not TOML.
    """
    path = folder / FILE
    try:
        return Workspace(tomllib.loads(path.read_text("utf-8")) if path.is_file() else {})
    except tomllib.TOMLDecodeError as error:
        raise RefusedError([f"{path}: not TOML: {error}; correct it"]) from None


def text(value: dict[str, Any]) -> str:
    """A property's value as plain text; empty where there is none, or where it is of a kind that is not looked at."""
    kind = value["type"]
    found = value.get(kind)
    if found is None:
        return ""
    if kind in {"title", "rich_text"}:
        return "".join(piece["plain_text"] for piece in found)
    if kind == "date":
        return str(found["start"])
    if kind in {"select", "status", "multi_select"}:
        return ", ".join(one["name"] for one in (found if kind == "multi_select" else [found]))
    return str(found) if kind in {"email", "number", "checkbox", "url", "phone_number"} else ""


def _place(name: str, said: Any) -> tuple[str, str]:
    table = {"name": said} if isinstance(said, str) else said or {}
    return table.get("name", name), table.get("kind", KINDS.get(name, ""))


def _ours(said: Any, value: str) -> str:
    options = said.get("options", {}) if isinstance(said, dict) else {}
    return next((ours for ours, theirs in options.items() if theirs == value), value)
