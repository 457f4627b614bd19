"""The credential's file, the names, and the question that goes to a host."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy import spec
from deploy.remedies import remedy_for
from deploy.secret import Secret
from deploy.state import HostState, LegacyUnit, PortFault, Release, Worker, parse, question
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


def test_names() -> None:
    assert spec.unit_name(2) == "prefect-worker@2.service"
    assert spec.worker_name("hublab-1", 2) == "hublab-1-2"


def test_question() -> None:
    asked = question(wanted())
    assert (asked["base"], asked["units"], asked["unit"]) == ("/opt/hublab", "/etc/systemd/system", "prefect-worker@")
    assert (asked["auth"], asked["key"]) == (f"admin:{SENTINEL}", "")
    assert "/etc/hublab/profiles.toml" in asked["files"]


ANSWER: dict[str, Any] = {
    "hostname": "h",
    "machine": "x86_64",
    "libc": "glibc-2.36",
    "landlock": 7,
    "systemd": 252,
    "booted": True,
    "python": {"executable": "/usr/local/bin/python3.12", "prefix": "/usr/local", "version": "3.12.1", "fits": True},
    "free": {"/etc": 1},
    "users": ["hublab", "hublab-worker-1"],
    "reach": ["10.1.2.3"],
    "releases": {
        "half": {"complete": False},
        "r": {
            "complete": True,
            "prefix": "/usr/local",
            "revision": {"prefect": "3.8.8"},
            "added": ["uvloop-0.21.0"],
            "missing": [],
            "code_changed": False,
            "guard": True,
        },
    },
    "current": "r",
    "previous": None,
    "wheels": ["a.whl"],
    "files": {"/etc/hublab": None},
    "environment": {"A": "ab"},
    "workers": {
        "1": {"sha256": "ab"},
        "2": {
            "sha256": "cd",
            "active": "active",
            "sub": "running",
            "pid": 7,
            "restarts": 1,
            "needs_reload": True,
            "enabled": "enabled",
            "environment": {"HUBLAB_RELEASE": "r", "HUBLAB_UNIT": "d"},
            "uvloop": True,
            "drop_ins": ["/run/systemd/system/prefect-worker@2.service.d/x.conf"],
            "doing": "polling default, 2 runs in flight",
            "text": "[Unit]",
        },
    },
    "deploys": [{"to": "r", "result": "ok"}, {"to": "r", "result": "x failed its gate"}, {"to": "q", "result": "ok"}],
    "lock": "locked by x",
    "rollout_open": True,
    "unfinished": {"prefect-worker@1.service": "ab"},
    "kept": {},
    "webhooks": {"sha256": "ef", "active": "active", "pid": 9, "environment": {"HUBLAB_RELEASE": "r"}},
    "webhooks_port": {"error": "", "pid": 9, "unit": "y.service", "command": "y"},
    "faults": {},
    "doubts": ["/opt/hublab belongs to eve"],
    "former": {
        "workers": [],
        "claims": [],
        "units": [{"name": "x.service"}],
        "strangers": [],
        "starters": [{"file": "/etc/crontab", "line": 3, "user": ""}],
    },
    "api": {"status": 200, "version": "3.8.8", "online": ["h-2"], "skew": 0.4},
}


def test_answer_is_read() -> None:
    found = parse(ANSWER)
    assert (found.python, found.python_prefix, found.python_version) == (
        "/usr/local/bin/python3.12",
        "/usr/local",
        "3.12.1",
    )
    assert found.releases == {
        "half": Release("half", complete=False),
        "r": Release("r", complete=True, added=("uvloop-0.21.0",), prefect="3.8.8", python_prefix="/usr/local"),
    }
    assert not found.releases["r"].intact
    assert found.workers[1] == Worker(1, "ab")
    drop_ins, doing = ("/run/systemd/system/prefect-worker@2.service.d/x.conf",), "polling default, 2 runs in flight"
    plain = Worker(2, "cd", "active", 7, 1, True, "enabled", "r", "d", True)  # noqa: FBT003
    assert found.workers[2] == replace(plain, drop_ins=drop_ins, doing=doing, unit_text="[Unit]")
    assert [worker.in_flight for worker in found.workers.values()] == [0, 2]
    assert found.failure("r") == {"to": "r", "result": "x failed its gate"}
    assert found.failure("q") is None
    assert found.environment == {"A": "ab"}
    assert (found.doubts, found.skew) == (("/opt/hublab belongs to eve",), 0.4)
    assert found.webhooks == Worker(0, "ef", "active", 9, release="r")
    assert parse(ANSWER | {"webhooks": None}).webhooks is None
    assert found.webhooks_port == PortFault("", pid=9, unit="y.service", command="y")
    assert parse(ANSWER | {"webhooks_port": None}).webhooks_port is None
    assert (found.online, found.wheels, found.legacy_units) == (
        frozenset({"h-2"}),
        frozenset({"a.whl"}),
        (LegacyUnit("x.service"),),
    )


@pytest.mark.parametrize("raw", [{"problem": "sudo", "found": "deploy"}, {"problem": "silent"}])
def test_answer_of_a_host_that_cannot_be_asked(raw: dict[str, Any]) -> None:
    assert parse(raw) == HostState(problem=raw["problem"], found=raw.get("found", ""))


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
    ],
)
def test_connection_error_has_a_remedy(message: str, remedy: str) -> None:
    assert remedy in (remedy_for(message) or "")


def test_other_error_has_none() -> None:
    assert remedy_for("something else") is None
