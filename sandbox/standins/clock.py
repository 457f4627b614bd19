"""One clock for a stand-in, which a test may move forward."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


class Clock:
    """The real time plus an offset: 24 hours pass in one call."""

    def __init__(self) -> None:
        """Start at the real time."""
        self._offset = timedelta()

    def now(self) -> datetime:
        """The stand-in's instant, aware, in UTC."""
        return datetime.now(UTC) + self._offset

    def advance(self, seconds: float) -> None:
        """Move forward by so many seconds."""
        self._offset += timedelta(seconds=seconds)


def iso(instant: datetime, *, minutes: bool = False) -> str:
    """An instant as both services write it; `minutes` rounds down, as Notion does with its time stamps."""
    if minutes:
        instant = instant.replace(second=0, microsecond=0)
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
