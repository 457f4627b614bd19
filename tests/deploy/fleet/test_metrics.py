"""The fleet as metrics, and the command that shows a journal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deploy.fleet import logs, status
from deploy.fleet.connect import Reply
from deploy.fleet.metrics import GAUGES, exposition
from deploy.onhost.record import Line
from deploy.onhost.report_host import Locked, Queue, Report
from deploy.plan import make
from deploy.settings import SettingsError, parse
from tests.deploy.factories import converged, release_name, wanted

HOST = wanted()
LINE = Line("ada", to="r2", at="2026-01-02T03:04:05Z", seconds=6)
SETTINGS = {"PREFECT_API_URL": "https://p.example/api", "HUBLAB_WORKERS": "2"}


def read(text: str) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("hublab_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_host_as_metrics() -> None:
    state = replace(converged(HOST), deploys=(LINE,), online=frozenset({"hublab-1-1", "hublab-1-3"}))
    state.workers[2] = replace(state.workers[2], doing="polling default, 2 runs in flight")
    doing = {f"prefect-worker@{number}.service": "polling" for number in (1, 2, 3)}
    now = Report(state, doing, queue=Queue(7, 3), lock=Locked("locked by ada", orphaned=False))
    found = read(exposition([status.judge(HOST, make(HOST, state), now)]))
    host = HOST.address
    assert found == {
        ("as_planned", host): 0,
        ("reachable", host): 1,
        ("drift", host): 0,
        ("trouble", host): 2,
        ("workers", host, "online"): 2,
        ("workers", host, "offline"): 1,
        ("runs_in_flight", host): 2,
        ("runs_due", host): 7,
        ("runs_late", host): 3,
        ("release_info", host, release_name()): 1,
        ("locked", host): 1,
        ("last_deploy_timestamp_seconds", host): 1767323045,
        ("last_deploy_ok", host): 1,
    }
    assert {name for name, *_ in found} == set(GAUGES)


def test_host_that_does_not_answer_says_nothing_it_could_not_know() -> None:
    found = read(exposition([status.unreachable(Reply("h9", None, "cannot be reached"))]))
    assert found == {("as_planned", "h9"): 0, ("reachable", "h9"): 0, ("drift", "h9"): 0, ("trouble", "h9"): 1}


@pytest.mark.parametrize(
    ("hosts", "unit", "follow", "asked"),
    [
        ("root@h1", "", False, "journalctl --no-pager --output=short-iso --lines=9 '--unit=prefect-worker@*'"),
        ("root@h1", "2", True, "--lines=9 --follow --unit=prefect-worker@2.service"),
        ("ada@h1", "webhooks", False, "sudo -n journalctl"),
    ],
)
def test_journal_of_a_unit_is_asked_for_over_ssh(hosts: str, unit: str, follow: bool, asked: str) -> None:
    command = logs.command(parse({**SETTINGS, "HUBLAB_HOSTS": hosts}, Path(".env")), unit, 9, follow=follow)
    assert command[0] == "ssh"
    assert asked in command[-1]


@pytest.mark.parametrize(
    ("hosts", "unit", "said"),
    [
        ("root@h1,root@h2", "", "name one host; there are: h1, h2"),
        ("root@h1", "3", "'3' is no worker of h1; say 1 to 2, or webhooks"),
        ("root@h1", "1; reboot", "is no worker of h1"),
    ],
)
def test_journal_of_a_unit_that_is_not_there_is_refused(hosts: str, unit: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        logs.command(parse({**SETTINGS, "HUBLAB_HOSTS": hosts}, Path(".env")), unit, 9, follow=False)
