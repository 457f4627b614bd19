"""An operator, a Coolify with an application, a real dockerd below it, and a real Prefect server."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from sandbox.waiting import wait_for
from tests.answering import answering
from tests.containers import desk
from tests.containers.coolify import Application, Coolify
from tests.containers.desk import Desk
from tests.deploy.coolify.script import TOKEN
from tests.deploy.coolify.standin import ABILITIES, APP

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Sequence
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

    def __init__(self, daemon: Daemon, api: Api, at: Desk, coolify: Coolify, home: Path) -> None:
        """Nothing is deployed yet."""
        self.daemon, self.api, self.desk, self.coolify, self._home = daemon, api, at, coolify, home
        self.coolify.add, self.app = self.add, self.add(APP)
        self.first = at.commit()
        self.releases = {self.first: at.release()}

    def begin(self) -> None:
        """Plan, then the first deploy."""
        self.planned = self.desk.hublab("plan")
        assert self.app.journal == []
        self.deployed = self.desk.hublab("deploy", "--yes")
        self.second = self.made({"flows/second.py": '"""A module that the first release has not."""\n'})

    def add(self, uuid: str, **more: Any) -> Application:
        """One more application, which Coolify builds from the operator's repository."""
        app = Application(
            daemon=self.daemon,
            uuid=uuid,
            app={"git_repository": desk.URL, **more},
            build=partial(desk.build, self.daemon, self.desk.remote),
        )
        self.coolify.take(app)
        return app

    def remove(self, app: Application) -> None:
        """With its containers."""
        wait_for(app.settled, lambda: str(app.deployments), every=0.5)
        self.daemon.docker("rm", "--force", "--volumes", *app.containers(), check=False)
        del self.coolify.applications[app.uuid]

    def made(self, files: dict[str, str], uuids: Sequence[str] = (APP,)) -> str:
        """A commit upon the first that has these files as well; its image is a small layer on the first's."""
        self.desk.at(self.first)
        commit = self.desk.commit(files)
        self.releases[commit] = self.desk.release()
        for uuid in uuids:
            desk.upon(self.daemon, f"{uuid}:{self.first}", f"{uuid}:{commit}", self.releases[commit], files)
        return commit

    def back_to_first(self) -> None:
        """Deployed where it does not serve."""
        self.coolify.moment, self.app.lies = lambda _: None, []
        self.app.tokens, self.app.api_is_on = {TOKEN: ABILITIES}, True
        wait_for(self.app.settled, lambda: str(self.app.deployments), every=0.5)
        self.desk.at(self.first)
        self.desk.hublab("unlock")
        done = self.desk.hublab("deploy", "--yes")
        assert done.status == 0, done.text
        assert self.serves() == self.releases[self.first]

    # -- what there is -----------------------------------------------------------------------------------------

    def container(self, app: Application | None = None) -> str:
        """The one that is there."""
        (only,) = (app or self.app).containers()
        return only

    def serves(self, app: Application | None = None) -> str:
        """The release in the one container, which is healthy."""
        name = self.container(app)
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

    def killed_at(self, moment: str, words: Sequence[str] = ("deploy", "--yes"), **overrides: str) -> str:
        """A command whose process is killed at a moment of Coolify's, which is told by its first words; what it said.

        Nobody who held a lock has given a sign of life for an hour then.
        """
        process: list[subprocess.Popen[str]] = []
        met: list[str] = []

        def strike(now: str) -> None:
            if now.startswith(moment) and not met:
                met.append(now)
                process[0].kill()
                process[0].wait()
                if now.startswith("before "):
                    raise ConnectionAbortedError("nobody is there any more")

        self.coolify.moment = strike
        process.append(self.desk.operator.begin("python", "cli", *words, **overrides))
        text, _ = process[0].communicate(timeout=600)
        self.coolify.moment = lambda _: None
        assert met, f"{moment} did not come\n{text}"
        self.age_locks()
        return text

    def age_locks(self) -> None:
        """As if all who hold a lock had been silent for an hour: only the server's clock could say otherwise."""
        with sqlite3.connect(self._home / "prefect.db", timeout=30) as database:
            then = "strftime('%Y-%m-%d %H:%M:%f000', updated, '-1 hour')"
            database.execute(f"UPDATE variable SET updated = {then} WHERE name LIKE 'hublab_lock_%'")  # noqa: S608


@contextmanager
def staged(daemon: Daemon, api: Api, address: str, home: Path, folder: Path) -> Iterator[Stage]:
    """For as long as the block runs."""
    coolify = Coolify()
    with answering(coolify.answer) as url:
        lines = desk.settings(url, address, QUEUE) | {"HUBLAB_HOSTS": f"coolify:{APP}"}
        stage = Stage(daemon, type(api)(api.port, "flows.trial_flows"), Desk(folder, lines), coolify, home)
        yield stage
        for app in coolify.applications.values():
            wait_for(app.settled, lambda app=app: str(app.deployments), every=0.5)  # type: ignore[misc]
