"""What must come out of what is put in: the four sequences as data. Pure, but for reading the file."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

# The flow that sends one mail, whatever the sequence.
SEND = "christmas-send-email"
_FILE = Path(__file__).with_name("contract.toml")
_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_CRITICAL_RED, _URGENT_ORANGE = 2, 2


@dataclass(frozen=True)
class Sequence:
    """One of the four: its webhook, its handler's name, its mails' templates, and what is sent to enter it."""

    name: str
    webhook: str
    handler: str
    templates: tuple[str, ...]
    first_minute: int
    answers: dict[str, Any]

    def after(self, step: int, minute: float) -> timedelta:
        """How long after enrolment a mail is due in testing mode; `minute` is its minute's length in seconds."""
        return timedelta(seconds=(self.first_minute + step - 1) * minute)

    def variables(self, to: str) -> dict[str, str]:
        """What a template may name and the contact supplies, as it must read in a mail."""
        found = {name: str(value) for name, value in self.answers.items()} | {"email": to}
        if "red_systems" in self.answers:
            found["segment"] = segment(self.answers["red_systems"], self.answers["orange_systems"])
        return found


def segment(red: int, orange: int) -> str:
    """CRITICAL with two or more red systems, URGENT with one red or two orange, else OPTIMIZE."""
    if red >= _CRITICAL_RED:
        return "CRITICAL"
    return "URGENT" if red or orange >= _URGENT_ORANGE else "OPTIMIZE"


def names(text: str) -> set[str]:
    """The variables that a template's text names."""
    return set(_VARIABLE.findall(text))


def filled(text: str, values: dict[str, str]) -> str:
    """A template's text with its variables filled in; what is not known stays as it is."""
    return _VARIABLE.sub(lambda found: values.get(found[1], found[0]), text)


@cache
def sequences() -> dict[str, Sequence]:
    """All four, by name."""
    return {
        name: Sequence(
            name, one["webhook"], one["handler"], tuple(one["templates"]), one["first_minute"], one["answers"]
        )
        for name, one in tomllib.loads(_FILE.read_text("utf-8")).items()
    }
