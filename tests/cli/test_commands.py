"""What is typed after `./hublab` becomes the right program, or an error that helps."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
import typer

from cli import start
from cli.app import app
from deploy import env_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Typed

HUBLAB = start.CHECKOUT / "hublab"
ID = "0b9f6e0e-8a55-4a1e-9a35-1a0f2f5f0c11"


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Every command with the words that call it."""
    for name, command in getattr(group, "commands", {}).items():
        if getattr(command, "commands", None):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(commands(typer.main.get_command(app)))


WORKERS = ["deploy/inventory.py", "deploy/workers.py"]


@pytest.mark.parametrize(
    ("line", "program"),
    [
        ("deploy --yes", ["pyinfra", "-y", *WORKERS]),
        ("deploy -y --wave 3", ["pyinfra", "--data", "wave=3", "-y", *WORKERS]),
        ("rollback -y", ["pyinfra", "-y", "deploy/inventory.py", "deploy/rollback.py"]),
        (
            "rollback -y --to 3.8.8-x",
            ["pyinfra", "--data", "release=3.8.8-x", "-y", "deploy/inventory.py", "deploy/rollback.py"],
        ),
        ("decommission h1 -y", ["pyinfra", "-y", "deploy/inventory.py", "deploy/decommission.py"]),
        ("status", ["python", "-m", "deploy.fleet", "status", "words"]),
        ("status --json", ["python", "-m", "deploy.fleet", "status", "json"]),
        ("status -w", ["python", "-m", "deploy.fleet", "status", "watch"]),
        ("status --openmetrics", ["python", "-m", "deploy.fleet", "status", "openmetrics"]),
        ("logs h1 2 -f", ["python", "-m", "deploy.fleet", "logs", "2", "100", "follow"]),
        ("sandbox ssh hublab-1 ls -l", ["python", "-m", "sandbox", "ssh", "hublab-1", "ls", "-l"]),
        ("campaign stop a@b.example", ["python", "-m", "flows.operator.operate", "stop", "a@b.example"]),
        (
            "campaign allow a@b.example --complained -y",
            ["python", "-m", "flows.operator.operate", "allow", "a@b.example", "--complained", "--yes"],
        ),
        ("campaign allow a@b.example", ["python", "-m", "flows.operator.operate", "allow", "a@b.example"]),
        (
            "campaign forget spring-hello-01:2",
            ["python", "-m", "flows.operator.operate", "forget", "spring-hello-01:2"],
        ),
        ("e2e --speed 4 -y", ["python", "-m", "e2e", "--speed", "4.0", "--yes"]),
    ],
)
def test_command_calls_its_program(production: Typed, line: str, program: list[str]) -> None:
    assert production(line)[0] == 0
    assert production.programs == [program]


def test_image_is_told_what_to_build_on(typed: Typed) -> None:
    assert typed("image --base python@sha256:0 --target webhooks")[0] == 0
    assert typed.programs == [["python", "-m", "deploy.container.image"]]
    assert (typed.environment["BASE"], typed.environment["TARGET"]) == ("python@sha256:0", "webhooks")


@pytest.mark.parametrize("command", ["plan", "deploy -y", "rollback -y", "status", "history", "unlock"])
def test_limit_reaches_the_program(production: Typed, command: str) -> None:
    production(f"{command} --limit h1,web-*")
    assert production.environment["LIMIT"] == "h1,web-*"


def test_without_hosts_a_sandbox_is_booted_first_and_nobody_is_asked(
    typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(env_file, "sandbox_file", lambda root: root / ".sandbox/campaign.env")
    assert typed("deploy --hosts 2 --past")[0] == 0
    assert typed.programs[0] == ["python", "-m", "sandbox", "up", "--hosts", "2", "--past"]
    assert typed.programs[1] == ["pyinfra", "-y", *WORKERS]
    assert typed.environment["HUBLAB_ENV_FILE"] == str(start.CHECKOUT / ".sandbox/campaign.env")


@pytest.mark.parametrize("line", ["rollback", "decommission hublab-1"])
def test_in_a_sandbox_nobody_is_asked(typed: Typed, line: str) -> None:
    assert typed(line)[0] == 0
    assert typed.programs == [["pyinfra", "-y", "deploy/inventory.py", f"deploy/{line.split(maxsplit=1)[0]}.py"]]


def test_sandbox_that_does_not_boot_is_not_deployed_to(typed: Typed) -> None:
    typed.status = 7
    assert typed("deploy")[0] == 7
    assert len(typed.programs) == 1


@pytest.mark.parametrize("line", ["deploy", "rollback", "deploy --limit h1", "decommission h1"])
def test_hosts_of_others_are_not_changed_unasked(production: Typed, line: str) -> None:
    status, said = production(line)
    assert (status, production.programs) == (2, [])
    assert "Say --yes" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("dploy", "Did you mean 'deploy'?"),
        ("deploy --limt h1", "--limit"),
        ("deploy h1", "unexpected extra argument"),
        ("deploy --yes --hosts 2", "--hosts and --past are the sandbox's"),
        ("run-again", "Missing argument"),
        ("run-again 17", "valid UUID"),
        ("deploy --wave x", "as an integer"),
        ("campaign erase", "Missing argument"),
        ("campaign stop ada", "'ada' is no address; write it as"),
        ("campaign allow @example.com", "'@example.com' is no address"),
        ("campaign erase ada@", "'ada@' is no address"),
        ("campaign erase ada@example", "'ada@example' is no address"),
        ("campaign stop <ada@example.com>", "'<ada@example.com>' is no address"),
        ("campaign allow ada@example.com,bo@example.com", "is no address"),
        ("campaign erase mailto:ada@example.com", "'mailto:ada@example.com' is no address"),
        ("campaign cutover --person 'Ada <ada@example.com>'", "'Ada <ada@example.com>' is no address"),
        ("campaign test-send christmas_email_2 ada", "'ada' is no address"),
        ("campaign cutover --person ada", "'ada' is no address"),
        ("status --json --watch", "one of them at a time"),
    ],
)
def test_what_cannot_be_meant_is_refused(production: Typed, line: str, said: str) -> None:
    status, output = production(line)
    assert (status, production.programs) == (2, [])
    assert said in re.sub(r"\s*[│\n]\s*", " ", output)


