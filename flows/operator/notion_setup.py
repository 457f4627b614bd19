"""`python -m flows.operator.notion_setup`: adds to the Notion workspace the properties that are the project's own.

The only place that changes a database's properties; nothing else ever does. `--dry-run` only names them.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from flows.services import notion_schema as schema
from flows.services.clients import notion_client
from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    from flows.services.notion_gateway import NotionGateway


def missing(notion: NotionGateway) -> dict[str, dict[str, Any]]:
    """What is to be added: database (its block) → property → definition. Raises NotionError."""
    found: dict[str, dict[str, Any]] = {}
    for block, added in schema.ADDED.items():
        there = notion.database(block)["properties"]
        wanted = {name: _definition(notion, name, kind) for name, kind in added.items() if name not in there}
        if wanted:
            found[block] = wanted
    return found


def _definition(notion: NotionGateway, name: str, kind: str) -> dict[str, Any]:
    if kind == "relation":
        return {
            "relation": {
                "data_source_id": notion.source(schema.CONTACTS),
                "type": "single_property",
                "single_property": {},
            }
        }
    if kind == "rollup":
        recipe = {"relation_property_name": "Contact", "rollup_property_name": schema.ROLLUPS[name]}
        return {"rollup": recipe | {"function": "show_original"}}
    return {kind: {}}


def add(notion: NotionGateway, wanted: dict[str, dict[str, Any]]) -> None:
    """Add properties; the rollups last: they need the relation. Raises NotionError."""
    for block, properties in wanted.items():
        rollups = {name: one for name, one in properties.items() if "rollup" in one}
        first = {name: one for name, one in properties.items() if name not in rollups}
        for part in (first, rollups):
            if part:
                notion.alter(block, part)


def main(arguments: list[str] | None = None) -> int:
    """Add what is missing, and print it."""
    parser = argparse.ArgumentParser(prog="python -m flows.operator.notion_setup", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="only name what would be added")
    dry = parser.parse_args(arguments).dry_run
    with Prefect() as prefect, notion_client(prefect, prefect.settings()) as notion:
        wanted = missing(notion)
        if not dry:
            add(notion, wanted)
    for block, properties in wanted.items():
        for name, one in properties.items():
            verb = "would add" if dry else "added"
            sys.stdout.write(f"{verb} {name!r} ({next(iter(one))}) to {schema.TITLES[block]}\n")
    if not wanted:
        sys.stdout.write("nothing to add: every property is there\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
