"""Pictures as SVG for a page: in CSS pixels, in its theme's colours, with words for a screen reader."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader

from e2e.report.words import clean

if TYPE_CHECKING:
    from collections.abc import Callable

# CSS properties of the page, whose colours differ in light and dark.
INK, SOFT, LINE, BAND, CARD, STARTED, SENT, GOOD, BAD, EVENT = (
    f"var(--{name})" for name in ("ink", "soft", "line", "band", "card", "started", "sent", "good", "bad", "event")
)
_SMALL = 12
_CHARACTER = 7.0  # the mean width of a character of small text, generously
_DASHES = {"-": "none", "--": "4.4 1.9", ":": "1.5 2.5"}
_ANCHORS = {"left": "start", "center": "middle", "right": "end"}
# A mark of size 1 around its middle, by the name of its shape.
_MARKS = {
    "|": ((0, -0.5), (0, 0.5)),
    ">": ((-0.5, -0.5), (0.5, 0), (-0.5, 0.5)),
    "D": ((0, -0.7), (0.7, 0), (0, 0.7), (-0.7, 0)),
}
_TEMPLATE = Environment(loader=FileSystemLoader(Path(__file__).parent), autoescape=True).get_template("chart.svg.j2")


@dataclass(frozen=True)
class Shape:
    """Something drawn: a path, or a text at a point. `kind` is its class on the page."""

    kind: str
    style: str
    path: str = ""
    at: tuple[float, float] = (0, 0)
    text: str | None = None


class Canvas:
    """An empty picture, in CSS pixels from its top left corner."""

    def __init__(self, width: float) -> None:
        """As wide as it will be on a page that has room for it."""
        self._width = width
        self._layers: dict[str, list[Shape]] = {"band": [], "line": [], "mark": [], "text": []}

    @property
    def shapes(self) -> list[Shape]:
        """All that was drawn, what lies lowest first."""
        return [shape for layer in self._layers.values() for shape in layer]

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: str, width: float, style: str) -> None:
        """A straight line: solid `-`, dashed `--`, dotted `:`."""
        drawn = f"fill: none; stroke: {colour}; stroke-width: {width}; stroke-dasharray: {_DASHES[style]}"
        self._layers["line"].append(Shape("line", drawn, _path(start, end)))

    def band(self, top: float, bottom: float) -> None:
        """A faint ground from side to side."""
        corners = (0, top), (self._width, top), (self._width, bottom), (0, bottom)
        self._layers["band"].append(Shape("band", f"fill: {BAND}", _path(*corners)))

    def mark(self, at: tuple[float, float], shape: str, colour: str, size: float) -> None:
        """One mark, `|`, `x`, `>`, `D` or `o`, with a rim that parts it from what is below it."""
        bare = f"fill: none; stroke: {colour}; stroke-width: 2"
        style = bare if shape in "|x" else f"fill: {colour}; stroke: {CARD}; stroke-width: 0.8"
        self._layers["mark"].append(Shape("mark", style, _mark(at, shape, size)))

    def text(
        self, at: tuple[float, float], text: str, colour: str = SOFT, *, side: str = "left", bold: bool = False
    ) -> None:
        """A line of small text; `side` is the one at which it is held. What is below it does not show through."""
        style = f"fill: {colour}; font-size: {_SMALL}px; text-anchor: {_ANCHORS[side]}"
        style += "; font-weight: bold" if bold else ""
        style += f"; stroke: {CARD}; stroke-width: 4px; paint-order: stroke" if colour == EVENT else ""
        self._layers["text"].append(Shape("text", style, at=(at[0], at[1] + _SMALL / 3), text=clean(text)))


def _path(*points: tuple[float, float]) -> str:
    ends = "Z" if len(points) > 2 else ""  # noqa: PLR2004 - more than a line
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in points) + ends


def _mark(at: tuple[float, float], shape: str, size: float) -> str:
    x, y, half = *at, size / 2
    if shape == "o":
        return f"M{x - half:.2f} {y:.2f}a{half} {half} 0 1 0 {size} 0a{half} {half} 0 1 0 {-size} 0Z"
    if shape == "x":
        return _path((x - half, y - half), (x + half, y + half)) + _path((x - half, y + half), (x + half, y - half))
    return _path(*((x + size * right, y + size * down) for right, down in _MARKS[shape]))


def text_width(text: str) -> float:
    """About how many CSS pixels a line of small text takes."""
    return len(text) * _CHARACTER


def picture(name: str, title: str, description: str, size: tuple[float, float], draw: Callable[[Canvas], None]) -> str:
    """A picture as SVG for a page; the same picture gives the same text.

    Args:
        name: Unique on the page; what it is addressed by.
        title: What it shows.
        description: What can be read off it.
        size: Its width and height in CSS pixels.
        draw: Draws it, in the colours of this module.
    """
    draw(canvas := Canvas(size[0]))
    said = {"title": clean(title), "description": clean(description)}
    return _TEMPLATE.render(name=name, size=size, shapes=canvas.shapes, **said)
