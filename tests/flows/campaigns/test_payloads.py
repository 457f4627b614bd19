"""What callers send, as they send it: what is accepted a mail can show, and whatever is accepted makes a mail."""

from __future__ import annotations

import json
import unicodedata
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flows.campaigns import payloads, values
from flows.campaigns.model import Sequence, sequences
from flows.campaigns.values import TYPES
from flows.operator.preflight import sample
from flows.sending.templates import Template, UnusableTemplateError, render
from flows.services.settings import Settings
from sandbox.campaign.contacts import PAYLOADS

SIGNUP = sequences()["christmas", "signup"]
CHRISTMAS = [one for (campaign, _), one in sequences().items() if campaign == "christmas"]
MAILED = Settings({"HUBLAB_PUBLIC_URL": "https://hooks.hublab.test", "unsubscribe-secret": "u"})


def accepted(**more: Any) -> dict[str, Any]:
    return payloads.checked(SIGNUP, {"email": "ada@example.com", "first_name": "Ada", "assessment_score": 61} | more)


@pytest.mark.parametrize("empty", ["", "  ", "\u00a0\u200b", "\ud800", "\ufe0f", " \U000e0100\u180b", "\u17b4", None])
def test_what_an_optional_field_says_empty_is_absent(empty: Any) -> None:
    optional = [name for name, kind in SIGNUP.fields.items() if not kind.endswith("!")]
    assert set(accepted(**dict.fromkeys(optional, empty))) == {"email", "first_name", "assessment_score"}


@pytest.mark.parametrize(
    ("sequence", "name", "longest", "longer"),
    [
        ("signup", "first_name", "A" * 100, "A" * 101),
        ("signup", "business_name", "A" * 200, "A" * 201),
        ("postcall", "call_notes", "A" * 2000, "A" * 2001),
        ("postcall", "objections", ["A" * 200] * 20, ["A"] * 21),
        ("postcall", "objections", ["A" * 200], ["A" * 201]),
    ],
)
def test_a_value_that_is_longer_than_a_mail_may_hold_is_refused(
    sequence: str, name: str, longest: Any, longer: Any
) -> None:
    made, base = sequences()["christmas", sequence], PAYLOADS[sequence] | {"email": "ada@example.com"}
    assert payloads.checked(made, base | {name: longest})[name] == longest
    with pytest.raises(ValidationError, match=name):
        payloads.checked(made, base | {name: longer})


