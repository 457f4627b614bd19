"""An operator's desk: a clone of this checkout with a remote that Coolify builds from, and the product's commands."""

from __future__ import annotations

import base64
import os
import platform
import shutil
import subprocess
from typing import TYPE_CHECKING

from deploy.container import image as built
from sandbox.layout import CHECKOUT
from sandbox.local.processes import AUTH
from sandbox.operator import Operator
from tests.deploy.coolify.script import TOKEN

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox.coolify.daemon import Daemon
    from sandbox.operator import Result

FLOWS = CHECKOUT / "tests/worker/trial_flows.py"
RELEASE = "/opt/hublab/release"
URL = "https://git.example.com/ada/hublab.git"
"""By which everybody but git on this machine knows the repository; nobody has to reach it."""
WHO = ("-c", "user.name=Ada", "-c", "user.email=ada@example.com")


class Desk:
    """One operator. What `commit` makes is pushed at once; `settings` are the lines of `.env`."""

    def __init__(self, folder: Path, settings: Mapping[str, str]) -> None:
        """Clone what is in the working tree, with the trial flows among the flows."""
        self.checkout, self.remote = folder / "hublab", folder / "remote.git"
        known = _git(CHECKOUT, "ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0")
        for name in filter(None, known):
            if (CHECKOUT / name).is_file():
                (self.checkout / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(CHECKOUT / name, self.checkout / name)
        shutil.copy(FLOWS, self.checkout / "flows/trial_flows.py")
        _git(folder, "init", "-q", "--bare", str(self.remote))
        _git(self.checkout, "init", "-q", "-b", "main")
        _git(self.checkout, "remote", "add", "origin", URL)
        _git(self.checkout, "remote", "set-url", "--push", "origin", str(self.remote))
        self.operator = Operator(folder / "env", dict(settings), self.checkout)

    def commit(self, files: Mapping[str, str] | None = None) -> str:
        """Commit and push these files, path → text; the commit."""
        for name, text in (files or {}).items():
            (self.checkout / name).write_text(text)
        _git(self.checkout, "add", "--all")
        _git(self.checkout, *WHO, "commit", "-q", "--allow-empty", "-m", "Another release")
        commit = self.head()
        _git(self.checkout, "push", "-q", "origin", f"HEAD:refs/heads/r-{commit[:10]}")
        return commit

    def head(self) -> str:
        """The commit that is checked out."""
        return _git(self.checkout, "rev-parse", "HEAD").strip()

    def release(self) -> str:
        """The id of what is checked out, on the Python of the images."""
        python = f"{platform.python_version()!r}, '/usr/local'"
        code = f"from deploy.release import identity; print(identity.release_id({python}))"
        return self.operator.run("python", "-c", code).text.strip()

    def at(self, commit: str) -> None:
        """Check another commit out."""
        _git(self.checkout, "checkout", "-q", commit)

    def hublab(self, *words: str, **overrides: str | None) -> Result:
        """`./hublab WORDS`, to its end."""
        return self.operator.run("python", "cli", *words, **overrides)

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """The same, begun."""
        return self.operator.begin("python", "cli", *words)


def settings(url: str, api_url: str, queue: str) -> dict[str, str]:
    """The lines of `.env` for applications alone; HUBLAB_HOSTS is the test's."""
    return {
        "HUBLAB_COOLIFY_URL": url,
        "HUBLAB_COOLIFY_TOKEN": TOKEN,
        "PREFECT_API_URL": api_url,
        "PREFECT_API_AUTH_STRING": AUTH,
        "HUBLAB_WORK_QUEUES": queue,
        "HUBLAB_CONCURRENCY": "2",
        "HUBLAB_DRAIN_SECONDS": "600",
        "HUBLAB_MEMORY_MAX": "1G",
    }


def build(daemon: Daemon, remote: Path, commit: str, target: str, tag: str) -> None:
    """As Coolify builds a commit: the Dockerfile of the deploy's own fields, in what git has of it, no release told.

    Raises:
        RuntimeError: Docker failed; with its last lines.
    """
    secrets = {name: os.environ[key] for name, key in built.SECRETS.items() if os.environ.get(key)}
    with subprocess.Popen(["git", "-C", str(remote), "archive", commit], stdout=subprocess.PIPE) as context:
        done = subprocess.run(
            ["docker", "build", "--network=host", "--progress=plain", "--build-arg=BASE=hublab-base",
             *(f"--secret=id={name},src={path}" for name, path in secrets.items()),
             "--file=deploy/container/Dockerfile", "--target", target, "--tag", tag, "-"],
            stdin=context.stdout, env={**os.environ, **daemon.environment}, capture_output=True, text=True, check=False,
        )  # fmt: skip
    if context.returncode or done.returncode:
        raise RuntimeError("\n".join(done.stderr.splitlines()[-25:]))


def upon(daemon: Daemon, base: str, tag: str, release: str, files: Mapping[str, str]) -> None:
    """A small layer on an image that is there: other files of its release, and another id."""
    code = "import json, pathlib, sys; root = pathlib.Path(sys.argv[1])\n"
    code += f"for name, text in {dict(files)!r}.items():\n root.joinpath(name).write_text(text)\n"
    code += f"mark = root / 'REVISION'; told = json.loads(mark.read_text()) | {{'id': {release!r}}}\n"
    code += "mark.write_text(json.dumps(told))\n"
    run = f"import base64; exec(base64.b64decode('{base64.b64encode(code.encode()).decode()}'))"
    daemon.build(tag, f'FROM {base}\nUSER 0\nRUN ["python3", "-c", "{run}", "{RELEASE}"]\nUSER 10001:10001\n')


def _git(where: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", str(where), *words], capture_output=True, text=True, check=True).stdout
