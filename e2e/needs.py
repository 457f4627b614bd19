"""The browser: Debian's Chromium, installed where it is missing and may be."""

from __future__ import annotations

import os
import shutil

from e2e.errors import RefusedError

# Its fonts too: without any, a page is a picture of boxes.
_PACKAGES = ("chromium", "fonts-dejavu-core")


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
    # Not before: a run against production loads nothing of the sandbox.
    from sandbox import SandboxError, apt  # noqa: PLC0415

    try:
        apt.install(_PACKAGES)
    except SandboxError as error:
        raise RefusedError([f"chromium: {error}; {remedy}"]) from error
    return shutil.which("chromium") or "/usr/bin/chromium"
