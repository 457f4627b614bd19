"""One whole run, in order."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from e2e import announce, browser, contract, diagnose, enter, fetch, guard, judge, report, system
from e2e.errors import AwayError, RefusedError
from e2e.outside import opened
from e2e.record import Record
from e2e.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Protocol

    from playwright.sync_api import Browser

    from e2e.guard import Found
    from e2e.outside import Outside
    from e2e.outside.notion import Template
    from e2e.target import Target

    class Interference(Protocol):
        """Something that is done to the system meanwhile, in a thread of its own."""

        def start(self) -> None:
            """Begin."""

        def finished(self) -> str:
            """Wait for its end; what went wrong."""


@dataclass(frozen=True)
class Wish:
    """What is asked for.

    Attributes:
        sequences: Which of the four.
        patience: How many seconds a mail may stand at one hop before it counts as lost there.
        yes: Whether to start without asking.
        out: Where the report goes.
        latest: As `Record.latest`.
    """

    sequences: tuple[str, ...]
    patience: float
    yes: bool
    out: Path
    latest: float = 60.0


def say(text: str) -> None:
    """One line of progress, at once, on stderr: stdout belongs to the verdict."""
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} e2e: {text}\n")
    sys.stderr.flush()


def run(target: Target, wish: Wish, interfere: Callable[[Record], Interference] | None = None) -> Record:
    """Do it, and write the report.

    Args:
        target: What to do it to.
        wish: What is asked for.
        interfere: Makes what is done to the system in the midst of it.

    Raises:
        RefusedError: It must not be started, with every reason.
    """
    with ExitStack() as stack:
        outside = stack.enter_context(opened(target))
        found, templates = _permitted(target, outside)
        terms = contract.terms({**found.settings, **target.values})
        record, tag = _begun(target, wish, found.minute)
        missing = judge.want(record, templates, terms)
        if missing:
            raise RefusedError(
                [f"template {name!r}: not in Notion; create it, ./hublab campaign preflight" for name in missing]
            )
        announce.agreed(announce.words(target, record, tag), yes=wish.yes)
        chromium = stack.enter_context(browser.opened())
        record.began = datetime.now(UTC)
        record.versions = system.versions(target, outside, chromium)
        _follow(target, wish, record, Watch(outside, record, tag, say), chromium, interfere)
        judge.judge(record, templates, terms)
        fetch.fetch(record, terms)
        browser.picture_mails(chromium, record, wish.out / "pictures")
    record.links = system.links(target, record)
    report.write(record, wish.out)
    return record


def _permitted(target: Target, outside: Outside) -> tuple[Found, dict[str, Template]]:
    """What was found before the start, and the templates. Raises RefusedError."""
    found, reasons = guard.may_start(target, outside)
    if found is None or reasons:
        raise RefusedError(reasons)
    try:
        return found, outside.notion.templates()
    except AwayError as error:
        raise RefusedError([f"HUBLAB_NOTION_URL: {error}"]) from None


def _begun(target: Target, wish: Wish, minute: float) -> tuple[Record, str]:
    now = datetime.now(UTC)
    tag = f"e2e-{now:%y%m%d-%H%M%S}"
    record = Record(target.against, now, minute=minute, latest=wish.latest)
    record.enrolments = enter.expected(target, wish.sequences, tag)
    return record, tag


def _follow(  # noqa: PLR0913 - what there is to follow, with what
    target: Target,
    wish: Wish,
    record: Record,
    watch: Watch,
    chromium: Browser,
    interfere: Callable[[Record], Interference] | None,
) -> None:
    disturbance = interfere(record) if interfere else None
    if disturbance:
        disturbance.start()
    enter.enter(target, record, chromium, wish.out / "pictures")
    watch.until_settled(wish.patience)
    problem = disturbance.finished() if disturbance else ""
    watch.look(notion=True)
    record.ended = datetime.now(UTC)
    if any(diagnose.stand(one, mail).hop for one in record.enrolments for mail in one.mails):
        record.diagnosis = diagnose.diagnose(record, watch.facts(target))
    record.diagnosis += [f"In the midst of it: {problem}."] if problem else []
    record.diagnosis += [*watch.blind(), *watch.strangers(target)]
