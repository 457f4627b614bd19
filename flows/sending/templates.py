"""A Notion template and variables become a mail, or an error. Pure: no client, no Prefect.

Only `{{ variable }}` is understood: no default text, no loop, no filter. So a mail cannot have a hole in it, and its
size is bounded by its parts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SUBJECT = 200
MAX_HTML = 100_000  # Gmail clips a mail at about 102 KB
MAX_VALUE = 5_000
DATABASE = "Email Templates"


class UnusableTemplateError(Exception):
    """A template that cannot become a mail; names the template, the database and, where there is one, the variable."""

    def __init__(self, template: str, problem: str, remedy: str) -> None:
        """`problem` says what is wrong, `remedy` what the operator does about it."""
        super().__init__(f"template {template!r} in the Notion database {DATABASE!r}: {problem}. {remedy}")
        self.template, self.problem = template, problem


@dataclass(frozen=True)
class Template:
    """A template as Notion has it."""

    name: str
    subject: str
    html: str


@dataclass(frozen=True)
class Rendered:
    """A mail's content, complete."""

    subject: str
    html: str
    text: str


def _environment(*, escape: bool) -> ImmutableSandboxedEnvironment:
    # A style sheet may contain `{#`, which must not begin a comment.
    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=escape,
        comment_start_string="{#hublab",
        comment_end_string="hublab#}",
        keep_trailing_newline=True,
    )


_HTML, _SUBJECT = _environment(escape=True), _environment(escape=False)
_ALLOWED = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name)


def _parsed(template: Template, part: str, source: str) -> frozenset[str]:
    """The variables that a part names; raises UnusableTemplateError for anything but `{{ variable }}`."""
    if not source.strip():
        raise UnusableTemplateError(template.name, f"its {part} is empty", f"Fill in its {part} in Notion")
    try:
        tree = _SUBJECT.parse(source)
    except TemplateError as error:
        problem = f"its {part} cannot be read: {error.message}"
        raise UnusableTemplateError(template.name, problem, "Correct it in Notion") from None
    for node in [tree, *tree.find_all(nodes.Node)]:
        if not isinstance(node, _ALLOWED):
            problem = f"its {part} has, in line {node.lineno}, more than a plain {{{{variable}}}}"
            raise UnusableTemplateError(template.name, problem, "Only {{variable}} is allowed; correct it in Notion")
    return frozenset(node.name for node in tree.find_all(nodes.Name))


def variables(template: Template) -> frozenset[str]:
    """The variables that a template uses.

    Raises:
        UnusableTemplateError: an empty part, or one with more in it than `{{ variable }}`.
    """
    return _parsed(template, "Subject Line", template.subject) | _parsed(template, "Email Body HTML", template.html)


def check(template: Template, supplied: frozenset[str]) -> None:
    """Make sure that a sequence supplies what the template names.

    Raises:
        UnusableTemplateError: a variable that the sequence does not supply, or as `variables`.
    """
    unknown = variables(template) - supplied
    if unknown:
        problem = f"it names {{{{{min(unknown)}}}}}, which its sequence does not supply"
        raise UnusableTemplateError(template.name, problem, f"Use one of {', '.join(sorted(supplied))}")


def render(template: Template, values: Mapping[str, Any], supplied: frozenset[str]) -> Rendered:
    """The mail that the template and the values make.

    Raises:
        UnusableTemplateError: an unknown variable, a value that is missing or empty, a part that is empty or too long.
    """
    check(template, supplied)
    shown = {name: _shown(template, name, values.get(name)) for name in variables(template)}
    subject = _SUBJECT.from_string(template.subject).render(shown).strip()
    if not subject or len(subject) > MAX_SUBJECT or not subject.isprintable():
        problem = f"its subject is not one line of 1..{MAX_SUBJECT} characters"
        raise UnusableTemplateError(template.name, problem, "Shorten its Subject Line in Notion")
    html = _inlined(template, _HTML.from_string(template.html).render(shown))
    size = len(html.encode())
    if size > MAX_HTML:
        problem = f"its body has {size} bytes, over {MAX_HTML}"
        raise UnusableTemplateError(template.name, problem, "Shorten its Email Body HTML in Notion")
    text = _text(html)
    if not text:
        raise UnusableTemplateError(template.name, "its body shows no text", "Fill in its Email Body HTML in Notion")
    return Rendered(subject, html, text)


def _shown(template: Template, name: str, value: Any) -> str:
    if isinstance(value, list):
        value = ", ".join(str(item) for item in value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    shown = "" if value is None else str(value).strip()
    if not shown or len(shown) > MAX_VALUE:
        problem = f"{{{{{name}}}}} has no value for this enrolment" if not shown else f"{{{{{name}}}}} is too long"
        remedy = "Correct the enrolment's data, or take the variable out of the template"
        raise UnusableTemplateError(template.name, problem, remedy)
    return shown


def _inlined(template: Template, html: str) -> str:
    import css_inline  # noqa: PLC0415 - only what renders needs it

    try:
        return str(css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False).inline(html))
    except (css_inline.InlineError, ValueError) as error:
        raise UnusableTemplateError(
            template.name, f"its CSS cannot be inlined: {error}", "Correct it in Notion"
        ) from None


def _text(html: str) -> str:
    import html2text  # noqa: PLC0415 - only what renders needs it

    maker = html2text.HTML2Text(bodywidth=0)
    maker.ignore_images = True
    return str(maker.handle(html)).strip()


def from_markdown(markdown: str) -> str:
    """HTML of a page's own content: code blocks as they are, where there is one; else the text, converted."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - only templates kept as page content need it

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    # A `{{variable}}` in a link's address must stay as it is.
    parser.normalizeLink = str  # type: ignore[method-assign, assignment]
    blocks = [token.content for token in parser.parse(markdown) if token.type == "fence"]
    return "".join(blocks) if blocks else str(parser.render(markdown))
