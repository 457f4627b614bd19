"""A mail that is not what its reader must get is refused, and the difference is named."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from e2e import content, filling, letter, reading
from e2e.contract import sequences, terms
from tests.e2e.letters import CALL, HOOKS, TEMPLATE, TERMS, TEXT, TO, leave
from tests.e2e.letters import letter as written

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.letter import Letter

ACCEPTED = datetime(2025, 11, 14, 5, 0, 2, tzinfo=UTC)
GOOD = written(TO, "letter for Ada", ACCEPTED)
LINK = leave(TO)
OTHERS = leave("else@example.com")
WANTED = content.Wanted(TO, TEMPLATE, sequences()["signup"].variables(TO), TERMS)


def found(one: Letter) -> list[str]:
    return content.problems(one, WANTED, ACCEPTED)


def both(old: str, new: str) -> Letter:
    """The same words changed in both parts."""
    assert old in GOOD.html
    return replace(GOOD, html=GOOD.html.replace(old, new), text=GOOD.text.replace(old, new))


def html(old: str, new: str) -> Letter:
    assert old in GOOD.html
    return replace(GOOD, html=GOOD.html.replace(old, new))


def text(old: str, new: str) -> Letter:
    assert old in GOOD.text
    return replace(GOOD, text=GOOD.text.replace(old, new))


def header(name: str, *values: str) -> Letter:
    return replace(GOOD, headers={**(GOOD.headers or {}), name: values})


def test_mail_as_it_should_be() -> None:
    assert found(GOOD) == []


def test_mail_whose_headers_nobody_shows_is_judged_by_the_rest() -> None:
    assert found(replace(GOOD, headers=None)) == []
    assert found(replace(GOOD, headers=None, bcc=("x@example.com",))) == ["It went to x@example.com as well (bcc)."]


WRONG: dict[str, tuple[Callable[[], Letter], str]] = {
    "another text altogether": (
        lambda: replace(GOOD, html="<p>Buy now! Ada, Salon &amp; Co, 2, 61, CRITICAL</p>", text="Buy now!"),
        "It has 0 links, not 2: none.",
    ),
    "another text altogether, its words": (
        lambda: replace(GOOD, html="<p>Buy now!</p>", text="Buy now!"),
        "Its HTML reads 'Buy now!' instead of 'Hello Ada of Salon & Co, …', behind nothing.",
    ),
    "an empty link to unsubscribe": (
        lambda: html(f'"{LINK}"', '""'), f"Its link 2 is '', not '{LINK}'."
    ),
    "a link to unsubscribe at a stranger's": (
        lambda: both(LINK, "https://evil.test/unsubscribe/x"),
        f"Its link 2 is 'https://evil.test/unsubscribe/x', not '{LINK}'.",
    ),
    "a stranger's host": (lambda: both(LINK, "https://evil.test/x"), "It leads to evil.test, which is not on the list"),
    "nine for two": (lambda: both("red: 2,", "red: 9,"), "Its HTML reads '9,' instead of '2,', behind"),
    "nine for two in the text part": (
        lambda: text("red: 2,", "red: 9,"), "Its text part reads '9,' instead of '2,', behind"
    ),
    "a leaked None": (lambda: both("Salon &amp; Co", "None"), "None was not filled in in its HTML."),
    "a leaked None in the subject": (
        lambda: replace(GOOD, subject="letter for None"), "Its subject is 'letter for None', not 'letter for Ada'."
    ),
    "a blind copy": (lambda: replace(GOOD, bcc=("x@example.com",)), "It went to x@example.com as well (bcc)."),
    "a copy": (lambda: replace(GOOD, cc=("x@example.com",)), "It went to x@example.com as well (cc)."),
    "a header Bcc": (lambda: header("bcc", "x@example.com"), "It has a header 'bcc': x@example.com."),
    "another recipient": (lambda: replace(GOOD, to=("else@example.com",)), f"It went to else@example.com, not to {TO}"),
    "somebody else's mail": (
        lambda: both(LINK, OTHERS), f"Its link 2 is '{OTHERS}', not '{LINK}'."
    ),
    "another sender": (
        lambda: replace(GOOD, sender="Hublab <x@hublab.test>"), "It is from 'Hublab <x@hublab.test>', not from"
    ),
    "another sender's name": (
        lambda: replace(GOOD, sender="Eve <hello@hublab.test>"), "It is from 'Eve <hello@hublab.test>', not from"
    ),
    "answers to a stranger": (
        lambda: replace(GOOD, reply_to=("x@example.com",)), "Answers to it go to x@example.com, not to nobody."
    ),
    "another subject": (lambda: replace(GOOD, subject="x"), "Its subject is 'x', not 'letter for Ada'."),
    "no HTML": (lambda: replace(GOOD, html=""), "It has no HTML part."),
    "no text part": (lambda: replace(GOOD, text=" \n"), "It has no text part."),
    "a hole": (lambda: html("Ada", "{{first_name}}"), "{{first_name}} was not filled in in its HTML."),
    "a hole in a link": (
        lambda: html(CALL, "{{calendly_link}}"), "{{calendly_link}} was not filled in in its HTML."
    ),
    "a hole in the text part": (
        lambda: text("Ada", "{{ first_name }}"), "{{ first_name }} was not filled in in its text."
    ),
    "a tag that is shown": (
        lambda: html("Salon &amp; Co", "Salon &amp;amp; Co"), "&amp; is markup that is shown as text in its HTML."
    ),
    "a tag in the text part": (
        lambda: text("Ada", "<b>Ada</b>"), "</b> is markup that is shown as text in its text."
    ),
    "a script": (
        lambda: html("</body>", "<script>1</script></body>"), "It has 1 elements <script>, not 0."
    ),
    "a picture of a stranger's": (
        lambda: html("</body>", '<img src="https://spy.test/1.gif"></body>'),
        "It has 2 pictures, not 1: https://img.hublab.test/a.png, https://spy.test/1.gif.",
    ),
    "a background of a stranger's": (
        lambda: html('style="color: #222">red', 'style="background: url(https://spy.test/2.gif)">red'),
        "It leads to spy.test, which is not on the list",
    ),
    "words that are hidden": (
        lambda: html("<h1>", '<h1 style="display: none">'),
        "Its HTML reads nothing instead of 'Hello Ada of Salon & Co,'"
    ),
    "words that should be hidden": (
        lambda: html(' display: none;">', '">'), "Its HTML reads 'A word before' instead of nothing, behind nothing."
    ),
    "more at its end": (lambda: both("Unsubscribe<", "Unsubscribe now<"), "Its HTML reads 'now' instead of nothing"),
    "too large": (
        lambda: html("</style>", f"/* {'x' * 102_000} */</style>"), "bytes; 102000 at most."
    ),
    "no link in the text part": (
        lambda: text(f"[Book a call]({CALL})", "Book a call"), f"Its text part does not lead to '{CALL}'."
    ),
    "another link in the text part": (
        lambda: text(CALL, f"{HOOKS}/other"), f"Its text part leads to '{HOOKS}/other', and its template does not."
    ),
    "no one click": (
        lambda: header("list-unsubscribe-post"), "It has 0 headers 'list-unsubscribe-post'; one is wanted."
    ),
    "another click": (
        lambda: header("list-unsubscribe-post", "yes"),
        "List-Unsubscribe-Post is 'yes', not 'List-Unsubscribe=One-Click'."
    ),
    "no header to unsubscribe": (
        lambda: header("list-unsubscribe"), "It has 0 headers 'list-unsubscribe'; one is wanted."
    ),
    "a header that unsubscribes another": (
        lambda: header("list-unsubscribe", f"<{OTHERS}>"), f"List-Unsubscribe is '<{OTHERS}>', not the link"
    ),
    "a header without brackets": (lambda: header("list-unsubscribe", LINK), f"List-Unsubscribe is '{LINK}', not"),
    "a header in other brackets": (
        lambda: header("list-unsubscribe", f"({LINK})"),
        f"List-Unsubscribe is '({LINK})', not",
    ),
    "two subjects": (
        lambda: header("subject", "letter for Ada", "x"), "It has 2 headers 'subject'; one is wanted."
    ),
    "no message": (lambda: replace(GOOD, message_id=""), "Its Message-ID is '', which is none."),
    "a date of yesterday": (
        lambda: header("date", "Thu, 13 Nov 2025 05:00:02 +0000"), "86400 s from when it was accepted."
    ),
    "no date": (lambda: header("date", "soon"), "Date is 'soon', which is none."),
    "a header for receipts": (
        lambda: header("disposition-notification-to", "spy@evil.test"),
        "It has a header 'disposition-notification-to', which no mail of ours has: spy@evil.test."
    ),
    "another sender behind the first": (lambda: header("sender", "spy@evil.test"), "It has a header 'sender', which"),
    "a host of other letters": (
        lambda: both(LINK, LINK.replace("hooks", "h\u043e\u043eks")), "Its link 2 is 'https://h\u043e\u043eks.hublab.test"
    ),
    "a placeholder in the subject alone": (
        lambda: replace(GOOD, subject="letter for {{ first_name }}"),
        "{{ first_name }} was not filled in in its subject.",
    ),
    "words that are invisible": (
        lambda: html("<h1>", '<h1 style="visibility : HIDDEN">'), "It hides words by <h1> visibility : HIDDEN, and its"
    ),
    "words without size": (lambda: html("<h1>", '<h1 style="font-size:0px">'), "It hides words by <h1> font-size:0"),
    "words that are transparent": (
        lambda: html("<h1>", '<h1 style="opacity:0.0">'), "It hides words by <h1> opacity:0"
    ),
    "words without size by the style sheet": (
        lambda: html("</style>", "h1 { max-height: 0 }</style>"), "It hides words by <h1> max-height: 0"
    ),
    "a click that is told to a stranger": (
        lambda: html("<a ", '<a ping="https://spy.test/" '), 'It reaches out by <a ping="https://spy.test/">, and'
    ),
    "a script in an attribute": (lambda: html("<h1>", '<h1 onclick="x()">'), 'It reaches out by <h1 onclick="x()">'),
    "a picture of another source": (
        lambda: html("<h1>", '<h1 srcset="https://spy.test/a 2x">'), "It reaches out by <h1 srcset="
    ),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_mail_is_refused_and_the_difference_named(wrong: str) -> None:
    make, said = WRONG[wrong]
    problems = found(make())
    assert any(said in one for one in problems), problems


def test_filters_of_a_template_are_filled_in_by_the_contract() -> None:
    values = {"when": "2025-12-01T22:05:00Z", "day": "2025-12-01", "much": "12000", "less": "2.5", "none": ""}
    made = filling.html(
        "{{ when | date }} {{ when|time }} {{day | date}} {{much | number}} {{less | number}} "
        '{{ none | default("you & me") }} {{unknown}}',
        values,
        "America/Toronto",
    )
    assert made == "Monday, December 1, 2025 5:05 PM Monday, December 1, 2025 12,000 2.50 you &amp; me {{unknown}}"
    assert filling.subject("for {{ x }}", {"x": "a\n b" + "c" * 80}) == "for a b" + "c" * 56 + "…"


def test_what_a_template_means_for_both_parts_is_read_alike() -> None:
    rows = "<table><tr><td>one</td><td>two</td></tr></table><p>50% off - 1. and_more</p><hr>"
    assert reading.spoken(rows) == reading.words("one | two\n---|---\n\n50% off - 1\\. and_more\n\n* * *")
    assert reading.words(TEXT)[:3] == ["A", "word", "before"]


def test_what_a_mail_may_link_to_is_read_from_the_settings() -> None:
    made = terms(
        {"HUBLAB_PUBLIC_URL": "https://h.test/", "FUNNEL_LINK_HOSTS": "A.test, b.test", "HUBLAB_SENDER": "x@y.z"}
    )
    assert {"h.test", "a.test", "b.test", "calendly.com"} <= made.hosts
    assert made.leaves(TO, leave(TO, "https://h.test"))
    assert not made.leaves(TO, leave("x" + TO, "https://h.test"))
    assert not made.leaves(TO, "https://h.test/unsubscribe/%%%")


def test_original_is_read_with_its_headers() -> None:
    raw = b'From: "B" <a@b.c>\r\nTo: d@e.f, "G, H" <g@e.f>\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n'
    raw += b"List-Unsubscribe:\r\n <https://h>\r\nMessage-ID: <1@2>\r\nX: 1\r\nX: 2\r\n\r\nhi"
    one = letter.received(raw)
    assert (one.to, one.bcc, one.message_id, one.subject) == (("d@e.f", "g@e.f"), (), "<1@2>", "grüße")
    assert (one.sender, one.html, one.text.strip()) == ("B <a@b.c>", "", "hi")
    assert one.headers is not None
    assert (one.headers["list-unsubscribe"], one.headers["x"]) == (("<https://h>",), ("1", "2"))
