"""A command of the campaign goes to the server where a deploy goes, and does nothing at any other."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import typer
from prefect.server.api.server import SubprocessASGIServer
from prefect.settings import PREFECT_API_URL, PREFECT_CLOUD_API_URL, temporary_settings

from cli import campaign, start
from deploy import campaigns, env_file
from flows.operator import preflight
from flows.services.prefect_api import NotRegisteredError
from flows.services.settings import MissingSettingError
from tests.answering import answering
from tests.cli.test_commands import HUBLAB

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Typed

COMMANDS = {name: one.help or "" for name, one in vars(typer.main.get_command(campaign.app))["commands"].items()}


def programs(typed: Typed, name: str) -> list[list[str]]:
    """What a command's own example, and with `--apply` and `--back` a take-over's, becomes: module and arguments."""
    found = re.search(r"Example: \./hublab (.+)", COMMANDS[name])
    assert found
    lines = [found[1]] + [f"campaign cutover --{way}" for way in ("apply", "back") if name == "cutover"]
    for line in lines:
        assert typed(line)[0] == 0
    return [program[2:] for program in typed.programs]


@dataclass(frozen=True)
class Server:
    """One that answers the same to everything; `asked` is what it was asked."""

    api: str
    asked: list[str]


ANSWERS: dict[str, tuple[int, Any, str]] = {
    "says yes to all": (200, {"ok": True}, "what answers there is not Prefect's API (200); write the server's address"),
    "a page": (200, b"<!doctype html><title>Welcome</title>", "not Prefect's API (200)"),
    "a list": (200, [], "not Prefect's API (200)"),
    "something else's": (404, {"detail": "Not Found"}, "not Prefect's API (404)"),
    "without the credential": (401, {"detail": "Unauthorized"}, "refuses the credential (401); set PREFECT_API_AUTH"),
}


@contextlib.contextmanager
def saying(status: int, body: Any) -> Iterator[Server]:
    asked = list[str]()
    said = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.method} {request.url.path}")
        return httpx.Response(status, content=said)

    with answering(answer) as url:
        yield Server(f"{url.replace('://', '://somebody:secret@')}/api", asked)


PREFLIGHT = ["flows.operator.preflight"]


@pytest.fixture(autouse=True)
def no_server_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: SubprocessASGIServer) -> None:
        pytest.fail("Prefect's client starts a server of its own")

    monkeypatch.setattr(SubprocessASGIServer, "start", start)


def refused(program: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a program says that does nothing."""
    name, *arguments = program
    package = f"{name}.__main__" if name.endswith("cutover") else name
    assert importlib.import_module(package).main(arguments) == 1
    out, said = capsys.readouterr()
    assert out == ""
    assert len(said.splitlines()) == 1, said
    assert said.startswith("PREFECT_API_URL: ")
    return said


