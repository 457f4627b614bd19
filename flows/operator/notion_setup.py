"""`python -m flows.operator.notion_setup`: adds to the Notion workspace the properties that are nowhere in it.

The only place that changes a database's properties; nothing else ever does. It says what it adds before it does, and
adds nothing while something only nearly fits, which would be there twice, or does not fit. `--dry-run` only says.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from flows.campaigns.model import sequences
from flows.operator import notion_fit, server
from flows.services import notion_schema as schema
from flows.services.clients import notion_client
from flows.services.notion_mapping import FILE, TITLE
from flows.services.prefect_api import Prefect
from flows.services.words import env_file

if TYPE_CHECKING:
    from flows.operator.notion_fit import Fit
    from flows.services.notion_gateway import NotionGateway

PURPOSES = {
    "Enrolment Key": "by which the flows find a record; nobody types into it",
    "Cancelled": "which a person ticks to end the mails of one enrolment",
    "Contact": "from a record to its contact",
    "Contact Status": "which shows the contact's status on the record",
    "Contact Booking": "which shows the contact's booking on the record",
}


def fits(notion: NotionGateway) -> dict[str, list[Fit]]:
    """Every property of the five databases, against the workspace. Raises NotionError, CampaignError."""
    options = notion_fit.chosen(sequences().values())
    return {
        block: notion_fit.compared(block, notion.database(block)["properties"], notion.mapping, options[block])
        for block in schema.TITLES
    }


def missing(notion: NotionGateway, found: dict[str, list[Fit]]) -> dict[str, dict[str, Any]]:
    """What is to be added: database (its block) → property as it is called there → definition.

    Raises:
        NotionError: Notion cannot be asked.
        WrongDatabaseError: a database that has next to nothing of what it should.
    """
    wanted: dict[str, dict[str, Any]] = {}
    for block, each in found.items():
        absent = [fit.name for fit in each if fit.adds]
        live = set(schema.LIVE[block])
        if len(live & set(absent)) > len(live) / 2:
            raise WrongDatabaseError(block, len(live & set(absent)), len(live))
        definitions = {name: _definition(notion, name, schema.SCHEMA[block][name]) for name in absent}
        if definitions:
            wanted[block] = definitions
    return wanted


class WrongDatabaseError(LookupError):
    """A database that lacks most of its properties; names the setting that says which it is."""

    def __init__(self, block: str, count: int, whole: int) -> None:
        """`count` of its `whole` properties are missing."""
        setting = block.upper().replace("-", "_")
        super().__init__(
            f"{schema.TITLES[block]!r} lacks {count} of {whole} properties: is {setting} its id in {env_file()}?"
        )


def in_words(block: str, name: str, kind: str) -> str:
    """What is added, for a person."""
    what = kind.replace("rich_text", "text").replace("_", " ")
    purpose = f", {PURPOSES[name]}" if name in PURPOSES else ""
    return f"{name!r} ({what}) to {schema.TITLES[block]}{purpose}"


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
        relation = notion.mapping.place(schema.SEQUENCE, "Contact")
        shown = notion.mapping.place(schema.CONTACTS, schema.ROLLUPS[name])
        assert relation is not None  # noqa: S101 - both are among those that the flows cannot do without
        assert shown is not None  # noqa: S101
        by = "id" if shown.kind == TITLE else "name"  # a title is known by its id, whatever its name
        recipe = {"relation_property_name": relation.name, f"rollup_property_{by}": shown.key}
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


@server.needed
def main(arguments: list[str] | None = None) -> int:
    """Say what is missing, and add it; 1 when something is to be settled first."""
    parser = argparse.ArgumentParser(prog="python -m flows.operator.notion_setup", description=__doc__)
    parser.add_argument("--dry-run", action="store_true", help="only name what would be added")
    dry = parser.parse_args(arguments).dry_run
    try:
        with Prefect() as prefect, notion_client(prefect, prefect.settings()) as notion:
            found = fits(notion)
            if problems := [fit.problem for each in found.values() for fit in each if fit.problem and not fit.adds]:
                sys.stderr.write("".join(f"{one}\n" for one in problems))
                sys.stderr.write("nothing is added before that is settled\n")
                if lines := notion_fit.pasted(found, notion.mapping):
                    sys.stderr.write(f"paste this into {FILE}, `./hublab campaign secrets`, and again:\n\n")
                    sys.stdout.write("".join(f"{one}\n" for one in lines))
                return 1
            wanted = missing(notion, found)
            for block, properties in wanted.items():
                for name, one in properties.items():
                    verb = "would add" if dry else "adds"
                    sys.stdout.write(f"{verb} {in_words(block, name, next(iter(one)))}\n")
            sys.stdout.flush()
            if not dry:
                add(notion, wanted)
    except WrongDatabaseError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if not wanted:
        sys.stdout.write("nothing to add: every property is there\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
