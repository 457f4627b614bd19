"""--limit names hosts of the inventory, or nothing is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.limit import limited
from deploy.settings import SettingsError, parse

HOSTS = "web-1,deploy@web-2:2222,db,[fd00::1]"
SETTINGS = parse({"HUBLAB_HOSTS": HOSTS, "PREFECT_API_URL": "https://a.b/api"}, Path(".env"))


def chosen(text: str) -> list[str]:
    return [host.address for host in limited(SETTINGS, {"LIMIT": text}).hosts]


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("web-2", ["web-2"]),
        ("db, web-1", ["web-1", "db"]),
        ("web-*", ["web-1", "web-2"]),
        ("fd00::1", ["fd00::1"]),
    ],
)
def test_limit_takes_those_that_it_names(text: str, hosts: list[str]) -> None:
    assert chosen(text) == hosts


def test_without_a_limit_all_hosts_are_taken() -> None:
    assert limited(SETTINGS, {}) is SETTINGS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "--limit: names no host. Name one of HUBLAB_HOSTS, or leave it out for all of them."),
        ("web-1,", "--limit: names no host."),
        ("web1", "HUBLAB_HOSTS: no host there is 'web1'; did you mean web-1?"),
        ("WEB-1", "HUBLAB_HOSTS: no host there is 'WEB-1'"),
        ("web-1,nowhere", "HUBLAB_HOSTS: no host there is 'nowhere'; there are: web-1, web-2, db, fd00::1."),
        ("workers", "HUBLAB_HOSTS: no host there is 'workers'"),
    ],
)
def test_what_is_no_host_is_named_and_nothing_is_done(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        chosen(text)
    assert str(refusal.value).startswith(said)
