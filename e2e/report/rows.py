"""Where everything stands in the timeline, in CSS pixels. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from e2e.record import ARRIVED
from e2e.report import facts, scale, words
from e2e.report.chart import text_width
from e2e.report.scale import Scale

if TYPE_CHECKING:
    from datetime import datetime

    from e2e.record import Mail, Record

_ROW, _GAP, _TITLE, _LEVEL, _TICKS, _EDGE = 24, 10, 26, 19, 30, 10
_NAME_MOST, _LABEL_MOST, _NOTE_MOST = 11, 30, 34
NOTE_AT = 12  # from a row's last mark to its note


@dataclass(frozen=True)
class Layout:
    """How the timeline is laid out for one width of page.

    Attributes:
        name: What it is addressed by in the page.
        width: Of the whole picture.
        left: The room for the rows' labels.
        head: The height of a group's own line; 0 where its name has room beside its first row.
        share: The first panel's share of the width; 1 where the second stands below the first.
        legend: The height of the legend.
    """

    name: str
    width: float
    left: float
    head: float
    share: float
    legend: float


WIDE = Layout("timeline-wide", 1072, left=132, head=0, share=0.62, legend=30)
NARROW = Layout("timeline-narrow", 343, left=34, head=24, share=1, legend=50)


@dataclass(frozen=True)
class Row:
    """One mail: its height in the panels, its moments in seconds since the run began, and what there is to say."""

    y: float
    label: str
    since: float
    at: dict[str, float]
    note: str
    wrong: bool

    @property
    def after(self) -> dict[str, float]:
        """Its moments in seconds after it was due; none where it was never due."""
        return {name: at - self.at["due"] for name, at in self.at.items()} if "due" in self.at else {}

    @property
    def last(self) -> float:
        """The last that was seen of it, in seconds since the run began."""
        return max(self.at.values(), default=self.since)

    @property
    def missing(self) -> bool:
        """Whether one of its moments was not seen."""
        return len(self.at) < len(facts.MOMENTS)


@dataclass(frozen=True)
class Group:
    """One enrolment: its rows' ground, and where its name stands."""

    name: str
    top: float
    bottom: float
    y: float


@dataclass(frozen=True)
class Flag:
    """An event: its second in the run, its words, and how high above the panel they stand, from 0."""

    at: float
    text: str
    level: int


@dataclass(frozen=True)
class Plan:
    """Everything's place. `run` and `after` are the two panels' scales, and `tops` where they begin."""

    layout: Layout
    groups: list[Group]
    rows: list[Row]
    body: float
    run: Scale
    after: Scale
    flags: list[Flag]
    end: float

    @property
    def above(self) -> float:
        """The room for the words of the events."""
        return _LEVEL * (1 + max((flag.level for flag in self.flags), default=-1))

    @property
    def tops(self) -> tuple[float, float]:
        """Where the rows of the first and of the second panel begin."""
        first = self.layout.legend + _TITLE + self.above
        return first, first if self.layout.share < 1 else first + self.body + _TICKS + _TITLE

    @property
    def height(self) -> float:
        """Of the whole picture."""
        return self.tops[1] + self.body + _TICKS


def arrange(record: Record, layout: Layout) -> Plan:
    """Find everything's place."""
    groups, rows = _rows(record, layout)
    end = max(1.0, (facts.last_moment(record) - record.began).total_seconds())
    right = layout.width - _EDGE
    middle = layout.left + (right - layout.left) * layout.share
    run = Scale(layout.left, middle - (0 if layout.share == 1 else 2 * _EDGE), 0, end)
    after = _after(rows, layout.left if layout.share == 1 else middle + 2 * _EDGE, right)
    return Plan(layout, groups, rows, groups[-1].bottom, run, after, _flags(record, run), end)


def flag_width(text: str) -> float:
    """The room that an event's words take."""
    return text_width(text) + _EDGE


def flag_fits(run: Scale, at: float, text: str) -> bool:
    """Whether an event's words have room to the right of its line."""
    return run.x(at) + flag_width(text) <= run.right


def _rows(record: Record, layout: Layout) -> tuple[list[Group], list[Row]]:
    groups, rows, top = list[Group](), list[Row](), 0.0
    for one in record.enrolments:
        if not one.mails:
            continue
        first = top + layout.head + _ROW / 2
        since = _since(record, one.posted or record.began)
        rows += [_row(record, mail, first + _ROW * place, since) for place, mail in enumerate(one.mails)]
        bottom = top + layout.head + _ROW * len(one.mails)
        name_at = top + layout.head / 2 if layout.head else first
        groups.append(Group(words.line(one.sequence, _NAME_MOST), top, bottom, name_at))
        top = bottom + _GAP
    return groups, rows


def _row(record: Record, mail: Mail, y: float, since: float) -> Row:
    wrong = bool(facts.wrong(mail))
    at = {name: _since(record, moment) for name, moment in facts.moments(mail).items()}
    return Row(y, f"! {mail.step}" if wrong else f"{mail.step}", since, at, _note(mail), wrong)


def _note(mail: Mail) -> str:
    """What there is to say beside the marks; empty when they say it all."""
    missing = facts.missing(mail)
    if len(missing) == len(facts.MOMENTS):
        return "nothing was seen of it"
    parts = [f"never {', '.join(missing)}"] if missing else []
    parts += [mail.event] if mail.event and mail.event not in ARRIVED else []
    parts += [f"{mail.copies} copies"] if mail.copies > 1 else []
    return words.line("; ".join(parts or (["see its problems"] if facts.wrong(mail) else [])), _NOTE_MOST)


def _since(record: Record, moment: datetime) -> float:
    return (moment - record.began).total_seconds()


def _after(rows: list[Row], left: float, right: float) -> Scale:
    """The second panel's scale: as long as the longest way, and as it takes for each note to have its room."""
    low = min((second for row in rows for second in row.after.values()), default=0.0)
    ends = [1.0]
    for row in rows:
        last = max(row.after.values(), default=0.0)
        room = 1 - (text_width(row.note) + NOTE_AT) / (right - left) if row.note else 1
        ends.append(low + (last - low) / max(room, 0.05))
    return Scale(left, right, low, scale.rounded(max(ends)))


def _flags(record: Record, run: Scale) -> list[Flag]:
    """The events, each as low as it may stand without touching one after it."""
    starts, flags = list[float](), list[Flag]()
    for event in sorted(record.events, key=lambda event: event.at, reverse=True):
        at, text = _since(record, event.at), words.line(event.what, _LABEL_MOST)
        start = run.x(at) - (0 if flag_fits(run, at, text) else flag_width(text))
        level = next((level for level, taken in enumerate(starts) if start + flag_width(text) <= taken), len(starts))
        starts[level : level + 1] = [start]
        flags.append(Flag(at, text, level))
    return flags
