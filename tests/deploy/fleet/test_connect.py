"""All hosts over plain ssh: here a program of that name that runs the command on this machine, or fails as ssh does."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from deploy.fleet import again, connect, status, unlock
from deploy.fleet.connect import FleetError, Host, ask_all
from deploy.hosts_file import Target
from deploy.onhost import wire
from deploy.onhost.lock import Lock
from deploy.onhost.report_host import Report, ReportHost
from deploy.settings import Settings
from tests.deploy.factories import wanted
from tests.deploy.queries import blank
from tests.deploy.test_remote import on_path

if TYPE_CHECKING:
    from pathlib import Path

# The last argument is the remote command; ssh hands it to the login shell.
RUN = 'for last; do :; done; exec sh -c "$last"'
REFUSED = 'echo "ssh: connect to host h1 port 22: Connection refused" >&2; exit 255'


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder where `ssh` is found first, and an `id` that says root."""

    def become(line: str) -> None:
        monkeypatch.setenv("PATH", on_path(tmp_path / "bin", ssh=line, id="echo 0")["PATH"])

    become(RUN)
    return tmp_path / "bin/ssh"


def host(python: str = sys.executable) -> Host:
    return Host(wanted(python=python), ("ssh", "h1"))


@pytest.mark.usefixtures("ssh")
def test_program_runs_over_there_and_says_what_it_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "PLACES", wire.Places(lock=tmp_path / "lock"))
    assert unlock.unlock(host()) == "was not locked"


@pytest.mark.usefixtures("ssh")
def test_whole_report_of_this_machine_makes_a_status(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One round trip, whatever this machine is: no deploy has been here, and the API of the settings is not there."""
    places: dict[str, Any] = {name: tmp_path / name for name in ("base", "before", "kept", "record", "lock", "units")}
    monkeypatch.setattr(wire, "PLACES", wire.Places(**places))
    here = Host(wanted(python=sys.executable, api_url="http://127.0.0.1:9/api"), ("ssh", "h1"))
    found = status.ask(here)
    assert found.last == "never deployed"
    assert any("http://127.0.0.1:9/api could not be reached from the host" in item for item in found.trouble)


def test_interpreter_that_is_not_there_is_told_with_its_remedy(ssh: Path) -> None:
    with pytest.raises(FleetError, match=r"HUBLAB_PYTHON: no Python /nowhere/python .*\n +-> install Python 3"):
        unlock.unlock(host("/nowhere/python"))


@pytest.mark.parametrize(
    ("machine", "remedy"),
    [("x86_64", "`./hublab deploy` brings one"), ("s390", "install Python 3.12 or 3.13 there, or give the .*")],
)
def test_host_without_any_python_is_told_what_brings_it_one(ssh: Path, machine: str, remedy: str) -> None:
    answer = f'{{"problem": "python", "found": "", "machine": "{machine}", "libc": "glibc-2.41"}}'
    ssh.write_text(f"#!/bin/sh\necho '{answer}'\n")
    with pytest.raises(FleetError, match=rf"HUBLAB_PYTHON: no Python .*\n    -> {remedy}$"):
        unlock.unlock(host("auto"))


def test_host_that_cannot_be_reached_stops_no_other(ssh: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ssh.write_text(f"#!/bin/sh\ncase $* in *h1*) {REFUSED};; esac\n{RUN}\n")
    settings = Settings(tmp_path, (Target("h1"), Target("h2")), "http://x/api", python=sys.executable)
    monkeypatch.setattr(connect, "load", lambda: settings)
    monkeypatch.setattr(wire, "PLACES", wire.Places(lock=tmp_path / "lock"))
    first, second = ask_all(unlock.unlock)
    assert (first.address, first.answer) == ("h1", None)
    assert first.error.startswith("cannot be reached: ssh: connect to host h1 port 22: Connection refused\n")
    assert "is its SSH port open?" in first.error
    assert (second.answer, second.error) == ("was not locked", "")


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("echo oops >&2; exit 3", "did not answer: oops"),
        ("exit 255", "cannot be reached: ssh gave no reason"),
        ("sleep 5", "did not answer within 0.2 s"),
        ("echo hello", "did not answer in JSON: hello"),
    ],
)
def test_whatever_a_host_does_is_told(ssh: Path, monkeypatch: pytest.MonkeyPatch, line: str, said: str) -> None:
    ssh.write_text(f"#!/bin/sh\n{line}\n")
    monkeypatch.setattr(connect, "ANSWER_SECONDS", 0.2 if "sleep" in line else 20)
    with pytest.raises(FleetError, match=said):
        host().ask_for(Report, blank(ReportHost))


def test_machine_without_ssh_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(FleetError, match="Install OpenSSH's client"):
        host().ask(blank(Lock))


def test_no_second_is_spent_on_importing_the_deploys_own_connection() -> None:
    code = "import sys, deploy.fleet.__main__; sys.exit('pyinfra' in sys.modules or 'gevent' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=180).returncode == 0


def test_what_a_shells_start_up_file_prints_is_no_part_of_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", on_path(tmp_path / "bin", ssh=f"echo Welcome to h1; {RUN}", id="echo 0")["PATH"])
    with pytest.raises(FleetError, match="HUBLAB_PYTHON: no Python"):
        host("/nowhere/python").ask(blank(Lock))


def test_each_flow_run_is_answered_for_where_one_is_refused(
    ssh: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = "0b9f6e0e-8a55-4a1e-9a35-1a0f2f5f0c11", "0b9f6e0e-8a55-4a1e-9a35-1a0f2f5f0c12"
    lines = f"flow run {first} is not run again: it is Running\nflow run {second} will be run again\n"
    ssh.write_text(f"#!/bin/sh\nprintf '{lines}'\nexit 1\n")
    host = Host(wanted(), ("ssh", "h1"))
    monkeypatch.setenv("RUNS", f"{first} {second}")
    monkeypatch.setattr(again, "ask_all", lambda question, _: [connect._ask(host, question, None)])
    assert again.main() == 1
    assert capsys.readouterr().out == f"{host.wanted.address} could not have all of them run again:\n{lines}"
