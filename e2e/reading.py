"""What is read in HTML and in a text part: its words, and where its links lead. Pure."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import css_inline
from inscriptis import get_text

_STYLED_URL = re.compile(r"url\(\s*['\"]?([^'\")]*)")
# Attributes that load, send or tell, beside those that `pictures` and `links` know.
_ACTIVE = frozenset({"srcset", "ping", "poster", "action", "formaction", "data", "http-equiv", "xlink:href", "srcdoc"})
_HIDING = re.compile(
    r"(?<![\w-])(?:visibility\s*:\s*(?:hidden|collapse)|(?:opacity|font-size|max-height|max-width)\s*:\s*0(?![.\d]*[1-9])"
    r"|color\s*:\s*transparent|text-indent\s*:\s*-[^;]+|clip(?:-path)?\s*:\s*[^;]+)",
    re.IGNORECASE,
)
_TARGET = re.compile(r"\]\(\s*<?([^)>\s]*)>?(?:\s+\"[^\"]*\")?\s*\)|<((?:https?|mailto):[^>\s]*)>")
_RULER = re.compile(r"^[\s|:\-*_]*$", re.MULTILINE)
# What Markdown adds to words. It goes on both sides, since an author may write it as well.
_MARKS = str.maketrans({**dict.fromkeys("\\*_#`~<>[]()", ""), "|": " "})


class _Tags(HTMLParser):
    """Every element with its attributes, in order."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.styles: list[str] = []
        self.worded: list[str] = []
        self.data: list[str] = []
        self._link = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag == "a":
            self._link = self.found[-1][1].get("href", "")

    def handle_endtag(self, tag: str) -> None:
        self._link = "" if tag == "a" else self._link

    def handle_data(self, data: str) -> None:
        if self.lasttag == "style":
            self.styles.append(data)
            return
        self.data.append(data)
        if self._link and data.strip():
            self.worded.append(self._link)


def inlined(html: str) -> str:
    """HTML as mail programs show it best: the rules of its style sheet at each element."""
    return str(css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False).inline(html))


def visible(html: str) -> list[str]:
    """The words that are to be seen; what `display: none` hides is not among them."""
    return str(get_text(html)).split() if html.strip() else []


def data(html: str) -> str:
    """All text in HTML, hidden or not, read once: what was escaped twice still is."""
    return " ".join(" ".join(_Tags(html).data).split())


def spoken(html: str) -> list[str]:
    """The words as a text part has them: those that the style sheet hides as well, without Markdown's own signs."""
    plain = re.sub(r"\sstyle\s*=\s*(\"[^\"]*\"|'[^']*')", " ", html)
    return _bare(str(get_text(plain)))


def words(text: str) -> list[str]:
    """The words of a text part, in Markdown or plain: without its signs, and without where its links lead."""
    return _bare(_TARGET.sub(lambda found: f"] {found[2] or ''} ", text))


def _bare(text: str) -> list[str]:
    return _RULER.sub("", text).translate(_MARKS).split()


def tags(html: str) -> list[str]:
    """The names of its elements, in order, but for style sheets: whether one is left, inlining decides."""
    return [tag for tag, _ in _Tags(html).found if tag != "style"]


def links(html: str) -> list[str]:
    """Where its links lead, in order; an empty one is one as well."""
    return [given.get("href", "") for tag, given in _Tags(html).found if tag in {"a", "area"}]


def worded_links(html: str) -> list[str]:
    """Where the links lead that have words of their own, in order."""
    parsed = _Tags(html)
    return [one for one in parsed.worded if one]


def without_addresses(text: str) -> str:
    """A text without the addresses that Markdown puts between angle brackets."""
    return _TARGET.sub(" ", text)


def pictures(html: str) -> list[str]:
    """What it loads from elsewhere: pictures, backgrounds and what a style sheet names."""
    parsed = _Tags(html)
    named = [one for _, given in parsed.found for name in ("src", "background") if (one := given.get(name))]
    styled = [*(given.get("style", "") for _, given in parsed.found), *parsed.styles]
    return named + [one for style in styled for one in _STYLED_URL.findall(style)]


def active(html: str) -> list[str]:
    """What else reaches out, or runs, from an attribute: in a mail that is as its author wrote it, nothing more."""
    return [
        f'<{tag} {name}="{value}">'
        for tag, given in _Tags(html).found
        for name, value in given.items()
        if name.startswith("on") or name in _ACTIVE
    ]


def hiding(html: str) -> list[str]:
    """How words are kept from the eye although they are laid out: each element's, style sheet included."""
    found = []
    for tag, given in _Tags(inlined(html)).found:
        found += [f"<{tag}> {' '.join(one.split())}" for one in _HIDING.findall(given.get("style", ""))]
        found += [f"<{tag}> hidden"] if "hidden" in given else []
    return found


def links_of_text(text: str) -> list[str]:
    """Where the links of a text part lead, in order."""
    return [one or other for one, other in _TARGET.findall(text)]
