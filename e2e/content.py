"""What is wrong with a mail as its reader gets it: its envelope, its headers, each word of both parts. Pure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from email.utils import parseaddr, parsedate_to_datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from e2e import filling, reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from e2e.contract import Terms
    from e2e.letter import Letter
    from e2e.outside.notion import Template

_MOST_BYTES = 102_000  # Gmail clips a mail behind that
_MOST_SECONDS = 120.0  # between the date in a mail and its acceptance
_SHOWN_WORDS = 6
_MESSAGE_ID = re.compile(r"<[^<>\s@]+@[^<>\s@]+>")
_HOLE = re.compile(r"\{\{[^{}]*\}\}|\{%[^{}]*%\}|\b(?:None|undefined|NaN|nan)\b|\[object Object\]")
_SHOWN_TAG = re.compile(r"</?[a-zA-Z][^<>]*>|&(?:[a-zA-Z]+|#\d+);")
# Where answers, receipts and errors would go, or whom it says that it is from, unseen by its reader.
_ASIDE = frozenset(
    {"sender", "resent-from", "resent-to", "resent-cc", "resent-bcc", "disposition-notification-to", "errors-to"}
    | {"return-receipt-to", "mail-reply-to", "mail-followup-to", "apparently-to", "x-confirm-reading-to"}
)
_ONE_CLICK = "List-Unsubscribe=One-Click"


@dataclass(frozen=True)
class Wanted:
    """What must have come: the template, for whom, the contact's values, and what holds for all mails."""

    to: str
    template: Template
    values: Mapping[str, str]
    terms: Terms


def problems(letter: Letter, wanted: Wanted, accepted: datetime) -> list[str]:
    """Each difference, in a sentence that names it."""
    return [
        *_envelope(letter, wanted),
        *_headers(letter, wanted, accepted),
        *_body(letter, wanted),
        *_sources(letter, wanted.terms),
    ]


def subject(wanted: Wanted) -> str:
    """The subject that the template and the values make."""
    return filling.subject(wanted.template.subject, _values(wanted, ""), wanted.terms.zone)


def _envelope(letter: Letter, wanted: Wanted) -> Iterator[str]:
    if _who(letter.sender) != _who(wanted.terms.sender):
        yield f"It is from {letter.sender!r}, not from {wanted.terms.sender!r}."
    if tuple(one.lower() for one in letter.to) != (wanted.to,):
        yield f"It went to {_listed(letter.to)}, not to {wanted.to} alone."
    answers = (wanted.terms.reply_to,) if wanted.terms.reply_to else ()
    if tuple(map(_who, letter.reply_to)) != tuple(map(_who, answers)):
        yield f"Answers to it go to {_listed(letter.reply_to)}, not to {_listed(answers)}."
    for name, others in (("cc", letter.cc), ("bcc", letter.bcc)):
        if others:
            yield f"It went to {_listed(others)} as well ({name})."
    due = subject(wanted)
    if letter.subject != due:
        yield f"Its subject is {letter.subject!r}, not {due!r}."


def _who(text: str) -> tuple[str, str]:
    name, address = parseaddr(text)
    return name, address.lower()


def _listed(addresses: Sequence[str]) -> str:
    return ", ".join(addresses) or "nobody"


def _headers(letter: Letter, wanted: Wanted, accepted: datetime) -> Iterator[str]:
    if not _MESSAGE_ID.fullmatch(letter.message_id):
        yield f"Its Message-ID is {letter.message_id!r}, which is none."
    if letter.headers is None:
        return
    found = _one_by_one(letter.headers)
    for name in ("from", "to", "subject", "date", "message-id", "list-unsubscribe", "list-unsubscribe-post"):
        if len(letter.headers.get(name, ())) != 1:
            yield f"It has {len(letter.headers.get(name, ()))} headers {name!r}; one is wanted."
    link = found.get("list-unsubscribe", "")
    if link and not (link[0] + link[-1] == "<>" and wanted.terms.leaves(wanted.to, link[1:-1])):
        yield f"List-Unsubscribe is {link!r}, not the link by which {wanted.to} unsubscribes."
    if found.get("list-unsubscribe-post", _ONE_CLICK) != _ONE_CLICK:
        yield f"List-Unsubscribe-Post is {found['list-unsubscribe-post']!r}, not {_ONE_CLICK!r}."
    for name in sorted(_ASIDE & letter.headers.keys()):
        yield f"It has a header {name!r}, which no mail of ours has: {found[name]}."
    for name in {"cc", "bcc"} & letter.headers.keys():
        yield f"It has a header {name!r}: {found[name]}."
    yield from _dated(found.get("date", ""), accepted)