@pytest.mark.parametrize("name", COMMANDS)
def test_without_an_address_nothing_is_done(typed: Typed, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for program in programs(typed, name):
        with temporary_settings(restore_defaults={PREFECT_API_URL}):
            assert "is not set; write the server's address, …/api, in .env" in refused(program, capsys)


@pytest.mark.parametrize("name", COMMANDS)
def test_who_says_yes_to_all_is_asked_one_question_and_told_nothing(
    typed: Typed, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with saying(200, {"ok": True}) as server:
        for program in programs(typed, name):
            server.asked.clear()
            with temporary_settings({PREFECT_API_URL: server.api}):
                assert "not Prefect's API" in refused(program, capsys)
            assert server.asked == ["GET /api/admin/version"]


@pytest.mark.parametrize("answer", ANSWERS)
def test_what_is_not_prefects_is_told_by_its_answer_and_the_credential_is_not_shown(
    answer: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, body, said = ANSWERS[answer]
    with saying(status, body) as server:
        with temporary_settings({PREFECT_API_URL: server.api}):
            found = refused(PREFLIGHT, capsys)
        assert said in found
        assert server.api.replace("somebody:secret@", "") in found
        assert "secret" not in found


@pytest.mark.parametrize("address", ["http://127.0.0.1:1/api", "prefect.example.com/api"])
def test_where_nobody_answers_it_says_so(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings({PREFECT_API_URL: address}):
        said = refused(PREFLIGHT, capsys)
    assert address in said
    assert "is the address right, is the server up, and may this machine reach it?" in said


@pytest.mark.parametrize("address", ["http://prefect.example.com:port/api", "http://prefect.example.com/api\x01"])
def test_what_is_no_address_is_named_in_a_line(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    with temporary_settings({PREFECT_API_URL: address}):
        said = refused(PREFLIGHT, capsys)
    assert "http://prefect.example.com" in said
    assert "is no address; write the server's, such as https://prefect.example.com/api, in .env" in said


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (httpx.ConnectError("gone"), "nobody answers any more (gone); what was done stays, run it again"),
        (MissingSettingError("notion-token"), "add NOTION_TOKEN to .env"),
        (NotRegisteredError("the rate limit 'notion'"), "is not at Prefect; run"),
    ],
)
def test_what_goes_wrong_later_is_said_in_a_line_too(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(_: str | None) -> list[preflight.Row]:
        raise error

    monkeypatch.setattr(preflight, "rows", rows)
    with saying(200, "3.8.8") as server, temporary_settings({PREFECT_API_URL: server.api}):
        assert preflight.main([]) == 1
    told = capsys.readouterr().err
    assert said in told
    assert len(told.splitlines()) == 1


def test_prefects_cloud_is_known_by_its_address(capsys: pytest.CaptureFixture[str]) -> None:
    """It tells no version: it is asked for work pools, of which there may be none."""
    with saying(200, {"ok": True}) as server:
        with temporary_settings({PREFECT_API_URL: server.api, PREFECT_CLOUD_API_URL: server.api}):
            assert "not Prefect's API (200)" in refused(PREFLIGHT, capsys)
        assert server.asked[-1] == "POST /api/work_pools/filter"


URL, AUTH, KEY = start.SERVER


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a `.env`, and another file beside it."""
    monkeypatch.setattr(start, "CHECKOUT", tmp_path)
    monkeypatch.setattr(env_file, "ROOT", tmp_path)
    for key in (*start.SERVER, "HUBLAB_ENV_FILE"):
        monkeypatch.delenv(key, raising=False)
    (tmp_path / ".env").write_text(f"{URL}=https://here.test/api\n{AUTH}=user:here\nHUBLAB_HOSTS=h1\n")
    (tmp_path / "other").write_text(f"{URL}=https://other.test/api\n{KEY}=of-other\n")
    (tmp_path / "secrets").write_text("NOTION_TOKEN=x\n")
    return tmp_path


HERE = {URL: "https://here.test/api", AUTH: "user:here", KEY: ""}
OTHER = {URL: "https://other.test/api", AUTH: "", KEY: "of-other"}


def test_it_goes_where_a_deploy_goes_with_that_servers_credential(
    files: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert start.server() == HERE
    monkeypatch.setenv("HUBLAB_ENV_FILE", str(files / "other"))
    assert start.server() == OTHER
    typed("campaign status")
    assert {key: typed.environment[key] for key in start.SERVER} == OTHER
    monkeypatch.setenv(URL, "https://typed.test/api")
    assert start.server()[URL] == "https://typed.test/api"


@pytest.mark.parametrize(
    ("address", "said"),
    [
        # This one is no traceback of ours: Prefect itself cannot be imported with it.
        (
            "http://[::1/api",
            "PREFECT_API_URL: 'http://[::1/api' is not a URL that ends in /api, such as https://prefect",
        ),
        ("http://here.test:port/api", "PREFECT_API_URL: 'http://here.test:port/api' is not a URL that ends in /api"),
        ("here.test/api", "PREFECT_API_URL: 'here.test/api' is not a URL"),
        ("https://user:secret@here.test/api", "carries a password. Move it to PREFECT_API_AUTH_STRING"),
    ],
)
def test_an_address_that_a_deploy_refuses_leads_nowhere(files: Path, typed: Typed, address: str, said: str) -> None:
    (files / ".env").write_text(f"{URL}={address}\nHUBLAB_HOSTS=h1\n")
    status, told = typed("campaign register")
    assert (status, typed.programs) == (2, [])
    assert said in told
    assert "secret" not in told


def test_secrets_go_to_the_server_that_their_file_names(files: Path, typed: Typed) -> None:
    assert start.server(files / "other") == OTHER
    assert start.server(files / "secrets") == HERE
    typed(f"campaign secrets --env {files / 'other'}")
    assert {key: typed.environment[key] for key in start.SERVER} == OTHER
    assert typed.programs == [["python", "-m", "flows.operator.secret_blocks", "--env", str(files / "other")]]


def test_without_a_file_it_goes_to_the_sandbox_with_the_campaign_that_was_set_up_there(
    files: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    (files / ".env").unlink()
    (folder := files / ".sandbox").mkdir()
    (own := files / "campaigns").mkdir()
    (folder / "env").write_text(f"{URL}=http://10.1.0.2:4200/api\n{AUTH}=user:sandbox\nHUBLAB_HOSTS=10.1.0.3\n")
    (folder / "campaign.env").write_text((folder / "env").read_text() + f"HUBLAB_CAMPAIGNS={own}\n")
    monkeypatch.delenv("HUBLAB_CAMPAIGNS", raising=False)
    there = {URL: "http://10.1.0.2:4200/api", AUTH: "user:sandbox", KEY: ""}
    typed("campaign secrets")
    assert {key: typed.environment[key] for key in start.SERVER} == there
    assert typed.programs == [["python", "-m", "flows.operator.secret_blocks", "--env", str(folder / "campaign.env")]]
    monkeypatch.setattr(campaigns.folder, "__defaults__", (files, os.environ))
    typed("campaign preview spring_1")
    assert typed.environment["HUBLAB_CAMPAIGNS"] == str(own)
    assert typed.environment["HUBLAB_ENV_FILE"] == ".sandbox/campaign.env", "which its remedies name in .env's place"
    monkeypatch.setenv(URL, "https://typed.test/api")
    assert start.server() == {URL: "https://typed.test/api", AUTH: "", KEY: ""}, (
        "the sandbox's credential is no other's"
    )


def test_a_file_that_is_not_there_leads_nowhere(files: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBLAB_ENV_FILE", str(files / "gone"))
    status, said = typed("campaign register")
    assert (status, typed.programs) == (2, [])
    assert "HUBLAB_ENV_FILE" in said


def test_a_profile_of_prefects_own_leads_nowhere(tmp_path: Path) -> None:
    """The real thing: a newcomer's machine, on which Prefect's tutorial was tried."""
    profiles = tmp_path / "profiles.toml"
    profiles.write_text('active = "local"\n[profiles.local]\nPREFECT_API_URL = "http://127.0.0.1:1/api"\n')
    (tmp_path / "env").write_text("HUBLAB_HOSTS=h1\n")
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PREFECT_PROFILES_PATH": str(profiles)}
    environment |= {"HUBLAB_ENV_FILE": str(tmp_path / "env")}
    done = subprocess.run(
        [HUBLAB, "campaign", "register"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode
    assert done.stderr.startswith("PREFECT_API_URL: is not set; write the server's address")
    assert done.stdout == ""
