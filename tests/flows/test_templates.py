"""A template and values become a mail, or an error that says what, where and what to do about it. Pure."""

from __future__ import annotations

from typing import Any

import pytest

from flows.sending import templates
from flows.sending.templates import Template, UnusableTemplateError, render

SUPPLIED = frozenset({"first_name", "link", "objections", "payment_amount"})
VALUES: dict[str, Any] = {"first_name": "<b>Ada & Co</b>", "link": "https://hublab.test/?a=1&b=2"}


def test_values_are_escaped_css_is_inlined_and_there_is_a_text_part() -> None:
    body = "<style>p{color:red}@media(max-width:9px){p{color:blue}}/*{#no comment*/</style>"
    body += "<p>{{first_name}}, <a href='{{link}}'>go</a> {{objections}} {{payment_amount}}</p>"
    values = VALUES | {"objections": ["price", "time"], "payment_amount": 2500.0}
    mail = render(Template("t", "For {{first_name}}", body), values, SUPPLIED)
    assert '<p style="color: red;">&lt;b&gt;Ada &amp; Co&lt;/b&gt;' in mail.html
    assert "@media" in mail.html
    assert "price, time 2500</p>" in mail.html
    assert mail.subject == "For <b>Ada & Co</b>"
    assert "https://hublab.test/?a=1&b=2" in mail.text
    assert "<p" not in mail.text


@pytest.mark.parametrize(
    ("subject", "body", "match"),
    [
        ("x", "{% for i in range(10**9) %}x{% endfor %}", "more than a plain"),
        ("x", "{{ first_name.__class__ }}", "more than a plain"),
        ("x", "{{ first_name or 'friend' }}", "more than a plain"),
        ("x", "{{ first_name | upper }}", "more than a plain"),
        ("x", "{{ first_name | default }}", "more than a plain"),
        ("x", "{{ first_name | default('') }}", "more than a plain"),
        ("x", "{{ first_name | default(link) }}", "more than a plain"),
        ("x", "{{ first_name | default('a', true) }}", "more than a plain"),
        ("x", "{{ first_name | date | default('a') }}", "more than a plain"),
        ("x", "{{ 'Ada' | default('friend') }}", "more than a plain"),
        ("x", "{{ first_name | date }}", "a filter cannot show"),
        ("x", "{% include 'a' %}", "more than a plain"),
        ("x" * 201, "<p>x</p>", "not one line of 1..200"),
        ("a\nb", "<p>x</p>", "not one line"),
        ("x", "<p>" + "x" * 100_001, "bytes, over 100000"),
        ("x", "<img src='https://hublab.test/a.png'>", "shows no text"),
        *(
            ("x", body, "shows no text")
            for body in (
                "<hr>",
                "<ul><li></li></ul>",
                "<h1>&nbsp;</h1>",
                "<p>&#8203;&#65279;</p>",
                "<table><tr><td></td><td></td></tr></table>",
                "<p></p><a href='{{link}}'></a>",
            )
        ),
        ("\u200b", "<p>x</p>", "not one line"),
        ("a\u2028b", "<p>x</p>", "not one line"),
        ("x", "<p>{{objections}}</p>", "{{objections}} has no value"),
    ],
)
def test_what_cannot_become_a_mail_is_an_error(subject: str, body: str, match: str) -> None:
    with pytest.raises(UnusableTemplateError, match=match):
        render(Template("t", subject, body), VALUES | {"objections": []}, SUPPLIED)


@pytest.mark.parametrize(
    ("pasted", "shown"),
    [
        ("Bonjour\u00a0: prêt\u202f?", "Bonjour : prêt ?"),
        ("Klas\u00adse\u200b für\ufeff Ada", "Klasse für Ada"),
        ("\U0001f469\u200d\U0001f4bb \u2709\ufe0f Hi", "\U0001f469\u200d\U0001f4bb \u2709\ufe0f Hi"),
    ],
)
def test_a_subject_as_authors_paste_it_is_one_line(pasted: str, shown: str) -> None:
    assert render(Template("t", pasted, "<p>\U0001f384</p>"), VALUES, SUPPLIED).subject == shown


def test_a_filter_shows_dates_times_and_amounts_and_words_where_a_field_is_empty() -> None:
    body = (
        "{{ when | date }} at {{ when | time }}; {{ day | date }}; {{ amount | number }}; {{ gone | default('& you') }}"
    )
    values = {"when": "2025-12-01T15:05:00Z", "day": "2025-12-01", "amount": 12500.5}
    mail = render(Template("t", "x", body), values, frozenset(values) | {"gone"}, zone="America/Toronto")
    shown = "Monday, December 1, 2025 at 10:05 AM; Monday, December 1, 2025; 12,500.50; &amp; you"
    assert shown in mail.html


def test_a_value_that_is_too_long_is_an_error() -> None:
    with pytest.raises(UnusableTemplateError, match="too long"):
        render(Template("t", "x", "{{first_name}}"), {"first_name": "x" * 5001}, SUPPLIED)


def test_a_code_block_in_a_page_is_the_mails_html() -> None:
    assert templates.from_markdown("A note.\n\n```html\n<p>{{first_name}}</p>\n```\n") == "<p>{{first_name}}</p>\n"
