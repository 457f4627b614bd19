"""The timeline: when each mail was due, started, sent and delivered, what is missing, and what was done meanwhile."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from e2e.report import chart, facts, rows, words
from e2e.report.chart import BAD, EVENT, GOOD, INK, LINE, SENT, SOFT, STARTED, text_width

if TYPE_CHECKING:
    from collections.abc import Iterable

    from e2e.record import Record
    from e2e.report.chart import Canvas
    from e2e.report.rows import Layout, Plan, Row
    from e2e.report.scale import Scale

# A moment's mark, told apart by its shape as well as by its colour: the shape, the colour, the size.
_MARKS = {
    "due": ("|", SOFT, 14.0),
    "started": (">", STARTED, 8.0),
    "accepted": ("D", SENT, 7.0),
    "delivered": ("o", GOOD, 8.0),
}
_CROSS = ("x", BAD, 8.0)
_LEGEND = {
    "due": _MARKS["due"],
    "started": _MARKS["started"],
    "sent (accepted)": _MARKS["accepted"],
    "delivered": _MARKS["delivered"],
    "missing": _CROSS,
}
_HOPS = (("due", "started", STARTED), ("started", "accepted", SENT), ("accepted", "delivered", GOOD))
_LEGEND_LINE = 20


def draw(record: Record, layout: Layout) -> str:
    """The timeline as SVG; empty when there is no mail to show."""
    if not record.mails:
        return ""
    plan = rows.arrange(record, layout)
    title = "When each mail was due, started, sent and delivered"
    return chart.picture(
        layout.name, title, described(record), (layout.width, plan.height), partial(_all, record, plan)
    )


def described(record: Record) -> str:
    """The timeline in words, for those who do not see it."""
    lost = [f"{mail.name}: never {', '.join(facts.missing(mail))}" for mail in record.mails if facts.missing(mail)]
    done = [f"{words.clock(event.at, record.began)} {event.what}" for event in record.events]
    whole = f"{len(record.mails) - len(lost)} of {len(record.mails)} mails were seen at every moment"
    return ". ".join([whole, *lost, *done, "The table of all mails has every time."])


def _all(record: Record, plan: Plan, canvas: Canvas) -> None:
    _legend(canvas, plan.layout)
    for top in dict.fromkeys(plan.tops):
        _ground(canvas, plan, top)
    title = plan.layout.legend + 10
    first, second = plan.tops
    canvas.text((plan.run.left, title), "The whole run (UTC)", INK, bold=True)
    canvas.text((plan.after.left, title if first == second else second - 14), "From when it was due", INK, bold=True)
    _ticks(canvas, plan.run, plan.layout.width, first + plan.body, plan.run.clock(record.began))
    _ticks(canvas, plan.after, plan.layout.width, second + plan.body, plan.after.seconds())
    _flags(canvas, plan, first)
    for row in plan.rows:
        _in_run(canvas, plan, row, first + row.y)
        _after_due(canvas, plan, row, second + row.y)


def _legend(canvas: Canvas, layout: Layout) -> None:
    x, y = 6.0, 10.0
    for label, mark in _LEGEND.items():
        width = text_width(label) + 36
        if x + width > layout.width:
            x, y = 6.0, y + _LEGEND_LINE
        canvas.mark((x, y), *mark)
        canvas.text((x + 12, y), label)
        x += width


def _ground(canvas: Canvas, plan: Plan, top: float) -> None:
    for group in plan.groups:
        canvas.band(top + group.top, top + group.bottom)
        canvas.text((8, top + group.y), group.name, INK, bold=True)
    for row in plan.rows:
        canvas.text(
            (plan.layout.left - 12, top + row.y), row.label, BAD if row.wrong else SOFT, side="right", bold=row.wrong
        )


def _ticks(canvas: Canvas, scale: Scale, width: float, y: float, ticks: Iterable[tuple[float, str]]) -> None:
    for second, label in ticks:
        x = scale.x(second)
        canvas.line((x, y), (x, y + 5), SOFT, 1, "-")
        canvas.text((min(x, width - text_width(label) / 2), y + 14), label, side="center")


def _flags(canvas: Canvas, plan: Plan, top: float) -> None:
    for flag in plan.flags:
        x, y = plan.run.x(flag.at), top - 9 - 18 * flag.level
        fits = rows.flag_fits(plan.run, flag.at, flag.text)
        canvas.line((x, y - 7), (x, top + plan.body), EVENT, 1.2, "--")
        canvas.text((x + 5, y) if fits else (x - 5, y), flag.text, EVENT, side="left" if fits else "right")


def _in_run(canvas: Canvas, plan: Plan, row: Row, y: float) -> None:
    """The wait from the enrolment, the moments, and to the end of the run what is missing."""
    if "due" in row.at:
        canvas.line((plan.run.x(row.since), y), (plan.run.x(row.at["due"]), y), LINE, 1.5, "-")
    if row.missing:
        canvas.line((plan.run.x(row.last), y), (plan.run.x(plan.end), y), BAD, 1.5, ":")
        canvas.mark((plan.run.x(plan.end), y), *_CROSS)
    for name, second in row.at.items():
        canvas.mark((plan.run.x(second), y), *_MARKS[name])


def _after_due(canvas: Canvas, plan: Plan, row: Row, y: float) -> None:
    """Where the seconds after it was due went, and what there is to say."""
    for start, end, colour in _HOPS:
        if {start, end} <= row.after.keys():
            canvas.line((plan.after.x(row.after[start]), y), (plan.after.x(row.after[end]), y), colour, 2.5, "-")
    for name, second in row.after.items():
        canvas.mark((plan.after.x(second), y), *_MARKS[name])
    if row.note:
        last = max(row.after.values(), default=0.0)
        canvas.text((plan.after.x(last) + rows.NOTE_AT, y), row.note, BAD)
