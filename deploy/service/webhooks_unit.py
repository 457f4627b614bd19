"""Renders the sandboxed unit of the webhooks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy import spec
from deploy.service import allowances, network, unit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from deploy.webhooks import Webhooks

TEMPLATE = "hublab-webhooks.service.j2"


def render(  # noqa: PLR0913 - all that the text depends on
    host: spec.WorkerHost,
    webhooks: Webhooks,
    *,
    release: str,
    python_prefix: str,
    reach: Iterable[str] = (),
    root: str = "",
) -> str:
    """The unit file; arguments as for a worker's."""
    folder, state = f"{spec.RELEASES}/{release}", f"{spec.STATE}/webhooks"
    writable = [f"{state}/{name}" for name in ("tmp", "prefect", "spool")]
    return unit.fill(
        TEMPLATE,
        release=release,
        folder=folder,
        bind=webhooks.bind,
        port=webhooks.port,
        state=state,
        root=root or spec.ROOT_FOLDER,
        user=spec.WEBHOOKS_USER,
        api_url=unit.escape(host.api_url),
        denied=network.denied(host.allow_networks, network.METADATA),
        allowed=network.allowed(host.allow_networks, reach),
        profiles=spec.PROFILES,
        secrets=spec.WEBHOOK_SECRETS,
        trust_store=allowances.TRUST_STORE,
        **unit.visible(folder, python_prefix, writable, allow=[word for word in host.allow if word == "ca"]),
    )
