"""The links in mails, whichever secret signed them: the one that was deployed here, or one that Prefect's block has.

Mails are signed with the secret of the block and answered here with that of the deployed file. One is always rotated
before the other, and links of years ago must end a sequence as well.
"""

from __future__ import annotations

import asyncio
import logging
import time

from flows.recipients import unsubscribe
from flows.services.prefect_api import Prefect
from flows.webhooks.bodies import Refusal

KEPT_SECONDS = 10.0
log = logging.getLogger("hublab.webhooks")


class Links:
    """The secrets by which links are known."""

    def __init__(self, secret: str) -> None:
        """`secret`: what was deployed; several are separated by commas."""
        self._secret, self._others = secret, ""
        self._asked = float("-inf")
        self._lock = asyncio.Lock()

    async def named(self, token: str, purpose: str = unsubscribe.PURPOSE) -> str:
        """What a token names: the address to unsubscribe, the enrolment to confirm.

        Raises:
            unsubscribe.BadTokenError: not one of ours.
            Refusal: 503 when its secret may be one that only Prefect has, and Prefect is away.
        """
        try:
            return unsubscribe.address(self._secret, token, purpose)
        except unsubscribe.UnknownSignatureError:
            others = await self._from_prefect()
            if not others:
                raise
            return unsubscribe.address(others, token, purpose)

    async def _from_prefect(self) -> str:
        async with self._lock:  # whoever tries tokens makes one question in ten seconds of it
            if time.monotonic() - self._asked > KEPT_SECONDS:
                try:
                    self._others = await asyncio.to_thread(_block)
                except Exception as error:
                    log.warning("a link cannot be checked, Prefect is away: %r", error)
                    raise Refusal(503, "cannot be checked now; try again") from error
                self._asked = time.monotonic()
            return self._others


def _block() -> str:
    with Prefect() as prefect:
        settings = prefect.settings()
        return settings.get("unsubscribe-secret") if settings.has("unsubscribe-secret") else ""
