"""What arrives is what was sent: nothing of a payload is unpacked before its digest is right, and nothing odd after."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from deploy.onhost import build_release
from deploy.onhost.common import HostError, tree_digest
from deploy.onhost.wire import Places
from deploy.release import identity, payload, wheels
from deploy.release.wheels import Platform, Wheelhouse, WheelsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from deploy.release.payload import Parcel

PLATFORM = Platform("x86_64", "3.12.1", "glibc-2.36")
WHEEL = "x-1-py3-none-any.whl"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """/opt/hublab of a host, with a release that is about to be built."""
    (tmp_path / "base/releases/r").mkdir(parents=True)
    return tmp_path / "base"


@pytest.fixture
def house(tmp_path: Path) -> Wheelhouse:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / WHEEL).write_bytes(b"a wheel")
    return Wheelhouse(tmp_path / "house", {WHEEL: frozenset({sha256(b"a wheel")})})


@pytest.fixture
def parcel(house: Wheelhouse, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parcel:
    monkeypatch.setattr(payload, "PUSH", tmp_path / "push")
    monkeypatch.setattr(payload, "_packed", {})
    return payload.pack("r", house, PLATFORM)


def arrive(base: Path, content: bytes, digest: str | None = None) -> None:
    """The host's side of an upload."""
    folder = base / ".arriving-1"
    folder.mkdir()
    (folder / "payload.tar").write_bytes(content)
    known = ["requirements.lock", *identity.shipped_code().files]
    build_release.receive(folder, digest or sha256(content), base, base / "releases/r", known)


