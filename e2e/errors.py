"""What ends an end-to-end run before its verdict."""

from __future__ import annotations


class RefusedError(Exception):
    """It must not be started; each reason names what is wrong and the remedy."""

    def __init__(self, reasons: list[str]) -> None:
        """`reasons`: one sentence each."""
        self.reasons = reasons
        super().__init__("\n".join(reasons))


class AwayError(Exception):
    """A service did not answer, or not as documented; names the service, the call and the answer."""


class StageError(Exception):
    """Something that is done to the system (a redeploy, a kill) did not work; says what and how."""
