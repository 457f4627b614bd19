"""An operator, a Coolify with an application, a real dockerd below it, and a real Prefect server."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.waiting import wait_for
from tests.containers import desk
from tests.containers.coolify import Application, Coolify
from tests.containers.desk import Desk
from tests.deploy.coolify.script import TOKEN
from tests.deploy.coolify.served import server
from tests.deploy.coolify.standin import ABILITIES, APP

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.coolify.daemon import Daemon
    from sandbox.local.server import Api
    from sandbox.operator import Result

QUEUE = "q-coolify"
SHARED = "/var/lib/hublab/prefect/storage"
AT_ONCE = "/etc/hostname"
"""A gate that is open from the beginning."""


class Stage:
    """`first` and `second`: two commits that work. `planned` and `deployed`: what the first two commands said."""

    planned: Result
    deployed: Result

    def __init__(self, daemon: Daemon, api: Api, at: Desk, app: Application, home: Path) -> None:
        """Nothing is deployed yet."""
        self.daemon, self.api, self.desk, self.app, self._home = daemon, api, at, app, home
        self.first = at.commit()
        self.releases = {self.first: at.release()}

    def begin(self) -> None:
        """Plan, then the first deploy."""
        self.planned = self.desk.hublab("plan")
        assert self.app.journal == []
        self.deployed = self.desk.hublab("deploy", "--yes")
        self.second = self.made({"flows/second.py": '"""A module that the first release has not."""\n'})

    def made(self, files: dict[str, str]) -> str:
        """A commit upon the first that has these files as well; its image is a small layer on the first's."""
        self.desk.at(self.first)
        commit = self.desk.commit(files)
        self.releases[commit] = self.desk.release()
        desk.upon(self.daemon, f"{APP}:{self.first}", f"{APP}:{commit}", self.releases[commit], files)
        return commit

    def back_to_first(self) -> None:
        """Deployed where it does not serve."""
        self.app.moment, self.app.lies = lambda _: None, []
        self.app.tokens, self.app.api_is_on = {TOKEN: ABILITIES}, True
        wait_for(self.app.settled, lambda: str(self.app.deployments), every=0.5)
        self.desk.at(self.first)
        self.desk.hublab("unlock")
        done = self.desk.hublab("deploy", "--yes")
        assert done.status == 0, done.text
        assert self.serves() == self.releases[self.first]

    # -- what there is -----------------------------------------------------------------------------------------

    def container(self) -> str:
        """The one that is there."""
        (only,) = self.app.containers()
        return only

    def serves(self) -> str:
        """The release in the one container, which is healthy."""
        name = self.container()
        state = self.daemon.docker("inspect", "--format={{.State.Health.Status}}", name).stdout.strip()
        assert state == "healthy", self.log(name)
        return self.run(name, "python", "-c", "import json; print(json.load(open('REVISION'))['id'])")

    def run(self, container: str, *command: str) -> str:
        """What a command in a container prints."""
        return self.daemon.docker("exec", container, *command).stdout.strip()

    def log(self, container: str) -> str:
        """All that it has said."""
        said = self.daemon.docker("logs", container)
        return said.stdout + said.stderr

    # -- flow runs ---------------------------------------------------------------------------------------------

    def flow_run(self, name: str) -> str:
        """One that ends when `let_end` says so."""
        return self.api.start("until", QUEUE, mark=f"{SHARED}/{name}", gate=f"{SHARED}/{name}.gate")

    def short_run(self) -> str:
        """One that ends at once."""
        return self.api.start("until", QUEUE, mark=f"{SHARED}/short", gate=AT_ONCE)

    def begun(self, container: str, name: str) -> None:
        """Wait until a flow run has begun in a container."""
        wait_for(
            lambda: not self.daemon.docker("exec", container, "test", "-s", f"{SHARED}/{name}", check=False).returncode,
            lambda: f"{name} has begun\n{self.log(container)[-3000:]}",
            every=0.5,
        )

    def let_end(self, container: str, name: str) -> None:
        """Let a flow run in a container end."""
        self.run(container, "touch", f"{SHARED}/{name}.gate")

    # -- what befalls an operator ------------------------------------------------------------------------------

    def killed_at(self, moment: str, **overrides: str) -> None:
        """A deploy whose process is killed at a moment of Coolify's, which is told by its first words."""
        self.desk.operator.write(**overrides)
        process: list[subprocess.Popen[str]] = []
        met: list[str] = []

        def strike(now: str) -> None:
            if now.startswith(moment) and not met:
                met.append(now)
                process[0].kill()
                process[0].wait()
                if now.startswith("before "):
                    raise ConnectionAbortedError("nobody is there any more")

        self.app.moment = strike
        process.append(self.desk.operator.begin("python", "cli", "deploy", "--yes", **overrides))
        text, _ = process[0].communicate(timeout=600)
        self.app.moment = lambda _: None
        assert met, f"{moment} did not come\n{text}"

    def age_locks(self) -> None:
        """As if all who hold a lock had been silent for an hour: only the server's clock could say otherwise."""
        with sqlite3.connect(self._home / "prefect.db", timeout=30) as database:
            then = "strftime('%Y-%m-%d %H:%M:%f000', updated, '-1 hour')"
            database.execute(f"UPDATE variable SET updated = {then} WHERE name = 'hublab_lock_{APP}'")  # noqa: S608


@contextmanager
def staged(daemon: Daemon, api: Api, address: str, home: Path, folder: Path) -> Iterator[Stage]:
    """For as long as the block runs."""
    remote = folder / "remote.git"
    app = Application(daemon=daemon, build=lambda commit, tag: desk.build(daemon, remote, commit, tag))
    with server(Coolify([app]).answer) as url:
        lines = desk.settings(url, address, QUEUE) | {"HUBLAB_HOSTS": f"coolify:{APP}"}
        at = Desk(folder, lines)
        app.app["git_repository"] = str(at.remote)
        stage = Stage(daemon, type(api)(api.port, "flows.trial_flows"), at, app, home)
        yield stage
        wait_for(app.settled, lambda: str(app.deployments), every=0.5)
