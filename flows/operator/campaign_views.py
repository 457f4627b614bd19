"""How the campaign stands, for people: a table in the terminal, and a page that is one file and needs nothing else."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from flows.operator import figures
from flows.operator.campaign_status import RETRY, Status, number_of, remedies

HERE = Path(__file__).parent
MANY = 50  # troubles that are named


def table(status: Status) -> None:
    """Print it."""
    console = Console(width=None if Console().is_terminal else 160, soft_wrap=False)
    drawn = Table(title=f"The campaign at {status.at:%Y-%m-%d %H:%M} UTC", title_justify="left")
    for name in ("sequence", "step", "template"):
        drawn.add_column(name, overflow="fold")
    for name in figures.COUNTS:
        drawn.add_column(name, justify="right")
    for step in status.steps:
        campaign, sequence, place = step.where
        counts = [shown(status, step, name) for name in figures.COUNTS]
        texts = (f"{campaign}/{sequence}", str(place), " ".join(sorted(step.templates)), *counts)
        drawn.add_row(*map(escape, texts))
    console.print(drawn if status.steps else "nobody is enrolled yet")
    for one in status.troubles[:MANY]:
        console.print(escape(f"{one.state:9} {one.run}  {one.cause}"), soft_wrap=True)
    for line in remedies(status):
        console.print(escape(line), soft_wrap=True)


def shown(status: Status, step: figures.Step, name: str) -> str:
    """A count as people read it."""
    found = number_of(status, step, name)
    return "?" if found is None else f"{found:,}"


def page(status: Status) -> str:
    """The page. Raises jinja2.UndefinedError: the template names what is not given to it."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    grouped = groupby(status.steps, key=lambda step: step.where[:2])
    return environment.get_template("campaign.html.j2").render(
        status=status,
        sequences=[(" / ".join(where), list(steps)) for where, steps in grouped],
        names=figures.COUNTS,
        shown=lambda step, name: shown(status, step, name),
        share=_share,
        remedies=remedies(status),
        retry=RETRY,
        many=MANY,
    )


def _share(step: figures.Step, name: str) -> float:
    """A count in percent of those who are enrolled in the step."""
    return round(100 * step.counts[name] / max(1, step.counts["enrolled"]), 1)
