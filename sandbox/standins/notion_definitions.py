"""What a data source's properties may be defined as. Follows developers.notion.com/reference/property-schema-object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sandbox.standins.notion_values import WRITABLE, InvalidRequest, known, typed

if TYPE_CHECKING:
    from sandbox.standins.notion_store import NotionStore, Source

_PLAIN = WRITABLE - {"title", "status", "relation"}
_RELATION = frozenset({"data_source_id", "type", "single_property"})
_ROLLUP = frozenset(f"{what}_property_{by}" for what in ("relation", "rollup") for by in ("name", "id")) | {"function"}


def altered(store: NotionStore, source: Source, properties: dict[str, Any]) -> None:
    """Add properties to a data source, change them, or take them away: all of them or none.

    Raises:
        InvalidRequest: a definition that Notion does not know, or that is not modelled.
        NotFound: a relation to nowhere.
    """
    schema, kinds = dict(source.schema), source.kinds()
    for key, given in properties.items():
        name = source.named(key)
        if kinds.get(name) == "title":
            raise InvalidRequest(f"{name} is the title: to change it or to remove it is not modelled by the stand-in.")
        if given is None:
            schema.pop(name, None)
            continue
        made = _defined(store, source, f"body.properties.{name}", given)
        if name in kinds and kinds[name] not in made:
            raise InvalidRequest(f"{name}: another type than {kinds[name]} is not modelled by the stand-in.")
        schema[name] = made
    source.schema = schema


def _defined(store: NotionStore, source: Source, path: str, given: Any) -> dict[str, Any]:
    known(path, given, _PLAIN | {"type", "relation", "rollup"}, frozenset({"name", "description", "title", "status"}))
    kinds = set(given) - {"type"}
    if len(kinds) != 1 or given.get("type") not in {None, *kinds}:
        raise InvalidRequest(f"body failed validation: {path} should be of one type.")
    (kind,) = kinds
    path = f"{path}.{kind}"
    if kind == "relation":
        wanted = known(path, given[kind], _RELATION, frozenset({"database_id", "dual_property"}))
        store.source(typed(f"{path}.data_source_id", wanted.get("data_source_id"), str))
        known(f"{path}.single_property", wanted.get("single_property"), frozenset())
    elif kind == "rollup":
        return {kind: _rollup(store, source, path, known(path, given[kind], _ROLLUP))}
    else:
        known(path, given[kind], frozenset(), frozenset({"format", "options"}))
    return {kind: given[kind]}


def _rollup(store: NotionStore, source: Source, path: str, given: dict[str, Any]) -> dict[str, Any]:
    """A rollup's recipe by the names of what it rolls up, which a request may name by their ids as well."""
    if given.get("function") != "show_original":
        raise InvalidRequest(f"{path}.function: {given.get('function')!r} is not modelled by the stand-in.")
    relation = _found(source, path, "relation", given)
    if source.kinds()[relation] != "relation":
        raise InvalidRequest(f"{path}: {relation} is not a relation.")
    target = store.source(source.schema[relation]["relation"]["data_source_id"])
    rolled = _found(target, path, "rollup", given)
    return {"relation_property_name": relation, "rollup_property_name": rolled, "function": given["function"]}


def _found(source: Source, path: str, what: str, given: dict[str, Any]) -> str:
    """The name of a property that is given by its name or by its id."""
    name, identity = given.get(f"{what}_property_name"), given.get(f"{what}_property_id")
    if (name is None) == (identity is None):
        raise InvalidRequest(f"body failed validation: {path} should have a {what}_property_name, or its id.")
    found = name if identity is None else source.named(identity)
    if found not in source.schema or found == identity:
        raise InvalidRequest(f"{path}: {name or identity} is not a property that exists.")
    return str(found)
