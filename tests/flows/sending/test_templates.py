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
        ("x", "{{ first_name | default('a', boolean=true) }}", "more than a plain"),
        ("x", "{{ first_name | default('a', *link) }}", "more than a plain"),
        ("x", "{{ first_name | default('a', **link) }}", "more than a plain"),
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


FIRST = frozenset({"first_name", "link"})


@pytest.mark.parametrize(
    ("subject", "body", "told"),
    [
        ("", "<p>x</p>", "its Subject Line is empty. Fill in its Subject Line in Notion"),
        ("x", " \n", "its Email Body HTML is empty. Fill in its Email Body HTML in Notion"),
        (
            "{{ first_name",
            "<p>x</p>",
            (
                "its Subject Line cannot be read: unexpected end of template, expected 'end of print statement'. "
                "Correct it in Notion"
            ),
        ),
        (
            "x",
            "<p>\n{{ first_name.name }}</p>",
            (
                "its Email Body HTML has, in line 2, more than a plain {{variable}}. Only {{variable}} is allowed, "
                "and one of | date, | default, | number, | time; correct it in Notion"
            ),
        ),
        (
            "x",
            "{{ name }} {{ frist_name }} {{ frist_name | default('you') }}",
            "it names {{frist_name}}, which its sequence does not supply. Use one of first_name, link",
        ),
        *(
            (
                subject,
                body,
                f"it has {half}, which would be sent as it is. Write {{{{first_name}}}}, with two braces on each side",
            )
            for subject, body, half in (
                ("x", "<p>Dear {first_name}}, {{\nlink\n}}</p>", "{first_name}"),
                ("{ first_name }", "<p>x</p>", "{ first_name }"),
                ("x", "<p>Dear {first_name | default('you')}</p>", "{first_name | default('you')}"),
            )
        ),
        (
            "x" * 201,
            "<p>x</p>",
            "its subject is not one line of 1..200 characters. Shorten its Subject Line in Notion",
        ),
        (
            "x",
            "<p>{{ first_name | date }}</p>",
            (
                "a filter cannot show its variable: Invalid isoformat string: 'Ada'. "
                "Use the filter only where it fits; see it in Notion"
            ),
        ),
        (
            "{{ first_name | time }}",
            "<p>x</p>",
            (
                "a filter cannot show its variable: Invalid isoformat string: 'Ada'. "
                "Use the filter only where it fits; see it in Notion"
            ),
        ),
        (
            "x",
            "<p>{{ link }}</p>",
            (
                "{{link}} has no value for this enrolment. "
                """Correct the enrolment's data, or write {{link | default("…")}} in the template"""
            ),
        ),
        ("x", "<p></p>", "its body shows no text. Fill in its Email Body HTML in Notion"),
        # Half a character, as some editors leave it.
        (
            "x",
            "<p>\ud83c</p>",
            (
                "its CSS cannot be inlined: 'utf-8' codec can't encode character '\\ud83c' in position 3: "
                "surrogates not allowed. Correct it in Notion"
            ),
        ),
    ],
)
def test_an_author_is_told_which_template_what_is_wrong_and_what_to_do(subject: str, body: str, told: str) -> None:
    with pytest.raises(UnusableTemplateError) as refusal:
        render(Template("welcome", subject, body), {"first_name": "Ada"}, FIRST)
    assert str(refusal.value) == f"template 'welcome' in the Notion database 'Email Templates': {told}"
    assert refusal.value.template == "welcome"
    assert told.startswith(f"{refusal.value.problem}. ")


def test_braces_of_a_style_sheet_and_of_no_variable_are_an_authors_own() -> None:
    body = "<style>.a{color:red}@media print{.a{color:blue}}</style><p class=a>{this} is {{\nfirst_name\n}} {}</p>"
    assert "{this} is Ada {}" in render(Template("t", "{x}", body), {"first_name": "Ada"}, FIRST).html


def test_the_names_that_a_template_uses_are_those_of_both_its_parts() -> None:
    made = Template("t", "{{ first_name }}", "{{ link }} {{ gone | default('x') }}")
    assert templates.variables(made) == {"first_name", "link", "gone"}


def test_a_field_that_is_shown_with_words_in_one_place_and_without_in_another_must_have_a_value() -> None:
    made = Template("t", "{{ first_name | default('you') }}", "<p>{{ first_name }}</p>")
    with pytest.raises(UnusableTemplateError, match="first_name}} has no value"):
        render(made, {}, FIRST)
    assert render(Template("t", "Hi {{ first_name | default('you') }}", "<p>x</p>"), {}, FIRST).subject == "Hi you"


