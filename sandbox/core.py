"""The sandbox as a whole: up, down, and its machines."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

from sandbox import build, env_file, identity, interpreter, needs, network, place, server, teardown
from sandbox.errors import SandboxError
from sandbox.files import write_whole
from sandbox.layout import MAX_HOSTS, SERVER, Layout, layout
from sandbox.machine import Machine
from sandbox.shell import step

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import httpx


@dataclass(frozen=True)
class Sandbox:
    """A whole Hublab on this machine: a Prefect server and worker hosts.

    It holds no state of its own: two objects for one root are the same sandbox, and one that another process
    started is used as it is.

    Attributes:
        layout: Its paths and names.
    """

    layout: Layout

    @classmethod
    def at(cls, root: Path | None = None, trees: Path | None = None) -> Self:
        """Return the sandbox at ``root`` (the checkout's ``.sandbox`` by default), whether it is up or not.

        Args:
            root: Folder for all its state.
            trees: Folder for the file trees that machines share, when several sandboxes are to share them: ``down``
                leaves it alone then. HUBLAB_SANDBOX_TREES, or else below ``root``, by default.
        """
        return cls(layout(root, trees))

    @classmethod
    def up(  # noqa: PLR0913 - what it can be
        cls,
        hosts: int = 1,
        *,
        past: bool = False,
        root: Path | None = None,
        trees: Path | None = None,
        suite: str | None = None,
        python: bool = False,
        below: Sequence[Path] = (),
        prefect: Path = server.LOCK,
    ) -> Self:
        """Bring the sandbox up and return it: bridge, server, and at least ``hosts`` worker hosts, all reachable.

        What is up already is left as it is; a machine without power is booted; rubble of an `up` that was cut off is
        cleared away first.

        Args:
            hosts: Number of worker hosts.
            past: Whether each host gets the crashing workers of before (see ``sandbox.past``).
            root: As in ``at``.
            trees: As in ``at``.
            suite: Debian's name for what new hosts get, ``bookworm`` or ``trixie``; HUBLAB_SANDBOX_SUITE, or else what
                this machine's Python was built for, by default.
            python: Whether new hosts have the server's Python; without, none of ours, as a stock Debian.
            below: Further read-only trees below new hosts, uppermost first.
            prefect: The lock that a new server's Prefect is installed from.

        Raises:
            SandboxError: Something is missing here, or did not work in time. A sandbox that was not up before has then
                been stopped; interrupted, it is removed.
        """
        if not 1 <= hosts <= MAX_HOSTS:
            raise SandboxError(f"--hosts: {hosts} is not 1..{MAX_HOSTS}")
        sandbox = cls.at(root, trees)
        needs.ensure(sandbox.layout.root)
        with teardown.locked(sandbox.layout):
            suite = suite or os.environ.get("HUBLAB_SANDBOX_SUITE") or None
            sandbox.ensure(hosts, past=past, suite=suite, python=python, below=below, prefect=prefect)
        return sandbox

    def ensure(  # noqa: PLR0913 - what it can be
        self,
        hosts: int,
        *,
        past: bool,
        suite: str | None = None,
        python: bool = False,
        below: Sequence[Path] = (),
        prefect: Path = server.LOCK,
    ) -> None:
        """Do what ``up`` says; the caller holds the lock. What was up before stays, whatever goes wrong here."""
        was_up = self.layout.ready.exists() and place.is_own(self.layout)
        if not was_up:
            teardown.clear(self.layout)
        place.claim(self.layout)
        try:
            self._up(hosts, suite, python=python, below=below, prefect=prefect)
            if past:
                from sandbox import past as before  # noqa: PLC0415 - it imports this module

                before.give(self, self.hosts[:hosts])
        except BaseException as error:
            if was_up:
                build.builders(self.layout).kill()
            elif isinstance(error, SandboxError):
                teardown.stop(self.layout)  # logs and whole trees are worth keeping
            else:
                teardown.down(self.layout)
            raise

    def down(self) -> None:
        """Remove it: processes, mounts, interfaces, cgroups, files. Nothing there is success too."""
        with teardown.locked(self.layout):
            teardown.down(self.layout)

    @property
    def is_up(self) -> bool:
        """Whether it is complete and every machine of it runs."""
        return self.layout.ready.exists() and all(machine.running for machine in self.machines)

    @property
    def machines(self) -> list[Machine]:
        """The server and the hosts, running or not."""
        return [self.server, *self.hosts]

    @property
    def server(self) -> Machine:
        """The machine with PostgreSQL and the Prefect server."""
        return Machine(SERVER, self.layout)

    @property
    def hosts(self) -> list[Machine]:
        """The worker hosts in order, running or not."""
        folder = self.layout.machines
        names = [entry.name for entry in folder.iterdir() if entry.name != SERVER] if folder.exists() else []
        return [Machine(name, self.layout) for name in sorted(names, key=self.layout.number)]

    def machine(self, name: str) -> Machine:
        """Return one of its machines.

        Raises:
            SandboxError: It has none of that name.
        """
        for machine in self.machines:
            if machine.name == name and machine.prepared:
                return machine
        there = (
            ", ".join(machine.name for machine in self.machines if machine.prepared)
            or "none; `./hublab sandbox up` makes them"
        )
        raise SandboxError(f"no machine is called {name!r}; there are: {there}")

    @property
    def env_file(self) -> Path:
        """The inventory for the deploy, in the format of ``.env``; mode 0600, since the credential is in it."""
        return self.layout.env_file

    @property
    def api_url(self) -> str:
        """Address of the Prefect API."""
        return server.api_url(self.layout)

    @property
    def auth(self) -> str:
        """Credential of the Prefect API, as in ``PREFECT_API_AUTH_STRING``."""
        return server.credential(self.server)

    def rotate_credential(self) -> None:
        """Give the API another credential; ``auth`` is the new one, and the inventory has it."""
        server.rotate(self.server)
        server.await_ready(self.server, self.auth)
        self.write_env()

    @contextmanager
    def parted(self, *machines: Machine) -> Iterator[None]:
        """Cut these machines off from each other meanwhile: what they send one another is dropped on the bridge."""
        network.part(self.layout, [machine.name for machine in machines])
        try:
            yield
        finally:
            network.part(self.layout, ())

    def stop_api(self) -> None:
        """Stop Prefect's server; its database goes on."""
        self.server.ssh("systemctl stop prefect-server", timeout=180)

    def start_api(self) -> None:
        """Start Prefect's server, and return when it answers: systemd takes it for started before.

        Raises:
            SandboxError: It did not answer in time.
        """
        self.server.ssh("systemctl start prefect-server", timeout=180)
        server.await_ready(self.server, self.auth)

    def api(self) -> httpx.Client:
        """Return a plain HTTP client of the Prefect API; close it, or use it in a ``with``."""
        return server.client(self.layout, self.auth)

    def write_env(self) -> None:
        """Write the inventory of the hosts that there are; a campaign that is set up learns of them, too."""
        hosts = ",".join(f"root@{host.address}" for host in self.hosts)
        lines = {
            "HUBLAB_HOSTS": hosts,
            "HUBLAB_SSH_KEY": self.layout.key,
            "HUBLAB_SSH_KNOWN_HOSTS": self.layout.known_hosts,
            "PREFECT_API_URL": self.api_url,
            "PREFECT_API_AUTH_STRING": self.auth,
            # The stand-ins for Notion and Resend are there; what else is near, flows do not reach.
            "HUBLAB_ALLOW_NETWORKS": self.layout.operator_address,
        }
        env_file.write(self.env_file, (env_file.read(self.env_file) if self.env_file.exists() else {}) | lines)
        if (campaign := self.layout.campaign_file).exists():
            now = {key: lines[key] for key in ("HUBLAB_HOSTS", "PREFECT_API_AUTH_STRING")}
            env_file.write(campaign, env_file.read(campaign) | now)

    def _up(self, hosts: int, suite: str | None, *, python: bool, below: Sequence[Path], prefect: Path) -> None:
        here = self.layout
        first = not here.ready.exists()
        base, below_server = build.trees(here, suite, prefect)
        with step(f"network {here.subnet}"):
            network.up(here)
            identity.make_key(here)
        if not self.server.prepared:
            self.server.prepare(below_server)
            server.configure(self.server)
        wanted = {f"hublab-{number}" for number in range(1, hosts + 1)} | {host.name for host in self.hosts}
        machines = [Machine(name, here) for name in sorted(wanted, key=here.number)]
        for machine in machines:
            if not machine.prepared:
                machine.prepare([*below, *([interpreter.layer(here)] if python else []), base])
        everyone = [self.server, *machines]
        write_whole(here.known_hosts, "".join(identity.known_hosts(machine) for machine in everyone), mode=0o644)
        with step(f"boot {' '.join(machine.name for machine in everyone)}"):
            build.together([machine.boot for machine in everyone])
        with step(f"Prefect at {self.api_url}" + (" (first start)" if first else "")):
            server.await_ready(self.server, self.auth)
        build.together([partial(server.check_reach, machine) for machine in machines])
        self.write_env()
        here.ready.touch()
