"""The release that a host has built, kept as a tree below others: what is not about building is deployed without it."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from typing import TYPE_CHECKING

from deploy.release import identity
from sandbox import interpreter
from sandbox.layout import CHECKOUT
from sandbox.teardown import folder_locked

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Machine

HERE = CHECKOUT / ".hublab" / "released"
_BASE = "opt/hublab"


def name() -> str:
    """What a deploy of this checkout calls its release on a host that has the sandbox's Python."""
    return identity.release_id(platform.python_version(), str(interpreter.find().inside.parents[1]))


def tree() -> list[Path]:
    """The tree with it, where a lane before has kept it, for those that build none themselves (`make test-rest`)."""
    found = HERE / name()
    return [found] if os.environ.get("HUBLAB_TEST_RELEASED") and found.exists() else []


def keep(machine: Machine) -> None:
    """Keep what a host has built that is as wanted, and remove those of other checkouts that no host stands on."""
    with folder_locked(HERE):
        kept, building = HERE / name(), HERE / "partial"
        built = machine.upper / _BASE
        if kept.exists() or (built / "current").readlink().name != kept.name:
            return
        shutil.rmtree(building, ignore_errors=True)
        (building / _BASE / "releases").mkdir(parents=True)
        for part in ("wheels", f"releases/{kept.name}"):
            subprocess.run(["cp", "-a", built / part, building / _BASE / part], check=True)
        below = {line for file in HERE.parent.glob("hosts/*/machines/*/layers") for line in file.read_text().split()}
        for other in HERE.iterdir():
            if other != building and str(other) not in below:
                shutil.rmtree(other)
        building.rename(kept)
