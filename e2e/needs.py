"""The browser: Debian's Chromium, installed where it is missing and may be."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from e2e.errors import RefusedError

# Its fonts too: without any, a page is a picture of boxes.
_PACKAGES = ("chromium", "fonts-dejavu-core")
_LIMIT_SECONDS = 900


def chromium() -> str:
    """The path of Chromium.

    Raises:
        RefusedError: it is missing, and this program may not or cannot install it; says which of it.
    """
    if found := shutil.which("chromium"):
        return found
    remedy = f"remedy: apt-get install {' '.join(_PACKAGES)}"
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise RefusedError([f"chromium: not installed, and only root may install it from Debian's packages; {remedy}"])
    sys.stderr.write(f"e2e: installing {' '.join(_PACKAGES)} with apt-get\n")
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-q"], ["install", "-q", "-y", "--no-install-recommends", *_PACKAGES]):
        done = subprocess.run(
            ["apt-get", *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
        if done.returncode:
            raise RefusedError([f"chromium: apt-get {command[0]} failed: {done.stderr.strip()[-500:]}; {remedy}"])
    return shutil.which("chromium") or "/usr/bin/chromium"
