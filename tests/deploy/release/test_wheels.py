"""The universal lock, made concrete for one kind of host."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement

from deploy.release.requirements import LOCK, locked_versions
from deploy.release.wheels import Platform, WheelsError, concrete_lock, uv_version

ALL = [
    Platform(machine, version, "glibc-2.36") for machine in ("x86_64", "aarch64") for version in ("3.12.1", "3.13.0")
]
SMALL = """\
# a comment
plain==1.0 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via
    #   other
old==2 ; python_full_version < '3.13' \\
    --hash=sha256:cc
    # via plain
new==3 ; python_full_version >= '3.13' \\
    --hash=sha256:dd
windows==312 ; sys_platform == 'win32' \\
    --hash=sha256:ee
either==4 ; python_full_version < '3.13' or sys_platform == 'win32' \\
    --hash=sha256:ff
arm==5 ; platform_machine == 'aarch64' \\
    --hash=sha256:00
cpython==6 ; platform_python_implementation != 'PyPy' and implementation_name == 'cpython' \\
    --hash=sha256:11
"""


def pins(text: str) -> dict[str, list[str]]:
    """`name==version` → hashes."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("    --hash="):
            found[list(found)[-1]].append(line.strip(" \\").removeprefix("--hash="))
        elif not line.startswith((" ", "#")):
            found[line.rstrip(" \\").partition(" ; ")[0]] = []
    return found


@pytest.mark.parametrize(
    ("platform", "names"),
    [
        (ALL[0], ["plain==1.0", "old==2", "either==4", "cpython==6"]),
        (ALL[1], ["plain==1.0", "new==3", "cpython==6"]),
        (ALL[2], ["plain==1.0", "old==2", "either==4", "arm==5", "cpython==6"]),
        (ALL[3], ["plain==1.0", "new==3", "arm==5", "cpython==6"]),
    ],
)
def test_markers_are_resolved(platform: Platform, names: list[str]) -> None:
    assert list(pins(concrete_lock(SMALL, platform))) == names


def test_text_that_pip_and_uv_read() -> None:
    kept = concrete_lock(SMALL.partition("new==")[0], ALL[0])
    assert kept == ("plain==1.0 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\nold==2 \\\n    --hash=sha256:cc\n")


def test_the_operators_own_machine_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign machine with another Python brings the same wheels."""
    before = concrete_lock(SMALL, ALL[0])
    foreign = {"sys_platform": "win32", "os_name": "nt", "platform_machine": "arm64", "implementation_name": "pypy"}
    foreign |= {"python_full_version": "3.14.0", "python_version": "3.14", "platform_python_implementation": "PyPy"}
    monkeypatch.setattr("deploy.release.wheels.default_environment", lambda: foreign | {"platform_system": "Darwin"})
    assert concrete_lock(SMALL, ALL[0]) == before


@pytest.mark.parametrize("platform", ALL, ids=lambda item: f"{item.machine}-{item.minor}")
def test_each_pin_of_the_real_lock_keeps_its_hashes(platform: Platform) -> None:
    universal = LOCK.read_text()
    text = concrete_lock(universal, platform)
    kept, written = pins(text), pins(universal)
    assert " ; " not in text
    assert "#" not in text
    for pin, hashes in kept.items():
        assert len(Requirement(pin).specifier) == 1
        assert hashes, f"{pin} has no hash"
        assert hashes == written[pin]
    names = {pin.partition("==")[0] for pin in kept}
    windows = set(re.findall(r"^([A-Za-z0-9._-]+)==\S+ ; sys_platform == 'win32' ", universal, re.MULTILINE))
    assert "pywin32" in windows
    assert names.isdisjoint(windows | {"uvloop"})
    assert {"prefect", "uvicorn", "notion-client", "resend"} <= names
    unmarked = set(re.findall(r"^([A-Za-z0-9._-]+)==\S+ \\$", universal, re.MULTILINE))
    assert unmarked <= names <= set(locked_versions())


def test_real_lock_differs_by_python_alone() -> None:
    texts = {(item.machine, item.minor): concrete_lock(LOCK.read_text(), item) for item in ALL}
    assert texts["x86_64", "3.12"] == texts["aarch64", "3.12"]
    assert texts["x86_64", "3.12"] != texts["x86_64", "3.13"]


def test_tags_from_the_hosts_own_c_library_down() -> None:
    tags = Platform("aarch64", "3.12.1", "glibc-2.36").tags
    assert tags[0] == "manylinux_2_36_aarch64"
    assert tags[-2:] == ["manylinux_2_17_aarch64", "manylinux2014_aarch64"]
    assert len(tags) == 21
    assert "manylinux_2_37_aarch64" not in tags


@pytest.mark.parametrize("libc", ["musl-1.2.4", "-", ""])
def test_other_c_library_is_refused(libc: str) -> None:
    with pytest.raises(WheelsError, match=r"the host's C library is .*; wheels are brought for glibc only"):
        _ = Platform("x86_64", "3.12.1", libc).tags


def test_minor_version_of_a_platform() -> None:
    assert Platform("x86_64", "3.13.0", "glibc-2.41").minor == "3.13"


def test_hosts_are_built_with_the_operators_uv() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", uv_version())
