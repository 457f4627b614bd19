"""What stands beside a target on make's command line is known to that target, or nothing is done."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from deploy.options import EVERYWHERE, OPTIONS, known_targets
from deploy.settings import ROOT

FILES = [str(ROOT / name) for name in ("Makefile", "flows/flows.mk", "tests/tests.mk")]
MAKEFILES = "".join(Path(name).read_text() for name in FILES)


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """`make`, as far as saying what it would do."""
    kept = {key: value for key, value in os.environ.items() if key not in {*OPTIONS, "MAKEFLAGS", "MAKELEVEL"}}
    return subprocess.run(
        ["make", "-n", *arguments], cwd=ROOT, env=kept | environment, capture_output=True, text=True, check=False
    )


def recipes() -> dict[str, str]:
    """Target → the lines of its recipe."""
    return {
        target: recipe
        for names, recipe in re.findall(r"^([a-z0-9 -]+):(?!=)[^\n]*\n((?:\t[^\n]*\n)+)", MAKEFILES, re.MULTILINE)
        for target in names.split()
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("deploy", "LIMT=h1"), "LIMT: `make deploy` knows no such variable; did you mean LIMIT?"),
        (("deploy", "limit=h1"), "limit: `make deploy` knows no such variable; did you mean LIMIT?"),
        (("rollback", "LIMITS=h1"), "did you mean LIMIT?"),
        (("rollback", "RELASE=3.8.8-x"), "did you mean RELEASE?"),
        (("unlock", "HOST=h1"), "HOST: `make unlock` knows no such variable; it takes LIMIT"),
        (("unlock", "RELEASE=x"), "RELEASE: `make unlock` knows no such variable; it takes LIMIT"),
        (("test", "TEST=tests/deploy"), "did you mean TESTS?"),
        (("demo", "SPED=4"), "did you mean SPEED?"),
        (("chaos", "ENROLMENT=4"), "did you mean ENROLMENTS?"),
        (("test-send", "TEMPLAT=a", "TO=a@b.example"), "did you mean TEMPLATE?"),
        (("register", "X=1"), "X: `make register` knows no such variable; it takes none"),
        (("lint", "deploy", "LIMIT=h1"), "LIMIT: `make lint` knows no such variable"),
        (("deploy", "HUBLAB_HOSTS=h1"), "HUBLAB_HOSTS: is not for make's command line; write it into .env"),
        (("deploy", "LIMIT="), "LIMIT: '' is not one host of HUBLAB_HOSTS"),
        (("deploy", "LIMIT=h1 h2"), "LIMIT: 'h1 h2' is not one host"),
        (("deploy", "LIMIT=h1;h2"), "LIMIT: 'h1;h2' is not one host"),
        (("deploy", "LIMIT='"), 'LIMIT: "\'" is not one host'),
        (("deploy", "PAST=0"), "PAST: '0' is not 1, or leave it out"),
        (("deploy", "HOSTS=many"), "HOSTS: 'many' is not a number of hosts in the sandbox"),
        (("deploy", "WAVE=-1"), "WAVE: '-1' is not a number of hosts"),
        (("status", "JSON=no"), "JSON: 'no' is not 1, or leave it out"),
        (("test-send", "TEMPLATE=a", "TO=nobody"), "TO: 'nobody' is not an address"),
        (("deploy", "LIMIT", "h1"), "LIMIT: is no target of make; write LIMIT=…"),
        (("deploy", "h1"), "h1: is no target of make; `make help` lists them"),
        (("deploy", "statsu"), "statsu: is no target of make; did you mean status?"),
    ],
)
def test_what_its_target_does_not_take_is_an_error(line: tuple[str, ...], said: str) -> None:
    done = make(*line)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize("name", ["LIMT", "LIMITS", "limit", "Limit", "LMIT"])
def test_a_misspelt_limit_in_the_environment_is_an_error_too(name: str) -> None:
    done = make("deploy", **{name: "h1"})
    assert done.returncode == 2
    assert f"{name}: set in the environment, and `make deploy` takes LIMIT" in done.stderr


def test_an_empty_limit_in_the_environment_is_not_all_hosts() -> None:
    assert "LIMIT: '' is not one host" in make("deploy", LIMIT="").stderr


@pytest.mark.parametrize(
    ("line", "environment"),
    [
        (("deploy", "LIMIT=h1,10.0.0.1", "WAVE=2"), {}),
        (("deploy", "LIMIT=web-*"), {}),
        (("deploy", "PAST=1", "HOSTS=3"), {}),
        (("deploy",), {"LIMIT": "h1", "HOST": "here", "UNRELATED": "x", "RELEASES": "x"}),
        (("status", "JSON=1", "LIMIT=h1"), {}),
        (("deploy", "HUBLAB_ENV_FILE=/x"), {}),
        (("secrets", "ENV=.env.production"), {}),
        (("campaign-status", "HTML=out/campaign.html"), {}),
    ],
)
def test_what_it_takes_is_taken(line: tuple[str, ...], environment: dict[str, str]) -> None:
    done = make(*line, **environment)
    assert done.returncode == 0, done.stderr


def test_a_shells_own_startup_file_is_not_taken_for_the_operators_env_file() -> None:
    assert make("secrets", ENV="/root/.profile").stdout.strip() == "./hublab campaign secrets"
    assert make("secrets", "ENV=.env.production").stdout.strip() == "./hublab campaign secrets --env .env.production"


def test_nothing_in_a_value_is_executed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for value in (f"$(shell touch {made})", f"`touch {made}`", f"';touch {made};'", f"$$(touch {made})"):
        assert make("deploy", f"LIMIT={value}").returncode == 2
        assert make("deploy", f"LIMT={value}").returncode == 2
    assert not made.exists()


def test_each_target_says_what_it_takes() -> None:
    """A variable that a recipe uses and no `takes.` line names could not be given at all."""
    used = {target: set(re.findall(r"\$\((?:if \$\()?([A-Z0-9]+)\)", recipe)) for target, recipe in recipes().items()}
    lines = re.findall(r"^takes\.(\S+) := (.*)$", MAKEFILES, re.MULTILINE)
    takes = {target: set(names.split()) for target, names in lines}
    for target, names in used.items():
        assert names & OPTIONS.keys() <= takes.get(target, set()), target
    assert takes.keys() <= set(known_targets(FILES))
    assert {name for names in takes.values() for name in names} == OPTIONS.keys()
    assert not OPTIONS.keys() & set(EVERYWHERE)


def test_every_target_is_known() -> None:
    assert set(re.findall(r"\S+\.mk", MAKEFILES)) == {"flows/flows.mk", "tests/tests.mk"}
    assert set(recipes()) - set(known_targets(FILES)) == set()