@pytest.mark.parametrize(
    ("plan", "failed", "status"),
    [
        ([{"host": "h1", "changes": False}], 0, 0),
        ([{"host": "h1", "changes": False}, {"host": "h2", "changes": True}], 0, 2),
        ([], 1, 1),
    ],
)
def test_plan_tells_by_its_status_whether_there_is_something_to_do(
    typed: Typed, plan: list[dict[str, Any]], failed: int, status: int
) -> None:
    typed.plan, typed.status = plan, failed
    assert typed("plan")[0] == status
    found, said = typed("plan --json")
    assert (found, json.loads(said)) == (status, plan)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_that_can_be_typed(production: Typed, name: str) -> None:
    found = re.search(r"Example: \./hublab (.+)", COMMANDS[name].help or "")
    assert found, f"the help of {name} has no example"
    assert found[1].startswith(name)
    line = found[1] if name not in {"deploy", "rollback", "decommission"} else f"{found[1]} -y"
    if name == "campaign secrets":
        line += f" --env {HUBLAB.with_name('.env.example')}"
    production.plan = [{"changes": False}]
    assert production(line)[0] == 0
    assert production.programs


def hublab(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real thing, from a folder of its own."""
    env = {**os.environ, **environment}
    return subprocess.run([HUBLAB, *arguments], cwd="/", env=env, capture_output=True, text=True, check=False)


def test_it_starts_from_any_folder_and_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "hublab").symlink_to(HUBLAB)
    done = subprocess.run([tmp_path / "hublab", "--help"], cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "rollback" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_it(shell: str) -> None:
    done = hublab(_HUBLAB_COMPLETE=f"source_{shell}")
    assert re.search(r"complete|compdef", done.stdout), done.stderr
    assert "hublab" in done.stdout


def test_bash_is_told_what_may_follow() -> None:
    done = hublab(_HUBLAB_COMPLETE="complete_bash", COMP_WORDS="hublab ro", COMP_CWORD="1")
    assert done.stdout.split() == ["rollback"]


def test_status_of_the_program_is_its_own() -> None:
    nowhere = {"HUBLAB_ENV_FILE": "/nonexistent/env"}
    done = hublab("history", **nowhere)
    assert done.returncode == 2
    assert "HUBLAB_ENV_FILE" in done.stderr


def hang_up(listener: socket.socket) -> None:
    """On whoever calls, until the listener is shut."""
    while True:
        try:
            line, _ = listener.accept()
        except OSError:
            return
        line.close()


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Path]:
    """A file of one host, which hangs up on whoever calls before it says what it is."""
    (found := tmp_path / "hosts.env").touch(0o600)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found.write_text(
            f"HUBLAB_HOSTS=127.0.0.1:{listener.getsockname()[1]}\nPREFECT_API_URL=https://prefect.example.com/api\n"
        )
        (there := threading.Thread(target=hang_up, args=(listener,))).start()
        yield found
        listener.shutdown(socket.SHUT_RDWR)
        there.join()


@pytest.mark.parametrize("word", ["plan", "status", "history"])
def test_host_that_hangs_up_is_told_with_a_remedy_without_a_traceback_and_as_nothing_else(
    word: str, hosts: Path
) -> None:
    done = hublab(word, HUBLAB_ENV_FILE=str(hosts))
    said = done.stdout + done.stderr
    assert done.returncode == 1
    assert "MaxStartups" in said
    assert "Traceback" not in said
    assert "no deploy has ended" not in said


def test_every_check_of_a_host_that_cannot_be_reached_says_that_alone(hosts: Path) -> None:
    report = hosts.with_name("verify.xml")
    command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "tests/infra/test_release.py"]
    asked = os.environ | {"HUBLAB_ENV_FILE": str(hosts)}
    subprocess.run(command, cwd=start.CHECKOUT, env=asked, capture_output=True, check=False)
    checks = list(ET.parse(report).iter("testcase"))  # noqa: S314 - pytest's own
    reasons = [error.get("message", "") for check in checks for error in check]
    assert len(reasons) == len(checks) > 0
    assert all("cannot be reached" in reason and "MaxStartups" in reason for reason in reasons), reasons


def test_file_of_the_hosts_is_the_one_in_the_folder_where_it_was_typed(tmp_path: Path) -> None:
    """The programs run in the checkout, where a file of that name may name other hosts."""
    (tmp_path / "typed.env").write_text("HUBLAB_HOSTS=user@\n")
    (tmp_path / "typed.env").chmod(0o600)
    done = subprocess.run(
        [str(HUBLAB), "history"],
        cwd=tmp_path,
        env=os.environ | {"HUBLAB_ENV_FILE": "typed.env"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "typed.env: HUBLAB_HOSTS: 'user@' is not [user@]host[:port]" in done.stderr
