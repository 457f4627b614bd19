"""The launcher and a program of ours, run by a real shell and a real interpreter on this machine."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from deploy import remote
from deploy.onhost.wire import encode
from deploy.rollout import under_lock
from tests.deploy.queries import KINDS, blank

if TYPE_CHECKING:
    from deploy.onhost.wire import Query

COMMON = (Path(remote.__file__).parent / "onhost/common.py").read_text()
WIRE = (Path(remote.__file__).parent / "onhost/wire.py").read_text()
TRIAL = """
import dataclasses, glob, sys
from deploy.onhost.common import must, read
from deploy.onhost.wire import Query, encode

@dataclasses.dataclass(frozen=True, kw_only=True)
class Trial(Query):
    secret: str = "nobody has this"
    text: str = ""
    status: int = 0

def main(query):
    lines = [read(path).decode(errors="replace") for path in glob.glob("/proc/[0-9]*/cmdline")]
    if query.status:
        return query.status
    if query.text == "fail":
        must("sh", "-c", "echo systemd says no >&2; exit 1")
    print(encode({
        "argv": [line for line in lines if query.secret in line],
        "processes": len(lines),
        "version": "%d.%d" % sys.version_info[:2],
        "query": query,
    }))
"""


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A program `trial` beside the real `common` and `wire`, and what it is asked."""
    (tmp_path / "onhost").mkdir()
    (tmp_path / "onhost/common.py").write_text(COMMON)
    (tmp_path / "onhost/wire.py").write_text(WIRE)
    (tmp_path / "onhost/trial.py").write_text(TRIAL)
    monkeypatch.setattr(remote, "ONHOST", tmp_path / "onhost")
    module = types.ModuleType("deploy.onhost.trial")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(TRIAL, module.__dict__)  # noqa: S102 - as the host does it
    return module.__dict__["Trial"]


def on_path(folder: Path, **programs: str) -> dict[str, str]:
    """An environment in which some programs are shell lines of ours; who is not root has a Python of their own."""
    folder.mkdir(exist_ok=True)
    programs |= {} if os.geteuid() == 0 else {"namei": "echo f: /"}
    for name, line in programs.items():
        program = folder / name.replace("_", ".")
        program.write_text(f"#!/bin/sh\n{line}\n")
        program.chmod(0o755)
    return {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}


