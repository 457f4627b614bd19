"""The locks are what pyproject.toml asks for, whole, hashed, above their floors and without uvloop."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.settings import ROOT
from tests.deploy import lock as rules

PYPROJECT = (ROOT / "pyproject.toml").read_text()
LOCK = (ROOT / "requirements.lock").read_text()
DEV = (ROOT / "requirements-dev.lock").read_text()
SHA = "--hash=sha256:" + "0" * 64
EXCLUSION = next(line for line in PYPROJECT.splitlines() if line.startswith("exclude-dependencies ="))


def faults(pyproject: str, lock: str, dev: str) -> list[str]:
    """Everything that must hold, once."""
    return [
        *rules.direct_faults(pyproject, lock),
        *rules.direct_faults(pyproject, dev, "dev"),
        *rules.closure_faults(pyproject, lock),
        *rules.closure_faults(pyproject, dev, "dev"),
        *rules.hash_faults(lock),
        *rules.hash_faults(dev),
        *rules.floor_faults(lock),
        *rules.uvloop_faults(pyproject, lock),
        *rules.uvloop_faults(pyproject, dev),
        *rules.agreement_faults(lock, dev),
    ]


def test_locks_are_as_they_must_be() -> None:
    assert faults(PYPROJECT, LOCK, DEV) == [], "run `make lock`, then `make`"


def test_python_that_hosts_may_have_is_the_one_that_is_locked_for() -> None:
    assert 'requires-python = ">=3.12"' in PYPROJECT


def pin(text: str, name: str, version: str) -> str:
    """The lock with one package at another version."""
    changed, count = re.subn(rf"^{name}==\S+", f"{name}=={version}", text, flags=re.MULTILINE)
    assert count == 1, name
    return changed


def without(text: str, name: str) -> str:
    """The lock without one package."""
    changed, count = re.subn(rf"^{name}==.*?(?=^\S|\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
    assert count == 1, name
    return changed


def unhashed(text: str, name: str) -> str:
    """The lock with one pin whose hashes are gone."""
    block = re.search(rf"^{name}==.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert block
    bare = "".join(line for line in block[0].splitlines(keepends=True) if "--hash=" not in line).replace(" \\\n", "\n")
    return text.replace(block[0], bare)


def edited(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


@pytest.mark.parametrize("name", ["prefect", "notion-client", "uvicorn"])
def test_dependency_that_is_not_locked_is_seen(name: str) -> None:
    (fault,) = rules.direct_faults(PYPROJECT, without(LOCK, name))
    assert fault.startswith(name)
    assert fault.endswith(" is not locked")


def test_new_dependency_is_seen() -> None:
    changed = edited(PYPROJECT, '  "httpx>=0.28",', '  "httpx>=0.28",\n  "left-pad>=1",')
    assert rules.direct_faults(changed, LOCK) == ["left-pad>=1 is not locked"]
    changed = edited(PYPROJECT, '  "ruff>=0.14",', '  "ruff>=999",')
    assert rules.direct_faults(changed, LOCK) == []
    assert "ruff>=999 is locked at" in rules.direct_faults(changed, DEV, "dev")[0]


def test_raised_floor_is_seen() -> None:
    changed = edited(PYPROJECT, '"starlette>=0.50"', '"starlette>=999"')
    assert rules.direct_faults(changed, LOCK)[0].startswith("starlette>=999 is locked at ")


def test_dropped_dependency_is_seen() -> None:
    changed = edited(PYPROJECT, '  "css-inline>=0.20",\n', "")
    assert rules.closure_faults(changed, LOCK) == ["css-inline is locked and nobody asks for it"]


def test_new_extra_is_seen() -> None:
    """An extra asks for more packages, and the lock has none of them."""
    changed = edited(PYPROJECT, '"uvicorn>=0.36"', '"uvicorn[standard]>=0.36"')
    found = rules.closure_faults(changed, LOCK)
    assert any(fault.startswith("httptools") and fault.endswith("is not locked") for fault in found)
    assert not any("uvloop" in fault for fault in found)
    assert "uvicorn[standard]>=0.36 asks for uvicorn's own uvloop" in rules.uvloop_faults(changed, LOCK)


def test_hole_deeper_down_is_seen() -> None:
    """No direct dependency: something that the packages of packages ask for."""
    found = rules.closure_faults(PYPROJECT, without(LOCK, "sniffio"))
    assert found
    assert all(fault.startswith("sniffio") and fault.endswith("is not locked") for fault in found)


def test_pin_that_another_package_does_not_allow_is_seen() -> None:
    found = rules.closure_faults(PYPROJECT, pin(LOCK, "anyio", "1.0"))
    assert any(fault.startswith("anyio") and "is locked at 1.0" in fault for fault in found)


def test_lock_that_is_not_what_is_installed_is_seen() -> None:
    """The metadata that the check rests on must be that of the locked versions."""
    found = rules.closure_faults(PYPROJECT, pin(LOCK, "coolname", "5.0.9"))
    assert any(fault.startswith("coolname 5.0.9 is locked, ") for fault in found)
    assert rules.closure_faults(PYPROJECT, LOCK, known=lambda _: None)


@pytest.mark.parametrize(
    ("name", "version", "floor"),
    [
        ("prefect", "3.6.5", "prefect>=3.6.6 is locked at 3.6.5"),
        ("prefect", "3.4.1", "prefect>=3.6.6 is locked at 3.4.1"),
        ("uvicorn", "0.35.0", "uvicorn>=0.36 is locked at 0.35.0"),
    ],
)
def test_version_under_a_floor_is_seen(name: str, version: str, floor: str) -> None:
    assert rules.floor_faults(pin(LOCK, name, version)) == [floor]


@pytest.mark.parametrize("line", ["uvloop==0.21.0", "UVloop==0.22.1 ; sys_platform != 'win32'"])
def test_uvloop_in_the_lock_is_seen(line: str) -> None:
    changed = f"{LOCK}{line} \\\n    {SHA}\n"
    assert rules.uvloop_faults(PYPROJECT, changed) == [
        f"uvloop {line.split(maxsplit=1)[0].partition('==')[2]} is locked"
    ]


@pytest.mark.parametrize("line", [EXCLUSION, 'constraint-dependencies = ["uvloop==0"]'])
def test_fence_against_uvloop_that_is_gone_is_seen(line: str) -> None:
    found = rules.uvloop_faults(edited(PYPROJECT, line, ""), LOCK)
    assert len(found) == 1
    assert line.partition(" ")[0] in found[0]


@pytest.mark.parametrize("name", ["prefect", "aiosqlite", "whenever"])
def test_pin_without_a_hash_is_seen(name: str) -> None:
    assert rules.hash_faults(unhashed(LOCK, name)) == [f"{name} has no hash"]


@pytest.mark.parametrize("line", ["prefect>=3", "-e .", "https://example.com/a.whl", "--index-url https://example.com"])
def test_line_that_is_no_pin_is_seen(line: str) -> None:
    assert rules.hash_faults(f"{LOCK}{line}\n") == [f"{line!r} is no pin"]


def test_empty_lock_is_seen() -> None:
    assert rules.hash_faults("# nothing\n") == ["the lock is empty"]


def test_operator_with_another_version_is_seen() -> None:
    found = rules.agreement_faults(LOCK, pin(DEV, "prefect", "3.6.6"))
    assert len(found) == 1
    assert found[0].startswith("prefect 3.")
    assert rules.agreement_faults(LOCK, without(DEV, "coolname"))


def resolved(pyproject: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """What `make lock` would make of a pyproject.toml."""
    (folder / "pyproject.toml").write_text(pyproject)
    command = ["uv", "pip", "compile", "-q", "pyproject.toml", "--universal", "--python-version", "3.12", "--no-header"]
    command[0] = str(Path(sys.executable).with_name("uv"))
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)


WANTS_UVLOOP = edited(PYPROJECT, '"uvicorn>=0.36"', '"uvicorn[standard]>=0.36"')


def test_dependency_that_wants_uvloop_does_not_get_it(tmp_path: Path) -> None:
    done = resolved(WANTS_UVLOOP, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "httptools==" in done.stdout
    assert "uvloop==" not in done.stdout


def test_without_the_exclusion_nothing_resolves(tmp_path: Path) -> None:
    """The tripwire: whoever takes the first line out gets an error, not uvloop."""
    done = resolved(edited(WANTS_UVLOOP, EXCLUSION, ""), tmp_path)
    assert done.returncode != 0
    assert "uvloop" in done.stderr
