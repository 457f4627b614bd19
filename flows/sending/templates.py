"""A Notion template and variables become a mail, or an error. Pure: no client, no Prefect.

Only `{{ variable }}` is understood, alone or with one filter of a closed list: `| default("words")` for what may be
empty, `| date`, `| time`, `| number`. So a mail cannot have a hole in it, and its size is bounded.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from jinja2 import StrictUndefined, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from flows.sending import filters

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_SUBJECT = 200  # of the author's own words; a value in a subject is shortened, so that none can make it too long
MAX_IN_SUBJECT = 60
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


@cache
def _environment(zone: str, *, escape: bool) -> ImmutableSandboxedEnvironment:
    # A style sheet may contain `{#`, which must not begin a comment.
    made = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=escape,
        comment_start_string="{#hublab",
        comment_end_string="hublab#}",
        keep_trailing_newline=True,
    )
    made.filters = dict(filters.of(zone))
    return made


UTC = "UTC"
_JOINED = "\u200d"  # between the parts of one emoji
_MARKS = re.compile(r"\]\([^)]*\)|<[^>]*>")  # where a link of the text part leads
_VARIABLE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_HALF = re.compile(r"\{\s*(\w+)\s*(?:\|[^{}]*)?\}")  # a variable of which a brace was forgotten
_ALLOWED = (nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Filter, nodes.Const)


def _plain(node: nodes.Node) -> bool:
    """Whether a node is what a template may have: a filter only of the list, behind a variable, with its own words."""
    if not isinstance(node, nodes.Filter):
        return isinstance(node, _ALLOWED)
    words = [one.value for one in node.args if isinstance(one, nodes.Const)]
    wanted = 1 if node.name == "default" else 0
    good = len(node.args) == len(words) == wanted and all(isinstance(one, str) and one.strip() for one in words)
    extra = node.kwargs or node.dyn_args or node.dyn_kwargs
    return node.name in filters.NAMES and isinstance(node.node, nodes.Name) and good and not extra


def _parsed(template: Template, part: str, source: str) -> tuple[frozenset[str], frozenset[str]]:
    """The variables that a part names, and those it cannot do without.

    Raises:
        UnusableTemplateError: anything but `{{ variable }}` and the filters.
    """
    if not source.strip():
        raise UnusableTemplateError(template.name, f"its {part} is empty", f"Fill in its {part} in Notion")
    try:
        tree = _environment(UTC, escape=False).parse(source)
    except TemplateError as error:
        problem = f"its {part} cannot be read: {(error.message or '').rstrip('.')}"
        raise UnusableTemplateError(template.name, problem, "Correct it in Notion") from None
    for node in [tree, *tree.find_all(nodes.Node)]:
        if not _plain(node):
            problem = f"its {part} has, in line {node.lineno}, more than a plain {{{{variable}}}}"
            remedy = f"Only {{{{variable}}}} is allowed, and one of | {', | '.join(sorted(filters.NAMES))}"
            raise UnusableTemplateError(template.name, problem, f"{remedy}; correct it in Notion")
    spared = {id(node.node) for node in tree.find_all(nodes.Filter) if node.name == "default"}
    names = list(tree.find_all(nodes.Name))
    return frozenset(one.name for one in names), frozenset(one.name for one in names if id(one) not in spared)


def variables(template: Template) -> frozenset[str]:
    """The variables that a template uses.

    Raises:
        UnusableTemplateError: an empty part, or one with more in it than `{{ variable }}`.
    """
    return _both(template)[0]


def _both(template: Template) -> tuple[frozenset[str], frozenset[str]]:
    subject = _parsed(template, "Subject Line", template.subject)
    body = _parsed(template, "Email Body HTML", template.html)
    return subject[0] | body[0], subject[1] | body[1]


def check(template: Template, supplied: frozenset[str]) -> None:
    """Make sure that a sequence supplies what the template names, and that none of it would be sent as it is.

    Raises:
        UnusableTemplateError: a variable that the sequence does not supply, or in single braces, or as `variables`.
    """
    unknown = variables(template) - supplied
    if unknown:
        problem = f"it names {{{{{min(unknown)}}}}}, which its sequence does not supply"
        raise UnusableTemplateError(template.name, problem, f"Use one of {', '.join(sorted(supplied))}")
    for half in _HALF.finditer(_VARIABLE.sub("", f"{template.subject}\n{template.html}")):
        if half[1] in supplied:
            remedy = f"Write {{{{{half[1]}}}}}, with two braces on each side"
            raise UnusableTemplateError(template.name, f"it has {half[0]}, which would be sent as it is", remedy)


def render(template: Template, values: Mapping[str, Any], supplied: frozenset[str], *, zone: str = UTC) -> Rendered:
    """The mail that the template and the values make, with dates and times as they are in `zone`.

    Raises:
        UnusableTemplateError: an unknown variable, a value that is missing or empty, a part that is empty or too long.
    """
    check(template, supplied)
    named, needed = _both(template)
    shown = {name: _shown(template, name, values.get(name), empty=name not in needed) for name in named}
    short = {name: _shortened(value) for name, value in shown.items()}
    subject = _line(_filled(template, template.subject, short, _environment(zone, escape=False)))
    too_long = len(_VARIABLE.sub("", template.subject)) > MAX_SUBJECT
    if not subject or too_long or not subject.replace(_JOINED, "").isprintable():
        problem = f"its subject is not one line of 1..{MAX_SUBJECT} characters"
        raise UnusableTemplateError(template.name, problem, "Shorten its Subject Line in Notion")
    html = _inlined(template, _filled(template, template.html, shown, _environment(zone, escape=True)))
    size = len(html.encode())
    if size > MAX_HTML:
        problem = f"its body has {size} bytes, over {MAX_HTML}"
        raise UnusableTemplateError(template.name, problem, "Shorten its Email Body HTML in Notion")
    text = _text(html)
    if not _says(_MARKS.sub("", text)):
        raise UnusableTemplateError(template.name, "its body shows no text", "Fill in its Email Body HTML in Notion")
    return Rendered(subject, html, text)


def _line(text: str) -> str:
    """A subject as authors paste it: each blank, of whatever kind, a plain one, without what nothing shows."""
    kinds = ((one, unicodedata.category(one)) for one in text)
    return "".join(" " if kind == "Zs" else one for one, kind in kinds if one == _JOINED or kind != "Cf").strip()


def _says(text: str) -> bool:
    """Whether a text has a letter, a digit or a picture in it, not only signs and lines."""
    return any(one.isalnum() or unicodedata.category(one) == "So" for one in text)


def _shortened(value: str) -> str:
    """A value as a subject holds it: in one line, and its first words where there are many."""
    text = " ".join(value.split())
    return text if len(text) <= MAX_IN_SUBJECT else f"{text[: MAX_IN_SUBJECT - 1].rstrip()}…"


def _filled(template: Template, source: str, shown: dict[str, str], made: ImmutableSandboxedEnvironment) -> str:
    try:
        return made.from_string(source).render(shown)
    except ValueError as error:
        problem = f"a filter cannot show its variable: {error}"
        raise UnusableTemplateError(
            template.name, problem, "Use the filter only where it fits; see it in Notion"
        ) from None


def _shown(template: Template, name: str, value: Any, *, empty: bool) -> str:
    if isinstance(value, list):
        value = ", ".join(str(item) for item in value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    shown = "" if value is None else str(value).strip()
    if empty and not shown:
        return ""
    if not shown or len(shown) > MAX_VALUE:
        problem = f"{{{{{name}}}}} has no value for this enrolment" if not shown else f"{{{{{name}}}}} is too long"
        remedy = f'Correct the enrolment\'s data, or write {{{{{name} | default("…")}}}} in the template'
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
