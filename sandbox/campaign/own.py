"""A campaign of a developer's own in a sandbox: what its visitors post, and a text for each missing template."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.campaigns import payloads
from flows.campaigns.model import CampaignError, sequences
from flows.operator.preflight import SAMPLES
from flows.sending import template_store
from flows.services import notion_schema as schema
from flows.services.notion_gateway import NotionGateway
from flows.services.settings import Settings
from sandbox.campaign.contacts import PAYLOADS, PROJECTS
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flows.campaigns.model import Sequence


def of(campaign: str) -> list[Sequence]:
    """The sequences of a campaign.

    Raises:
        SandboxError: No campaign has that name, or a campaign's file cannot be used.
    """
    try:
        found = [sequence for (name, _), sequence in sequences().items() if name == campaign]
        for sequence in found:
            payloads.model(sequence)
    except CampaignError as error:
        raise SandboxError(str(error)) from None
    if not found:
        known = ", ".join(sorted({name for name, _ in sequences()}))
        raise SandboxError(
            f"--campaign: {campaign} is none of {known}. Name one of them, or put its file into the folder that "
            "HUBLAB_CAMPAIGNS names."
        )
    return found


def payload(sequence: Sequence, email: str) -> dict[str, Any]:
    """What a visitor of a sequence posts: a value for each field."""
    if sequence.campaign == PROJECTS:
        return PAYLOADS[sequence.name] | {"email": email}
    return {name: _value(name, kind.removesuffix("!"), email) for name, kind in sequence.fields.items()}


def _value(name: str, kind: str, email: str) -> object:
    if kind == "address":
        return email
    return kind.partition("|")[0] if "|" in kind else SAMPLES.get(kind, "Ada" if kind == "name" else f"any {name}")


def texts(campaigns: Iterable[Sequence]) -> dict[str, tuple[str, str]]:
    """A subject and a body for each template of these sequences, which show every field that all of them require."""
    found: dict[str, set[str]] = {}
    for sequence in campaigns:
        needed = {name for name, kind in sequence.fields.items() if kind.endswith("!")}
        needed |= {"confirm_url"} if sequence.confirm else set()
        for name in sequence.templates:
            found[name] = found.get(name, needed) & needed
    return {name: (name, _body(sorted(needed))) for name, needed in found.items()}


def _body(fields: Iterable[str]) -> str:
    lines = "".join(f"<p>{name}: {{{{{name}}}}}</p>" for name in fields)
    return f"<html><body>{lines}<p><a href='{{{{unsubscribe_url}}}}'>Unsubscribe</a></p></body></html>"


def furnish(environment: Mapping[str, str]) -> list[str]:
    """Write what is missing of the campaigns' templates into the workspace that a `.env` names; their names.

    Raises:
        NotionError: Notion refused.
    """
    blocks = {name.lower().replace("_", "-"): value for name, value in environment.items()}
    notion = NotionGateway(Settings(blocks | dict(environment)), lambda: None)
    try:
        wanted = texts(sequences().values())
        missing = sorted(wanted.keys() - template_store.read(notion, list(wanted)))
        for name in missing:
            subject, body = wanted[name]
            values = {"Template Name": name, "Subject Line": subject, "Email Body HTML": body}
            notion.create_once(schema.TEMPLATES, values, list)
    finally:
        notion.close()
    return missing