def launch(python: str, text: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["sh", "-c", remote.launcher(python)]
    return subprocess.run(command, input=text, env=env, capture_output=True, text=True, check=False, timeout=180)


def answer(python: str, text: str, env: dict[str, str]) -> dict[str, Any]:
    done = launch(python, text, env)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture
def root(tmp_path: Path) -> dict[str, str]:
    """As root, whoever runs the tests."""
    return on_path(tmp_path / "bin", id="echo 0")


# A name that no interpreter of this machine has in the system's own places.
OTHER = "3.99"
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def test_program_runs_with_its_question_and_no_argument_list_has_the_secret(trial: Any, root: dict[str, str]) -> None:
    query = trial(secret=secrets.token_hex(16), text="quotes ' \" \\ {braces} $HOME\nline two – é 😀")
    found = answer(sys.executable, remote.program(query), root)
    assert found["query"] == json.loads(encode(query))
    assert found["argv"] == []
    assert found["processes"] > 1
    assert found["version"] == HERE


def test_search_for_the_secret_finds_one_that_is_there(trial: Any, root: dict[str, str]) -> None:
    """The check above can fail: a process that carries the secret is seen."""
    secret = secrets.token_hex(16)
    bearer = subprocess.Popen([sys.executable, "-c", "input()", secret], stdin=subprocess.PIPE)
    try:
        found = answer(sys.executable, remote.program(trial(secret=secret)), root)
    finally:
        bearer.communicate(b"\n", timeout=180)
    assert len(found["argv"]) == 1


def test_status_of_the_program_is_the_launchers(trial: Any, root: dict[str, str]) -> None:
    text = remote.program(trial(secret="x", status=3))
    assert launch(sys.executable, text, root).returncode == 3


def test_what_the_host_refuses_is_said_in_its_words_and_not_in_pythons(trial: Any, root: dict[str, str]) -> None:
    done = launch(sys.executable, remote.program(trial(secret="x", text="fail")), root)
    assert done.returncode == 1
    assert done.stderr.startswith("trial: sh -c ")
    assert done.stderr.endswith("ended with status 1:\nsystemd says no\n")


def test_interpreter_is_found_by_its_version(trial: Any, tmp_path: Path) -> None:
    """Whatever the folders that are looked at first have, it is of the version that was asked for."""
    env = on_path(tmp_path / "bin", id="echo 0", **{f"python{HERE.replace('.', '_')}": f'exec {sys.executable} "$@"'})
    assert answer(HERE, remote.program(trial()), env)["version"] == HERE


PLANTED = 'touch "$RAN"; test "$2" = -c && echo 3.99.1 || exit 7'


@pytest.mark.parametrize("spoilt", ["bin", "bin/python3.99", "lib/python3.99", "lib/python3.99/site-packages"])
@pytest.mark.parametrize("spoil", ["of another's", "written by all", "written by a group"])
def test_interpreter_that_another_than_root_could_exchange_is_not_run(spoilt: str, spoil: str, tmp_path: Path) -> None:
    place = tmp_path / "py"
    (place / "lib/python3.99/site-packages").mkdir(parents=True)
    planted = on_path(place / "bin", python3_99=PLANTED)
    env = planted | {"RAN": str(tmp_path / "ran")}
    assert launch(OTHER, "", env).returncode == 7, "as it is, root's alone, it is taken"
    (tmp_path / "ran").unlink()
    if spoil == "of another's":
        os.chown(place / spoilt, 65534, 0)
    else:
        os.chown(place / spoilt, 0, 65534)
        (place / spoilt).chmod(0o777 if spoil == "written by all" else 0o775)
    assert launch(OTHER, "", env).returncode == 0, "another looks at the host"
    found = answer(str(place / "bin/python3.99"), "", env)
    assert found["problem"] == "python"
    assert f"passed over: {place}" in found["found"]
    assert not (tmp_path / "ran").exists()


def test_link_through_a_folder_of_anothers_is_not_followed(tmp_path: Path) -> None:
    env = on_path(tmp_path / "py", python3_99=PLANTED) | {"RAN": str(tmp_path / "ran")}
    (tmp_path / "eve").mkdir()
    os.chown(tmp_path / "eve", 65534, 0)
    (tmp_path / "eve/way").symlink_to(tmp_path / "py")
    (tmp_path / "opt").symlink_to(tmp_path / "eve/way")
    found = answer(str(tmp_path / "opt/python3.99"), "", env)
    assert f"passed over: {tmp_path}/opt/python3.99 (see eve)" in found["found"]
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("spoilt", ["lib/python3.99", "lib/python3.99/site-packages"])
def test_modules_of_an_interpreter_that_a_link_leads_to_are_looked_at(spoilt: str, tmp_path: Path) -> None:
    place = tmp_path / "py"
    (place / "lib/python3.99/site-packages").mkdir(parents=True)
    env = on_path(place / "bin", python3_99=PLANTED) | {"RAN": str(tmp_path / "ran")}
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/python").symlink_to(place / "bin/python3.99")
    os.chown(place / spoilt, 65534, 0)
    assert "passed over: " in answer(str(tmp_path / "elsewhere/python"), "", env)["found"]
    assert not (tmp_path / "ran").exists()


def test_without_a_means_to_look_nothing_is_run(tmp_path: Path) -> None:
    env = on_path(tmp_path / "py", python3_99=PLANTED, namei="exit 127") | {"RAN": str(tmp_path / "ran")}
    found = answer(str(tmp_path / "py/python3.99"), "", env)
    assert found["found"] == "none, passed over: all of them (no namei is there to look with)"
    assert not (tmp_path / "ran").exists()


def test_wrong_version_is_a_problem_and_runs_nothing(tmp_path: Path) -> None:
    """A shim that answers to the name without having the version."""
    env = on_path(
        tmp_path / "bin", id="echo 0", python3="echo Python 3.9.2", shim='test "$2" = -c && echo 3.9 || echo RUN'
    )
    found = answer(str(tmp_path / "bin/shim"), "print('ran')", env)
    assert (found["problem"], found["found"]) == ("python", "Python 3.9.2")


def test_absent_interpreter_is_a_problem(tmp_path: Path) -> None:
    """What a Python could be brought for is told by the shell: nothing else is there to tell it."""
    tools = {"getconf": 'test "$1" = GNU_LIBC_VERSION && echo glibc 2.36', "uname": "echo aarch64"}
    env = on_path(tmp_path / "bin", id="echo 0", python3="echo Python 3.9.2", **tools)
    told = {"problem": "python", "found": "Python 3.9.2", "machine": "aarch64", "libc": "glibc-2.36"}
    assert answer("/nowhere/python 3.12", "", env) == told


def test_interpreter_that_lacks_what_a_worker_needs_does_not_fit(tmp_path: Path) -> None:
    """Debian's `python3.12-minimal` has the name and the version, and neither SSL nor SQLite."""
    text = 'import sys; print(\'{"argv": "%s"}\' % sys.argv[1:])'
    whole = f'exec {sys.executable} "$@"'
    poor = f'test "$2" != -c || set -- -I -c "import sys; sys.modules[\'_ssl\'] = None; $3"; exec {sys.executable} "$@"'
    for line, told in ((whole, "[]"), (poor, "['unfit']")):
        env = on_path(tmp_path / "bin", id="echo 0", python3=whole, **{f"python{OTHER.replace('.', '_')}": line})
        launched = remote.launcher(OTHER).replace(f"{OTHER}.*)", f"{HERE}.*)").replace("/usr/bin/", "/nowhere/")
        done = subprocess.run(["sh", "-c", launched], input=text, env=env, capture_output=True, text=True, check=False)
        assert json.loads(done.stdout)["argv"] == told, done.stderr


def test_refused_sudo_is_a_problem_by_the_users_name(tmp_path: Path) -> None:
    env = on_path(tmp_path / "bin", id='test "$1" = -un && echo deploy || echo 1000', sudo="cat >/dev/null; exit 1")
    assert answer(sys.executable, "print('ran')", env) == {"problem": "sudo", "found": "deploy"}


def test_granted_sudo_runs_the_program(trial: Any, tmp_path: Path) -> None:
    """`sudo -n`: a password is never asked for. Looking for sudo must not eat the program on standard input."""
    env = on_path(
        tmp_path / "bin", id="echo 1000", sudo='test "$1" = -n || exit 1; shift; test "$1" != true || cat; exec "$@"'
    )
    assert answer(sys.executable, remote.program(trial()), env)["version"] == HERE


@pytest.mark.parametrize("python", ["3.12", "3.13", "/opt/python 3/bin/python"])
def test_step_that_must_not_be_cut_is_a_unit_of_the_hosts_own(python: str) -> None:
    assert "systemd-run" not in remote.launcher(python)
    detached = remote.launcher(python, detached=True)
    assert "systemd-run --quiet --collect --pipe --wait --unit=hublab-rollout" in detached
    assert subprocess.run(["sh", "-n", "-c", detached], check=False, timeout=180).returncode == 0


@pytest.mark.parametrize("kind", KINDS)
def test_every_program_compiles_and_speaks_no_package(kind: type[Query]) -> None:
    """Standard library alone: on the host there is nothing else yet. And it knows the types of what it is asked."""
    text, asked, _ = remote.program(blank(kind)).partition("query = sys.modules")
    assert asked
    hints = f"sys.modules['deploy.onhost.wire']._hints(program.{kind.__name__})"
    command = [sys.executable, "-I", "-S", "-c", f"{text}{hints}\nprint(program.main)"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("<function main")


def test_checkout_that_is_edited_in_the_midst_of_a_deploy_sends_nothing_of_it(trial: Any, tmp_path: Path) -> None:
    """Half of an edit on some hosts, or in some steps, would be a program that nobody has ever seen run."""
    first = remote.program(trial())
    for file in tmp_path.rglob("*.py"):
        file.write_text("raise RuntimeError('half of an edit')\n")
    assert remote.program(trial()) == first


COMMANDS = [remote.launcher("3.12"), remote.launcher("/opt/bin/python", detached=True), under_lock.guard("t")]


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_the_same_to_every_login_shell(command: str) -> None:
    """It travels in single quotes: csh ends them at the end of a line, fish reads a backslash in them."""
    assert "\n" not in command
    assert "\\" not in command
