"""`.env` is read in one way, and decides or is not there: no spelling makes a sandbox out of production."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from deploy import env_file, settings
from deploy.env_file import SettingsError
from deploy.settings import ROOT, worker_host
from deploy.words import warnings
from tests.deploy.factories import converged

HOSTS = "HUBLAB_HOSTS=prod.example.com\nPREFECT_API_URL=https://prefect.example.com/api\n"


def write(folder: Path, content: str | bytes) -> Path:
    (folder / ".env").write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / ".env"


WRITINGS = {
    "plain": HOSTS,
    "exported": "export HUBLAB_HOSTS=prod.example.com\nexport PREFECT_API_URL=https://prefect.example.com/api\n",
    "indented": "  HUBLAB_HOSTS=prod.example.com\n\tPREFECT_API_URL=https://prefect.example.com/api\n",
    "blanks around the sign": "HUBLAB_HOSTS = prod.example.com\nPREFECT_API_URL = https://prefect.example.com/api\n",
    "quoted": "HUBLAB_HOSTS=\"prod.example.com\"\nPREFECT_API_URL='https://prefect.example.com/api'\n",
    "quoted key": "'HUBLAB_HOSTS'=prod.example.com\nPREFECT_API_URL=https://prefect.example.com/api\n",
    "comment behind": "HUBLAB_HOSTS=prod.example.com # the one\nPREFECT_API_URL=https://prefect.example.com/api\n",
    "Windows": HOSTS.replace("\n", "\r\n"),
    "old Mac": HOSTS.replace("\n", "\r"),
    "byte order mark": "\ufeff" + HOSTS,
    "byte order mark and export": "\ufeffexport " + HOSTS,
    "no newline at the end": HOSTS.rstrip("\n"),
    "blank lines and comments": "\n\n# HUBLAB_HOSTS=other\n\n" + HOSTS + "\n\n",
}


@pytest.mark.parametrize("writing", WRITINGS)
def test_every_way_to_write_it_names_the_same_host(tmp_path: Path, writing: str) -> None:
    file = write(tmp_path, WRITINGS[writing])
    assert env_file.decide(tmp_path, {}) == file
    assert [host.address for host in settings.load(file).hosts] == ["prod.example.com"]


WRONG: dict[str, tuple[str | bytes, str]] = {
    "misspelt": ("HUBLAB_HOST=prod\n", "HUBLAB_HOST: unknown key; did you mean HUBLAB_HOSTS?"),
    "misspelt in front": ("HUBLB_HOSTS=prod\n", "HUBLB_HOSTS: unknown key; did you mean HUBLAB_HOSTS?"),
    "lower case": ("hublab_hosts=prod\n", "hublab_hosts: unknown key; did you mean HUBLAB_HOSTS?"),
    "without the prefix": ("HOSTS=prod\n", "HOSTS: unknown key"),
    "an invisible blank in the key": ("HUBLAB_HOSTS\u200b=prod\n", "did you mean HUBLAB_HOSTS?"),
    "empty": ("HUBLAB_HOSTS=\n", "HUBLAB_HOSTS: missing"),
    "blanks": ('HUBLAB_HOSTS="  "\n', "HUBLAB_HOSTS: missing"),
    "no value": ("HUBLAB_HOSTS\n", "HUBLAB_HOSTS: a line without a value"),
    "only the API": ("PREFECT_API_URL=https://prefect.example.com/api\n", "HUBLAB_HOSTS: missing"),
    "twice": (f"{HOSTS}HUBLAB_HOSTS=other\n", "HUBLAB_HOSTS: stands there twice, on lines 1, 3. Keep one of them."),
    "twice, once exported": (f"{HOSTS}\nexport HUBLAB_HOSTS=x\n", "stands there twice, on lines 1, 4"),
    "a quote left open": ('HUBLAB_HOSTS="prod\nPREFECT_API_URL=https://a.b/api\n', "line 1: is not KEY=value"),
    "prose": ("the hosts are: prod\n", "line 1: is not KEY=value"),
    "UTF-16": (HOSTS.encode("utf-16"), "It must be a text file in UTF-8"),
    "Latin-1": ("HUBLAB_HOSTS=prod\n# für\n".encode("latin-1"), "It must be a text file in UTF-8"),
}


@pytest.mark.parametrize("writing", WRONG)
def test_what_is_wrong_with_it_is_said_and_no_sandbox_is_taken_instead(tmp_path: Path, writing: str) -> None:
    content, said = WRONG[writing]
    write(tmp_path, content)
    (tmp_path / ".sandbox").mkdir()
    (tmp_path / ".sandbox/env").write_text(HOSTS)
    with pytest.raises(SettingsError, match=re.escape(said)):
        settings.load(settings.find_env_file(tmp_path, {}))
    done = where(tmp_path)
    assert done.stdout != "\n", "a sandbox would be booted"


def test_no_credential_of_a_line_that_is_wrong_is_shown(tmp_path: Path) -> None:
    secret = "sentinel-51c0"
    write(tmp_path, f'PREFECT_API_AUTH_STRING="admin:{secret}\nNOTION_TOKEN={secret}\nNOTION_TOKEN={secret}\n')
    done = where(tmp_path)
    assert done.returncode == 2
    assert secret not in done.stderr
    assert "NOTION_TOKEN: stands there twice" in done.stderr


@pytest.mark.parametrize("kind", ["folder", "dangling link", "named pipe"])
def test_one_that_is_no_file_is_an_error_and_never_a_sandbox(tmp_path: Path, kind: str) -> None:
    env = tmp_path / ".env"
    if kind == "folder":
        env.mkdir()
    elif kind == "named pipe":
        os.mkfifo(env)
    else:
        env.symlink_to("/nowhere")
    done = where(tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot be read" in done.stderr


UNPRIVILEGED = """
import os, pathlib, sys
from deploy import env_file
os.setuid(65534)
env_file.decide(pathlib.Path(sys.argv[1]), {})
"""


def test_one_that_this_user_may_not_read_is_an_error() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        write(Path(name), HOSTS).chmod(0)
        done = subprocess.run(
            [sys.executable, "-c", UNPRIVILEGED, name], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert "SettingsError" in done.stderr
    assert "cannot be read ([Errno 13] Permission denied" in done.stderr


@pytest.mark.parametrize("mode", [0o660, 0o664, 0o602, 0o666])
@pytest.mark.parametrize("content", [HOSTS, "NOTION_TOKEN=x\n"])
def test_one_that_others_can_write_is_refused(tmp_path: Path, mode: int, content: str) -> None:
    env = write(tmp_path, content)
    env.chmod(mode)
    who = f"mode {mode:04o}: its group or everybody can write to it, and so decide what is done to the hosts"
    with pytest.raises(SettingsError) as caught:
        env_file.decide(tmp_path, {})
    assert str(caught.value) == f"{env}: {who} -> chmod 600 {env}"
    env.chmod(0o600)
    assert env_file.decide(tmp_path, {}) == (env if content == HOSTS else None)


@pytest.mark.parametrize(("mode", "told"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_one_that_others_can_read_is_warned_of(tmp_path: Path, mode: int, told: bool) -> None:
    """Whatever its umask: an `.env` that was copied from the example is readable by all."""
    env = write(tmp_path, HOSTS)
    env.chmod(mode)
    found = settings.load(env)
    said = f"{env}: mode {mode:04o}: others on this machine can read it, and the secrets in it -> chmod 600 {env}"
    assert found.exposed == (said,) * told
    host = worker_host(found, found.hosts[0])
    assert [word for word in warnings(host, converged(host)) if "chmod" in word] == [said] * told


@pytest.mark.parametrize("content", ["", "# HUBLAB_HOSTS=prod\n", "NOTION_TOKEN=x\nTESTING_MODE=true\n"])
def test_one_that_speaks_of_no_host_leaves_it_to_the_sandbox_and_says_so(tmp_path: Path, content: str) -> None:
    write(tmp_path, content)
    done = where(tmp_path)
    assert (done.returncode, done.stdout) == (0, "\n")
    assert done.stderr == ".env names no host: the sandbox is meant\n"


def test_without_one_the_sandbox_is_meant(tmp_path: Path) -> None:
    done = where(tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "\n", "")


def test_the_named_file_must_be_there(tmp_path: Path) -> None:
    assert "HUBLAB_ENV_FILE: /nowhere is not a file" in where(tmp_path, HUBLAB_ENV_FILE="/nowhere").stderr


def test_nothing_but_the_one_parser_reads_it() -> None:
    """A grep for HUBLAB_ does not know what `export` is."""
    assert not re.search(r"\b(grep|sed|awk|source|include)\b[^\n]*\.env\b", (ROOT / "Makefile").read_text())
    readers = {path.name for path in (ROOT / "deploy").rglob("*.py") if "dotenv" in path.read_text()}
    assert readers == {"env_file.py"}


def where(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the end-to-end run asks."""
    kept = {key: value for key, value in os.environ.items() if key != "HUBLAB_ENV_FILE"}
    return subprocess.run(
        [sys.executable, "-m", "deploy.fleet", "where", root],
        cwd=ROOT,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
