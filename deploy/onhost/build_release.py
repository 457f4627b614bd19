"""Builds one release from a payload: complete, or absent. Nothing that runs is touched."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from deploy.onhost.byte_code import adopt, newest_sibling
from deploy.onhost.common import HostError, guard_digest, must, packages, say, tree_digest, write_atomically

CHECK = """
import importlib.util, sys
import prefect, uvicorn, worker
assert importlib.util.find_spec("uvloop") is None, "uvloop can be imported"
assert worker.__file__.startswith(sys.argv[1] + "/"), worker.__file__
"""


def unpack(payload: Path, base: Path, release: Path) -> None:
    """Wheels into the pool that all releases are built from, code into the release.

    A wheel is known by its name alone, so it gets it when it is whole and on disk: a power cut leaves no half one.
    """
    arriving = base / ".arriving"
    shutil.rmtree(arriving, ignore_errors=True)
    try:
        with tarfile.open(payload) as archive:
            for member in archive:
                where = arriving if member.name.startswith("wheels/") else release
                archive.extract(member, where, filter="data")
        os.sync()
        (base / "wheels").mkdir(mode=0o755, exist_ok=True)
        for wheel in arriving.glob("wheels/*"):
            wheel.rename(base / "wheels" / wheel.name)
    finally:
        shutil.rmtree(arriving, ignore_errors=True)


def unpack_uv(wheels: Path, version: str, into: Path) -> Path:
    """uv, out of its own wheel."""
    wheel = next(iter(wheels.glob(f"uv-{version}-*.whl")), None)
    if wheel is None:
        raise HostError(f"{wheels}: no wheel of uv {version} arrived")
    with zipfile.ZipFile(wheel) as archive:
        program = Path(archive.extract(f"uv-{version}.data/scripts/uv", into))
    program.chmod(0o700)
    return program


def install(uv: Path, release: Path, query: dict[str, Any]) -> None:
    """The venv, from the lock, hashes required, byte code compiled once for all starts to come."""
    python = str(release / "venv/bin/python")
    pushed = ["--offline", "--no-index", "--find-links", f"{query['base']}/wheels"]
    source = pushed if query["wheels"] == "push" else []
    common = ["--no-cache", "--no-config", "--link-mode", "copy"]
    must(str(uv), "venv", "--quiet", "--no-config", "--no-project", "--python", query["python"], str(release / "venv"))
    lock = [str(release / "requirements.lock"), "--require-hashes", "--python", python]
    sync = [str(uv), "pip", "sync", "--quiet", *common, *source, *lock]
    sites = "venv/lib/python3*/site-packages"
    if sibling := newest_sibling(release):
        must(*sync, timeout=900)
        adopt(next(release.glob(sites)), next(sibling.glob(sites)))
    must(*sync, "--compile-bytecode", timeout=900)
    (next(release.glob(sites)) / "hublab.pth").write_text(query["guard"])
    must(python, "-m", "compileall", "-q", *(str(release / folder) for folder in query["folders"]))


def finish(release: Path, query: dict[str, Any]) -> None:
    """Checks what was built, makes it last, and only then says that it is finished."""
    code = tree_digest(release, query["code_files"])
    if code != query["code"]:
        raise HostError(f"{release}: the code that arrived is not the code that was sent")
    must(str(release / "venv/bin/python"), "-I", "-c", CHECK, str(release))
    written = {
        "id": release.name,
        "prefect": query["prefect"],
        "python": query["python_version"],
        "lock": hashlib.sha256((release / "requirements.lock").read_bytes()).hexdigest(),
        "built": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "code": code,
        "code_files": query["code_files"],
        "guard": guard_digest(release),
        "packages": packages(release),
    }
    must("chmod", "-R", "a-w,a+rX", str(release))
    os.sync()
    write_atomically(release / "REVISION", json.dumps(written, indent=1) + "\n", 0o444)


def main(query: dict[str, Any]) -> int:
    """Builds; on any failure the half-built folder is removed."""
    os.umask(0o022)
    base = Path(query["base"])
    release = base / "releases" / query["release"]
    shutil.rmtree(release, ignore_errors=True)
    release.mkdir(parents=True)
    tools = base / ".build"
    for left in base.glob(".payload-*"):  # of a deploy that was cut off
        if left != Path(query["payload"]):
            left.unlink()
    try:
        unpack(Path(query["payload"]), base, release)
        uv = unpack_uv(base / "wheels", query["uv"], tools)
        install(uv, release, query)
        finish(release, query)
    except (HostError, OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        shutil.rmtree(release, ignore_errors=True)
        # One of them may be the reason: the next deploy brings them anew.
        shutil.rmtree(base / "wheels", ignore_errors=True)
        say(f"release {release.name} could not be built; nothing else was changed: {error}")
        return 1
    finally:
        shutil.rmtree(tools, ignore_errors=True)
        Path(query["payload"]).unlink(missing_ok=True)
        for wheel in (base / "wheels").glob("*.whl"):
            if wheel.name not in query["keep"]:
                wheel.unlink()
    say(f"release {release.name} is built: {len(packages(release))} packages, uvloop is not one of them")
    return 0
