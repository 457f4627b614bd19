"""Which worker of a pool answers for the runs of those that are gone: first writer wins, at a Variable's name.

Each term has a Variable of its own, numbered; Prefect lets a name exist once (409). Whoever creates the next number has
deposed the one before, and the highest number counts. No clock is compared: a holder is thought gone by its worker's
heartbeat (`worker.recovery.Beats`), or when its Variable was not touched between two looks that lie minutes apart.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.recovery import Owner

if TYPE_CHECKING:
    from worker.pool_api import PoolApi

PREFIX = "hublab_recovery_"


@dataclass(frozen=True)
class Term:
    """One term: its Variable's name, its number, its holder, and when it was last touched."""

    name: str
    number: int
    holder: Owner
    touched: str


class Lease:
    """The lease of one pool, as one worker sees it."""

    def __init__(self, api: PoolApi, pool: str, me: Owner) -> None:
        """Nothing is known yet."""
        self._api = api
        self._me = me
        self._pool = pool
        self._prefix = f"{PREFIX}{hashlib.sha256(pool.encode()).hexdigest()[:12]}_"
        self._seen: Term | None = None
        self.term: Term | None = None

    @property
    def mine(self) -> bool:
        """Whether this worker held it when it looked last."""
        return self.term is not None and self.term.holder == self._me

    async def look(self) -> list[Term]:
        """Every term that Prefect knows, the highest last, which is the one that counts."""
        found, _ = await self._api.pages("/variables/filter", {"variables": {"name": {"like_": self._prefix}}})
        terms = sorted((term for raw in found if (term := self._read(raw))), key=lambda term: term.number)
        self.term = terms[-1] if terms else None
        return terms

    def _read(self, raw: dict[str, Any]) -> Term | None:
        try:
            number, value = int(str(raw["name"]).removeprefix(self._prefix)), raw["value"]
            return Term(raw["name"], number, Owner(str(value["worker"]), str(value["place"])), str(raw["updated"]))
        except (ValueError, KeyError, TypeError):
            return None  # somebody else's Variable

    def untouched(self) -> bool:
        """Whether nobody has touched the term that counts since this was asked last."""
        before, self._seen = self._seen, self.term
        return self.term is not None and self.term == before

    async def take(self) -> bool:
        """Begin the next term. False: another worker was faster."""
        number = self.term.number + 1 if self.term else 1
        await self._api.ask("POST", "/variables/", {"name": f"{self._prefix}{number}", "value": self._value()})
        terms = await self.look()
        if self.mine:
            for term in terms[:-1]:
                await self._api.ask("DELETE", f"/variables/name/{term.name}")
        return self.mine

    async def touch(self) -> bool:
        """Show that the holder is at work. False: another one holds the lease, or nobody."""
        if self.term and self.mine:
            touched, _ = await self._api.ask("PATCH", f"/variables/name/{self.term.name}", {"value": self._value()})
            if touched is not None:
                return True
        await self.look()
        return self.mine

    def _value(self) -> dict[str, str]:
        return {"worker": self._me.worker, "place": self._me.place, "pool": self._pool}
