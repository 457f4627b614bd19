"""What travels to a host: wheels, code and lock in one archive, each wheel held to the lock as it is packed."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.release import identity, requirements, scratch, wheels

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PUSH = scratch.SCRATCH / "push"


@dataclass(frozen=True)
class Parcel:
    """An archive and the SHA-256 of what was written into it, in hex."""

    file: Path
    digest: str


# Hosts that lack the same share one. Of this process alone: what lies there from another time was not seen being made.
_packed: dict[str, Parcel] = {}


def pack(release: str, house: wheels.Wheelhouse, platform: wheels.Platform) -> Parcel:
    """One archive of what a host lacks.

    Args:
        release: id of the release that it is for.
        house: the wheels that the host lacks.
        platform: the kind of host.

    Raises:
        WheelsError: a wheel is not the one that the lock names.
    """
    key = hashlib.sha256("\n".join([release, *sorted(house.hashes)]).encode()).hexdigest()[:16]
    with scratch.alone(scratch.SCRATCH):
        if key not in _packed or not _packed[key].file.exists():
            PUSH.mkdir(mode=0o700, parents=True, exist_ok=True)
            scratch.prune(PUSH, "*.tar")
            lock = wheels.concrete_lock(requirements.text(), platform)
            _packed[key] = _write(PUSH / f"{key}.tar", house, {"requirements.lock": lock.encode()})
    return _packed[key]


def _write(archive: Path, house: wheels.Wheelhouse, files: Mapping[str, bytes]) -> Parcel:
    fresh = archive.with_suffix(".partial")
    fresh.unlink(missing_ok=True)
    with fresh.open("xb") as out:
        stream = scratch.Digest(out)
        # Of known files alone, in one order, without times or owners: the same content is the same archive.
        with tarfile.open(fileobj=stream, mode="w|") as tar:
            for name in sorted(house.hashes):
                _add(tar, f"wheels/{name}", house.read(name))
            for name, content in {**files, **identity.shipped_code().files}.items():
                _add(tar, name, content)
    fresh.rename(archive)
    return Parcel(archive, stream.total.hexdigest())


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = len(content), 0o644
    tar.addfile(member, io.BytesIO(content))
