"""How a host is looked at: releases against what they were, units and files."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from deploy.onhost import inspect_host, prefect_api
from deploy.onhost.common import guard_digest, packages, tree_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FILES = {"worker/__init__.py": "", "worker/__main__.py": "print()\n", "flows/mails.py": "x = 1\n"}
SITE = "venv/lib/python3.12/site-packages"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A finished release as far as its folder tells."""
    folder = tmp_path / "3.8.8-0123456789"
    for name, content in {
        **FILES,
        f"{SITE}/hublab.pth": "import sys\n",
        f"{SITE}/prefect-3.8.8.dist-info/RECORD": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    written = {
        "id": folder.name,
        "prefect": "3.8.8",
        "code": tree_digest(folder, list(FILES)),
        "code_files": list(FILES),
        "guard": guard_digest(folder),
        "packages": packages(folder),
    }
    (folder / "REVISION").write_text(json.dumps(written))
    return folder


def test_release_as_it_was_built(release: Path) -> None:
    found = inspect_host.release(release)
    assert found.pop("revision")["prefect"] == "3.8.8"
    assert found == {"complete": True, "added": [], "missing": [], "code_changed": False, "guard": True}


def swap(release: Path) -> None:
    (release / "worker/__main__.py").write_text("import os\n")


def drop(release: Path) -> None:
    (release / "flows/mails.py").unlink()


def smuggle(release: Path) -> None:
    (release / "flows/extra.py").write_text("import uvloop\n")


def undo_guard(release: Path) -> None:
    (release / SITE / "zz.pth").write_text("import sys; sys.modules.pop('uvloop')\n")


def add(release: Path) -> None:
    (release / SITE / "uvloop-0.21.0.dist-info").mkdir()


def upgrade(release: Path) -> None:
    (release / SITE / "prefect-3.8.8.dist-info").rename(release / SITE / "prefect-3.9.0.dist-info")


def open_guard(release: Path) -> None:
    (release / SITE / "hublab.pth").write_text("")


def remove_guard(release: Path) -> None:
    (release / SITE / "hublab.pth").unlink()


@pytest.mark.parametrize(
    ("tamper", "key", "value"),
    [
        (swap, "code_changed", True),
        (drop, "code_changed", True),
        (smuggle, "code_changed", True),
        (undo_guard, "guard", False),
        (add, "added", ["uvloop-0.21.0"]),
        (upgrade, "added", ["prefect-3.9.0"]),
        (upgrade, "missing", ["prefect-3.8.8"]),
        (open_guard, "guard", False),
        (remove_guard, "guard", False),
    ],
)
def test_tampering_is_seen(release: Path, tamper: Callable[[Path], None], key: str, value: object) -> None:
    before = inspect_host.release(release)
    tamper(release)
    after = inspect_host.release(release)
    assert before[key] != value
    assert after[key] == value


@pytest.mark.parametrize("text", [None, "", "{", '{"id": ', "[1]", "{}"])
def test_release_without_its_last_word_is_not_complete(release: Path, text: str | None) -> None:
    (release / "REVISION").unlink()
    if text is not None:
        (release / "REVISION").write_text(text)
    assert inspect_host.release(release) == {"complete": False}


def test_unit_files_that_start_a_worker(tmp_path: Path) -> None:
    for name, line in {
        "prefect-worker.service": "ExecStart=/srv/venv/bin/prefect worker start --pool default",
        "other.service": "ExecStart=/usr/bin/true\n# ExecStart=prefect worker start",
        "prefect-worker@1.service": "ExecStart=/x/prefect worker start",
        "server.service": "ExecStart=/srv/venv/bin/prefect server start",
    }.items():
        (tmp_path / name).write_text(f"[Service]\n{line}\n")
    (tmp_path / "masked-worker.service").symlink_to("/dev/null")
    assert inspect_host.legacy_units("prefect-worker@", str(tmp_path)) == ["prefect-worker.service"]


def test_facts_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "profiles.toml"
    path.write_text("secret")
    path.chmod(0o640)
    found = inspect_host.file_facts(str(path))
    assert found is not None
    assert (found["mode"], found["uid"], found["gid"]) == ("0640", os.getuid(), path.stat().st_gid)
    assert found["sha256"] == hashlib.sha256(b"secret").hexdigest()
    assert (inspect_host.file_facts(str(tmp_path)) or {})["sha256"] == ""
    assert inspect_host.file_facts(str(tmp_path / "nothing")) is None


def test_free_space_of_a_folder_that_will_be(tmp_path: Path) -> None:
    assert inspect_host.free_bytes(str(tmp_path / "a/b/c")) > 0


class Server(BaseHTTPRequestHandler):
    """A Prefect server as it is before the first worker has come: no work pool, and what somebody set up there."""

    missing = "/work_pools/"

    def answer(self) -> None:
        if self.path.startswith(self.missing):
            self.send_error(404)
            return
        found = {"/admin/version": "3.8.8"}.get(self.path, [{"name": "a", "description": "d", "enabled": True}])
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(found).encode())

    do_GET = do_POST = answer  # noqa: N815 - http.server's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def question() -> Iterator[dict[str, Any]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"api_url": f"http://127.0.0.1:{server.server_port}", "auth": "", "key": "", "pool": "new"}
    server.shutdown()
    server.server_close()


def test_server_without_the_pool_is_asked_for_its_automations_all_the_same(question: dict[str, Any]) -> None:
    """Otherwise the first deploy to another server would set none there."""
    found = inspect_host.api(question)
    assert found == {"status": 200, "version": "3.8.8", "online": [], "automations": {"a": "d"}}


def test_servers_clock(question: dict[str, Any]) -> None:
    assert abs((prefect_api.server_now(question) - datetime.now(UTC)).total_seconds()) < 60


def test_server_that_is_none_of_prefects_is_told_by_its_answer(
    question: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Server, "missing", "/admin")
    assert inspect_host.api(question)["status"] == 404
