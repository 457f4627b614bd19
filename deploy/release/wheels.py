"""The operator's machine brings the wheels: the lock, made concrete for one kind of host, downloaded once."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from packaging.markers import Marker, default_environment
from packaging.utils import canonicalize_name, parse_wheel_filename
from packaging.version import Version

from deploy.env_file import ROOT
from deploy.release import requirements, scratch

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

DEV_LOCK = ROOT / "requirements-dev.lock"
CACHE = scratch.SCRATCH / "wheels"
OLDEST_GLIBC = 17


class WheelsError(RuntimeError):
    """The wheels could not be brought together; the message says why."""


@dataclass(frozen=True)
class Platform:
    """What decides which wheel fits: `x86_64`, `3.12.1`, `glibc-2.36`."""

    machine: str
    python_version: str
    libc: str

    @property
    def minor(self) -> str:
        """`3.12`."""
        return ".".join(self.python_version.split(".")[:2])

    @property
    def tags(self) -> list[str]:
        """Every manylinux tag that the host's C library satisfies (PEP 600), and the old names (PEP 599)."""
        name, _, version = self.libc.partition("-")
        if name != "glibc":
            raise WheelsError(f"the host's C library is {name or 'unknown'}; wheels are brought for glibc only")
        newest = int(version.split(".")[1])
        return [f"manylinux_2_{minor}_{self.machine}" for minor in range(newest, OLDEST_GLIBC - 1, -1)] + [
            f"manylinux2014_{self.machine}"
        ]

    def environment(self) -> dict[str, str]:
        """The environment that the lock's markers are evaluated in (PEP 508)."""
        return {key: str(value) for key, value in default_environment().items()} | {
            "os_name": "posix",
            "sys_platform": "linux",
            "platform_system": "Linux",
            "platform_machine": self.machine,
            "platform_python_implementation": "CPython",
            "implementation_name": "cpython",
            "python_version": self.minor,
            "python_full_version": self.python_version,
        }


def concrete_lock(text: str, platform: Platform) -> str:
    """The lines of a universal lock that hold on one platform, markers resolved, hashes kept. Pure."""
    kept = []
    for block in requirements.blocks(text):
        requirement, _, rest = block.partition("\\\n")
        name, _, marker = requirement.partition(" ; ")
        if not marker.strip() or Marker(marker.strip()).evaluate(platform.environment()):
            hashes = [line.strip(" \\") for line in rest.splitlines() if "--hash=" in line]
            kept.append(" \\\n    ".join([name.strip(), *hashes]))
    return "\n".join(kept) + "\n"


def uv_version() -> str:
    """The uv that hosts are built with: the operator's own, from its lock."""
    match = re.search(r"^uv==(\S+)", DEV_LOCK.read_text(), re.MULTILINE)
    if not match:
        raise WheelsError(f"{DEV_LOCK.name} names no uv; regenerate it with `make lock`")
    return match[1]


@dataclass(frozen=True)
class Wheelhouse:
    """Wheels on the operator's machine: `hashes` has, by file name, the SHA-256 sums that the lock allows, in hex."""

    folder: Path
    hashes: Mapping[str, frozenset[str]]

    def without(self, names: Collection[str]) -> Wheelhouse:
        """The others."""
        return Wheelhouse(self.folder, {name: known for name, known in self.hashes.items() if name not in names})

    def read(self, name: str) -> bytes:
        """One wheel, whole.

        Raises:
            WheelsError: it is not the one that the lock names.
        """
        content = (self.folder / name).read_bytes()
        if hashlib.sha256(content).hexdigest() not in self.hashes[name]:
            raise WheelsError(f"{self.folder / name} is not what the lock names. Remove {self.folder}, deploy again.")
        return content


def wheelhouse(platform: Platform, *, only_uv: bool = False) -> Wheelhouse:
    """All wheels that a host of this kind needs, uv included; downloaded unless they are here, as the lock names them.

    Raises:
        WheelsError: the download failed, or a package has no wheel for the platform.
    """
    uv = re.search(r"^uv==.*?(?=^[A-Za-z0-9])", DEV_LOCK.read_text(), re.MULTILINE | re.DOTALL)
    wanted = concrete_lock(("" if only_uv else requirements.text()) + (uv[0] if uv else ""), platform)
    key = hashlib.sha256((wanted + platform.machine + platform.libc + platform.minor).encode()).hexdigest()[:16]
    folder = CACHE / key
    with scratch.alone(scratch.SCRATCH):
        if folder not in _seen:
            if (folder / "complete").exists() and not _is_whole(folder, wanted):
                shutil.rmtree(folder)  # damaged, or somebody changed it: it is only a cache
            if not (folder / "complete").exists():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                lock = folder / "requirements.lock"
                lock.write_text(wanted)
                _download(lock, platform, folder)
                (folder / "complete").touch()
            _seen.add(folder)
    return Wheelhouse(folder, _known(folder, wanted))


# Looked through once by each process; each wheel is held to the lock once more as it is packed.
_seen: set[Path] = set()


def _is_whole(folder: Path, wanted: str) -> bool:
    known = _known(folder, wanted)
    return len(known) == wanted.count("==") and all(
        hashlib.sha256((folder / name).read_bytes()).hexdigest() in sums for name, sums in known.items()
    )


def _known(folder: Path, wanted: str) -> dict[str, frozenset[str]]:
    """Name of each wheel that is here and in the lock → the sums that the lock allows for it."""
    sums: dict[tuple[str, str], frozenset[str]] = {}
    for block in requirements.blocks(wanted):
        name, _, version = block.partition(" ")[0].strip().partition("==")
        sums[canonicalize_name(name), str(Version(version))] = frozenset(
            re.findall(r"--hash=sha256:([0-9a-f]{64})", block)
        )
    found = {}
    for path in sorted(folder.glob("*.whl")):
        wheel, number, _, _ = parse_wheel_filename(path.name)
        if (wheel, str(number)) in sums:
            found[path.name] = sums[wheel, str(number)]
    return found


def _download(lock: Path, platform: Platform, folder: Path) -> None:
    tags = [item for tag in [*platform.tags, "any"] for item in ("--platform", tag)]
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
        "--require-hashes", "--only-binary", ":all:", "--implementation", "cp", "--python-version", platform.minor,
        *tags, "--dest", str(folder), "--requirement", str(lock),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = "\n".join(line for line in done.stderr.splitlines() if line.startswith("ERROR"))[-1500:]
        what = f"the wheels for {platform.machine}, Python {platform.minor}"
        raise WheelsError(f"{what} could not be downloaded:\n{reason or done.stderr[-1500:]}")
