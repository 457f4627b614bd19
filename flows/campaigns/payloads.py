"""What a webhook may bring: one model per sequence, built from the campaign file's `fields`."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, create_model, model_validator

from flows.campaigns.model import CampaignError, Sequence, segment
from flows.campaigns.values import TYPES, is_empty, option


class _Payload(BaseModel):
    """What callers send as they do: an optional field that says nothing is absent, an unknown one is dropped."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _said(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        needed = {name for name, field in cls.model_fields.items() if field.is_required()}
        return {name: value for name, value in given.items() if name in needed or not is_empty(value)}


def _type(sequence: Sequence, name: str, kind: str) -> Any:
    if "|" in kind:
        return option(kind)
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
    return create_model(title, __base__=_Payload, **definitions)


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
