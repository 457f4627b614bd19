"""Which Python is brought to a host, and that it arrives as what it was: uv's digests, the move, the shell's part."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from deploy import remote, retreat, spec
from deploy.onhost.wire import decode
from deploy.plan import make
from deploy.planned import Plan
from deploy.release import bring, interpreter, movable, scratch, wheels
from deploy.state import HostState
from tests.deploy.factories import bare, wanted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MINOR = f"{sys.version_info.major}.{sys.version_info.minor}"
LIBC = "-".join(platform.libc_ver())
DEBIAN_12 = {"python": "/usr/bin/python3.11", "python_prefix": "/usr", "python_version": "3.11.2", "python_fits": False}


def settled(wish: str = "auto", **changes: Any) -> HostState:
    return interpreter.settle(bare(**(DEBIAN_12 | changes)), wish)


def test_host_whose_python_fits_keeps_it() -> None:
    found = bare()
    assert interpreter.settle(found, "auto") is found
    assert not make(wanted(python="auto"), found).brings


def test_debian_12_as_it_comes_is_brought_one() -> None:
    plan = make(wanted(python="auto"), settled())
    assert not plan.problems
    assert plan.brings.startswith("3.12.")
    assert plan.words[0] == f"Python {plan.brings} will be brought to /opt/hublab/python: it has 3.11.2"
    assert plan.build, "a release for it"


@pytest.mark.parametrize(
    ("wish", "version"), [("auto", "3.12."), ("3.12", "3.12."), ("3.13", "3.13."), ("3.12.9", "3.12.9")]
)
def test_wish_decides_what_is_brought(wish: str, version: str) -> None:
    assert settled(wish).brings.startswith(version)


@pytest.mark.parametrize(
    ("changes", "wish"),
    [({"machine": "s390"}, "auto"), ({"libc": "musl-1.2"}, "auto"), ({"libc": ""}, "auto"), ({}, "3.12.999")],
)
def test_host_that_none_is_known_for_is_told_so(changes: dict[str, str], wish: str) -> None:
    (problem,) = make(wanted(python=wish), settled(wish, **changes)).problems
    assert problem.what.startswith("HUBLAB_PYTHON: the host has no Python ")
    assert "(found: 3.11.2)" in problem.what


def test_path_that_is_named_is_never_replaced() -> None:
    refused = HostState(problem="python", found="Python 3.11.2", machine="x86_64", libc="glibc-2.36")
    plan = make(wanted(python="/opt/own/python"), interpreter.settle(refused, "/opt/own/python"))
    assert not plan.brings
    assert plan.problems[0].what.startswith("HUBLAB_PYTHON: no Python /opt/own/python on the host")


@pytest.mark.parametrize(("machine", "wish"), [("s390", "auto"), ("x86_64", "3.12.999")])
def test_host_without_any_python_is_not_promised_one_that_nobody_knows(machine: str, wish: str) -> None:
    refused = HostState(problem="python", found="sh: 1: python3: not found", machine=machine, libc="glibc-2.41")
    (problem,) = make(wanted(python=wish), interpreter.settle(refused, wish)).problems
    assert problem.remedy == (
        "install Python 3.12 or 3.13 there, or give the interpreter's absolute path in HUBLAB_PYTHON"
    )


def test_rollback_and_status_of_a_host_without_any_python_name_the_command_that_brings_it() -> None:
    refused = HostState(problem="python", machine="x86_64", libc="glibc-2.41")
    (problem,) = retreat.make(wanted(python="auto"), interpreter.settle(refused, "auto")).problems
    assert problem.remedy == "`./hublab deploy` brings one"


def test_host_without_any_python_is_brought_one_first() -> None:
    answer = '{"problem": "python", "found": "sh: 1: python3: not found", "machine": "x86_64", "libc": "glibc-2.41"}'
    plan = make(wanted(python="auto"), interpreter.settle(decode(HostState, answer), "auto"))
    assert plan.changes
    assert plan == Plan("hublab-1.example.com", brings=plan.brings), "the host is looked at anew with it"
    assert plan.words[0].endswith("to /opt/hublab/python: it has none")
    assert "what else is to be done is seen when it is there" in plan.words


def test_python_in_a_home_folder_is_passed_over() -> None:
    """What root's PATH may have; the workers' sandbox hides it."""
    found = settled(python="/root/.pyenv/bin/python3.12", python_prefix="/root/.pyenv", python_fits=True)
    assert found.brings
    assert found.python_prefix.startswith("/opt/hublab/python/")


def test_aarch64_is_planned_for_what_it_is() -> None:
    """Its interpreter and its wheels, whatever the operator's machine is."""
    assert interpreter.request("auto", "aarch64") == "cpython-3.12-linux-aarch64-gnu"
    found = settled(machine="aarch64")
    assert found.brings
    plan = make(wanted(python="auto"), found)
    assert plan.build
    assert not plan.problems
    kind = wheels.Platform(found.machine, found.python_version, found.libc)
    assert "manylinux_2_36_aarch64" in kind.tags
    assert not any("x86_64" in tag for tag in kind.tags)
    assert "greenlet==" in wheels.concrete_lock(
        "greenlet==3.2 ; platform_machine == 'aarch64' \\\n  --hash=sha256:00\n", kind
    )


