"""How the workspace fits the flows: what is there, what nearly is (with the line for `notion.toml`), what is not. Pure.

Nearly fits what has the same name but for case, blanks and the like, or an own name and a kind that can be converted.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from flows.campaigns.model import SEGMENTS
from flows.recipients.contact import BOOKING, STATUS
from flows.recipients.suppression import ENDS
from flows.sending.analytics import ORDER
from flows.services import notion_schema as schema
from flows.services.notion_mapping import FILE, FITS, NEEDED, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flows.campaigns.model import Sequence
    from flows.services.notion_mapping import NotionMapping

Chosen = dict[str, dict[str, set[str]]]
Live = dict[str, Any]


@dataclass(frozen=True)
class Fit:
    """One property of a database: `problem` says what is amiss; `line` is what `notion.toml` would say of it.

    `adds` says that it is nowhere, and that `notion-setup` would add it.
    """

    name: str
    problem: str = ""
    line: str = ""
    adds: bool = False


def chosen(sequences: Iterable[Sequence]) -> Chosen:
    """The options that the flows write or look for, by database and property."""
    found: Chosen = {block: {} for block in schema.SCHEMA}
    found[schema.CONTACTS] = {STATUS: set(ENDS), BOOKING: set()}
    found[schema.ANALYTICS] = {"Status": set(ORDER), "Campaign": set()}
    found[schema.SEQUENCE] = {"Campaign": set(), "Template Type": set(), "Segment": set(SEGMENTS)}
    for one in sequences:
        for block in (schema.SEQUENCE, schema.ANALYTICS):
            found[block]["Campaign"].add(one.label)
        found[schema.SEQUENCE]["Template Type"] |= {one.type} - {None}  # type: ignore[arg-type]
        found[schema.CONTACTS][BOOKING] |= set(one.stop_on_booking)
        tables = {schema.SEQUENCE: one.record, schema.CONTACTS: one.contact, schema.PROJECTS: one.project}
        for block, table in tables.items():
            for name, source in table.items():
                if source.startswith("=") and schema.SCHEMA[block].get(name) == "select":
                    found[block].setdefault(name, set()).add(source[1:])
    return found


def compared(block: str, live: Live, mapping: NotionMapping, options: Mapping[str, set[str]]) -> list[Fit]:
    """Every property that the flows use of a database, against the database as it is."""
    places = {name: mapping.place(block, name) for name in schema.SCHEMA[block]}
    taken = {place.name for place in places.values() if place is not None} & set(live)
    # A title is there, and known by its id: a text of that name beside it would leave lists without one.
    titled = {name for name in schema.TITLED.get(block, ()) if (place := places[name]) and place.kind == "title"}
    return [
        _fit(block, name, place, live, sorted(set(live) - taken), options.get(name, set()))
        for name, place in places.items()
        if place is not None and name not in titled
    ]


def _fit(block: str, name: str, place: Place, live: Live, free: list[str], wanted: set[str]) -> Fit:  # noqa: PLR0913
    kind, found = schema.SCHEMA[block][name], live.get(place.name)
    if found is not None and found["type"] == place.kind:
        return _chosen(block, name, place, found, wanted)
    if found is not None and found["type"] in FITS[kind]:
        problem = f"property {place.name!r} is {found['type']}, not {place.kind}"
        return _proposed(block, name, replace(place, kind=found["type"]), problem)
    if found is not None and kind != "title":
        remedy = f"change its type in Notion, or name another in {FILE}{_waived(block, name)}"
        return Fit(name, f"property {place.name!r} is {found['type']}, not {kind}: {remedy}")
    near = [one for one in free if _bare(one) == _bare(place.name) and live[one]["type"] in FITS[kind]]
    near = [one for one in near if live[one]["type"] == kind] or near
    if len(near) == 1:
        there = Place(near[0], live[near[0]]["type"], place.options)
        return _proposed(block, name, there, f"property {name!r} nearly fits {there.name!r} ({there.kind})")
    if near:
        return Fit(name, f"property {name!r} could be any of {', '.join(map(repr, near))}: name one in {FILE}")
    return _absent(block, name, place)


def _absent(block: str, name: str, place: Place) -> Fit:
    if place.kind == "title":
        return Fit(name)  # whatever it is called there, Notion has an id for it
    if place.name != name:
        return Fit(name, f"{FILE} says that {name!r} is {place.name!r}, and there is no such property: correct it")
    if name in schema.OPTIONAL.get(block, ()):
        return Fit(name)
    missing = f"property {name!r} ({schema.SCHEMA[block][name]}) is missing"
    return Fit(name, f"{missing}: `./hublab campaign notion-setup` would add it{_waived(block, name)}", adds=True)


def _waived(block: str, name: str) -> str:
    return "" if name in NEEDED[block] else f", or write {_quoted(name)} = false in {FILE}"


def _chosen(block: str, name: str, place: Place, found: Mapping[str, Any], wanted: set[str]) -> Fit:
    """Whether a property has the options that the flows write."""
    known = [str(one["name"]) for one in (found.get(place.kind) or {}).get("options", ())]
    taken = wanted | set(place.options.values())  # each of these is one of ours already
    near: dict[str, str | None] = {}
    for ours in sorted(wanted):
        theirs = place.options.get(ours, ours)
        if theirs is None or theirs in known or place.kind in {"title", "rich_text"}:
            continue
        alike = [one for one in known if _bare(one) == _bare(theirs) and one not in taken]
        if ours in place.options:
            return Fit(name, f"{FILE} says that the option {ours!r} of {name!r} is {theirs!r}, which it does not have")
        if len(alike) > 1:
            among = f"{ours!r} could be any of {', '.join(map(repr, alike))}: name one in {FILE}"
            return Fit(name, f"of the options of {name!r}, {among}")
        if alike:
            near[ours] = alike[0]
        elif place.kind == "status":
            remedy = f"add it there, or write in {FILE} which it is, or that it is false"
            return Fit(name, f"status {place.name!r} has no option {ours!r}, and no program can add one: {remedy}")
    if not near:
        return Fit(name)
    for there in dict.fromkeys(near.values()):
        if len(both := [one for one in near if near[one] == there]) > 1:
            which = f"{there!r} could be {' or '.join(map(repr, both))}: name in {FILE} which it is"
            return Fit(name, f"of the options of {name!r}, {which}")
    named = ", ".join(f"{ours!r} nearly fits {theirs!r}" for ours, theirs in near.items())
    return _proposed(
        block, name, replace(place, options={**place.options, **near}), f"of the options of {name!r}, {named}"
    )


def _proposed(block: str, name: str, place: Place, problem: str) -> Fit:
    return Fit(name, f"{problem}: the line for {FILE} is below", line(block, name, place))


def line(block: str, name: str, place: Place | None) -> str:
    """What `notion.toml` says of a property."""
    if place is None:
        return f"{_quoted(name)} = false"
    options = ", ".join(
        f"{_quoted(ours)} = {'false' if theirs is None else _quoted(theirs)}" for ours, theirs in place.options.items()
    )
    parts = [f"name = {_quoted(place.name)}"] if place.name != name else []
    parts += [f"kind = {_quoted(place.kind)}"] if place.kind != schema.SCHEMA[block][name] else []
    parts += [f"options = {{ {options} }}"] if options else []
    if parts == [f"name = {_quoted(place.name)}"]:
        return f"{_quoted(name)} = {_quoted(place.name)}"
    return f"{_quoted(name)} = {{ {', '.join(parts)} }}"


def pasted(found: Mapping[str, list[Fit]], mapping: NotionMapping) -> list[str]:
    """The whole of `notion.toml` as it would be with every proposal; empty where nothing nearly fits."""
    if not any(fit.line for fits in found.values() for fit in fits):
        return []
    lines: list[str] = []
    for block, title in schema.TITLES.items():
        said = {name: line(block, name, mapping.place(block, name)) for name in mapping.named(block)}
        said |= {fit.name: fit.line for fit in found.get(block, ()) if fit.line}
        lines += [f"[{_quoted(title)}]", *said.values()] if said else []
    return lines


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)  # a JSON string is one of TOML's


def _bare(name: str) -> str:
    return "".join(one for one in name.casefold() if one.isalnum())
