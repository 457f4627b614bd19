"""`python3 packages.py LOCKS FOLDER`: a virtual environment with what requirements.lock names, hashes required.

Runs with the standard library alone, in a stage of the image's build that later stages change nothing of. Build secrets
`pip`, `uv` (their configurations) and `ca` (certificates) are used where they are given, and are in no layer.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SECRETS = {
    "pip": ("PIP_CONFIG_FILE",),
    "uv": ("UV_CONFIG_FILE",),
    "ca": ("SSL_CERT_FILE", "PIP_CERT"),
}
# A worker serves no page; Prefect's own are a tenth of all packages.
UNUSED = ("prefect/server/ui", "prefect/server/ui-v2")


def main(locks: Path, folder: Path) -> None:
    """Build it; nothing of the tools stays."""
    for name, variables in SECRETS.items():
        if (secret := Path("/run/secrets", name)).is_file():
            os.environ.update(dict.fromkeys(variables, str(secret)))
    with tempfile.TemporaryDirectory() as tools:
        uv = _uv(locks / "requirements-dev.lock", Path(tools))
        configured = [] if "UV_CONFIG_FILE" in os.environ else ["--no-config"]
        venv = [uv, "venv", "--quiet", *configured, "--no-project", "--python", sys.executable]
        subprocess.run([*venv, str(folder)], check=True)
        # No build: a source distribution is a program that would run as root.
        sync = [uv, "pip", "sync", "--quiet", *configured, "--no-cache", "--no-build", "--require-hashes"]
        lock = ["--python", str(folder / "bin/python"), str(locks / "requirements.lock")]
        subprocess.run([*sync, *lock], check=True)
    for site in folder.glob("lib/python3*/site-packages"):
        for name in UNUSED:
            shutil.rmtree(site / name)


def _uv(lock: Path, tools: Path) -> str:
    """uv, as the operator's own lock names it."""
    named = re.search(r"^uv==.*?(?=^[A-Za-z0-9])", lock.read_text(), re.MULTILINE | re.DOTALL)
    if not named:
        raise SystemExit(f"{lock.name} names no uv; regenerate it with `make lock`")
    wanted = tools / "uv.lock"
    wanted.write_text(named[0])
    subprocess.run([sys.executable, "-m", "venv", str(tools / "venv")], check=True)
    pip = [str(tools / "venv/bin/python"), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, "--only-binary", ":all:", "--require-hashes", "-r", str(wanted)], check=True)
    return str(tools / "venv/bin/uv")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
