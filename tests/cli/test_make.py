"""What make cannot pass on, it refuses before anything is done: `make deploy LIMT=h1` must not deploy everywhere."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from cli.start import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """`make`, as far as saying what it would do."""
    kept = {key: value for key, value in os.environ.items() if key not in {"MAKEFLAGS", "MAKELEVEL"}}
    return subprocess.run(["make", "-n", *words], cwd=CHECKOUT, env=kept, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("deploy", "LIMT=h1"), "LIMT of `make deploy`: make cannot pass it on, and nothing was done"),
        (("deploy", "LIMIT=h1"), "`./hublab --help` shows how it is written"),
        (("verify", "limit=h1"), "limit of `make verify`"),
        (("lint", "deploy", "HUBLAB_HOSTS=h1"), "HUBLAB_HOSTS of `make lint` HUBLAB_HOSTS of `make deploy`"),
        (("test", "TEST=tests/deploy"), "TEST of `make test`"),
        (("test", "deploy", "TESTS=tests/deploy"), "TESTS of `make deploy`"),
        (("deploy", "h1"), "h1: no target of make. `make help` lists them, `./hublab --help` what else there is"),
        (("deploy", "status"), "status: no target of make"),
    ],
)
def test_what_make_cannot_pass_on_is_refused(line: tuple[str, ...], said: str) -> None:
    done = make(*line)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("line", "does"),
    [
        (("deploy",), "./hublab deploy"),
        (("verify", "HUBLAB_ENV_FILE=/x"), "./hublab verify"),
        (("test", "TESTS=tests/deploy"), "pytest -q --durations=10 --numprocesses=4 --dist=worksteal tests/deploy"),
        (("test-rest-here",), '-m "long and not faults"'),
        (("mutants", "ROOM=worker.drain*", "BUDGET=600"), 'timeout 600 nice .venv/bin/mutmut run "worker.drain*"'),
        (("mutants", "CHILDREN=1"), "timeout 3600 nice .venv/bin/mutmut run --max-children 1;"),
    ],
)
def test_target_of_make_does_what_its_line_says(line: tuple[str, ...], does: str) -> None:
    done = make(*line)
    assert done.returncode == 0, done.stderr
    assert does in done.stdout


def test_nothing_in_a_value_is_executed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for value in (f"$(shell touch {made})", f"`touch {made}`", f"';touch {made};'", f"$$(touch {made})"):
        assert make("deploy", f"LIMIT={value}").returncode == 2
    assert not made.exists()