@pytest.mark.parametrize(
    ("value", "shown"),
    [("A" * 60, "A" * 60), ("A" * 61, "A" * 59 + "…"), ("A" * 58 + " BCD", "A" * 58 + "…"), ("Ada\n  Co", "Ada Co")],
)
def test_a_value_in_a_subject_is_one_line_and_its_first_words_where_it_is_long(value: str, shown: str) -> None:
    mail = render(Template("t", "For {{first_name}}", "<pre>{{first_name}}</pre>"), {"first_name": value}, FIRST)
    assert mail.subject == f"For {shown}"
    assert f"<pre>{value}</pre>" in mail.html


def test_only_an_authors_own_words_count_for_the_length_of_a_subject() -> None:
    for words in ("x" * 199, "{{ link }}" + "x" * 199):
        mail = render(
            Template("t", f"{words}{{{{first_name}}}}!", "<p>x</p>"), VALUES | {"first_name": "A" * 60}, FIRST
        )
        assert mail.subject.endswith("x" + "A" * 60 + "!")
    with pytest.raises(UnusableTemplateError, match=r"not one line of 1\.\.200"):
        render(Template("t", "x" * 200 + "{{first_name}}!", "<p>x</p>"), VALUES, FIRST)


def test_a_body_is_measured_in_the_bytes_that_are_sent() -> None:
    around = len(render(Template("t", "x", "<p>x"), {}, FIRST).html) - 1
    longest = render(Template("t", "x", "<p>" + "x" * (100_000 - around)), {}, FIRST)
    assert len(longest.html) == 100_000
    for more in ("x" * (100_001 - around), "é" * 50_000):
        with pytest.raises(
            UnusableTemplateError, match=r"^template 't' in .*: its body has 1000\d\d bytes, over 100000\. Short"
        ):
            render(Template("t", "x", f"<p>{more}"), {}, FIRST)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("x" * 5_000, "x" * 5_000),
        (" Ada ", "Ada"),
        (0, "0"),
        (False, "False"),
        (2.0, "2"),
        (2.5, "2.5"),
        (["a", 1, "b"], "a, 1, b"),
    ],
)
def test_a_value_is_shown_as_it_would_be_written(value: Any, shown: str) -> None:
    assert f"<p>{shown}</p>" in render(Template("t", "x", "<p>{{link}}</p>"), {"link": value}, FIRST).html


@pytest.mark.parametrize("empty", [None, "", "  ", []])
def test_what_is_empty_is_shown_by_the_templates_own_words(empty: Any) -> None:
    made = Template("t", "x", "<p>{{ link | default('none yet') }}</p>")
    assert "<p>none yet</p>" in render(made, {"link": empty}, FIRST).html


def test_a_time_is_shown_in_utc_where_nothing_is_said_of_a_zone() -> None:
    made = Template("t", "At {{ link | time }}", "<p>{{ link | date }}</p>")
    mail = render(made, {"link": "2025-12-01T23:30:00-05:00"}, FIRST)
    assert (mail.subject, mail.text) == ("At 4:30 AM", "Tuesday, December 2, 2025")


def test_the_text_part_has_lines_of_any_length_and_no_pictures() -> None:
    words = ("word " * 60).strip()
    mail = render(Template("t", "x", f"<img src='a.png' alt='Logo'><p>{words}</p>\n<p>end</p>\n"), {}, FIRST)
    assert mail.text == f"{words}\n\nend"


@pytest.mark.parametrize("sheet", ["file:///nowhere/sheet.css", "/nowhere/sheet.css"])
def test_a_style_sheet_that_lies_elsewhere_is_never_fetched(sheet: str) -> None:
    mail = render(Template("t", "x", f"<link rel='stylesheet' href='{sheet}'><p>x</p>"), {}, FIRST)
    assert mail.text == "x"


@pytest.mark.parametrize(
    ("written", "html"),
    [
        ("# Hello {{first_name}}", "<h1>Hello {{first_name}}</h1>\n"),
        ("[go]({{link}})", '<p><a href="{{link}}">go</a></p>\n'),
        ("a <b>b</b>", "<p>a &lt;b&gt;b&lt;/b&gt;</p>\n"),
        ("```\n<p>a</p>\n```\na note\n```html\n<p>b</p>\n```", "<p>a</p>\n<p>b</p>\n"),
    ],
)
def test_a_page_without_a_code_block_is_converted(written: str, html: str) -> None:
    assert templates.from_markdown(written) == html


def test_a_table_in_a_page_is_one_in_the_mail() -> None:
    assert "<td>1</td>" in templates.from_markdown("|a|\n|-|\n|1|")
