"""Renders the sandboxed unit of the webhooks. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy import spec
from deploy.service import unit

if TYPE_CHECKING:
    from deploy.webhooks import Webhooks

TEMPLATE = "hublab-webhooks.service.j2"


def render(host: spec.WorkerHost, webhooks: Webhooks, *, release: str, python_prefix: str) -> str:
    """The unit file; arguments as for a worker's."""
    folder = f"{spec.RELEASES}/{release}"
    return unit.fill(
        TEMPLATE,
        release=release,
        folder=folder,
        bind=webhooks.bind,
        port=webhooks.port,
        state=f"{spec.STATE}/webhooks",
        root=spec.ROOT_FOLDER,
        user=spec.USER,
        api_url=unit.escape(host.api_url),
        profiles=spec.PROFILES,
        secrets=spec.WEBHOOK_SECRETS,
        **unit.visible(folder, python_prefix),
    )
