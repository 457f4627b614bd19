"""The sandbox as a whole: up, down, and its machines."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from sandbox import interpreter, needs, network, server, tree, venv
from sandbox.cgroup import Cgroup
from sandbox.errors import SandboxError
from sandbox.layout import MAX_HOSTS, SERVER, Layout, layout
from sandbox.machine import Machine
from sandbox.shell import run, step

if TYPE_CHECKING:
    import httpx
    from prefect.client.orchestration import PrefectClient

_READY = "ready"  # marks a sandbox that was up once; without it, what is there is rubble


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
            trees: Folder for the file trees that machines share, when several sandboxes are to share them; ``down`` leaves
                it alone then. Below ``root`` by default.
        """
        return cls(layout(root, trees))

    @classmethod
    def up(cls, hosts: int = 1, *, past: bool = False, root: Path | None = None, trees: Path | None = None) -> Self:
        """Bring the sandbox up and return it: bridge, server, and at least ``hosts`` worker hosts, all reachable.

        What is up already is left as it is; a machine without power is booted; rubble of an `up` that was cut off is
        cleared away first.

        Args:
            hosts: Number of worker hosts.
            past: Whether each host gets the crashing workers of before (see ``sandbox.past``).
            root: As in ``at``.
            trees: As in ``at``.

        Raises:
            SandboxError: Something is missing on this machine, or did not work in time. What was started has then been stopped.
        """
        if not 1 <= hosts <= MAX_HOSTS:
            raise SandboxError(f"--hosts: {hosts} is not 1..{MAX_HOSTS}")
        sandbox = cls.at(root, trees)
        needs.ensure(sandbox.layout.root)
        with sandbox._locked():
            if not (sandbox.layout.root / _READY).exists():
                sandbox._clear()
            try:
                sandbox._up(hosts)
            except SandboxError:
                sandbox._stop()
                raise
            except BaseException:
                sandbox._down()
                raise
        if past:
            from sandbox import past as before  # noqa: PLC0415 - it imports this module

            before.give(sandbox, sandbox.hosts[:hosts])
        return sandbox

    def down(self) -> None:
        """Remove it: processes, mounts, interfaces, cgroups, files. Nothing there is success too."""
        with self._locked():
            self._down()

    @property
    def is_up(self) -> bool:
        """Whether it is complete and every machine of it runs."""
        return (self.layout.root / _READY).exists() and all(machine.running for machine in self.machines)

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
            or "none; `python -m sandbox up` makes them"
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

    def api(self) -> httpx.Client:
        """Return a plain HTTP client of the Prefect API; close it, or use it in a ``with``."""
        return server.client(self.layout, self.auth)

    def prefect_client(self) -> PrefectClient:
        """Return Prefect's own asynchronous client of the API, for ``async with``."""
        from prefect.client.orchestration import PrefectClient  # noqa: PLC0415 - 1.3 s that only its users pay

        return PrefectClient(self.api_url, auth_string=self.auth)

    def write_env(self) -> None:
        """Write the inventory of the hosts that there are."""
        hosts = ",".join(f"root@{host.address}" for host in self.hosts)
        lines = {
            "HUBLAB_HOSTS": hosts,
            "HUBLAB_SSH_KEY": self.layout.key,
            "HUBLAB_SSH_KNOWN_HOSTS": self.layout.known_hosts,
            "HUBLAB_PYTHON": interpreter.find().version,
            "PREFECT_API_URL": self.api_url,
            "PREFECT_API_AUTH_STRING": self.auth,
        }
        _write_whole(self.env_file, "".join(f"{key}={value}\n" for key, value in lines.items()), mode=0o600)

    def _up(self, hosts: int) -> None:
        here = self.layout
        first = not (here.root / _READY).exists()
        here.root.mkdir(parents=True, exist_ok=True)
        here.root.chmod(0o755)
        base, layers = self._build()
        with step(f"network {here.subnet}"):
            network.up(here)
            self._make_key()
        if not self.server.prepared:
            self.server.prepare([*layers, base])
            server.prepare(self.server)
        wanted = {f"hublab-{number}" for number in range(1, hosts + 1)} | {host.name for host in self.hosts}
        machines = [Machine(name, here) for name in sorted(wanted, key=here.number)]
        for machine in machines:
            if not machine.prepared:
                machine.prepare([base])
        everyone = [self.server, *machines]
        _write_whole(here.known_hosts, "".join(machine.host_key() for machine in everyone), mode=0o644)
        with step(f"boot {' '.join(machine.name for machine in everyone)}"):
            together([machine.boot for machine in everyone])
        with step(f"Prefect server at {self.api_url}" + (" (first start: makes its tables)" if first else "")):
            server.await_ready(self.server, self.auth)
        self.write_env()
        (here.root / _READY).touch()

    def _build(self) -> tuple[Path, list[Path]]:
        """Build the trees that are not there: the network and the processors are kept busy side by side."""
        builders = Cgroup(f"{self.layout.cgroup}/build")
        prefect = self.layout.trees / f"prefect-{server.digest()}"

        def make_venv() -> None:
            with step("Prefect from requirements.lock"):
                venv.build(prefect, server.VENV, server.LOCK, builders)

        def make_trees() -> tuple[Path, Path]:
            base = tree.base(self.layout, builders)
            return base, tree.postgresql(self.layout, base, builders)

        with ThreadPoolExecutor() as pool:
            other = pool.submit(make_venv) if not prefect.exists() else None
            try:
                base, postgresql = make_trees()
            except BaseException:
                builders.kill()  # the other builder would keep us for minutes before the error is seen
                raise
            if other is not None:
                other.result()
        return base, [prefect, postgresql]

    def _make_key(self) -> None:
        key = self.layout.key
        if not key.exists():
            key.parent.mkdir(mode=0o700, exist_ok=True)
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "hublab-sandbox", "-f", key], timeout=30)

    def _stop(self) -> None:
        Cgroup(self.layout.cgroup).kill()
        network.down(self.layout)

    def _clear(self) -> None:
        """Remove all but the trees that are whole."""
        self._stop()
        if not self.layout.root.exists():
            return
        self._refuse_mounts()
        for entry in self.layout.root.iterdir():
            if entry != self.layout.trees:
                _remove(entry)
        if self.layout.trees.exists():
            for entry in self.layout.trees.glob("*.partial"):
                _remove(entry)

    def _down(self) -> None:
        self._stop()
        self._refuse_mounts()
        if self.layout.root.exists():
            _remove(self.layout.root)

    def _refuse_mounts(self) -> None:
        """A mount below the root would be emptied with it; ours are in namespaces that ended with their processes."""
        inside = [line.split(" ")[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
        for mount in inside:
            if Path(mount).is_relative_to(self.layout.root):
                raise SandboxError(
                    f"{mount} is a mount that the sandbox did not make; remedy: umount it, then call down again"
                )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Keep a second up or down of the same sandbox waiting. The lock is on the folder above: it leaves no file."""
        above = self.layout.root.parent
        above.mkdir(parents=True, exist_ok=True)
        handle = os.open(above, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def together(calls: Iterable[Callable[[], object]]) -> None:
    """Call all at once, wait for all, and raise the first error."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _write_whole(path: Path, text: str, *, mode: int) -> None:
    """Write a file so that a reader sees all of the old or all of the new, and never with another mode."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "w") as file:
        os.fchmod(handle, mode)
        file.write(text)
    new.rename(path)
