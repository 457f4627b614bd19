"""`python -m deploy.container.build FOLDER [ID]`: finishes the release of this checkout in a folder of an image.

FOLDER/venv is there (`packages.py`). What a host's builder checks and writes down is checked and written down by the
same code, and the id is the same digest; ID, where one is given, is what it must be.
"""

from __future__ import annotations

import platform
import sys
from pathlib import Path

from deploy.onhost import build_release
from deploy.onhost.common import HostError, must, say
from deploy.release import identity, requirements

# Byte code makes a start fast and doubles a package's size: what a worker, an engine or the webhooks import has it.
IMPORTED = """
import importlib, pkgutil
from worker import fork_server
fork_server.preload()
for package in map(importlib.import_module, ("worker", "flows")):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
"""


def build(folder: Path, expected: str = "") -> str:
    """Put code and guard beside the virtual environment, and finish it. Returns the release's id.

    Raises:
        HostError: something of it is not as it must be; uvloop can be imported, for one.
    """
    code = identity.shipped_code()
    name = identity.release_id(platform.python_version(), sys.base_prefix)
    if expected not in {"", name}:
        raise HostError(f"RELEASE: {expected}, and what is built here is {name}; give the id of this very checkout")
    for path, content in code.files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    (folder / "requirements.lock").write_bytes(requirements.LOCK.read_bytes())
    site = next(folder.glob("venv/lib/python3*/site-packages"))
    (site / "hublab.pth").write_text(identity.GUARD.format(release=folder))
    must(str(folder / "venv/bin/python"), "-P", "-c", IMPORTED)
    build_release.finish(folder, identity.contents(name, platform.python_version()))
    return name


def main(arguments: list[str]) -> int:
    """Build; exit status 1 with the reason."""
    try:
        name = build(Path(arguments[0]), "".join(arguments[1:]))
    except HostError as error:
        say(f"the image's release could not be built: {error}")
        return 1
    say(f"release {name}, uvloop is not a part of it")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
