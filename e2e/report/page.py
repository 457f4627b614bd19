"""`report.html`: the whole report as one file that needs nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from e2e.record import ARRIVED
from e2e.report import facts, rows, strips, timeline, words
from e2e.report.embed import data_uri

if TYPE_CHECKING:
    from e2e.record import Mail, Record

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Shot:
    """A screenshot: what it shows, as a data URI; without one, why not."""

    title: str
    alt: str
    source: str
    why: str = ""


def text(record: Record) -> str:
    """The report as HTML.

    Raises:
        jinja2.UndefinedError: the template names what is not given to it.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalized,
    )
    environment.filters |= {"span": words.span, "clock": partial(words.clock, began=record.began), "day": words.day}
    environment.filters |= {"minute": words.minute, "wrong": facts.wrong}
    environment.tests["web"] = _is_web
    return environment.get_template("report.html.j2").render(_given(record))


def _finalized(value: object) -> object:
    """A text from outside without its control characters; what is markup by our own hand stays as it is."""
    return words.clean(value) if type(value) is str else value


def _given(record: Record) -> dict[str, Any]:
    hops = facts.hops(record)
    return {
        "record": record,
        "arrived": ARRIVED,
        "took": facts.between(record.began, record.ended),
        "since": facts.between,
        "wide": timeline.draw(record, rows.WIDE),
        "narrow": timeline.draw(record, rows.NARROW),
        "hops": hops,
        "strips": strips.draw(hops),
        "form": [_shot(title, f"Screenshot of the form: {title}", path) for title, path in record.pictures.items()],
        "mails": [(mail, *_mail_shots(mail)) for mail in record.mails],
    }


def _is_web(address: str) -> bool:
    """Whether an address may become a link: any other, such as `javascript:`, is only shown."""
    return address.startswith(("https://", "http://"))


def _shot(title: str, alt: str, path: Path) -> Shot:
    source = data_uri(path)
    return Shot(title, alt, source, "" if source else f"{path.name} is not there or is no picture")


def _mail_shots(mail: Mail) -> tuple[Shot, list[Shot]]:
    """The picture that stands for a mail, and the others."""
    title = mail.subject or mail.wanted_subject or mail.template
    shots = [
        _shot(title if way == "light" else way, f"The mail {mail.name} as rendered, {way}: {title}", path)
        for way, path in mail.pictures.items()
    ]
    none = Shot(title, "", "", "never sent" if mail.accepted is None else "no picture was taken")
    return (shots[0], shots[1:]) if shots else (none, [])
