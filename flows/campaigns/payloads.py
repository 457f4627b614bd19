"""What a webhook may bring: one model per sequence, built from the campaign file's `fields`."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, EmailStr, Field, StringConstraints, create_model

from flows.campaigns.model import CampaignError, Sequence, normalised, segment

MAX_LIST = 20


def _instant(text: str) -> str:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        try:
            date.fromisoformat(text)
        except ValueError:
            raise ValueError("is not an ISO 8601 date or time") from None
    return text


def _web(text: str) -> str:
    if not text.startswith(("https://", "http://")):
        raise ValueError("is not an http(s) address")
    return text


# One line: a line break in a value would end a header or a subject.
Text = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")
]
Prose = Annotated[str, StringConstraints(max_length=2000, pattern=r"^[^\x00]*$")]
TYPES: dict[str, Any] = {
    "address": Annotated[EmailStr, Field(max_length=200), AfterValidator(normalised)],
    "text": Text,
    "prose": Prose,
    "texts": Annotated[list[Text], Field(max_length=MAX_LIST)],
    "link": Annotated[Text, AfterValidator(_web)],
    "instant": Annotated[Text, AfterValidator(_instant)],
    "percent": Annotated[float, Field(strict=True, ge=0, le=100, allow_inf_nan=False)],
    "systems": Annotated[int, Field(strict=True, ge=0, le=8)],
    "amount": Annotated[float, Field(strict=True, ge=0, le=1e9, allow_inf_nan=False)],
    "flag": Annotated[bool, Field(strict=True)],
    "true": Literal[True],
}


def _type(sequence: Sequence, name: str, kind: str) -> Any:
    if "|" in kind:
        return Literal[tuple(kind.split("|"))]
    if kind not in TYPES:
        raise CampaignError(f"{sequence.campaign}/{sequence.name}.fields.{name}: {kind!r} is none of {sorted(TYPES)}")
    return TYPES[kind]


def model(sequence: Sequence) -> type[BaseModel]:
    """The payload's model; unknown fields are dropped, wrong ones refused.

    Raises:
        CampaignError: a field of unknown type.
    """
    definitions: dict[str, Any] = {}
    for key, kind in sequence.fields.items():
        found = _type(sequence, key, kind.removesuffix("!"))
        definitions[key] = (found, ...) if kind.endswith("!") else (found | None, None)
    title = f"{sequence.campaign.title()}{sequence.name.title()}"
    return create_model(title, __config__=ConfigDict(extra="ignore"), **definitions)


def checked(sequence: Sequence, payload: dict[str, Any]) -> dict[str, Any]:
    """The payload's known fields, validated; what was not given is absent.

    Raises:
        pydantic.ValidationError: a required field is missing or a value is wrong.
    """
    return model(sequence).model_validate(payload).model_dump(exclude_none=True)


def values(sequence: Sequence, payload: dict[str, Any]) -> dict[str, Any]:
    """What the payload gives: its fields and the segment."""
    found = dict(payload)
    if "red_systems" in sequence.fields:
        found["segment"] = segment(payload.get("red_systems", 0), payload.get("orange_systems", 0))
    return found


def variables(sequence: Sequence, payload: dict[str, Any]) -> dict[str, Any]:
    """The template variables of an enrolment: the payload's, and defaults for the rest."""
    return sequence.defaults | values(sequence, payload)
