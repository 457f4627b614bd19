"""The operator's variables are in each run's environment, and in that of no worker; a deployment's own beat them."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import TYPE_CHECKING

import httpx
import pytest

from worker.engines import with_variables
from worker.settings import SettingError, from_environment

if TYPE_CHECKING:
    from pathlib import Path

BASE = {"HUBLAB_WORKER_NAME": "w", "PREFECT_API_URL": "http://127.0.0.1:1/api"}


def test_deployment_beats_operator_beats_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("ZONE", "of-the-worker")
    monkeypatch.delenv("TOKEN", raising=False)
    inherited = {name: os.environ[name] for name in ("LANG", "ZONE")}
    told = {"LANG": "de_DE.UTF-8", "ZONE": "of-the-operator", "TOKEN": "t", "UNSET": "u"}
    found = with_variables({**inherited, "ZONE": "of-the-deployment", "UNSET": None, "MORE": "m"}, told)
    assert found == {"LANG": "de_DE.UTF-8", "ZONE": "of-the-deployment", "TOKEN": "t", "UNSET": None, "MORE": "m"}
    assert with_variables(inherited, {}) == inherited


PROXY, API = "http://10.1.0.9:3128", {"PREFECT_API_URL": "https://prefect.example.com:4200/api"}


@pytest.mark.parametrize(
    ("told", "exempt"),
    [
        ({"HTTPS_PROXY": PROXY}, ("prefect.example.com", "prefect.example.com")),
        ({"all_proxy": PROXY, "NO_PROXY": "a.example, .b"}, ("a.example,.b,prefect.example.com",) * 2),
        ({"HTTP_PROXY": PROXY, "no_proxy": "a", "NO_PROXY": "b"}, ("a,prefect.example.com", "b,prefect.example.com")),
        # Empty in small letters, it cancels the other for Python.
        ({"HTTP_PROXY": PROXY, "no_proxy": "", "NO_PROXY": "b"}, ("prefect.example.com", "b,prefect.example.com")),
        ({"HTTP_PROXY": PROXY, "NO_PROXY": "*"}, ("*", "*")),
        ({"HTTP_PROXY": PROXY, "no_proxy": "prefect.example.com"}, ("prefect.example.com", "prefect.example.com")),
        ({"HTTP_PROXY": ""}, (None, None)),
        ({"TOKEN": PROXY}, (None, None)),
    ],
)
def test_proxy_is_not_asked_for_prefects_api(
    monkeypatch: pytest.MonkeyPatch, told: dict[str, str], exempt: tuple[str | None, str | None]
) -> None:
    """Neither where the operator names one, nor where a deployment does; by what Python and httpx make of it."""
    for name in {"no_proxy", "NO_PROXY", *told}:
        monkeypatch.delenv(name, raising=False)
    for found in (with_variables(API, told), with_variables(API | told, {})):
        assert (found.get("no_proxy"), found.get("NO_PROXY")) == exempt
    if exempt != (None, None):
        with monkeypatch.context() as patch:
            for name, value in found.items():
                patch.setenv(name, value or "")
            assert urllib.request.proxy_bypass("prefect.example.com:4200")
            with httpx.Client() as client:
                assert client._transport_for_url(httpx.URL(API["PREFECT_API_URL"])) is client._transport


@pytest.mark.parametrize("url", ["http://10.0.0.7:4200/api", "http://[fd00::7]:4200/api", "http://localhost:4200/api"])
def test_proxy_is_not_asked_for_an_api_without_a_name(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    for name, value in with_variables({"PREFECT_API_URL": url}, {"ALL_PROXY": PROXY}).items():
        monkeypatch.setenv(name, value or "")
    with httpx.Client() as client:
        assert client._transport_for_url(httpx.URL(url)) is client._transport
        assert client._transport_for_url(httpx.URL("https://example.org")) is not client._transport


def test_they_are_read_from_the_file_and_shown_by_nothing(tmp_path: Path) -> None:
    file = tmp_path / "environment.json"
    file.write_text(json.dumps({"TOKEN": "a\nb", "EMPTY": ""}))
    found = from_environment(BASE | {"HUBLAB_ENVIRONMENT": str(file)})
    assert found.variables == {"TOKEN": "a\nb", "EMPTY": ""}
    assert "a\\nb" not in repr(found)
    assert from_environment(BASE).variables == {}, "as in a container"


@pytest.mark.parametrize("text", [None, "{secret", "[]"])
def test_file_that_cannot_be_read_ends_the_worker_and_is_not_quoted(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "environment.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(SettingError, match=r"HUBLAB_ENVIRONMENT: .* cannot be read \(\w+\); deploy again") as caught:
        from_environment(BASE | {"HUBLAB_ENVIRONMENT": str(file)})
    assert "secret" not in str(caught.value)
