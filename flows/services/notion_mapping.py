"""Notion as it is there: where each of the flows' properties is in the operator's workspace. Pure.

`notion.toml` says it by database and property; what it does not name is there under the flows' own name. Everything
above the client keeps the flows' names. A database's title is found by Notion's own id for it, whatever its name.

    ["BusinessX contacts"]
    "Email" = "email"                                       # another name
    "First Name" = { name = "first_name", kind = "title" }  # another kind as well
    "Booking Status" = { options = { "No-Show" = "Missed", "Call Held" = false } }  # false: this one is not written
    ["Email Sequence"]
    "Template Type" = false                                 # not there: the flows do without it
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from flows.services import notion_schema as schema
from flows.services.errors import NotionError

if TYPE_CHECKING:
    from collections.abc import Mapping

FILE, VARIABLE = "notion.toml", "hublab_notion"
TITLE = "title"  # Notion's id of the title, in every database
TEXTS, OPTIONS = frozenset({"title", "rich_text"}), frozenset({"select", "status"})
# A kind of the flows' → the kinds that can stand for it in a workspace.
FITS: dict[str, frozenset[str]] = {
    "title": TEXTS,
    "rich_text": TEXTS | OPTIONS | {"email", "url", "phone_number", "date"},
    "email": TEXTS | {"email"},
    "select": TEXTS | OPTIONS | {"multi_select"},
    "number": TEXTS | {"number"},
    "date": TEXTS | {"date"},
    "checkbox": frozenset({"checkbox"}),
    "relation": frozenset({"relation"}),
    "rollup": frozenset({"rollup"}),
}
# What records are found by, and what may stop a mail: the flows cannot do without.
NEEDED: dict[str, frozenset[str]] = {
    schema.TEMPLATES: frozenset(schema.LIVE[schema.TEMPLATES]),
    schema.SEQUENCE: frozenset(schema.ADDED[schema.SEQUENCE])
    | {"Email", "Sequence Completed", *(f"Email {number} Sent" for number in range(1, 8))},
    schema.CONTACTS: frozenset({"Email", *schema.ROLLUPS.values()}),
    schema.PROJECTS: frozenset({"Email"}),
    schema.ANALYTICS: frozenset({"Email", "Template ID", "Email Number", "Status", "Campaign", "Resend Email ID"}),
}


class MappingError(ValueError):
    """A mapping that cannot be used; names the database, the property, the value and the remedy."""


@dataclass(frozen=True)
class Place:
    """Where a property is: its `name` and `kind` there; `options`: ours → theirs, None for one that is not written."""

    name: str
    kind: str
    options: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """What a request calls it."""
        return TITLE if self.kind == "title" else self.name


class NotionMapping:
    """Every property's place in one workspace; None for what the workspace does without."""

    def __init__(self, data: Mapping[str, Any] | None = None) -> None:
        """`data` as the TOML file has it.

        Raises:
            MappingError: as it says.
        """
        given = dict(data or {})
        if unknown := set(given) - set(schema.TITLES.values()):
            known = ", ".join(schema.TITLES.values())
            raise MappingError(f"{FILE}: [{min(unknown)!r}] is no database of the flows; name one of {known}")
        self._given = given
        self._places = {block: _placed(block, given.get(title, {})) for block, title in schema.TITLES.items()}

    def place(self, block: str, name: str) -> Place | None:
        """Where a property is; None: nowhere. Raises UnknownPropertyError."""
        schema.kind(block, name)
        return self._places[block][name]

    def named(self, block: str) -> list[str]:
        """The properties of which the file says something."""
        return list(self._given.get(schema.TITLES[block], {}))

    def written(self, block: str, values: Mapping[str, Any]) -> dict[str, Any]:
        """Property values as a write there has them; what is None, or has no place, is left out.

        Raises:
            UnknownPropertyError: the flows have no such property.
        """
        found: dict[str, Any] = {}
        for name, value in values.items():
            place = self.place(block, name)
            shown = _option(place, value) if place is not None and value is not None else None
            if place is not None and shown is not None:
                found[place.key] = schema.value(place.kind, shown)
        return found

    def condition(self, block: str, condition: Mapping[str, Any]) -> dict[str, Any]:
        """A filter in the workspace's own words.

        Raises:
            NotionError: it asks for a property that the workspace does without.
        """
        for joint in ("and", "or"):
            if joint in condition:
                return {joint: [self.condition(block, part) for part in condition[joint]]}
        if "timestamp" in condition:  # a page's own, which no workspace calls otherwise
            return dict(condition)
        name = condition["property"]
        place = self.place(block, name)
        if place is None:
            where = f"{schema.TITLES[block]!r}: {name!r}"
            raise NotionError(f"{FILE}: {where} is false, and records are asked for by it; give it a property")
        ((operator, wanted),) = condition[schema.kind(block, name)].items()
        if isinstance(wanted, bool):
            pass  # is empty, is not empty, is ticked
        elif place.kind in OPTIONS | {"multi_select"}:
            # An option that is never written is not found either: its own name stands for it.
            wanted = _option(place, wanted) or wanted
            operator = "contains" if place.kind == "multi_select" else operator
        elif place.kind != "number":
            wanted = schema.text(wanted)
        return {"property": place.key, place.kind: {operator: wanted}}

    def shown(self, block: str, page: Mapping[str, Any]) -> dict[str, Any]:
        """A page with the flows' names and kinds; properties that the flows do not know stay as they are."""
        there: dict[str, Any] = page["properties"]
        titles = {name for name, one in there.items() if one.get("id") == TITLE or one.get("type") == "title"}
        found: dict[str, Any] = {}
        taken = set(titles)
        for name, place in self._places[block].items():
            if place is None:
                continue
            names = titles if place.kind == "title" else {place.name} & set(there)
            taken |= names
            for one in names:
                found[name] = self._converted(block, name, place, there[one])
        rest = {name: one for name, one in there.items() if name not in taken and name not in schema.SCHEMA[block]}
        return {**page, "properties": rest | found}

    def _converted(self, block: str, name: str, place: Place, found: Mapping[str, Any]) -> dict[str, Any]:
        if found["type"] == "rollup" and name in schema.ROLLUPS:
            source = self._places[schema.CONTACTS][schema.ROLLUPS[name]]
            value = dict(found["rollup"])
            if source is not None and "array" in value:
                value["array"] = [_as("select", source, item) for item in value["array"]]
            return {**found, "rollup": value}
        return _as(schema.kind(block, name), place, found)


