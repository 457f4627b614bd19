"""Matplotlib's pictures as parts of a page: in CSS pixels, in its theme's colours, with words for a screen reader."""

from __future__ import annotations

import io
import re
import warnings
from html import escape
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.figure import Figure

from e2e.report.words import clean

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes

# Each stands for the CSS property of its name, whose colour differs in light and dark.
INK, SOFT, LINE, BAND, CARD = "#010001", "#010002", "#010003", "#010004", "#010005"
STARTED, SENT, GOOD, BAD, EVENT = "#010006", "#010007", "#010008", "#010009", "#01000a"
_NAMES = ("ink", "soft", "line", "band", "card", "started", "sent", "good", "bad", "event")
_PROPERTIES = dict(zip((INK, SOFT, LINE, BAND, CARD, STARTED, SENT, GOOD, BAD, EVENT), _NAMES, strict=True))

_TAG = re.compile(r"<[^>]+>")  # within a text there is no < and no >
_COLOUR = re.compile("|".join(_PROPERTIES))
_REFERENCE = re.compile(r'\b(id="|href="#|url\(#)')
_HEAD = re.compile(r'.*?<svg [^>]*?(viewBox="[^"]+")[^>]*>', re.DOTALL)
_STYLE = re.compile(r"<defs>\s*<style.*?</style>\s*</defs>", re.DOTALL)
_UNDATED = dict.fromkeys(("Date", "Creator", "Format", "Type"))
_SMALL = 12
_CHARACTER = 7.0  # the mean width of a character of small text, generously


class Canvas:
    """An empty picture, in CSS pixels from its top left corner."""

    def __init__(self, width: float, height: float) -> None:
        """As wide and as high as it will be on a page that has room for it."""
        self.figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        self.figure.patch.set_visible(False)
        self.axes: Axes = self.figure.add_axes((0, 0, 1, 1))
        self.axes.set_axis_off()
        self.axes.set_xlim(0, width)
        self.axes.set_ylim(height, 0)

    def line(self, start: tuple[float, float], end: tuple[float, float], colour: str, width: float, style: str) -> None:
        """A straight line."""
        self.axes.plot(*zip(start, end, strict=True), style, color=colour, lw=width, solid_capstyle="butt")

    def band(self, top: float, bottom: float) -> None:
        """A faint ground from side to side."""
        self.axes.axhspan(top, bottom, color=BAND, lw=0)

    def mark(self, at: tuple[float, float], shape: str, colour: str, size: float) -> None:
        """One mark, by Matplotlib's name of its shape, with a rim that parts it from what is below it."""
        bare = shape in "|x"
        rim, width = (colour, 2) if bare else (CARD, 0.8)
        self.axes.plot(*([one] for one in at), shape, color=colour, ms=size, mec=rim, mew=width, zorder=3)

    def text(
        self, at: tuple[float, float], text: str, colour: str = SOFT, *, side: str = "left", bold: bool = False
    ) -> None:
        """A line of small text; `side` is the one at which it is held. What is below it does not show through."""
        ground = {"facecolor": CARD, "edgecolor": "none", "pad": 1} if colour == EVENT else None
        self.axes.text(
            *at,
            clean(text),
            color=colour,
            size=_SMALL,
            ha=side,
            va="center_baseline",
            weight="bold" if bold else "normal",
            bbox=ground,
            zorder=4,
        )


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
    file = io.StringIO()
    # Text stays text, and a dollar in a text from outside a dollar.
    settings = mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hublab", "text.parse_math": False})
    with settings, warnings.catch_warnings():
        # The browser's fonts have what Matplotlib's own lacks.
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        canvas = Canvas(*size)
        draw(canvas)
        canvas.figure.savefig(file, format="svg", metadata=_UNDATED)
    themed = _TAG.sub(lambda tag: _themed(tag[0], name), _STYLE.sub("", file.getvalue(), count=1))
    head = f'<svg class="{name}" {{}} role="img" aria-labelledby="{name}-title {name}-text">'
    spoken = f'<title id="{name}-title">{_safe(title)}</title><desc id="{name}-text">{_safe(description)}</desc>'
    return _HEAD.sub(lambda found: head.format(found[1]) + spoken, themed, count=1)


def _themed(tag: str, name: str) -> str:
    """A tag in the theme's colours, with ids that no other picture on the page has."""
    return _REFERENCE.sub(rf"\1{name}-", _COLOUR.sub(lambda found: f"var(--{_PROPERTIES[found[0]]})", tag))


def _safe(text: str) -> str:
    return escape(clean(text))
