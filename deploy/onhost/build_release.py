"""Builds one release from a payload: complete, or absent. Nothing that runs is touched."""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
import shutil
import tarfile
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path

from deploy.onhost.byte_code import adopt, newest_sibling
from deploy.onhost.common import HostError, Revision, guard_digest, must, packages, say, tree_digest, write_atomically
from deploy.onhost.wire import Query

WHEEL = re.compile(r"wheels/[A-Za-z0-9_.+-]+\.whl")
CHECK = """
import importlib.util, sys
import prefect, uvicorn, worker
assert importlib.util.find_spec("uvloop") is None, "uvloop can be imported"
assert worker.__file__.startswith(sys.argv[1] + "/"), worker.__file__
"""


@dataclass(frozen=True)
class Contents:
    """What a release is to be: its id, the versions of Prefect and Python, and a digest of its code, over the files."""

    release: str
    prefect: str
    python_version: str
    code: str
    code_files: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class BuildRelease(Query):
    """One release: what it is built from, and with which interpreter.

    `arrived`: the folder of the payload; `digest`: the payload's. `wheels`: `push` or `index`. `keep`: the wheels that
    stay. `uv`: its version, and the hashes that the lock has for its wheels. `folders`: of the shipped code.
    `guard`: the line that keeps uvloop out.
    """

    contents: Contents
    python: str
    uv: str
    wheels: str
    keep: tuple[str, ...]
    uv_hashes: tuple[str, ...]
    folders: tuple[str, ...]
    guard: str
    arrived: str
    digest: str


def receive(arrived: Path, digest: str, base: Path, release: Path, names: list[str]) -> None:
    """Wheels into the pool that all releases are built from, code into the release; nothing of it when it is not whole.

    A wheel is known by its name alone, so it gets it when it is whole and on disk: a power cut leaves no half one.

    Args:
        arrived: the folder of root's that the payload was put into.
        digest: SHA-256 of what was sent, in hex; it came with the question, not with the payload.
        base: of all releases.
        release: folder of the one that is built.
        names: of the files that may be in the payload beside wheels.

    Raises:
        HostError: what arrived is not what was sent, or something is in it that has no business there.
    """
    with (arrived / "payload.tar").open("rb") as payload:
        if hashlib.file_digest(payload, "sha256").hexdigest() != digest:
            raise HostError("what arrived is not what was sent; deploy again")
        payload.seek(0)  # the file that was looked at is the file that is read, whatever its name leads to by now
        with tarfile.open(fileobj=payload) as archive:
            for member in archive:
                if not member.isreg() or not (WHEEL.fullmatch(member.name) or member.name in names):
                    raise HostError(f"{member.name[:200]!r} has no business in a release")
                archive.extract(member, arrived if WHEEL.fullmatch(member.name) else release, filter="data")
    os.sync()
    (base / "wheels").mkdir(mode=0o755, exist_ok=True)
    for wheel in arrived.glob("wheels/*"):
        wheel.rename(base / "wheels" / wheel.name)


def unpack_uv(wheels: Path, version: str, hashes: tuple[str, ...], into: Path) -> Path:
    """uv, out of its own wheel, which is the one that the lock names: nothing checks it after this."""
    wheel = next(iter(wheels.glob(f"uv-{version}-*.whl")), None)
    if wheel is None:
        raise HostError(f"{wheels}: no wheel of uv {version} arrived")
    if hashlib.sha256(wheel.read_bytes()).hexdigest() not in hashes:
        raise HostError(f"{wheel} is not the one that the lock names")
    with zipfile.ZipFile(wheel) as archive:
        program = Path(archive.extract(f"uv-{version}.data/scripts/uv", into))
    program.chmod(0o700)
    return program


def install(uv: Path, release: Path, query: BuildRelease) -> None:
    """The venv, from the lock, hashes required, byte code compiled once for all starts to come."""
    python = str(release / "venv/bin/python")
    pushed = ["--offline", "--no-index", "--find-links", f"{query.places.base}/wheels"]
    source = pushed if query.wheels == "push" else []
    # No build: a source distribution is a program that would run as root.
    common = ["--no-cache", "--no-config", "--no-build", "--link-mode", "copy"]
    # Where it lies, not a link to it: a venv whose home is the link's folder looks for its library beside the link.
    found = os.path.realpath(shutil.which(query.python) or query.python)
    must(str(uv), "venv", "--quiet", "--no-config", "--no-project", "--python", found, str(release / "venv"))
    lock = [str(release / "requirements.lock"), "--require-hashes", "--python", python]
    sync = [str(uv), "pip", "sync", "--quiet", *common, *source, *lock]
    sites = "venv/lib/python3*/site-packages"
    if sibling := newest_sibling(release):
        must(*sync, timeout=900)
        adopt(next(release.glob(sites)), next(sibling.glob(sites)))
    must(*sync, "--compile-bytecode", timeout=900)
    # A lock of the operator's own may lack what its packages ask for: said here, not by the first run that needs it.
    must(str(uv), "pip", "check", "--quiet", "--no-config", "--python", python)
    (next(release.glob(sites)) / "hublab.pth").write_text(query.guard)
    must(python, "-m", "compileall", "-q", *(str(release / folder) for folder in query.folders))


def finish(release: Path, wanted: Contents) -> None:
    """Checks what was built, makes it last, and only then says that it is finished."""
    code = tree_digest(release, wanted.code_files)
    if code != wanted.code:
        raise HostError(f"{release}: the code that arrived is not the code that was sent")
    must(str(release / "venv/bin/python"), "-I", "-c", CHECK, str(release))
    written = Revision(
        id=wanted.release,
        prefect=wanted.prefect,
        python=wanted.python_version,
        lock=hashlib.sha256((release / "requirements.lock").read_bytes()).hexdigest(),
        built=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        code=code,
        code_files=wanted.code_files,
        guard=guard_digest(release),
        packages=packages(release),
    )
    must("chmod", "-R", "a-w,a+rX", str(release))
    os.sync()
    write_atomically(release / "REVISION", json.dumps(asdict(written), indent=1) + "\n", 0o444)


def main(query: BuildRelease) -> int:
    """Builds; on any failure the half-built folder is removed."""
    os.umask(0o022)
    base = query.places.base
    release = base / "releases" / query.contents.release
    shutil.rmtree(release, ignore_errors=True)
    release.mkdir(parents=True)
    tools = base / ".build"
    arrived = Path(query.arrived)
    for left in [*base.glob(".arriving*"), *base.glob(".payload-*")]:  # of a deploy that was cut off
        if left != arrived:
            shutil.rmtree(left) if left.is_dir() else left.unlink()
    try:
        receive(arrived, query.digest, base, release, ["requirements.lock", *query.contents.code_files])
        uv = unpack_uv(base / "wheels", query.uv, query.uv_hashes, tools)
        install(uv, release, query)
        finish(release, query.contents)
    except (HostError, OSError, tarfile.TarError, zipfile.BadZipFile) as error:
        shutil.rmtree(release, ignore_errors=True)
        # One of them may be the reason: the next deploy brings them anew.
        shutil.rmtree(base / "wheels", ignore_errors=True)
        say(f"release {release.name} could not be built; nothing else was changed: {error}")
        return 1
    finally:
        shutil.rmtree(tools, ignore_errors=True)
        shutil.rmtree(arrived, ignore_errors=True)
        for wheel in (base / "wheels").glob("*.whl"):
            if wheel.name not in query.keep:
                wheel.unlink()
    say(f"release {release.name} is built: {len(packages(release))} packages, uvloop is not one of them")
    return 0
