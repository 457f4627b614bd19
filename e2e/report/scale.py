"""From seconds to CSS pixels, and the ticks of an axis. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime

_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400)
_MINUTE = 60
_ROOM = 70  # of a tick and its label


@dataclass(frozen=True)
class Scale:
    """Seconds from `low` to `high`, on CSS pixels from `left` to `right`."""

    left: float
    right: float
    low: float
    high: float

    def x(self, second: float) -> float:
        """Where a second stands."""
        return self.left + (second - self.low) / (self.high - self.low) * (self.right - self.left)

    def step(self, least: float = 0.0) -> float:
        """The seconds between two ticks, such that their labels have room; at least so many."""
        most = max(1.0, (self.right - self.left) / _ROOM)
        fitting = (step for step in _STEPS if step >= least and (self.high - self.low) / step <= most)
        return next(fitting, (self.high - self.low) / most)

    def seconds(self) -> list[tuple[float, str]]:
        """The ticks of an axis of seconds, with their labels."""
        step = self.step()
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [(count * step, f"{count * step:g} s") for count in range(first, last + 1)]

    def clock(self, began: datetime) -> list[tuple[float, str]]:
        """The ticks of an axis of UTC whose zero is `began`, with their labels."""
        step, start = self.step(least=1), began.timestamp()
        form = "%H:%M:%S" if step < _MINUTE else "%H:%M"
        first, last = math.ceil((start + self.low) / step), math.floor((start + self.high) / step)
        at = [count * step for count in range(first, last + 1)]
        return [(second - start, f"{datetime.fromtimestamp(second, UTC):{form}}") for second in at]


def rounded(high: float) -> float:
    """A little more than `high`, so that nothing stands at the very edge."""
    return high * 1.04
