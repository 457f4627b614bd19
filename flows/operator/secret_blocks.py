"""`python -m flows.operator.secret_blocks`: Secret blocks and settings at Prefect, from `.env`; prints names only.

Run again it changes what differs (a rotation) and nothing else.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.blocks.system import Secret

from flows.operator import register, server
from flows.services.notion_mapping import FILE, MappingError, NotionMapping
from flows.services.notion_mapping import VARIABLE as MAPPING
from flows.services.prefect_api import Prefect
from flows.services.settings import BLOCKS, PLAIN, SEVEN, VARIABLE, environment_name, from_environment, values

if TYPE_CHECKING:
    from collections.abc import Mapping


TESTING = "testing-mode"
LINKS = "unsubscribe-secret"
SECRETS_OF_LINKS = 10
MOST_OF_A_VARIABLE = 5_000


def _with_older(value: str, there: str) -> str:
    """A secret of links, and behind it those that signed the links which are out: they must go on working."""
    parts = [part.strip() for part in f"{value},{there}".split(",")]
    return ",".join(list(dict.fromkeys(part for part in parts if part))[:SECRETS_OF_LINKS])


def write(wanted: Mapping[str, str]) -> dict[str, str]:
    """Make Prefect have what is wanted; name → `created`, `rotated`, `unchanged`, `set` or `removed`.

    What is wanted no more is removed: testing mode, and every plain setting. A credential never is.
    """
    done: dict[str, str] = {}
    with Prefect() as prefect:
        asked = {"block_documents": {"name": {"any_": list(BLOCKS)}}, "include_secrets": True}
        answer = prefect.client.request("POST", "/block_documents/filter", json=asked).json()
        there = values(answer)
        for one in answer:
            if one["name"] == TESTING and TESTING not in wanted:
                prefect.client.request("DELETE", "/block_documents/{id}", path_params={"id": one["id"]})
                done[TESTING] = "removed"
        for name in BLOCKS:
            if name not in wanted:
                continue
            value = wanted[name] if name != LINKS else _with_older(wanted[name], there.get(name, ""))
            if there.get(name) == value:
                done[name] = "unchanged"
                continue
            Secret(value=value).save(name, overwrite=True)  # type: ignore[arg-type]
            done[name] = "rotated" if name in there else "created"
        plain = {name: wanted[name] for name in PLAIN if name in wanted}
        variable = prefect.client.read_variable_by_name(VARIABLE)
        before = variable.value if variable is not None and isinstance(variable.value, dict) else {}
        if plain != before:
            prefect.remember(VARIABLE, plain)
        done |= {name: "removed" for name in before if name not in plain}
        done |= {name: "unchanged" if before.get(name) == value else "set" for name, value in plain.items()}
    return done


def write_mapping(path: Path) -> str:
    """Make Prefect have `notion.toml`, if there is one; what was done: `set`, `unchanged`, `removed` or nothing.

    Raises:
        MappingError: it cannot be used; Prefect keeps what it has.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8")) if path.is_file() else {}
    except tomllib.TOMLDecodeError as error:
        raise MappingError(f"{path}: not TOML: {error}; correct it") from None
    NotionMapping(data)
    if len(json.dumps(data)) > MOST_OF_A_VARIABLE:
        raise MappingError(f"{path}: over {MOST_OF_A_VARIABLE} characters: leave out what is called the same there")
    with Prefect() as prefect:
        before = prefect.variable(MAPPING) or {}
        if data == before:
            return "unchanged" if data else ""
        if not data:
            prefect.forget(MAPPING)
            return "removed"
        prefect.remember(MAPPING, data)
    return "set"


@server.needed
def main(arguments: list[str] | None = None) -> int:
    """Write them; 1 when one of the seven is neither in the file nor at Prefect."""
    # The operator's machine has python-dotenv; the workers, which import this package too, need it nowhere else.
    from dotenv import dotenv_values  # noqa: PLC0415

    parser = argparse.ArgumentParser(prog="python -m flows.operator.secret_blocks", description=__doc__)
    parser.add_argument("--env", type=Path, default=Path(".env"))
    path = parser.parse_args(arguments).env
    if not path.is_file():
        sys.stderr.write(f"--env: there is no file {path}; copy .env.example to it and fill it in\n")
        return 1
    found = {key: value for key, value in dotenv_values(path, interpolate=False).items() if value}
    for name, what in write(from_environment(found)).items():
        sys.stdout.write(f"{what:9} {name}\n")
    if what := write_mapping(path.parent / FILE):
        sys.stdout.write(f"{what:9} {FILE}\n")
    with Prefect() as prefect:
        settings = prefect.settings()
        register.limits(prefect, settings)  # before anything is registered, others ask Notion within them
    missing = [name for name in SEVEN if not settings.has(name)]
    for name in missing:
        sys.stderr.write(f"missing   {name}: add {environment_name(name)} to {path} and run this again\n")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