def tar(*files: tuple[str, bytes], **changed: Any) -> bytes:
    """An archive; `changed`: what differs from a plain file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in changed.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def test_it_arrives_as_it_was_sent(base: Path, parcel: Parcel) -> None:
    arrive(base, parcel.file.read_bytes(), parcel.digest)
    assert (base / "wheels" / WHEEL).read_bytes() == b"a wheel"
    assert (base / "releases/r/requirements.lock").read_text().count("--hash=") > 100
    code = identity.shipped_code()
    assert tree_digest(base / "releases/r", list(code.files)) == code.digest
    assert {path.stat().st_mode & 0o777 for path in (base / "releases/r").rglob("*.py")} == {0o644}


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda content: content[: len(content) // 2],
    "one bit": lambda content: content[:700] + bytes([content[700] ^ 1]) + content[701:],
    "nothing": lambda _: b"",
    "more behind it": lambda content: content + b"\0" * 512,
    "another one": lambda _: tar(("worker/__init__.py", b"import os")),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_not_what_was_sent_is_not_unpacked(base: Path, parcel: Parcel, change: str) -> None:
    before = [path.name for path in base.rglob("*")]
    with pytest.raises(HostError, match="what arrived is not what was sent"):
        arrive(base, CHANGES[change](parcel.file.read_bytes()), parcel.digest)
    assert sorted(path.name for path in base.rglob("*")) == sorted([*before, ".arriving-1", "payload.tar"])


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "worker/../../x",
        "wheels/../../x",
        "/etc/x",
        "wheels/x.txt",
        "wheels/a/b-1-py3-none-any.whl",
        "wheels/../wheels/b-1-py3-none-any.whl",
        "venv/lib/python3.12/site-packages/evil.pth",
        "REVISION",
        "requirements.lock/../x",
    ],
)
def test_a_file_that_has_no_business_there_is_refused(base: Path, name: str) -> None:
    with pytest.raises(HostError, match="has no business in a release"):
        arrive(base, tar((name, b"x")))
    assert not list((base / "releases/r").iterdir())
    assert sorted(path.name for path in base.iterdir()) == [".arriving-1", "releases"]
    assert [path.name for path in (base / ".arriving-1").iterdir()] == ["payload.tar"]


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE],
)
def test_anything_but_a_plain_file_is_refused(base: Path, kind: bytes) -> None:
    with pytest.raises(HostError, match="has no business in a release"):
        arrive(base, tar(("requirements.lock", b""), type=kind, linkname="/etc/passwd"))
    assert not os.path.lexists(base / "releases/r/requirements.lock")


def test_no_set_uid_bit_and_no_owner_comes_along(base: Path) -> None:
    arrive(base, tar(("requirements.lock", b"x"), mode=0o6777, uid=65534, gid=65534))
    found = (base / "releases/r/requirements.lock").stat()
    assert (found.st_mode & 0o7022, found.st_uid) == (0, os.getuid())


def test_an_archive_that_ends_in_half_a_wheel_leaves_none(base: Path) -> None:
    whole = tar(("wheels/whole-1-py3-none-any.whl", b"x"), ("wheels/half-1-py3-none-any.whl", b"x" * 2000))
    with pytest.raises(tarfile.TarError):
        arrive(base, whole[:2000])
    assert not list(base.glob("wheels/*.whl"))


@pytest.mark.parametrize("content", [tar(("../x", b"x")), tar((f"wheels/{WHEEL}", b"x"))])
def test_a_release_that_cannot_be_built_is_absent(
    base: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    arrived = base / ".arriving-1"
    for folder in (arrived, base / ".arriving-of-another", base / ".arriving"):
        folder.mkdir()
    (arrived / "payload.tar").write_bytes(content)
    (base / ".payload-of-an-earlier-version.tar").touch()
    contents = build_release.Contents("r", "3.8.8", "3.12.1", "", ())
    query = build_release.BuildRelease(
        places=Places(base),
        contents=contents,
        python="python3",
        uv="0.1",
        wheels="push",
        keep=(),
        uv_hashes=(),
        folders=(),
        guard="",
        arrived=str(arrived),
        digest=sha256(content),
    )
    before = os.umask(0o022)
    try:
        assert build_release.main(query) == 1
    finally:
        os.umask(before)
    assert "release r could not be built; nothing else was changed: " in capsys.readouterr().out
    assert sorted(path.name for path in base.iterdir()) == ["releases"]
    assert not list((base / "releases").iterdir())


def test_a_uv_that_the_lock_does_not_name_is_not_started(tmp_path: Path) -> None:
    (tmp_path / "uv-0.1-py3-none-any.whl").write_bytes(b"any")
    with pytest.raises(HostError, match="is not the one that the lock names"):
        build_release.unpack_uv(tmp_path, "0.1", (sha256(b"another"),), tmp_path)


def test_a_wheel_of_the_operators_that_was_changed_is_not_packed(parcel: Parcel, house: Wheelhouse) -> None:
    (house.folder / WHEEL).write_bytes(b"another wheel")
    with pytest.raises(WheelsError, match="is not what the lock names"):
        payload.pack("another release", house, PLATFORM)


def test_the_digest_is_of_what_was_packed_whatever_becomes_of_the_file(base: Path, parcel: Parcel) -> None:
    parcel.file.write_bytes(tar(("worker/__init__.py", b"import os")))
    with pytest.raises(HostError, match="what arrived is not what was sent"):
        arrive(base, parcel.file.read_bytes(), parcel.digest)


def test_an_archive_of_another_time_is_made_anew(parcel: Parcel, house: Wheelhouse) -> None:
    parcel.file.write_bytes(b"of another time")
    payload._packed.clear()
    assert payload.pack("r", house, PLATFORM).digest == parcel.digest
    assert sha256(parcel.file.read_bytes()) == parcel.digest


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Wheelhouse]]:
    """The operator's cache, with uv's wheel alone; each call is a deploy of its own."""
    monkeypatch.setattr(wheels, "CACHE", tmp_path / "cache")

    def look() -> Wheelhouse:
        wheels._seen.clear()
        return wheels.wheelhouse(PLATFORM, only_uv=True)

    yield look
    wheels._seen.clear()
    shutil.rmtree(tmp_path / "cache")


@pytest.mark.parametrize("harm", ["changed", "emptied", "removed", "a link to another", "another beside it"])
def test_a_cache_that_was_harmed_is_not_used(cache: Callable[[], Wheelhouse], harm: str, tmp_path: Path) -> None:
    first = cache()
    (name,) = first.hashes
    wheel, good = first.folder / name, first.read(name)
    if harm == "another beside it":
        (first.folder / "evil-1-py3-none-any.whl").write_bytes(b"evil")
    elif harm == "a link to another":
        (tmp_path / "other").write_bytes(b"evil")
        wheel.unlink()
        wheel.symlink_to(tmp_path / "other")
    elif harm == "removed":
        wheel.unlink()
    else:
        wheel.write_bytes(b"" if harm == "emptied" else good + b"x")
    again = cache()
    assert list(again.hashes) == [name]
    assert again.read(name) == good
