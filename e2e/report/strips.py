"""How long each hop took, every time, as one strip per hop."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from e2e.report import chart, scale, words
from e2e.report.chart import INK, LINE, SENT
from e2e.report.scale import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

    from e2e.report.chart import Canvas
    from e2e.report.facts import Hop

_WIDTH, _ROW, _EDGE = 343, 38, 12


def draw(hops: Sequence[Hop]) -> str:
    """The strips as SVG; empty when nothing was measured."""
    measured = [second for hop in hops for second in hop.seconds]
    if not measured:
        return ""
    axis = Scale(_EDGE, _WIDTH - _EDGE, min(0.0, *measured), scale.rounded(max(1.0, *measured)))
    size = (_WIDTH, _ROW * len(hops) + 30)
    return chart.picture("strips", "How long each hop took", _described(hops), size, partial(_all, hops, axis))


def _described(hops: Sequence[Hop]) -> str:
    said = [
        f"{hop.name}: median {words.span(hop.median)}, at most {words.span(hop.most)}"
        for hop in hops
        if hop.median is not None and hop.most is not None
    ]
    return ". ".join(said) + "."


def _all(hops: Sequence[Hop], axis: Scale, canvas: Canvas) -> None:
    for place, hop in enumerate(hops):
        y = _ROW * place + 30
        canvas.text((_EDGE, y - 17), hop.name)
        canvas.line((axis.left, y), (axis.right, y), LINE, 1, "-")
        for second in hop.seconds:
            canvas.mark((axis.x(second), y), "o", SENT, 7)
        if hop.median is not None:
            canvas.mark((axis.x(hop.median), y), "|", INK, 13)
    for second, label in axis.seconds():
        canvas.text((axis.x(second), _ROW * len(hops) + 16), label, side="center")
