"""A wrong setting is refused before anything else happens, with the key, the value and the remedy."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.worker.world import environment
from worker.connection import connection
from worker.settings import SettingError, from_environment

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {
    "HUBLAB_WORKER_NAME": "hublab-1",
    "PREFECT_API_URL": "https://prefect.example.com/api",
    "PREFECT_HOME": "/nowhere",
}


def test_defaults_of_a_worker() -> None:
    settings = from_environment(GOOD)
    assert (settings.pool, settings.queues, settings.probe_queue) == ("default", ("default",), "probe-hublab-1")
    assert (settings.concurrency, settings.drain_seconds) == (4, 900)


@pytest.mark.parametrize(
    ("key", "value", "fault"),
    [
        ("HUBLAB_WORKER_NAME", "", "not set"),
        ("HUBLAB_WORKER_NAME", "a/b", "'a/b' is not a name"),
        ("HUBLAB_WORK_POOL", "two words", "'two words' is not a name"),
        ("HUBLAB_WORK_QUEUES", "default,,", "not set"),
        ("HUBLAB_WORK_QUEUES", "probe-hublab-2", "'probe-hublab-2' is a probe's queue"),
        ("HUBLAB_CONCURRENCY", "0", "'0' is not 1..256"),
        ("HUBLAB_CONCURRENCY", "four", "'four' is not 1..256"),
        ("HUBLAB_CONCURRENCY", "²", "'²' is not 1..256"),
        ("HUBLAB_DRAIN_SECONDS", "-1", "'-1' is not 0..86400"),
        ("PREFECT_API_URL", "", "not set"),
        ("PREFECT_API_URL", "prefect.example.com/api", "begins with http:// or https://"),
        ("PREFECT_PROFILES_PATH", "/nowhere/profiles.toml", "is not there"),
    ],
)
def test_wrong_value_is_refused_by_name(key: str, value: str, fault: str) -> None:
    with pytest.raises(SettingError) as refusal:
        from_environment({**GOOD, key: value})
    assert str(refusal.value).startswith(f"{key}: ")
    assert fault in str(refusal.value)


def test_worker_exits_78_with_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "worker"]
    env = environment(tmp_path, **{**GOOD, "PREFECT_HOME": str(tmp_path), "HUBLAB_CONCURRENCY": "many"})
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 78
    assert done.stderr == "worker: HUBLAB_CONCURRENCY: 'many' is not 1..256; give a whole number in that range\n"


def test_connection_comes_from_the_profile_that_systemd_hands_over(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(
        'active = "hublab"\n[profiles.hublab]\n'
        'PREFECT_API_URL = "https://prefect.example.com/api"\nPREFECT_API_AUTH_STRING = "admin:sentinel"\n'
    )
    found = connection({"PREFECT_PROFILES_PATH": str(profiles)})
    assert found.url == "https://prefect.example.com/api"
    assert found.headers["Authorization"] == "Basic YWRtaW46c2VudGluZWw="
    assert "sentinel" not in repr(found)
    assert "YWRtaW4" not in repr(found)
    by_environment = {"PREFECT_PROFILES_PATH": str(profiles), "PREFECT_API_URL": "http://127.0.0.1:4200/api/"}
    assert connection(by_environment).url == "http://127.0.0.1:4200/api"


def test_broken_profile_is_refused_without_quoting_the_secret(tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.toml"
    profiles.write_text('PREFECT_API_AUTH_STRING = "admin:sentinel')
    with pytest.raises(ValueError, match="cannot be read") as refusal:
        connection({"PREFECT_PROFILES_PATH": str(profiles)})
    assert "sentinel" not in str(refusal.value)
    assert refusal.value.__cause__ is None
