"""The fields of the assessment: what the visitor sees, and what the webhook gets. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True)
class Field:
    """One question; `kind` is the HTML input's, a number has a highest value, and an integer takes no fraction."""

    name: str
    label: str
    kind: str = "text"
    most: int = 0
    whole: bool = False
    required: bool = False


@dataclass(frozen=True)
class Group:
    """Questions that stand together."""

    title: str
    fields: tuple[Field, ...]


GROUPS = (
    Group(
        "About you",
        (
            Field("first_name", "First name", required=True),
            Field("email", "E-mail address", "email", required=True),
            Field("business_name", "Business"),
        ),
    ),
    Group(
        "Your eight systems",
        (
            Field("red_systems", "Red: does not work", "number", 8, whole=True),
            Field("orange_systems", "Orange: works now and then", "number", 8, whole=True),
            Field("yellow_systems", "Yellow: works, with you in it", "number", 8, whole=True),
            Field("green_systems", "Green: works without you", "number", 8, whole=True),
            Field("weakest_system_1", "The weakest"),
            Field("weakest_system_2", "The second weakest"),
            Field("strongest_system", "The strongest"),
        ),
    ),
    Group(
        "Your scores",
        (
            Field("assessment_score", "Assessment, 0 to 100", "number", 100, required=True),
            Field("gps_score", "GPS, 0 to 100", "number", 100),
            Field("money_score", "Money, 0 to 100", "number", 100),
            Field("revenue_leak_total", "Revenue that leaks away", "number", 1_000_000_000),
        ),
    ),
)
FIELDS = {field.name: field for group in GROUPS for field in group.fields}


def payload(form: Mapping[str, str]) -> dict[str, Any]:
    """What the webhook gets: numbers as numbers, nothing that was left empty, nothing that was not asked.

    A number that is none stays as it was typed: to refuse it is the webhook's business.
    """
    return {name: _value(field, form[name].strip()) for name, field in FIELDS.items() if form.get(name, "").strip()}


def _value(field: Field, text: str) -> Any:
    if field.kind != "number":
        return text
    try:
        return int(text) if field.whole else float(text)
    except ValueError:
        return text


def complaints(detail: Any) -> dict[str, str]:
    """Field → a sentence for the visitor, from the `detail` of a 422; under an empty name what concerns no field."""
    if not isinstance(detail, list):
        return {"": "Your answers could not be read. Please look at them once more."}
    found = [(_place(fault.get("loc", ())), str(fault.get("type", ""))) for fault in detail]
    return {name: _sentence(name, kind) for name, kind in found} or {"": "Please look at your answers once more."}


def _place(loc: Sequence[Any]) -> str:
    names = [str(part) for part in loc if str(part) in FIELDS]
    return names[0] if names else ""


def _sentence(name: str, kind: str) -> str:
    field = FIELDS.get(name)
    if field is None:
        return "Please look at your answers once more."
    if kind == "missing":
        return "Please fill this in."
    if field.kind == "email":
        return "This is not an e-mail address that we could write to."
    if field.kind == "number":
        return f"Please give a {'whole ' if field.whole else ''}number from 0 to {field.most}."
    return "Please shorten this to one line of at most 200 characters."
