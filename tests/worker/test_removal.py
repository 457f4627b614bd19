"""What a run leaves is removed, and nothing else, whatever still lives of the run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.worker.world import PLAIN, environment
from worker.removal import remove

if TYPE_CHECKING:
    from pathlib import Path

# The folder that cannot be read is found; in that moment a link comes to lie on the way to it.
EXCHANGED = """
import asyncio, os, sys
from pathlib import Path
from worker.workplace import Place
all = Path(sys.argv[1])
place = Place(str(all), [], None, listen=False)
own = Path(place.cwd)
(own / "way/all/inner").mkdir(parents=True)
(own / "way/all").chmod(0)
plain = os.open
def opened(path, *arguments, **named):
    try:
        return plain(path, *arguments, **named)
    finally:
        if path == "all" and not (own / "aside").exists():
            (own / "way").rename(own / "aside")
            (own / "way").symlink_to(all.parent)
os.open = opened
asyncio.run(place.__aexit__())
assert (own / "aside").exists()
"""


def test_folder_that_is_exchanged_for_a_link_while_it_is_removed_harms_no_other(tmp_path: Path) -> None:
    (tmp_path / "all/other").mkdir(parents=True)
    (note := tmp_path / "all/other/note").write_text("of another run")
    command = [*PLAIN, sys.executable, "-c", EXCHANGED, str(tmp_path / "all")]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    assert note.exists()


MODES = "import sys; from worker.removal import remove; remove(sys.argv[1])"


def test_whatever_a_run_leaves_is_removed(tmp_path: Path) -> None:
    """Folders that cannot be read or written, as some package managers make them; links are not followed."""
    (other := tmp_path / "other").mkdir()
    (other / "note").touch()
    inner = tmp_path / "left/closed/inner"
    inner.mkdir(parents=True)
    (inner / "file").touch(0o000)
    (inner / "link").symlink_to(other)
    for folder, mode in {inner: 0o555, inner.parent: 0o000, tmp_path / "left": 0o500}.items():
        folder.chmod(mode)
    command = [*PLAIN, sys.executable, "-c", MODES, str(tmp_path / "left")]
    subprocess.run(command, env=environment(tmp_path), check=True, timeout=180)
    assert not (tmp_path / "left").exists()
    assert (other / "note").exists()


def test_folders_within_folders_are_removed_however_many(tmp_path: Path) -> None:
    code = "import os, sys\nfor _ in range(3000):\n    os.mkdir('x')\n    os.chdir('x')\n"
    (left := tmp_path / "left").mkdir()
    subprocess.run([sys.executable, "-c", code], check=True, cwd=left)
    remove(str(left))
    assert not left.exists()