@pytest.mark.parametrize(
    ("wish", "machine", "libc", "reason"),
    [
        ("3.13" if MINOR == "3.12" else "3.12", platform.machine(), LIBC, "is wanted"),
        ("auto", "aarch64" if platform.machine() != "aarch64" else "x86_64", LIBC, "and the host is"),
        ("auto", platform.machine(), "glibc-2.17", "and the host has glibc-2.17"),
    ],
)
def test_this_machines_own_serves_only_where_it_would_run(wish: str, machine: str, libc: str, reason: str) -> None:
    with pytest.raises(movable.InterpreterError, match=reason):
        movable.demand_alike(wish, machine, libc)
    movable.demand_alike("auto", platform.machine(), LIBC)


# -- the real way: uv, an index on loopback, its digests --------------------------------------------------------------


@pytest.fixture(scope="module")
def moved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This machine's interpreter, moved."""
    tree = tmp_path_factory.mktemp("moved") / "python"
    movable.own(tree)
    return tree


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory, moved: Path) -> Iterator[tuple[Path, str]]:
    """What uv takes for python-build-standalone's index: a folder, and where it is served."""
    folder = tmp_path_factory.mktemp("index")
    with tarfile.open(folder / "python.tar.gz", "w:gz", compresslevel=1) as tar:
        tar.add(moved, "python")
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator's machine that has fetched nothing yet."""
    monkeypatch.setattr(interpreter, "FOLDER", tmp_path / "python")
    monkeypatch.setattr(scratch, "SCRATCH", tmp_path)
    interpreter.archive.cache_clear()


def as_ours(script: str, base: str) -> str:
    """A host's script below a folder of ours, where whoever runs the tests is root."""
    return script.replace(spec.BASE, base).replace("-not -user root", f"-not -uid {os.getuid()}")


def publish(folder: Path, url: str, digest: str) -> str:
    """Names the interpreter in the index, with a digest; returns where uv finds the index."""
    version = dict(zip(("major", "minor", "patch"), map(int, platform.python_version_tuple()), strict=True))
    entry = {
        "name": "cpython",
        "arch": {"family": platform.machine(), "variant": None},
        "os": "linux",
        "libc": "gnu",
        **version,
        "prerelease": "",
        "url": f"{url}/python.tar.gz",
        "sha256": digest,
        "variant": None,
        "build": "20260101",
    }
    # By a name of its own: uv keeps what it has seen of an address.
    name = f"index-{digest[:8]}.json"
    (folder / name).write_text(json.dumps({f"cpython-{platform.python_version()}-linux": entry}))
    return f"{url}/{name}"


