"""Which mail of a sequence is which at Resend: by recipient and subject; mails of the past carry no tag. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flows.operator.cutover.facts import Mail

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flows.campaigns.model import Sequence

_VARIABLE = re.compile(r"\{\{.*?\}\}")
Pattern = re.Pattern[str]


def steps(sequence: Sequence, subjects: Mapping[str, str]) -> dict[int, tuple[Pattern, ...]]:
    """The subjects that a step's mails may have: of its templates, and of the variants that they once had.

    A variant's name goes on where the template's ends: `christmas_email_2a_critical` was one of `christmas_email_2`.
    """
    found: dict[int, tuple[Pattern, ...]] = {}
    for step in sequence.steps:
        names = [re.compile(rf"{re.escape(one)}(?:[a-z]?_.*)?") for one in step.templates]
        lines = [line for name, line in subjects.items() if any(one.fullmatch(name) for one in names)]
        found[step.number] = tuple(filter(None, map(_pattern, lines)))
    return found


def _pattern(subject: str) -> Pattern | None:
    """What a subject line can have become; None where nothing of it is its own words."""
    words = [re.escape(_plain(part)) for part in _VARIABLE.split(subject.strip())]
    if not any(re.search(r"\w", part) for part in words):
        return None
    return re.compile(".*".join(words), re.DOTALL)


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).casefold()


def attributed(
    mails: Iterable[Mail], patterns: Mapping[int, tuple[Pattern, ...]]
) -> tuple[dict[int, Mail], tuple[Mail, ...]]:
    """The first mail of each step, and the mails that cannot be told: of no step, or of more than one."""
    known, unknown = dict[int, Mail](), list[Mail]()
    for mail in sorted(mails, key=lambda one: one.at):
        subject = _plain(mail.subject).strip()
        fit = [number for number, those in patterns.items() if any(_fits(one, subject) for one in those)]
        if len(fit) == 1:
            known.setdefault(fit[0], mail)
        else:
            unknown.append(mail)
    return known, tuple(unknown)


def _fits(pattern: Pattern, subject: str) -> bool:
    return pattern.fullmatch(subject) is not None
