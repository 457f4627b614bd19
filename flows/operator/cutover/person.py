"""What is known of a person who is taken over: by the runs, which alone have the scores, then by the records. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter, ValidationError

from flows.campaigns import payloads
from flows.campaigns.model import SEGMENTS
from flows.campaigns.values import is_empty

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flows.campaigns.model import Sequence as Mails
    from flows.operator.cutover.facts import OldRun, Record

# Resend refuses them, so nobody can be meant: they are left over from trying things out.
RESERVED = ("example.com", "example.org", "example.net", "test.com")
RESERVED_ENDS = (".test", ".example", ".invalid", ".localhost")


def is_tester(email: str, testers: Iterable[str]) -> bool:
    """Whether an address is only for tests: one of those, with or without a label, or in a reserved domain."""
    local, _, domain = email.rpartition("@")
    known = {one.strip().lower() for one in testers}
    reserved = domain in RESERVED or domain.endswith(RESERVED_ENDS)
    return reserved or bool({email, f"{local.partition('+')[0]}@{domain}"} & known)


def given(runs: Sequence[OldRun], records: Sequence[Record]) -> dict[str, Any]:
    """Everything that is said of a person, as it stands there; the latest run has the last word."""
    found: dict[str, Any] = {}
    for part in (*(one.details for one in reversed(records)), *(one.parameters for one in runs)):
        found |= {name: value for name, value in part.items() if not is_empty(value)}
    return found


def details(sequence: Mails, email: str, runs: Sequence[OldRun], records: Sequence[Record]) -> dict[str, Any]:
    """The fields of the sequence's payload, cleaned; one that cannot be used is left out."""
    found: dict[str, Any] = {}
    said = given(runs, records)
    for name, field in payloads.model(sequence).model_fields.items():
        if name in said:
            try:
                value = TypeAdapter(field.rebuild_annotation()).validate_python(said[name])
            except ValidationError:
                continue
            found |= {name: value} if value is not None else {}
    return found | {"email": email}


def lacking(sequence: Mails, runs: Sequence[OldRun], records: Sequence[Record]) -> list[str]:
    """The required fields that are not known, or not in a form that a mail can show."""
    needed = [name for name, kind in sequence.fields.items() if kind.endswith("!") and name != "email"]
    known = details(sequence, "", runs, records)
    return [name for name in needed if name not in known]


def variables(
    sequence: Mails, known: dict[str, Any], runs: Sequence[OldRun], records: Sequence[Record]
) -> dict[str, Any]:
    """The template variables; the segment is the one that they were told, not one that is reckoned anew."""
    segment = given(runs, records).get("segment")
    told = {"segment": segment} if segment in SEGMENTS and "red_systems" in sequence.fields else {}
    return payloads.variables(sequence, known) | told