@pytest.mark.usefixtures("fresh")
def test_what_uv_fetches_is_brought(index: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, url = index
    digest = hashlib.sha256((folder / "python.tar.gz").read_bytes()).hexdigest()
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", publish(folder, url, digest))
    brought = interpreter.archive(MINOR, platform.machine(), LIBC)
    assert (brought.version, brought.source) == (platform.python_version(), "python-build-standalone")
    assert brought.name.startswith(f"{platform.python_version()}-")


@pytest.mark.usefixtures("fresh")
def test_what_is_not_what_the_index_names_is_refused(index: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """For another machine's host, so that no other way is left."""
    folder, url = index
    monkeypatch.setenv("UV_PYTHON_DOWNLOADS_JSON_URL", publish(folder, url, "0" * 64))
    with pytest.raises(movable.InterpreterError, match=r"(?s)[Hh]ash mismatch.*UV_PYTHON_INSTALL_MIRROR"):
        interpreter.archive(MINOR, platform.machine(), "glibc-2.17")
    assert not list(interpreter.FOLDER.glob("*.tar.gz"))


@pytest.mark.usefixtures("fresh")
def test_without_an_index_this_machines_own_is_brought(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the archive unpacks, as the host's shell does it, into what starts by itself, seen from anywhere."""
    monkeypatch.setenv("UV_OFFLINE", "1")
    brought = interpreter.archive("auto", platform.machine(), LIBC)
    assert brought.source.startswith(f"this machine's {sys.base_prefix}; uv's could not be had: ")
    base = tmp_path / "opt"
    text = as_ours(bring.script(brought), str(base))
    done = subprocess.run(
        ["sh", "-c", text], stdin=brought.file.open("rb"), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    program = base / "python" / brought.name / f"bin/python{MINOR}"
    shown = subprocess.run(["env", "-i", program, "-I", "-c", f"import sys; {bring.PROOF}; print(sys.base_prefix)"],
                           capture_output=True, text=True, check=True)  # fmt: skip
    assert shown.stdout.strip() == str(program.parent.parent)
    assert not [
        path for path in program.parent.parent.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o222
    ]
    assert list(program.parent.parent.glob("lib/python3*/__pycache__/os.*.pyc")), "each start would compile anew"
    for file in [program, *program.parent.parent.glob("lib/**/*.so*")]:
        assert all(str(path).startswith(str(base)) for path in movable.libraries(file).values()), file


@pytest.mark.usefixtures("fresh")
def test_what_was_changed_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    changed = tmp_path / "archive"
    changed.write_bytes(b"not what was sent")
    brought = interpreter.Brought(changed, "0" * 64, "3.12.1-0123456789", "3.12.1", "somewhere")
    text = as_ours(bring.script(brought), str(tmp_path / "opt"))
    done = subprocess.run(["sh", "-c", text], stdin=changed.open("rb"), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "what arrived is not what was sent; deploy again\n"
    assert not list((tmp_path / "opt/python").iterdir())


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("loose", ["opt", "opt/python"])
def test_nothing_is_put_where_others_can_write(tmp_path: Path, loose: str) -> None:
    """What they put there before would be found instead, and root would run it."""
    (tmp_path / "opt/python").mkdir(parents=True)
    (tmp_path / loose).chmod(0o777)
    brought = interpreter.Brought(tmp_path / "none", "0" * 64, "3.12.1-0123456789", "3.12.1", "somewhere")
    text = as_ours(bring.script(brought), str(tmp_path / "opt"))
    done = subprocess.run(["sh", "-c", text], input="", capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "is not root's alone" in done.stderr


@pytest.mark.parametrize(("mode", "ran"), [(0o755, True), (0o775, False), (0o757, False)])
def test_python_that_others_may_have_put_there_is_not_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, ran: bool
) -> None:
    """The launcher, as root, on any host that is only looked at."""
    base = tmp_path / "opt"
    program = base / "python/3.99.1-0123456789/bin/python3.99"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\necho 3.99.1\n")
    program.chmod(0o755)
    os.chown(base, -1, 65534)
    base.chmod(mode)
    monkeypatch.setattr(spec, "BASE", str(base))
    monkeypatch.setattr(spec, "PYTHON", str(base / "python"))
    subprocess.run(
        ["sh", "-c", as_ours(remote.launcher("3.99"), str(base))], input="", capture_output=True, text=True, check=False
    )
    assert (tmp_path / "ran").exists() is ran
