"""Templates, read from Notion: a sequence's all at once, shared by all workers for a few minutes through Prefect."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from flows.sending.templates import DATABASE, Template, UnusableTemplateError, from_markdown
from flows.services import notion_schema as schema
from flows.services.errors import NotionError, NotionUnavailableError

if TYPE_CHECKING:
    from flows.campaigns.model import Sequence
    from flows.services.notion_gateway import NotionGateway
    from flows.services.prefect_api import Artifact, Prefect

KIND = "hublab-templates"
# A body that is this and nothing else says that the page's own content is the mail. An empty body is a fault: a page's
# content may be notes that are nobody's mail.
PAGE_CONTENT = "{{page_content}}"
PAGE_CONTENT_SPACED = ["{{", "page_content", "}}"]


def read(notion: NotionGateway, names: list[str]) -> dict[str, Template]:
    """The templates of these names that Notion has; one query for all.

    Raises:
        UnusableTemplateError: two of one name: which one is meant, nobody can tell; or a part that is no text.
        NotionError: Notion could not be read.
    """
    condition = {"or": [{"property": "Template Name", "title": {"equals": name}} for name in names]}
    found: dict[str, Template] = {}
    for page in notion.find(schema.TEMPLATES, condition):
        name = str(schema.read(page, "Template Name")).strip()
        if name not in names:
            continue
        if name in found:
            raise UnusableTemplateError(name, "it is there twice", "Rename or delete one of the two in Notion")
        html = _text(notion, page, name, "Email Body HTML")
        if html.split() == [PAGE_CONTENT] or html.split() == PAGE_CONTENT_SPACED:
            html = from_markdown(notion.markdown(page["id"]))
        found[name] = Template(name, _text(notion, page, name, "Subject Line"), html)
    return found


def _read_with(notion: NotionGateway, sequence: Sequence, name: str) -> dict[str, Template]:
    """A template with the others of its sequence; alone where one of them cannot be used. Raises as `read`."""
    try:
        return read(notion, list(dict.fromkeys([*sequence.templates, name])))
    except NotionUnavailableError:
        raise
    except (UnusableTemplateError, NotionError):
        return read(notion, [name])


def _text(notion: NotionGateway, page: dict[str, Any], name: str, part: str) -> str:
    kind = page["properties"].get(part, {}).get("type", "rich_text")
    if kind != "rich_text":  # what Notion shows of a formula, or of people, would be sent as it is
        remedy = "Make it a text again in Notion, or name in notion.toml the property that is one"
        raise UnusableTemplateError(name, f"its {part} is a {kind}, not a text", remedy)
    return notion.text(page, part)


def shelf(sequence: Sequence) -> str:
    """The key of the artifact that has a sequence's templates."""
    return f"templates-{sequence.campaign}-{sequence.name}"


def get(  # noqa: PLR0913 - what a template is found by
    prefect: Prefect,
    notion: NotionGateway,
    sequence: Sequence,
    name: str,
    kept: Artifact | None,
    *,
    fresh: bool,
    life: float,
) -> Template:
    """A template of a sequence, at most `life` seconds old; `fresh` reads it from Notion now.

    `kept` is the artifact of the sequence's `shelf`, as it was just read.

    Raises:
        UnusableTemplateError: Notion has none of that name.
        NotionError: Notion could not be read.
    """
    data: dict[str, Any] = kept.data if kept is not None else {}
    # What is from the future was read by a host's clock, as an earlier release did.
    young = data and abs(prefect.now() - datetime.fromisoformat(data["read_at"])) < timedelta(seconds=life)
    if fresh or not young or name not in data["templates"]:
        templates = _read_with(notion, sequence, name)
        data = {
            "read_at": prefect.now().isoformat(),
            "templates": {one.name: {"subject": one.subject, "html": one.html} for one in templates.values()},
        }
        prefect.replace(kept, data) if kept is not None else prefect.keep(shelf(sequence), KIND, data)
    if name not in data["templates"]:
        problem = f"there is none of that name in {DATABASE!r}"
        raise UnusableTemplateError(name, problem, "Create it in Notion; `./hublab campaign preflight` checks them all")
    return Template(name, **data["templates"][name])
