"""The operator's own packages become a part of each release, held to the project's lock; what cannot is named."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy.env_file import SettingsError
from deploy.release import identity, requirements, wheels
from deploy.settings import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HASH = f"--hash=sha256:{'0' * 64}"
OTHER = f"--hash=sha256:{'1' * 64}"
GOOD = {"HUBLAB_HOSTS": "a.example.com", "PREFECT_API_URL": "https://prefect.example.com/api"}
PREFECT = requirements.locked_versions()["prefect"]


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Path]]:
    """Writes the operator's lock, which `.env` names."""
    path = tmp_path / "own.lock"
    (tmp_path / "env").write_text(f"{requirements.KEY}={path}\n")
    monkeypatch.setenv("HUBLAB_ENV_FILE", str(tmp_path / "env"))

    def write(text: str) -> Path:
        path.write_text(text)
        requirements.text.cache_clear()
        return path

    yield write
    requirements.text.cache_clear()


def test_they_stand_behind_the_projects_and_decide_the_release(lock: Callable[[str], Path]) -> None:
    lock("")
    before = identity.release_id("3.12.1", "/usr")
    lock(f"""# of mine
left-pad==1.2.3 \\
    {HASH} \\
    {OTHER}
    # via something
prefect=={PREFECT} ; python_version >= "3.12" \\
    {HASH}
Only-Arm==2.0 ; platform_machine == 'aarch64' \\
    {HASH}
""")
    assert identity.release_id("3.12.1", "/usr") != before
    found = wheels.concrete_lock(requirements.text(), wheels.Platform("x86_64", "3.12.1", "glibc-2.36"))
    assert f"left-pad==1.2.3 \\\n    {HASH} \\\n    {OTHER}\n" in found
    assert "Only-Arm" not in found
    assert found.count(f"\nprefect=={PREFECT}") == 1, "what the release has is not there twice"
    arm = wheels.concrete_lock(requirements.text(), wheels.Platform("aarch64", "3.12.1", "glibc-2.36"))
    assert "Only-Arm==2.0" in arm


@pytest.mark.parametrize(
    ("line", "there"),
    [
        (f"left-pad==1.2.3 {HASH}", True),
        (f"left-pad==1.2.3; python_version >= '3.12' {HASH}", True),
        (f"left-pad==1.2.3 ;platform_machine=='aarch64' {HASH} {OTHER}", False),
        (f"left-pad[fast]==1.2.3 ; platform_machine == 'x86_64' {HASH}", True),
    ],
)
def test_lock_may_be_written_as_other_tools_write_it(lock: Callable[[str], Path], line: str, there: bool) -> None:
    lock(f"{line}\n")
    found = wheels.concrete_lock(requirements.text(), wheels.Platform("x86_64", "3.12.1", "glibc-2.36"))
    assert (f"left-pad==1.2.3 \\\n    {HASH}\n" in found) is there
    assert ("left-pad" in found) is there


def test_without_any_the_release_is_the_projects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBLAB_ENV_FILE", os.devnull)
    requirements.text.cache_clear()
    assert requirements.text() == requirements.LOCK.read_text()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (f"uvloop==0.21.0 {HASH}", "uvloop is what these releases shut out"),
        (f"UVLoop==0.21.0 ; sys_platform != 'win32' {HASH}", "uvloop is what these releases shut out"),
        ("left-pad==1.2.3", "has no --hash=sha256:"),
        (f"left-pad==1.2.3 --hash=md5:{'0' * 32}", "has no --hash=sha256:"),
        (f"left-pad>=1.2.3 {HASH}", "is no package with one version"),
        (f"left-pad==1.* {HASH}", "is no package with one version"),
        (f"left-pad {HASH}", "is no package with one version"),
        (f"left-pad @ https://example.com/x.whl {HASH}", "is no package with one version"),
        ("-r other.txt", "is no package with one version"),
        ("--index-url https://example.com/simple", "is no package with one version"),
        ("-e .", "is no package with one version"),
        ("./left-pad.whl", "is no package with one version"),
        (f"prefect==3.4.1 {HASH}", f"the release has prefect=={PREFECT}"),
        (f"Prefect==3.4.1 {HASH}", f"the release has prefect=={PREFECT}"),
    ],
)
def test_what_cannot_be_a_part_of_a_release(lock: Callable[[str], Path], line: str, said: str) -> None:
    path = lock(f"good==1.0 \\\n    {HASH}\n{line}\n")
    with pytest.raises(SettingsError) as refusal:
        parse(GOOD | {requirements.KEY: str(path)}, Path(".env"))
    (told,) = str(refusal.value).splitlines()
    assert told.startswith(f".env: {requirements.KEY}: ")
    assert said in told
    with pytest.raises(SettingsError):
        requirements.text()


def test_campaigns_that_are_not_there_hide_no_fault_of_the_lock(tmp_path: Path) -> None:
    both = {"HUBLAB_CAMPAIGNS": str(tmp_path / "none"), requirements.KEY: str(tmp_path / "none.lock")}
    with pytest.raises(SettingsError) as refusal:
        parse(GOOD | both, Path(".env"))
    assert [line.split(": ")[1] for line in str(refusal.value).splitlines()] == ["HUBLAB_CAMPAIGNS", requirements.KEY]


def test_missing_file_of_extra_requirements_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(SettingsError, match=r"HUBLAB_EXTRA_REQUIREMENTS: .* cannot be read"):
            parse(GOOD | {requirements.KEY: str(path)}, Path(".env"))
