"""Who may call which route: each has a secret of its own; Calendly and Cal.com sign what they send to theirs."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from flows.services.settings import BadSettingError, several
from flows.webhooks import signatures
from flows.webhooks.signatures import NotAuthenticError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from flows.campaigns.model import Sequence
    from flows.services.settings import Settings

# The routes of bookings → who signs its calls there.
BOOKINGS = {"calcom-booking": "calcom", "calendly": "calendly"}
SIGNERS = {
    "calendly": ("calendly-webhook-signature", "calendly-signing-key"),
    "calcom": ("x-cal-signature-256", "calcom-signing-key"),
}
OWN = "webhook-secret-"
# The other settings of the webhooks that begin as secrets of routes do.
PLAIN = frozenset(
    {"webhook-secret", "webhook-origins", "webhook-challenge", "webhook-challenge-secret", "webhook-challenge-url"}
    | {"webhook-proxies", *(f"webhook-limit-{name}" for name in ("mailbox", "domain", "caller", "hour"))}
)


class Callers:
    """What opens each route. A secret may be several, separated by commas: the old one is good while callers change."""

    def __init__(self, settings: Settings, sequences: Iterable[Sequence]) -> None:
        """Reads every secret, once.

        Raises:
            MissingSettingError: no secret for the callers at all.
            BadSettingError: a secret for a route that is not there, or one secret for two routes.
        """
        shared = several(settings.get("webhook-secret"))
        signed = {one.webhook: one.signed for one in sequences}
        # What takes money, or says that it was taken, is not opened by what the form's server knows.
        alone = {one.webhook for one in sequences if one.kind == "transactional"}
        routes = [*signed, *BOOKINGS]
        _check_names(settings, routes)
        self._secrets = {
            route: several(settings.get(OWN + route))
            if settings.has(OWN + route)
            else (() if route in alone else shared)
            for route in routes
        }
        _check_different({route: self._secrets[route] for route in routes if settings.has(OWN + route)}, shared)
        self._signers = {route: tuple(names) for route, names in signed.items()} | {
            r: (s,) for r, s in BOOKINGS.items()
        }
        self._keys = {
            name: several(settings.get(key)) if settings.has(key) else () for name, (_, key) in SIGNERS.items()
        }
        self.shared = sorted(route for route in routes if self._secrets[route] == shared)
        self.closed = sorted(route for route in alone if not self._secrets[route])

    def prove(self, route: str, headers: Mapping[str, str], body: bytes, now: float) -> None:
        """Make sure that a call comes from who may make it.

        Raises:
            NotAuthenticError: it does not; says what is wrong and nothing of the secret.
        """
        for name, (header, key) in SIGNERS.items():
            if header in headers:
                if name not in self._signers[route]:
                    raise NotAuthenticError(f"{header}: does not open this route")
                if not self._keys[name]:
                    raise NotAuthenticError(f"{header}: {key} is not set here")
                signatures.signed(name, headers, body, self._keys[name], now)
                return
        if not self._secrets[route]:
            raise NotAuthenticError(f"this route has a secret of its own, which is not set here: {variable(route)}")
        signatures.caller(headers, body, self._secrets[route])


def variable(route: str) -> str:
    """The environment variable of a route's secret."""
    return f"{OWN}{route}".upper().replace("-", "_")


def _check_names(settings: Settings, routes: list[str]) -> None:
    known = PLAIN | {OWN + route for route in routes}
    for name in settings.names("webhook-"):
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0)
            wanted = near[0].upper().replace("-", "_") if near else "one of .env.example"
            raise BadSettingError(f"{name.upper().replace('-', '_')}: no such setting, nor route; is it {wanted}?")


def _check_different(own: Mapping[str, tuple[str, ...]], shared: tuple[str, ...]) -> None:
    taken = dict.fromkeys(shared, "WEBHOOK_SECRET")
    for route, secrets in own.items():
        for secret in secrets:
            if secret in taken:
                raise BadSettingError(f"{variable(route)}: is the same as {taken[secret]}; give each route its own")
            taken[secret] = variable(route)
