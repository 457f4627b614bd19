"""`STATUS.md`: what was verified, when, against what, with which release, and what was not.

Written by `./hublab e2e` and `./hublab verify`, each its own section; the others stay as they are.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from junitparser import JUnitXml

from e2e import system
from e2e.report import facts, words
from e2e.target import CHECKOUT, find

if TYPE_CHECKING:
    from collections.abc import Iterable

    from junitparser import TestCase

    from e2e.record import Record

FILE = CHECKOUT / "STATUS.md"
_HEAD = "# Status\n\nWhat was verified last. Written by `./hublab e2e` and `./hublab verify`, never by hand.\n"
# The sections, in order: a title, and what to run for it.
SECTIONS = {
    "End to end, in a sandbox": "`./hublab e2e`",
    "End to end, in production": "`./hublab e2e` with a `.env` that names production",
    "Hosts": "`./hublab verify`",
}
SANDBOX, PRODUCTION, HOSTS = SECTIONS
_NEVER = "Never run here"
_PYTESTS = re.compile(r'^(failed on \w+ with ")?(AssertionError: )?')
_SECTION = re.compile(r"^## (.+)\n\n((?:(?!## ).*\n?)*)", re.MULTILINE)


def replaced(text: str, title: str, body: str) -> str:
    """The text of `STATUS.md` with one section written anew; one that was never written says so. Pure."""
    there = {name: content.strip() for name, content in _SECTION.findall(text) if not content.startswith(_NEVER)}
    there[title] = body.strip()
    sections = (f"## {name}\n\n{there.get(name) or _never(name)}\n" for name in SECTIONS)
    return "\n".join([_HEAD, *sections])


def _never(name: str) -> str:
    return f"{_NEVER}: {SECTIONS[name]}."


def write(title: str, body: str, file: Path = FILE) -> None:
    """Write one section."""
    before = file.read_text("utf-8") if file.is_file() else ""
    file.write_text(replaced(before, title, body), "utf-8")


def of_run(record: Record) -> tuple[str, str]:
    """An end-to-end run's section, and what stands in it. Pure."""
    took = facts.between(record.began, record.ended) or 0.0
    lines = [
        f"- **{'Passed' if record.passed else 'FAILED'}**: {record.verdict}",
        f"- when: {_when(record.began)}, {words.span(took)}; testing mode's minute lasted {words.span(record.minute)}",
        _release(record.versions.get("release", ""), record.versions.get("checkout", "")),
        f"- against: {_against(record)}",
        *(f"- in the midst of it: {words.clock(one.at, record.began)} {one.what}" for one in record.events),
        *(f"- wrong: {sentence}" for sentence in _wrong(record)),
        f"- not verified: {'; '.join(_not_verified(record))}",
    ]
    return (SANDBOX if record.against == "sandbox" else PRODUCTION), "\n".join(lines)


def _wrong(record: Record) -> list[str]:
    problems = [f"{mail.name}: {problem}" for mail in record.mails for problem in mail.problems]
    problems += [f"{one.sequence}: {problem}" for one in record.enrolments for problem in one.problems]
    return [words.line(one, 400) for one in [*record.diagnosis, *problems]]


def _against(record: Record) -> str:
    versions = ", ".join(
        f"{name} {version}" for name, version in record.versions.items() if name not in {"release", "checkout"}
    )
    what = {
        "sandbox": "a sandbox (throwaway host, Prefect on PostgreSQL, stand-ins for Notion, Resend and the funnel)",
        "production": "production (Prefect, Notion, Resend and the funnel that .env names)",
    }[record.against]
    return f"{what}; {versions}"


def _not_verified(record: Record) -> list[str]:
    found = []
    if record.against == "sandbox":
        found.append("the real Notion, Resend and funnel page")
    if not record.mailbox:
        found.append("that a mailbox holds them: a delivery is Resend's word (TESTING_MAILBOX in .env)")
    if record.minute < 60:  # noqa: PLR2004 - what a minute has
        found.append("minutes of sixty seconds (`./hublab e2e --sandbox --speed 1`)")
    if not record.events:
        found.append("a redeploy and a killed worker in the midst of it")
    return [*found, "the delays of production, from five minutes to ten days"]


def of_checks(junit: JUnitXml, against: str, releases: Iterable[str], checkout: str) -> str:
    """What stands in the section of `./hublab verify`. Pure."""
    cases = [case for suite in junit for case in suite]
    failed = [case for case in cases if any(type(each).__name__ in {"Failure", "Error"} for each in case.result)]
    skipped = [case for case in cases if case.is_skipped]
    passed = len(cases) - len(failed) - len(skipped)
    when = min((suite.timestamp for suite in junit if suite.timestamp), default=None)
    began = datetime.fromisoformat(when) if when else datetime.now(UTC)
    lines = [
        f"- **{'FAILED' if failed or not passed else 'Passed'}**: {passed} of {len(cases)} checks hold",
        f"- when: {_when(began.astimezone(UTC))}",
        _release(", ".join(releases), checkout),
        f"- against: {against}",
        *(f"- wrong: {line}" for line in _by_reason(failed)),
        *(f"- not verified: {line}" for line in _by_reason(skipped)),
    ]
    return "\n".join(lines)


def _by_reason(cases: Iterable[TestCase]) -> list[str]:
    """What several checks say is said once, with the first of them."""
    found: dict[str, list[str]] = {}
    for case in cases:
        found.setdefault(_reason(case), []).append(case.name)
    more = {reason: f" and {len(names) - 1} more" if names[1:] else "" for reason, names in found.items()}
    return [f"{names[0]}{more[reason]}: {reason}" for reason, names in found.items()]


def _reason(case: TestCase) -> str:
    """The first line of what a check says, without pytest's own words before it."""
    said = "; ".join(str(each.message).partition("\n")[0] for each in case.result)
    return words.line(_PYTESTS.sub("", said).rstrip('"'), 200)


def _when(moment: datetime) -> str:
    return f"{words.day(moment)}, {moment:%H:%M} UTC"


def _release(release: str, checkout: str) -> str:
    known = [f"`{text}`" if text else "unknown" for text in (release, checkout)]
    return f"- release: {known[0]}, checkout {known[1]}"


def main(arguments: list[str] | None = None) -> int:
    """`python -m e2e.status JUNIT`: write the section of `./hublab verify` from what pytest has written, say it; 0."""
    parser = argparse.ArgumentParser(prog="python -m e2e.status", description=main.__doc__)
    parser.add_argument("junit", type=Path)
    parser.add_argument("--status", type=Path, default=FILE)
    asked = parser.parse_args(arguments)
    target, sandbox = find(os.environ)
    in_sandbox = sandbox or target.resolve().parent == CHECKOUT / ".sandbox"
    what = "the hosts of a sandbox" if in_sandbox else f"the hosts of {target.name}"
    body = of_checks(JUnitXml.fromfile(str(asked.junit)), what, system.releases(target), system.commit())
    write(HOSTS, body, asked.status)
    sys.stdout.write(body + "\n")
    if "- wrong: " in body:
        sys.stdout.write(f"-> `./hublab status` says what a deploy mends; {asked.junit} has all that each check said\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