def _option(place: Place, value: Any) -> Any:
    return place.options.get(str(value), value) if place.options else value


def _as(kind: str, place: Place, found: Mapping[str, Any]) -> dict[str, Any]:
    """A property, or an item of a rollup, as one of the flows' kind; one that cannot be it stays as it is."""
    there = found["type"]
    if (there == kind and not place.options) or (there not in FITS[kind] and there != kind):
        return dict(found)
    if there in TEXTS and kind in TEXTS:
        return {"id": found.get("id"), "type": kind, kind: found[there]}
    value = schema.plain(there, found[there])
    return {"id": found.get("id"), "type": kind, kind: schema.raw(kind, _ours(place, value) if value else value)}


def _ours(place: Place, value: Any) -> Any:
    """What the workspace calls otherwise by its name here: each of several too, and as people write it."""
    if not place.options:
        return value
    exact = {theirs: ours for ours, theirs in place.options.items() if theirs is not None}
    written = {theirs.strip().casefold(): ours for theirs, ours in exact.items()}

    def ours(text: str) -> str | None:
        return exact.get(text) or written.get(text.strip().casefold())

    return ours(str(value)) or ", ".join(ours(part) or part.strip() for part in str(value).split(","))


def _placed(block: str, given: Any) -> dict[str, Place | None]:
    title = schema.TITLES[block]
    if not isinstance(given, dict):
        raise MappingError(f"{FILE}: [{title!r}] is {given!r}, not a table of properties; see flows/README.md")
    if unknown := set(given) - set(schema.SCHEMA[block]):
        known = ", ".join(schema.SCHEMA[block])
        raise MappingError(f"{FILE}: {title!r}: {min(unknown)!r} is no property of the flows; name one of {known}")
    places = {name: _place(block, name, given.get(name, {})) for name in schema.SCHEMA[block]}
    if any(place is not None and place.kind == "title" for name, place in places.items() if name in given):
        # There is one title: where it is said what it is for, the flows' own gives way.
        places |= {name: None for name, kind in schema.SCHEMA[block].items() if kind == "title" and name not in given}
    taken: dict[str, str] = {}
    for name, place in places.items():
        if place is not None and (other := taken.setdefault(place.key, name)) != name:
            raise MappingError(f"{FILE}: {title!r}: {name!r} and {other!r} are both {place.name!r}; one is wrong")
    return places


def _place(block: str, name: str, given: Any) -> Place | None:
    where, kind = f"{FILE}: {schema.TITLES[block]!r}: {name!r}", schema.SCHEMA[block][name]
    if given is False:
        if name in NEEDED[block]:
            raise MappingError(f"{where} is false, but the flows cannot do without; name the property that has it")
        return None
    table = {"name": given} if isinstance(given, str) else given
    if not isinstance(table, dict) or set(table) - {"name", "kind", "options"}:
        raise MappingError(f"{where}: {given!r} is neither a name, nor false, nor a table of name, kind and options")
    there, options = table.get("kind", kind), table.get("options", {})
    if not isinstance(there, str) or there not in FITS[kind]:
        fits = ", ".join(sorted(FITS[kind]))
        raise MappingError(f"{where}: kind = {there!r} cannot stand for a {kind}; it may be one of {fits}")
    if not isinstance(table.get("name", ""), str) or table.get("name") == "":
        raise MappingError(f"{where}: name = {table['name']!r} is no property's name; write it as Notion shows it")
    return Place(table.get("name", name), there, _options(where, kind, options))


def _options(where: str, kind: str, given: Any) -> dict[str, str | None]:
    if given and kind != "select":
        raise MappingError(f"{where}: options are for what is chosen from a list, and this is a {kind}; take them out")
    if not isinstance(given, dict) or not all(one is False or (isinstance(one, str) and one) for one in given.values()):
        raise MappingError(f"{where}: options = {given!r}: write our option = theirs, or = false to leave it unwritten")
    theirs = [one for one in given.values() if one is not False]
    for one in theirs:
        if theirs.count(one) > 1:
            raise MappingError(
                f"{where}: two options are written as {one!r}, and could not be told apart; make one false"
            )
    return {ours: None if one is False else one for ours, one in given.items()}
