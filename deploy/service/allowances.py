"""HUBLAB_ALLOW: what flows of others need and the unit refuses otherwise, each by a name, with its price. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Allowance:
    """`opens`: what a flow run can do with it, in words; `price`: in exposure, by `systemd-analyze security`."""

    opens: str
    price: float


ALLOWANCES = {
    "jit": Allowance("a run may execute what it wrote into its memory, and so may code that is smuggled in", 0.1),
    "proc": Allowance("a run sees the host's memory, processors and kernel settings, though no other's process", 0.1),
    "ca": Allowance("workers, runs and the webhooks trust whom the host trusts, also as Prefect's API", 0.0),
}
TRUST_STORE = "/etc/ssl/certs/ca-certificates.crt"
"""Where Debian and its kin keep what the host trusts, the operator's own (`update-ca-certificates`) among it."""


def price(allow: Iterable[str]) -> float:
    """By how much the exposure of a unit with these is higher at the most, on systemd's scale of 0 (shut) to 10."""
    return round(sum(ALLOWANCES[name].price for name in allow), 1)


def told(allow: Iterable[str]) -> tuple[str, ...]:
    """What is allowed and its price, for plan, status and verify."""
    return tuple(
        f"HUBLAB_ALLOW={name}: {ALLOWANCES[name].opens} (exposure by systemd's count: {ALLOWANCES[name].price:+.1f})"
        for name in allow
    )