@pytest.mark.parametrize(("sequence", "name"), [(one, name) for one in CHRISTMAS for name in one.fields])
def test_nothing_is_composed_that_is_too_long_for_every_field(
    sequence: Sequence, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Marks above and below in turn are put in order one by one: in 62 KB it takes a second and a half.
    def compose(form: Any, text: str) -> str:
        composed.append(len(text))
        return normalize(form, text)

    composed, normalize = list[int](), unicodedata.normalize
    monkeypatch.setattr(unicodedata, "normalize", compose)
    with pytest.raises(ValidationError):
        payloads.checked(
            sequence, PAYLOADS[sequence.name] | {"email": "ada@example.com", name: "a\u0301\u0316" * 10_000}
        )
    assert max(composed) <= 4 * values.MAX_PROSE


@pytest.mark.parametrize("name", sorted(SIGNUP.fields))
def test_nothing_is_searched_for_links_that_is_too_long_for_its_field(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The search takes four times as long in twice the text: in 62 KB, as a visitor can send, twenty seconds.
    def search(text: str) -> bool:
        searched.append(len(text))
        return False

    searched = list[int]()
    monkeypatch.setattr(values, "_has_link", search)
    with pytest.raises(ValidationError):
        accepted(**{name: "a-" * 31_000})
    assert max(searched, default=0) <= values.MAX_TEXT


@pytest.mark.parametrize(
    ("systems", "wanted"),
    [
        ({"red_systems": 2}, "CRITICAL"),
        ({"red_systems": 1}, "URGENT"),
        ({"orange_systems": 2}, "URGENT"),
        ({"red_systems": 0, "orange_systems": 1}, "OPTIMIZE"),
        ({}, "OPTIMIZE"),
    ],
)
def test_who_is_enrolled_has_the_segment_that_the_systems_tell(systems: dict[str, int], wanted: str) -> None:
    given = accepted(**systems)
    assert payloads.values(SIGNUP, given) == given | {"segment": wanted}
    assert payloads.variables(SIGNUP, given) == SIGNUP.defaults | given | {"segment": wanted}


def test_a_sequence_that_is_not_told_of_systems_has_no_segment() -> None:
    onboarding = sequences()["christmas", "onboarding"]
    assert "red_systems" not in onboarding.fields
    assert payloads.values(onboarding, {"email": "ada@example.com"}) == {"email": "ada@example.com"}


@pytest.mark.parametrize("control", ["\r\nBcc: x", "\x00", "\x1b[2J", "\x7f", "\x85", "\x9b"])
def test_control_characters_are_in_no_line_and_in_no_prose(control: str) -> None:
    for name in ("first_name", "business_name"):
        with pytest.raises(ValidationError, match=name):
            accepted(**{name: f"Ada{control}B"})
    postcall = PAYLOADS["postcall"] | {"email": "ada@example.com", "call_notes": f"one\ntwo{control}"}
    kept = payloads.checked(sequences()["christmas", "postcall"], postcall)["call_notes"]
    assert all(one.isprintable() or one == "\n" for one in kept)


@pytest.mark.parametrize("given", [{}, {"first_name": ""}, {"first_name": " \u200b"}, {"first_name": None}])
def test_a_field_that_a_sequence_cannot_do_without_is_asked_for_by_its_name(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="first_name") as refusal:
        payloads.checked(SIGNUP, {"email": "ada@example.com", "assessment_score": 61} | given)
    assert [fault["loc"] for fault in refusal.value.errors()] == [("first_name",)]


def test_an_unknown_field_is_ignored() -> None:
    assert "utm_source" not in accepted(utm_source="ad", payload={"email": "x"}, __class__="x")


@pytest.mark.parametrize("empty", ["", None, {}, [], ["", " "], [[]], [{}, "\u3164"]])
def test_an_empty_list_is_absent(empty: Any) -> None:
    sequence = sequences()["christmas", "postcall"]
    found = payloads.checked(sequence, PAYLOADS["postcall"] | {"email": "ada@example.com", "objections": empty})
    assert "objections" not in found


@pytest.mark.parametrize(
    ("name", "sent", "kept"),
    [
        ("assessment_score", "52", 52.0),
        ("assessment_score", " 52.5 ", 52.5),
        ("red_systems", "2", 2),
        ("red_systems", 2.0, 2),
        ("revenue_leak_total", "14700", 14700.0),
        ("first_name", "  Zoe\u0308\u00a0\u2028 van\tDyk ", "Zo\u00eb van Dyk"),
        ("first_name", "A\u200dd\u202ea", "Ada"),
        ("first_name", "Ada\ud800", "Ada"),
        ("first_name", "Dr.Anna", "Dr. Anna"),
        ("first_name", "Win at evil.example", "Win at evil. example"),
        ("first_name", "evil\u2024example", "evil. example"),
        ("first_name", "J.R.", "J.R."),
        ("business_name", "Booking.com & Sons / Nails", "Booking.com & Sons / Nails"),
        ("first_name", "Ada\u3164\u2800B", "Ada B"),
        ("first_name", "A\u034fda", "Ada"),
        ("first_name", "evil\u3002example", "evil. example"),
        ("first_name", "evil\uff61example", "evil. example"),
        ("assessment_score", "\u200b52\u00a0", 52.0),
        ("red_systems", "\uff12", 2),
        ("email", " Ada@Example.COM ", "ada@example.com"),
        # A selector of a variant belongs to the character before it, and to nothing else.
        ("first_name", "\ufe0fAda \ufe0e\U000e0101", "Ada"),
        ("first_name", "\u845b\U000e0100", "\u845b\U000e0100"),
        ("first_name", "Ada \u2764\ufe0f\ufe0f", "Ada \u2764\ufe0f"),
        # What a mail program takes for a domain, in whatever letters.
        ("first_name", "at \u0939\u093f\u0902\u0926\u0940.com", "at \u0939\u093f\u0902\u0926\u0940. com"),
        ("first_name", "evil.\u092d\u093e\u0930\u0924", "evil. \u092d\u093e\u0930\u0924"),
        ("first_name", "evil.\u24d2\u24de\u24dc", "evil. \u24d2\u24de\u24dc"),
        ("first_name", "i\u2764.ws", "i\u2764. ws"),
        ("first_name", "x.com", "x. com"),
        ("business_name", "S.Oliver/Nails", "S.Oliver/Nails"),
    ],
)
def test_values_are_made_what_a_mail_can_show(name: str, sent: Any, kept: Any) -> None:
    assert accepted(**{name: sent})[name] == kept


@pytest.mark.parametrize(
    "link",
    [
        "\u0939\u093f\u0902\u0926\u0940.com/win",
        "evil.\u092d\u093e\u0930\u0924/win",
        "i\u2764.ws/win",
        "t.co/win",
        "x.com#win",
        "evil.xn--p1ai/win",
        "HTTPS\uff1a//evil",
        "htt\u200dps://evil",
        "tel:+19005550000 www\uff0eevil",
        "evil.com:8443/",
        "[2001:db8::1]/ http:x",
    ],
)
def test_a_link_in_whatever_letters_is_no_part_of_a_text(link: str) -> None:
    for name in ("business_name", "weakest_system_1", "first_name"):
        with pytest.raises(ValidationError, match=name):
            accepted(**{name: f"Win {link}"})


def test_options_flags_and_times_are_taken_as_the_old_server_took_them() -> None:
    base = {"email": "ada@example.com"}
    postcall = PAYLOADS["postcall"] | base | {"follow_up_priority": "high", "call_date": "2025-12-01 10:00"}
    found = payloads.checked(sequences()["christmas", "postcall"], postcall)
    assert (found["follow_up_priority"], found["call_date"]) == ("High", "2025-12-01T10:00")
    onboarding = PAYLOADS["onboarding"] | base | {"payment_confirmed": " True\u00a0", "payment_amount": "2500.00"}
    found = payloads.checked(sequences()["christmas", "onboarding"], onboarding)
    assert (found["payment_confirmed"], found["payment_amount"]) == (True, 2500.0)


@pytest.mark.parametrize(
    "link",
    [
        "https://calendly.com@evil.example/",
        "http://169.254.169.254",
        "http://localhost/x",
        "https://[::1]/",
        "https://calendly.com/a b",
        "https://calendly.com/'onclick=x",
        "https://calendly.com\\@evil.example",
        "javascript:alert(1)",
        "https://calendly.com/\u0430",
    ],
)
def test_a_link_is_a_pages_address_and_nothing_else(link: str) -> None:
    noshow = PAYLOADS["noshow"] | {"email": "ada@example.com", "reschedule_url": link}
    with pytest.raises(ValidationError, match="reschedule_url"):
        payloads.checked(sequences()["christmas", "noshow"], noshow)


@pytest.mark.parametrize("when", ["2025-12-01", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", "2025-W49-1", "x"])
def test_a_time_that_no_mail_could_show_is_refused(when: str) -> None:
    noshow = PAYLOADS["noshow"] | {"email": "ada@example.com", "scheduled_time": when}
    with pytest.raises(ValidationError, match="scheduled_time"):
        payloads.checked(sequences()["christmas", "noshow"], noshow)


EARLY, LATE = datetime(1969, 6, 1), datetime(2201, 6, 1)  # noqa: DTZ001 - as callers without a zone send them


# -- from the payload's model to the mail -----------------------------------------------------------------------------

PLAIN = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
ANY_TEXT = st.one_of(
    PLAIN,
    PLAIN,
    PLAIN,
    st.text(max_size=40),
    st.text("\u00a0\u200d\u2028\u202e\ue000\ud800e\u0301.&<{}'\"# ", max_size=30),
)
SENT: dict[str, st.SearchStrategy[Any]] = {
    "address": st.emails(),
    "percent": st.floats(0, 100) | st.integers(0, 100).map(str),
    "systems": st.integers(0, 8) | st.integers(0, 8).map(str),
    "amount": st.floats(0, 1e9),
    "flag": st.sampled_from([True, False, "true", "no"]),
    "true": st.sampled_from([True, "true", 1]),
    "instant": st.datetimes(EARLY, LATE, timezones=st.timezones()).map(lambda one: one.isoformat()),
    "date": st.dates(EARLY.date(), LATE.date()).map(str) | st.datetimes(EARLY, LATE).map(lambda one: one.isoformat()),
    "link": st.text("abc./&?#%'<> ", max_size=40).map(lambda one: f"https://calendly.com/{one}"),
    "texts": st.lists(ANY_TEXT | st.just("x" * 200), max_size=22),
    "prose": ANY_TEXT | st.just("&" * 2000),
    "text": ANY_TEXT | st.just("W" * 200),
    "name": ANY_TEXT | st.just("W" * 100),
}
FILTERS = {"instant": (" | date", " | time"), "date": (" | date",), "amount": (" | number",)}


def sent(sequence: Sequence) -> st.SearchStrategy[dict[str, Any]]:
    empty = st.sampled_from([None, "", " "])
    fields = {
        name: SENT[kind.rstrip("!")] if kind.endswith("!") else SENT[kind] | empty
        for name, kind in sequence.fields.items()
        if "|" not in kind
    }
    required = {name: one for name, one in fields.items() if sequence.fields[name].endswith("!")}
    return st.fixed_dictionaries(required, optional={n: one for n, one in fields.items() if n not in required})


def template(sequence: Sequence) -> Template:
    """A template that shows every field in every way that preflight lets pass."""
    shown = []
    for name, kind in sequence.fields.items():
        if kind.endswith("!"):
            shown += [f"{{{{ {name}{one} }}}}" for one in ("", *FILTERS.get(kind.rstrip("!"), ()))]
        else:
            shown.append(f'{{{{ {name} | default("nothing") }}}}')
    body = " ".join(shown)
    return Template("t", f"Hello {body}"[:4000], f"<p title='{body}'>{body}</p>")


class TestEveryAcceptedPayloadRenders:
    @pytest.mark.parametrize("sequence", CHRISTMAS, ids=lambda one: one.name)
    def test_property(self, sequence: Sequence) -> None:
        made, seen = template(sequence), []
        for longest in (False, True):  # preflight passes it
            render(made, sample(sequence, MAILED, required=not longest, longest=longest), sequence.variables)

        @settings(max_examples=150, deadline=None, database=None)
        @given(sent(sequence))
        def check(payload: dict[str, Any]) -> None:
            try:
                details = payloads.checked(sequence, payload)
            except ValidationError:
                return
            seen.append(details)
            assert payloads.checked(sequence, json.loads(json.dumps(details))) == details
            mail = render(made, payloads.variables(sequence, details), sequence.variables, zone="America/Toronto")
            assert len(mail.subject) < 998

        check()
        assert len(seen) > 20


def test_every_kind_of_field_is_among_the_samples() -> None:
    assert set(SENT) == set(TYPES)


def test_preflight_finds_a_template_that_a_long_value_would_make_too_large() -> None:
    made = Template("t", "x", "<p>{{ business_name }}</p>" * 400)
    render(made, sample(SIGNUP, MAILED, required=True) | {"business_name": "Salon"}, SIGNUP.variables)
    with pytest.raises(UnusableTemplateError, match="bytes, over"):
        render(made, sample(SIGNUP, MAILED, longest=True), SIGNUP.variables)
