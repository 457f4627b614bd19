"""apt-get refuses to refresh its lists beside another one: nobody may see a red sandbox for that."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sandbox import apt
from sandbox.errors import SandboxError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# As apt-get does it: a lock that is held is an error at once.
_AS_APT = """#!{python}
import fcntl, pathlib, sys, time
with open({lock!r}, "a") as lock:
    try:
        fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        sys.exit("E: Could not get lock {lock}. It is held by process 1 (apt-get)")
    with open({said!r}, "a") as said:
        print(*sys.argv[1:], file=said)
    time.sleep(0.2)
"""
_HOLDS = """
import fcntl, sys
lock = open(sys.argv[1], "a")
fcntl.lockf(lock, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the apt-get on PATH was asked."""
    lists, said = tmp_path / "lists", tmp_path / "said"
    program = tmp_path / "bin" / "apt-get"
    program.parent.mkdir()
    program.write_text(_AS_APT.format(python=sys.executable, lock=str(lists), said=str(said)))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    monkeypatch.setattr(apt, "_LISTS", lists)
    monkeypatch.setattr(apt, "_OURS", tmp_path / "ours")
    return said


def test_four_at_once_each_get_their_turn(said: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(apt.install, [[f"package-{number}"] for number in range(4)]))
    lines = said.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["update", "install"] * 4
    assert {line.split()[-1] for line in lines[1::2]} == {f"package-{number}" for number in range(4)}


@pytest.fixture
def stranger(said: Path) -> Iterator[subprocess.Popen[str]]:
    """Another apt-get, which the machine itself has started, at its lists."""
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDS, str(said.parent / "lists")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_apt_get_of_somebody_else_is_waited_for(
    said: Path, stranger: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def somebody_else_is_done(_: float) -> None:
        stranger.kill()
        stranger.wait()

    monkeypatch.setattr("time.sleep", somebody_else_is_done)
    apt.install(["chromium"])
    assert [line.split()[0] for line in said.read_text().splitlines()] == ["update", "install"]


@pytest.mark.usefixtures("stranger")
def test_one_that_never_ends_is_named_with_a_remedy(said: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apt, "_WAIT_SECONDS", 0)
    with pytest.raises(SandboxError, match=r"lists: another apt-get .*; remedy: look at it with `fuser -v`"):
        apt.install(["chromium"])
    assert not said.exists()
