"""Debian's own dockerd, with everything of it below one folder, and nothing of it left when it goes.

It runs from its unpacked packages, in a mount namespace and a cgroup of its own: no package is installed, no service
started, no rule of the firewall written. Its containers reach this machine and each other, and nothing else.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.cgroup import Cgroup
from sandbox.errors import SandboxError
from sandbox.shell import run, step
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from sandbox.layout import Layout

# What dockerd starts (tini is its `--init`), and the libraries of Debian's iptables, which it looks for and never runs.
_PACKAGES = (
    *("docker.io", "containerd", "runc", "tini"),
    *("iptables", "libip4tc2", "libip6tc2", "libxtables12", "libnftnl11"),
)
NETWORK = "coolify"
"""As Coolify calls the network of all its containers."""
_START_SECONDS, _STOP_SECONDS = 60.0, 60.0


class Daemon:
    """One daemon. `folder` holds its data and dies with it; a socket's path may have 107 characters at most."""

    def __init__(self, layout: Layout, folder: Path) -> None:
        """Name it; nothing runs yet."""
        self.layout, self._folder = layout, folder
        self._cgroup = Cgroup(f"{layout.cgroup}-dockerd")
        # Unpacked once for all; another list is another folder.
        self._programs = layout.trees / f"docker-{hashlib.sha256(' '.join(_PACKAGES).encode()).hexdigest()[:8]}"
        self._process: subprocess.Popen[bytes] | None = None
        self.socket = folder / "sock"

    @property
    def gateway(self) -> IPv4Address:
        """This machine's address on the containers' network."""
        return self.layout.operator_address

    def start(self) -> None:
        """Start it, on whatever its folder holds from before.

        Raises:
            SandboxError: it does not answer in time; with its last lines.
        """
        self._unpack()
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        (self._folder / "pid").unlink(missing_ok=True)
        command = [
            *("unshare", "--mount", "--propagation", "private", "dockerd", f"--host=unix://{self.socket}"),
            *(f"--data-root={self._folder}/data", f"--exec-root={self._folder}/exec", f"--pidfile={self._folder}/pid"),
            *("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"),
            *("--userland-proxy=false", "--storage-driver=overlay2", f"--cgroup-parent=/{self.layout.cgroup}-docker"),
        ]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._cgroup.enter(command), env=self.environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._wait_until_it_answers()
        if self.docker("network", "inspect", NETWORK, check=False).returncode:
            # The lower half of the network is for machines.
            _, upper = self.layout.subnet.subnets()
            subnet = (f"--subnet={self.layout.subnet}", f"--ip-range={upper}")
            bridge = f"--opt=com.docker.network.bridge.name={self.layout.bridge}"
            self.docker("network", "create", *subnet, f"--gateway={self.gateway}", bridge, NETWORK)

    def stop(self) -> None:
        """As a machine's shutdown stops it: each container is told to end and killed after ten seconds."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def remove(self) -> None:
        """End its containers and it, and remove all that it made."""
        if self._process and self._process.poll() is None:
            if there := self.docker("ps", "-aq", check=False).stdout.split():
                self.docker("rm", "--force", *there, check=False)
            self.docker("network", "rm", NETWORK, check=False)
        self.stop()
        self._cgroup.kill()
        run(["ip", "link", "delete", self.layout.bridge], timeout=10, check=False)
        self._remove_cgroups()
        # Each layer has thousands of files: rm takes a part of the time that Python does.
        run(["rm", "--recursive", "--force", "--one-file-system", self._folder], timeout=300)

    def docker(self, *words: str | Path, check: bool = True, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """Run Docker's own client against it."""
        return run(["docker", *words], timeout=timeout, check=check, env=self.environment)

    def take(self, tag: str, tree: Path) -> None:
        """Make an image of a file tree."""
        archive = ["tar", "--create", "--directory", str(tree), "."]
        with subprocess.Popen(archive, stdout=subprocess.PIPE) as packing:
            done = subprocess.run(
                ["docker", "import", "-", tag],
                stdin=packing.stdout,
                env=self.environment,
                capture_output=True,
                check=False,
            )
        if packing.returncode or done.returncode:
            raise SandboxError(f"{tree} cannot be made an image: {done.stderr.decode(errors='replace').strip()}")

    def build(self, tag: str, dockerfile: str) -> None:
        """Build an image that needs no file."""
        command = ["docker", "build", "--network=none", "--tag", tag, "-"]
        run(command, timeout=300, stdin=dockerfile, env=self.environment)

    @property
    def environment(self) -> dict[str, str]:
        """By which programs find it, and Debian's client first."""
        paths = [f"{self._programs}/usr/{folder}" for folder in ("sbin", "bin")]
        libraries = f"{self._programs}/usr/lib/x86_64-linux-gnu"
        return {
            "PATH": os.pathsep.join([*paths, os.environ["PATH"]]),
            "HOME": str(self._folder),
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_BUILDKIT": "1",
            "LD_LIBRARY_PATH": libraries,
        }

    def _unpack(self) -> None:
        if self._programs.exists():
            return
        building = self._programs.with_name(f"{self._programs.name}.partial")
        shutil.rmtree(building, ignore_errors=True)
        (building / "debs").mkdir(parents=True)
        with step("Docker from Debian's packages"):
            fetch = ["env", "-C", str(building / "debs"), "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download"]
            run([*fetch, *_PACKAGES], timeout=300)
            for package in (building / "debs").iterdir():
                run(["dpkg", "-x", package, building], timeout=120)
        shutil.rmtree(building / "debs")
        building.rename(self._programs)

    def _wait_until_it_answers(self) -> None:
        def said() -> str:
            return "\n  ".join((self._folder / "log").read_text(errors="replace").splitlines()[-15:])

        def answers() -> bool:
            if self._process is None or self._process.poll() is not None:
                raise SandboxError(f"dockerd has ended\n  {said()}")
            return self.docker("version", check=False).returncode == 0

        wait_for(answers, lambda: f"dockerd answers\n  {said()}", _START_SECONDS, every=0.2)

    def _remove_cgroups(self) -> None:
        """Those of the containers, below each controller of cgroup v1."""
        for controller in Path("/sys/fs/cgroup").iterdir():
            for folder, _, _ in os.walk(controller / f"{self.layout.cgroup}-docker", topdown=False):
                os.rmdir(folder)  # noqa: PTH106
