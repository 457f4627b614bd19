"""`report.json`: the record, and what follows from it, for programs. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from e2e.report import facts, words

if TYPE_CHECKING:
    from e2e.record import Record
    from e2e.report.facts import Hop


def text(record: Record) -> str:
    """The report as JSON: times in UTC by ISO 8601, durations in seconds, pictures as the names of their files."""
    whole = {
        "passed": record.passed,
        "verdict": record.verdict,
        "delivered": record.delivered,
        "of": len(record.mails),
        "release": record.versions.get("release"),
        "seconds": facts.between(record.began, record.ended),
        **asdict(record),
        "latency": [_latency(hop) for hop in facts.hops(record)],
    }
    for enrolment, found in zip(record.enrolments, whole["enrolments"], strict=True):
        for mail, seen in zip(enrolment.mails, found["mails"], strict=True):
            seen.pop("letter")
            seen.pop("received")
            seen |= {"name": mail.name, "html": _measured(mail.html), "missing": facts.missing(mail)}
    return json.dumps(whole, indent=1, default=_plain) + "\n"


def _latency(hop: Hop) -> dict[str, Any]:
    return {
        "hop": hop.name,
        "measured": len(hop.seconds),
        "of": hop.of,
        "median": hop.median,
        "p95": hop.p95,
        "max": hop.most,
    }


def _measured(html: str) -> dict[str, Any] | None:
    """What identifies a mail's body without repeating it: its length in bytes and its SHA-256; None without a body."""
    body = html.encode("utf-8", "surrogatepass")
    return {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()} if body else None


def _plain(value: object) -> str:
    if isinstance(value, datetime):
        return words.iso(value)
    if isinstance(value, Path):
        return value.name
    raise TypeError(f"{type(value).__name__} has no place in report.json: say in document.py how it is written")
