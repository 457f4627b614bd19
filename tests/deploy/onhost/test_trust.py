"""What lies where the deploy keeps things is root's, and so is the way to it; and its accounts are nobody's."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Any

import pytest

from deploy.onhost import trust
from deploy.onhost.inspect_host import users
from deploy.onhost.wire import Places

if TYPE_CHECKING:
    from pathlib import Path


NOBODY = pwd.getpwnam("nobody").pw_uid


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of root's; the way to it is another's matter."""
    whole = trust.way
    monkeypatch.setattr(
        trust, "way", lambda path, *more: (step for step in whole(path, *more) if str(tmp_path) in step[0])
    )
    tmp_path.chmod(0o755)
    return tmp_path


def places(place: Path) -> Places:
    below = {"before": "lib/before", "kept": "lib/units", "record": "lib/deploys.jsonl", "lock": "run"}
    below |= {"base": "opt", "config": "etc"}
    found: dict[str, Any] = {key: place / path for key, path in below.items()}
    return Places(**found)


def found(place: Path) -> list[str]:
    said = "; what lies there would be run, or believed, as root"
    return [words.replace(str(place), "").replace(said, "") for words in trust.doubts(places(place), "hublab")]


def test_bare_host_and_one_of_roots_leave_no_doubt(place: Path) -> None:
    assert found(place) == []
    for name in ("opt/releases/r1", "lib/before", "etc", "run"):
        (place / name).mkdir(parents=True, mode=0o755)
    assert found(place) == []


@pytest.mark.parametrize("name", ["opt", "opt/releases", "opt/releases/r1", "opt/wheels", "lib", "lib/before", "run"])
def test_folder_that_a_user_made_first(name: str, place: Path) -> None:
    (place / name).mkdir(parents=True)
    os.chown(place / name, NOBODY, 0)
    assert found(place) == [f"/{name} belongs to nobody"]


@pytest.mark.parametrize("mode", [0o777, 0o757])
def test_folder_that_others_can_write(mode: int, place: Path) -> None:
    (place / "lib").mkdir()
    (place / "lib").chmod(mode)
    assert found(place) == ["/lib can be written by others than root"]
    (place / "lib").chmod(mode | 0o1000)  # as /tmp: what is root's there stays root's
    assert found(place) == []


def test_link_of_roots_that_leads_through_a_users_folder(place: Path) -> None:
    (place / "home/eve/data").mkdir(parents=True)
    (place / "opt").symlink_to(place / "home/eve/data")
    assert found(place) == [], "a link to where root alone writes is fine"
    os.chown(place / "home/eve", NOBODY, 0)
    assert found(place) == ["/home/eve belongs to nobody"]


def test_link_of_a_user_and_links_in_a_circle(place: Path) -> None:
    (place / "opt").symlink_to(place / "etc")
    (place / "etc").symlink_to(place / "opt")
    assert found(place) == []
    os.chown(place / "opt", NOBODY, 0, follow_symlinks=False)
    assert found(place) == ["/opt belongs to nobody"]


@pytest.mark.parametrize(
    ("uid", "shell", "theirs"),
    [(1001, "/bin/bash", True), (1001, "/usr/sbin/nologin", True), (998, "/bin/sh", True), (998, "/bin/false", False)],
)
def test_account_of_a_person_by_the_name_of_a_worker(
    uid: int, shell: str, theirs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("hublab-worker-1", "hublabber", "hublab-deploy", "hublab-worker-x", "eve")
    entries = [pwd.struct_passwd((name, "x", uid, uid, "", "/", shell)) for name in names]
    monkeypatch.setattr(pwd, "getpwall", lambda: entries)
    told = [f"the account hublab-worker-1 (uid {uid}, shell {shell}) is a person's; a worker would run as that person"]
    assert trust.accounts("hublab") == (told if theirs else [])
    assert users("hublab") == {"hublab-worker-1"}, "who logs in to deploy may have the project's name"
