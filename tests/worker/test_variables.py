"""The operator's variables are in each run's environment, and in that of no worker; a deployment's own beat them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

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
