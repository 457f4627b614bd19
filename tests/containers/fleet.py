"""An operator's fleet: an SSH host, and two applications of Coolify's behind it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.deploy.coolify.standin import APP

if TYPE_CHECKING:
    from sandbox import Machine
    from sandbox.operator import Result
    from tests.containers.coolify import Application
    from tests.containers.stage import Stage

TWIN = "app2app2"
BOTH = (APP, TWIN)
FIRST, SECOND = f"coolify:{APP}", f"coolify:{TWIN}"


class Fleet:
    """All of it. `journal`: what befell the applications, in the order in which it did."""

    release: str
    planned: Result
    deployed: Result

    def __init__(self, stage: Stage, twin: Application, machine: Machine) -> None:
        """Nothing is deployed."""
        self.stage, self.twin, self.machine, self.journal = stage, twin, machine, list[str]()
        self.env = {
            "HUBLAB_HOSTS": f"root@{machine.address},{FIRST},{SECOND}",
            "HUBLAB_SSH_KEY": str(machine.layout.key),
            "HUBLAB_SSH_KNOWN_HOSTS": str(machine.layout.known_hosts),
            "HUBLAB_WORKERS": "1",
            "HUBLAB_ALLOW_NETWORKS": str(machine.layout.operator_address),
        }
        self.watch()

    def watch(self) -> None:
        """Write down from now on what befalls the applications."""
        self.journal.clear()
        self.stage.coolify.moment = self._note

    def _note(self, now: str) -> None:
        if not now.startswith(("before", "after GET")):
            self.journal.append(now)

    def hublab(self, *words: str, **more: str) -> Result:
        """`./hublab WORDS`, to its end."""
        return self.stage.desk.hublab(*words, **self.env, **more)

    def pyinfra(self, **more: str) -> Result:
        """The deploy by pyinfra's own command."""
        return self.stage.desk.operator.deploy(**self.env, **more)

    @property
    def settings(self) -> list[dict[str, object]]:
        """What Coolify has of each application."""
        return [json.loads(json.dumps(app.app)) for app in (self.stage.app, self.twin)]

    @property
    def serve(self) -> list[str]:
        """The releases that serve, the host's first, without the part that is of each one's Python."""
        found = [self.stage.serves(app) for app in (self.stage.app, self.twin)]
        self.machine.ssh("systemctl is-active prefect-worker@1")
        shown = self.machine.ssh("systemctl show --property=ExecStart prefect-worker@1").stdout
        found.insert(0, shown.partition("/releases/")[2].partition("/")[0])
        return [release.rpartition("-")[0] for release in found]

    def at(self, commit: str) -> list[str]:
        """What `serve` says when all of them are at this commit."""
        return [self.stage.releases[commit].rpartition("-")[0]] * 3
