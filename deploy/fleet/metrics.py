"""The state of the fleet as metrics, in the text format that node_exporter's text file collector reads."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, generate_latest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploy.fleet.standing import Status

GAUGES = {
    "as_planned": "1 where nobody has to do anything on the host",
    "reachable": "1 where the host answered",
    "drift": "What a deploy would do there, in number",
    "trouble": "What a deploy would not cure, in number",
    "workers": "Its workers by state, as Prefect's server has them",
    "runs_in_flight": "Flow runs that its workers have begun and not ended",
    "runs_due": "Flow runs of its pool that are due and not taken",
    "runs_late": "Those of them that Prefect calls late",
    "release_info": "The release of record",
    "last_deploy_timestamp_seconds": "When its last deploy or roll-back ended",
    "last_deploy_ok": "1 where that one went well",
    "locked": "1 while somebody holds the host's lock",
}
MORE_LABELS = {"workers": ("state",), "release_info": ("release",)}


def exposition(found: Sequence[Status]) -> str:
    """All hosts as one text; what nobody could find out is left out. Pure."""
    registry = CollectorRegistry()
    gauges = {
        name: Gauge(f"hublab_{name}", words, ("host", *MORE_LABELS.get(name, ())), registry=registry)
        for name, words in GAUGES.items()
    }

    def put(name: str, value: float | None, *labels: str) -> None:
        if value is not None:
            gauges[name].labels(host, *labels).set(value)

    for status in found:
        host = status.address
        put("as_planned", status.as_planned)
        put("reachable", status.reachable)
        put("drift", len(status.drift))
        put("trouble", len(status.trouble))
        if not status.reachable:
            continue
        put("workers", len(status.online), "online")
        put("workers", len({name for name, _ in status.workers} - set(status.online)), "offline")
        put("runs_in_flight", status.in_flight)
        put("runs_due", status.due)
        put("runs_late", status.late)
        put("release_info", 1, status.release)
        put("locked", bool(status.lock))
        if status.deployed:
            put("last_deploy_timestamp_seconds", datetime.fromisoformat(status.deployed.at).timestamp())
            put("last_deploy_ok", status.deployed.result == "ok")
    return generate_latest(registry).decode()
