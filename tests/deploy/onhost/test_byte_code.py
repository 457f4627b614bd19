"""Byte code is taken over from another release only where it is that of the very same source."""

from __future__ import annotations

import compileall
import importlib.util
import json
import os
from pathlib import Path

import pytest

from deploy.onhost.byte_code import adopt, newest_sibling

REVISION = {"code": "", "code_files": [], "guard": "", "packages": []}


def compiled(source: Path) -> Path:
    return Path(importlib.util.cache_from_source(str(source)))


def module(site: Path, text: str, *, at: int) -> Path:
    """A module of a package, whose file was written at a time in seconds."""
    path = site / "package/module.py"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    os.utime(path, (at, at))
    return path


@pytest.fixture
def sibling(tmp_path: Path) -> Path:
    site = tmp_path / "sibling"
    compileall.compile_file(module(site, "value = 1\n", at=1_000), quiet=2)
    return site


def test_the_same_module_is_not_compiled_again(tmp_path: Path, sibling: Path) -> None:
    source = module(tmp_path / "new", "value = 1\n", at=2_000)
    assert adopt(tmp_path / "new", sibling) == 1
    compiled(source).chmod(0o400)
    taken = compiled(source).stat()
    assert compileall.compile_file(source, quiet=2)
    assert compiled(source).stat().st_ino == taken.st_ino
    assert compiled(source).read_bytes() == compiled(sibling / "package/module.py").read_bytes()


@pytest.mark.parametrize("at", [1_000, 2_000])
def test_another_module_of_the_same_size_keeps_nothing_of_it(tmp_path: Path, sibling: Path, at: int) -> None:
    source = module(tmp_path / "new", "value = 2\n", at=at)
    assert adopt(tmp_path / "new", sibling) == 0
    assert not compiled(source).exists()
    assert source.stat().st_mtime == at


def test_a_module_without_byte_code_is_left_to_be_compiled(tmp_path: Path, sibling: Path) -> None:
    compiled(sibling / "package/module.py").unlink()
    source = module(tmp_path / "new", "value = 1\n", at=2_000)
    assert adopt(tmp_path / "new", sibling) == 0
    assert source.stat().st_mtime == 2_000


def test_the_sibling_is_the_release_that_was_finished_last(tmp_path: Path) -> None:
    for name, built in (("a", "2026-01-02"), ("b", "2026-01-03"), ("c", "2026-01-01"), ("mine", "2026-01-04")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "REVISION").write_text(json.dumps(REVISION | {"built": built}))
    (tmp_path / "half").mkdir()
    assert newest_sibling(tmp_path / "mine") == tmp_path / "b"


def test_the_first_release_has_no_sibling(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "half").mkdir()
    assert newest_sibling(tmp_path / "mine") is None
