"""One machine: a Debian with systemd as process 1, under systemd-nspawn.

Its root is an overlay: shared read-only trees below, its own writes above, in ``machines/NAME/upper``. They stay when
the power is cut. The overlay is mounted in a mount namespace of the machine's own, so it goes when the machine goes.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox import identity
from sandbox.cgroup import Cgroup
from sandbox.errors import SandboxError
from sandbox.shell import run
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sandbox.layout import Layout

_BOOT_SECONDS = 180.0  # limit; 2 s is what it takes on an idle machine
_PREPARED = "prepared"  # marks a machine whose own files are complete

# A cgroup v2 tree, as on a real Debian, whatever the operator's machine has; and leave for its systemd to load the BPF
# programs behind IPAddressDeny= and DevicePolicy=, and for Landlock: refused by nspawn's filter, units would run on
# without them.
_START = """set -eu
mount -t overlay overlay -o "lowerdir=$1,upperdir=$2/upper,workdir=$2/work" "$2/root"
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1
exec systemd-nspawn --quiet --boot --directory="$2/root" --machine="$3" --hostname="$4" --network-bridge="$5" \
    --register=no --keep-unit --link-journal=no --resolv-conf=off --timezone=off --console=read-only \
    --system-call-filter="bpf landlock_create_ruleset landlock_add_rule landlock_restrict_self" \
    --capability=CAP_BPF,CAP_PERFMON
"""


@dataclass(frozen=True)
class Machine:
    """A machine of a sandbox, whether it runs or not.

    Attributes:
        name: ``server`` or ``hublab-1`` and so on: its host name.
        layout: The sandbox it belongs to.
    """

    name: str
    layout: Layout

    @property
    def address(self) -> str:
        """Its address on the bridge."""
        return str(self.layout.address(self.name))

    @property
    def folder(self) -> Path:
        """Where its state is kept on the operator's machine."""
        return self.layout.machines / self.name

    @property
    def upper(self) -> Path:
        """What it wrote: the files that differ from the shared trees. To be changed only while it is off."""
        return self.folder / "upper"

    def own(self, path: str) -> Path:
        """Return one of the files that it wrote, as this machine sees it.

        Raises:
            SandboxError: A link on the way, which is the machine's to make, leads out of the machine.
        """
        file = self.upper / path
        if not file.resolve().is_relative_to(self.upper):
            raise SandboxError(f"{file} leads to {file.resolve()}, outside {self.name}; remedy: python -m sandbox down")
        return file

    @property
    def prepared(self) -> bool:
        """Whether its own files are complete, so that it can be booted."""
        return (self.folder / _PREPARED).exists()

    @property
    def running(self) -> bool:
        """Whether it has processes."""
        return bool(self._cgroup.processes())

    @property
    def _cgroup(self) -> Cgroup:
        return Cgroup(f"{self.layout.cgroup}/{self.name}")

    @property
    def layers(self) -> list[Path]:
        """The shared trees below it, uppermost first."""
        return [self.layout.trees / line for line in (self.folder / "layers").read_text().splitlines()]

    def prepare(self, layers: list[Path]) -> None:
        """Make it anew above shared trees, uppermost first; what it had written is gone."""
        identity.prepare(self, layers)
        (self.folder / _PREPARED).touch()

    def set_layers(self, layers: list[Path]) -> None:
        """Put other shared trees below it, uppermost first, from its next boot on."""
        here = self.layout
        moved = here.trees.is_relative_to(here.root)  # then they move with the sandbox
        names = [layer.relative_to(here.trees) if moved else layer for layer in layers]
        (self.folder / "layers").write_text("".join(f"{name}\n" for name in names))

    def boot(self) -> None:
        """Switch it on and return when it is fully up and reachable over ssh. One that runs is left alone.

        Raises:
            SandboxError: It was not up in time; the error shows the end of its console.
        """
        if not self.running:
            self._start()
        said = ""

        def up() -> bool:
            nonlocal said
            done = self.ssh("systemctl is-system-running --wait", check=False, timeout=_BOOT_SECONDS)
            said = done.stderr.strip() or done.stdout.strip()
            return done.stdout.strip() in ("running", "degraded") or not self.running

        wait_for(up, lambda: f"{self.name} is up: {said}\n{self._console()}", _BOOT_SECONDS)
        if not self.running:
            raise SandboxError(f"{self.name} did not come up: {said}\n{self._console()}")

    def _start(self) -> None:
        self._cgroup.kill()  # removes what a crash left of it
        shutil.rmtree(self.folder / "work", ignore_errors=True)
        (self.folder / "work").mkdir()
        lower = ":".join(str(layer) for layer in self.layers)
        short = f"{self.layout.tag}-{self.layout.number(self.name)}"
        start: list[str | Path] = ["sh", "-c", _START, "sh", lower, self.folder, short, self.name, self.layout.bridge]
        self.layout.logs.mkdir(parents=True, exist_ok=True)
        with self._log.open("ab") as log:
            subprocess.Popen(
                self._cgroup.enter(["unshare", "--mount", "--propagation", "private", *start]),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        self._await_start()

    def _await_start(self) -> None:
        wait_for(lambda: self.running, lambda: f"{self.name} starts\n{self._console()}", 10, every=0.01)

    def kill(self) -> None:
        """Cut its power: every process of it ends at once, nothing is written any more. What it wrote stays."""
        self._cgroup.kill()

    def ssh_command(self, *options: str, user: str = "root") -> list[str]:
        """Return the ssh command up to the host: strict host key checking, this sandbox's key, nobody's ssh_config."""
        return [
            "ssh", "-F", "/dev/null", "-i", str(self.layout.key), "-o", f"UserKnownHostsFile={self.layout.known_hosts}",
            "-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes", "-o", "IdentitiesOnly=yes",
            "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR", *options, f"{user}@{self.address}",
        ]  # fmt: skip

    def ssh(
        self, command: str, *, check: bool = True, timeout: float = 60.0, user: str = "root", stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on it and capture what it says.

        Args:
            command: A line for the login shell.
            check: Whether an exit status other than 0 is an error (255: ssh itself failed).
            timeout: Seconds after which ssh is killed; the command on the machine may go on.
            user: ``root``, or ``operator``, who has sudo without a password.
            stdin: Text to feed it.

        Raises:
            SandboxError: With ``check``, when it failed; always when it ran out of time.
        """
        return run([*self.ssh_command(user=user), command], timeout=timeout, check=check, stdin=stdin)

    def put(self, path: str, text: str, *, mode: int = 0o644) -> None:
        """Write a root-owned file on it while it runs; folders on the way are made."""
        quoted = shlex.quote(path)
        self.ssh(
            f"umask 077 && mkdir -p -m 755 $(dirname {quoted}) && cat > {quoted} && chmod {mode:o} {quoted}", stdin=text
        )

    def shell(self, command: Sequence[str]) -> int:
        """Join the operator's terminal to a shell on it, or to one command, and return its exit status."""
        options = ("-t",) if os.isatty(0) and not command else ()
        line = [command[0] if len(command) == 1 else shlex.join(command)] if command else []
        return subprocess.run([*self.ssh_command(*options), *line], check=False).returncode

    @property
    def _log(self) -> Path:
        return self.layout.logs / f"{self.name}.log"

    def _console(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines() if self._log.exists() else []
        return f"  end of {self._log}:\n  " + "\n  ".join(lines[-15:])
