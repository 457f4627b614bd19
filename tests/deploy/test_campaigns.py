"""The operator's own campaign files travel with the release."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyinfra.api import DeployError

from cli.start import campaign_files
from deploy import campaigns, preflight
from deploy.env_file import ROOT, SettingsError
from deploy.release.identity import shipped_code
from deploy.settings import parse
from tests.deploy.factories import wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = {"HUBLAB_HOSTS": "a.example.com", "PREFECT_API_URL": "https://prefect.example.com/api"}


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a campaign, which `.env` names."""
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "spring.toml").write_text('campaign = "spring"\n')
    (folder / "notes.txt").write_text("not a campaign")
    (tmp_path / "env").write_text(f"HUBLAB_CAMPAIGNS={folder}\n")
    monkeypatch.setenv("HUBLAB_ENV_FILE", str(tmp_path / "env"))
    preflight.unusable.cache_clear()
    yield folder
    preflight.unusable.cache_clear()


def test_they_are_shipped_beside_the_projects_and_decide_the_release(own: Path) -> None:
    code = shipped_code.__wrapped__(ROOT)
    assert code.files["flows/campaigns/spring.toml"] == b'campaign = "spring"\n'
    assert "flows/campaigns/christmas.toml" in code.files
    assert not any("notes" in name for name in code.files)
    (own / "spring.toml").write_text('campaign = "summer"\n')
    assert shipped_code.__wrapped__(ROOT).digest != code.digest


def test_without_the_key_no_campaign_file_is_shipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBLAB_ENV_FILE", os.devnull)
    assert campaigns.files() == {}
    assert campaigns.folder() is None


def test_the_environment_comes_first_and_a_relative_path_is_the_checkouts(own: Path) -> None:
    assert campaigns.folder(environ={"HUBLAB_CAMPAIGNS": "docs"}) == ROOT / "docs"
    assert campaigns.folder(environ=os.environ) == own


def test_a_name_that_is_taken_and_a_folder_that_is_none_are_refused(own: Path) -> None:
    (own / "christmas.toml").write_text("")
    with pytest.raises(SettingsError, match=r"christmas\.toml is the name of a file in flows/campaigns"):
        shipped_code.__wrapped__(ROOT)
    for value in (own / "gone", own / "spring.toml"):
        with pytest.raises(SettingsError, match=r"HUBLAB_CAMPAIGNS: .* is not a folder on this machine"):
            parse(GOOD | {"HUBLAB_CAMPAIGNS": str(value)}, Path(".env"))


def test_commands_are_told_of_the_folder(own: Path) -> None:
    assert campaign_files() == {"HUBLAB_CAMPAIGNS": str(own)}  # with which ./hublab hands over to a program


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("steps = 5", "spring.toml: sequences.hello.steps: 5 is no list"),
        ('email = "adress!"', "spring/hello.fields.email: 'adress' is none of"),
    ],
)
def test_a_file_that_no_flow_could_use_is_refused_before_anything_is_changed(own: Path, line: str, fault: str) -> None:
    """Every flow reads every file: one that is wrong would stop all campaigns."""
    good = 'webhook = "w"\nsteps = [{ template = "t", after = "0h" }]\n[sequences.hello.fields]\nemail = "address!"\n'
    good += "[sequences.hello.record]\n[sequences.hello.contact]\n"
    head = 'campaign = "spring"\nlabel = "Spring"\n[sequences.hello]\n'
    (own / "spring.toml").write_text(head + good)
    preflight.demand(wanted(), switches=True)
    bad = [line if one.split()[0] == line.split(maxsplit=1)[0] else one for one in good.splitlines()]
    (own / "spring.toml").write_text(head + "\n".join(bad) + "\n")
    preflight.unusable.cache_clear()
    with pytest.raises(DeployError) as caught:
        preflight.demand(wanted(), switches=True)
    assert str(caught.value).startswith(f"campaign files: {fault}"), caught.value
    preflight.demand(wanted(), switches=False)  # they serve there already
