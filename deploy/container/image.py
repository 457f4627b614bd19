"""`python -m deploy.container.image [DOCKER'S BUILD OPTIONS ...]`: the image of this checkout, tagged by its release.

BASE: another image to build on. TARGET: webhooks, in place of worker. What SSL_CERT_FILE, PIP_CONFIG_FILE and
UV_CONFIG_FILE name, the build may read, and the image has nothing of it. Prints the tag.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

from deploy.env_file import ROOT, SettingsError
from deploy.release import identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DOCKERFILE = ROOT / "deploy/container/Dockerfile"
TARGETS = ("worker", "webhooks")
SECRETS = {"ca": "SSL_CERT_FILE", "pip": "PIP_CONFIG_FILE", "uv": "UV_CONFIG_FILE"}
ABOUT = "import platform, sys; print(platform.python_version(), sys.base_prefix)"


class ImageError(RuntimeError):
    """The image could not be built; the message says why."""


def default_base() -> str:
    """The one that the Dockerfile names."""
    found = re.search(r"^ARG BASE=(\S+)", DOCKERFILE.read_text(), re.MULTILINE)
    if not found:
        raise ImageError(f"{DOCKERFILE}: names no BASE")
    return found[1]


def build(base: str, target: str, more: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> str:
    """Build it. Returns its tag.

    Raises:
        ImageError: Docker is missing or failed, or `target` is none of ours.
        SettingsError: HUBLAB_CAMPAIGNS cannot be used.
    """
    if target not in TARGETS:
        raise ImageError(f"--target: {target!r} is none of {', '.join(TARGETS)}")
    version, prefix = _docker(
        environ, "run", "--rm", "--network=none", "--entrypoint=python3", base, "-c", ABOUT
    ).split()
    release = identity.release_id(version, prefix)
    tag = f"hublab/{target}:{release}"
    arguments = {"BASE": base, "RELEASE": release, "SOURCE_COMMIT": _commit()}
    secrets = {name: environ[key] for name, key in SECRETS.items() if environ.get(key)}
    _docker(
        {**environ, "DOCKER_BUILDKIT": "1"},
        *("build", "--file", str(DOCKERFILE), "--target", target, "--tag", tag, "--progress=plain"),
        *(word for name, path in secrets.items() for word in ("--secret", f"id={name},src={path}")),
        *(word for name, value in arguments.items() for word in ("--build-arg", f"{name}={value}")),
        *more,
        str(ROOT),
    )
    return tag


def _docker(environ: Mapping[str, str], *words: str) -> str:
    try:
        done = subprocess.run(["docker", *words], capture_output=True, text=True, check=False, env=dict(environ))
    except FileNotFoundError:
        raise ImageError("docker is not installed (Debian's package is docker.io)") from None
    if done.returncode:
        raise ImageError(f"docker {words[0]}:\n" + "\n".join(done.stderr.strip().splitlines()[-25:]))
    return done.stdout


def _commit() -> str:
    """The checkout's commit; empty where what is built is not that commit."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return "" if done.returncode or "-dirty" in done.stdout else done.stdout.strip()


def main(more: list[str]) -> int:
    """Build by the environment; exit status 1 with the reason."""
    try:
        base = os.environ.get("BASE") or default_base()
        tag = build(base, os.environ.get("TARGET") or TARGETS[0], more, dict(os.environ))
    except (ImageError, SettingsError) as error:
        sys.stderr.write(f"image: {error}\n")
        return 1
    sys.stdout.write(f"{tag}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
