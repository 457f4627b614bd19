"""The credential's file, the names, and the question that goes to a host."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import spec
from deploy.onhost.record import Line
from deploy.remedies import remedy_for
from deploy.secret import Secret
from deploy.state import HostState, Release, Worker, question
from tests.deploy.factories import SENTINEL, wanted

# What a credential can be typed as. Beyond the Basic Multilingual Plane JSON's escapes are not TOML's.
TYPED = st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF, exclude_characters="\x7f"), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(TYPED)
def test_profile_says_what_was_typed(secret: str) -> None:
    read = tomllib.loads(wanted(auth_string=Secret(secret)).profiles())
    assert read == {
        "active": "hublab",
        "profiles": {
            "hublab": {"PREFECT_API_URL": "https://prefect.example.com/api", "PREFECT_API_AUTH_STRING": secret}
        },
    }


def test_profile_with_a_key_or_with_nothing() -> None:
    read = tomllib.loads(wanted(auth_string=None, api_key=Secret("pnu_1")).profiles())
    assert read["profiles"]["hublab"]["PREFECT_API_KEY"] == "pnu_1"
    assert "PREFECT_API_KEY" not in wanted(auth_string=None).profiles()
    assert "AUTH" not in wanted(auth_string=None).profiles()


def test_wanted_host_shows_no_secret() -> None:
    assert SENTINEL not in repr(wanted(api_key=Secret(SENTINEL)))


def test_names_of_a_unit_and_its_worker() -> None:
    assert spec.unit_name(2) == "prefect-worker@2.service"
    assert spec.worker_name("hublab-1", 2) == "hublab-1-2"


def test_host_is_asked_about_the_places_of_the_deploy() -> None:
    asked = question(wanted())
    places = asked.places
    assert (str(places.base), str(places.units)) == ("/opt/hublab", "/etc/systemd/system")
    assert (asked.unit, spec.SECRETS) == ("prefect-worker@", tuple(map(str, places.secrets)))
    assert (asked.access.auth, asked.access.key) == (f"admin:{SENTINEL}", "")
    assert "/etc/hublab/profiles.toml" in asked.files
    assert SENTINEL not in repr(asked)


def test_record_of_a_host_says_whether_a_release_failed() -> None:
    lines = (Line(to="r"), Line(to="r", result="x failed its gate"), Line(to="q"))
    found = HostState(deploys=lines)
    assert found.failure("r") == lines[1]
    assert found.failure("q") is None


def test_runs_in_flight_are_those_that_a_serving_worker_tells_of() -> None:
    worker = Worker(2, "cd", "active", doing="polling default, 2 runs in flight")
    assert [worker.in_flight, replace(worker, active="failed").in_flight, Worker(1, "ab").in_flight] == [2, 0, 0]


@pytest.mark.parametrize(
    "damage",
    [{"complete": False}, {"guard": False}, {"added": ("x",)}, {"missing": ("x",)}, {"code_changed": True}],
)
def test_release_is_intact_only_when_everything_is(damage: dict[str, Any]) -> None:
    whole = Release("r", complete=True)
    assert whole.intact
    assert not replace(whole, **damage).intact


@pytest.mark.parametrize(
    ("message", "remedy"),
    [
        ("SSH error: No host key for hublab-1 found in known_hosts", "ssh-keyscan hublab-1 >>"),
        ("Host key for hublab-1 does not match.", "ssh-keygen -R hublab-1"),
        ("Authentication error: no key", "HUBLAB_SSH_KEY"),
        ("Could not resolve hostname: x", "HUBLAB_HOSTS"),
        ("Could not connect: timed out", "HUBLAB_HOSTS"),
        ("No ED25519 host key is known for h1 and you have requested strict checking.", "ssh-keyscan h1 >>"),
        ("Host key for h1 has changed and you have requested strict checking.", "ssh-keygen -R h1"),
        ("root@h1: Permission denied (publickey).", "HUBLAB_SSH_KEY"),
        ("[h1] Command socket/SSH error: ChannelException(2, 'Connect failed')", "MaxSessions"),
        ("ssh: connect to host h1 port 22: Connection refused", "is its SSH port open?"),
        ("[h1] SSH error (Error reading SSH protocol banner)", "MaxStartups"),
        ("kex_exchange_identification: read: Connection reset by peer", "MaxStartups"),
        ("[h1] SSH error (No existing session)", "keeps silent"),
        ("Connection timed out during banner exchange", "keeps silent"),
    ],
)
def test_connection_error_has_a_remedy(message: str, remedy: str) -> None:
    assert remedy in (remedy_for(message) or "")


def test_error_that_nobody_knows_gets_no_remedy() -> None:
    assert remedy_for("something else") is None