def _one_by_one(headers: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    return {name: values[0].strip() for name, values in headers.items() if values}


def _dated(text: str, accepted: datetime) -> Iterator[str]:
    try:
        off = abs((parsedate_to_datetime(text) - accepted).total_seconds()) if text else 0.0
    except (TypeError, ValueError):
        yield f"Date is {text!r}, which is none."
        return
    if off > _MOST_SECONDS:
        yield f"Date is {text!r}, {off:.0f} s from when it was accepted."


def _values(wanted: Wanted, link: str) -> dict[str, str]:
    return {**wanted.terms.links, **wanted.values, "unsubscribe_url": link}


def _body(letter: Letter, wanted: Wanted) -> Iterator[str]:
    for name, part in (("HTML", letter.html), ("text", letter.text)):
        if not part.strip():
            yield f"It has no {name} part."
    size = len(letter.html.encode())
    if size > _MOST_BYTES:
        yield f"Its HTML has {size} bytes; {_MOST_BYTES} at most."
    due = filling.html(wanted.template.html, _values(wanted, _link(letter, wanted)), wanted.terms.zone)
    yield from _holes(letter, due)
    if letter.html.strip():
        yield from _html(letter.html, reading.inlined(due))
    if letter.text.strip():
        yield from _text(letter.text, due)


def _link(letter: Letter, wanted: Wanted) -> str:
    """The link by which the reader unsubscribes, wherever it is in the mail; else what it must be like."""
    named = [one.strip("<> ") for one in (letter.headers or {}).get("list-unsubscribe", ())]
    found = [*named, *reading.links(letter.html), *reading.links_of_text(letter.text)]
    own = (one for one in found if wanted.terms.leaves(wanted.to, one))
    return next(own, f"{wanted.terms.public}/unsubscribe/ and a token of {wanted.to}")


def _holes(letter: Letter, due: str) -> Iterator[str]:
    """What no reader must see, unless the author wrote it."""
    wanted = reading.data(due)
    parts = {
        "subject": letter.subject,
        "HTML": f"{reading.data(letter.html)} {' '.join(reading.links(letter.html))}",
        "text": letter.text,
    }
    for name, part in parts.items():
        for what, pattern in (("was not filled in", _HOLE), ("is markup that is shown as text", _SHOWN_TAG)):
            shown = reading.without_addresses(part) if pattern is _SHOWN_TAG else part
            for one in sorted({found[0] for found in pattern.finditer(shown)}):
                if one not in wanted:
                    yield f"{one} {what} in its {name}."


def _html(html: str, due: str) -> Iterator[str]:
    yield from _differ("Its HTML", reading.visible(html), reading.visible(due))
    yield from _each("link", reading.links(html), reading.links(due))
    yield from _each("picture", reading.pictures(html), reading.pictures(due))
    for what, read in (("reaches out by", reading.active), ("hides words by", reading.hiding)):
        for one in sorted(Counter(read(html)) - Counter(read(due))):
            yield f"It {what} {one}, and its template does not."
    more, less = Counter(reading.tags(html)), Counter(reading.tags(due))
    for tag in sorted((more - less) | (less - more)):
        yield f"It has {more[tag]} elements <{tag}>, not {less[tag]}."


def _text(text: str, due: str) -> Iterator[str]:
    yield from _differ("Its text part", reading.words(text), reading.spoken(due))
    # A link without words (a picture's, say) may be missing where there are no pictures.
    found, wanted = reading.links_of_text(text), reading.links(due)
    for link in found:
        if link not in wanted:
            yield f"Its text part leads to {link!r}, and its template does not."
    for link in reading.worded_links(due):
        if link not in found:
            yield f"Its text part does not lead to {link!r}."


def _differ(what: str, found: Sequence[str], wanted: Sequence[str]) -> Iterator[str]:
    """The first place where two texts differ."""
    for kind, a, b, c, d in SequenceMatcher(a=found, b=wanted, autojunk=False).get_opcodes():
        if kind != "equal":
            yield f"{what} reads {_first(found[a:b])} instead of {_first(wanted[c:d])}, behind {_last(found[:a])}."
            return


def _first(words: Sequence[str]) -> str:
    more = " …" if len(words) > _SHOWN_WORDS else ""
    return repr(f"{' '.join(words[:_SHOWN_WORDS])}{more}") if words else "nothing"


def _last(words: Sequence[str]) -> str:
    return repr(" ".join(words[-_SHOWN_WORDS:])) if words else "nothing"


def _each(what: str, found: Sequence[str], wanted: Sequence[str]) -> Iterator[str]:
    if len(found) != len(wanted):
        yield f"It has {len(found)} {what}s, not {len(wanted)}: {', '.join(found) or 'none'}."
        return
    for number, (one, other) in enumerate(zip(found, wanted, strict=True), 1):
        if one != other:
            yield f"Its {what} {number} is {one!r}, not {other!r}."


def _sources(letter: Letter, terms: Terms) -> Iterator[str]:
    """Hosts that are not on the list."""
    named = [*reading.links(letter.html), *reading.links_of_text(letter.text), *reading.pictures(letter.html)]
    hosts = dict.fromkeys(host for one in named if (host := _host(one)))
    for host in hosts:
        if host not in terms.hosts:
            known = ", ".join(sorted(terms.hosts))
            yield f"It leads to {host}, which is not on the list of hosts ({known}); yours are in FUNNEL_LINK_HOSTS."


def _host(link: str) -> str:
    try:
        return urlsplit(link).hostname or ""
    except ValueError:
        return link
