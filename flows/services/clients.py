"""The clients of Notion and Resend for one run: limited by what all workers share."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flows.services.notion_mapping import VARIABLE, NotionMapping
from flows.services.notion_schema import TITLES
from flows.services.prefect_api import NOTION_LIMIT, RESEND_LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Prefect
    from flows.services.resend_operations import ResendOperations
    from flows.services.settings import Settings

SOURCES = "hublab_data_sources"  # the variable that keeps database id → data source id: looked up once for all
NOTION = (SOURCES, VARIABLE)  # what a client of Notion wants beside the settings


@contextmanager
def notion_client(prefect: Prefect, settings: Settings) -> Iterator[NotionGateway]:
    """Notion, limited, by the workspace's mapping; what is learnt of its data sources is kept for every later run.

    Raises:
        MappingError: `notion.toml`, as it is at Prefect, cannot be used.
    """
    from flows.services.notion_gateway import NotionGateway  # noqa: PLC0415 - the SDK is imported by runs that call Notion only

    beside = settings.beside
    kept = beside if beside.keys() >= set(NOTION) else prefect.variables(list(NOTION))
    known: dict[str, Any] = kept.get(SOURCES) or {}
    mapping = NotionMapping(kept.get(VARIABLE))
    notion = NotionGateway(settings, lambda: prefect.wait_for(NOTION_LIMIT), known, mapping)
    try:
        yield notion
    finally:
        notion.close()
    if notion.sources != known:
        # A variable holds 5,000 characters: only what these settings name is kept.
        prefect.remember(SOURCES, {one: notion.sources[one] for one in databases(settings) & set(notion.sources)})


def databases(settings: Settings) -> set[str]:
    """The ids of the databases that the settings name."""
    return {settings.get(name) for name in TITLES if settings.has(name)}


def resend_client(prefect: Prefect, settings: Settings, *more: str) -> ResendOperations:
    """Resend, limited; with each of its calls one through the limits `more` is had, for what is called after it."""
    from flows.services.resend_operations import ResendOperations  # noqa: PLC0415 - as above

    return ResendOperations(settings, lambda: prefect.wait_for(RESEND_LIMIT, *more))
