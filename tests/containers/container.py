"""A container as Coolify runs it: its network, options and health check, and the environment that a deploy sets."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from deploy.coolify import wanted
from deploy.secret import Secret
from sandbox.coolify.daemon import NETWORK, Daemon
from sandbox.local.processes import AUTH
from sandbox.waiting import wait_for
from tests.deploy import factories

if TYPE_CHECKING:
    import subprocess

FLOWS = (Path(__file__).parents[1] / "worker/trial_flows.py", Path(__file__).with_name("inside_flows.py"))
INSIDE = "inside_flows"
RELEASE = "/opt/hublab/release"
SHARED = "/var/lib/hublab/prefect/storage"
"""What all flow runs of a container may write."""


class Container:
    """One worker, which polls the queue of its own name and finds `trial_flows`."""

    def __init__(self, daemon: Daemon, name: str, image: str, address: str, **more: str) -> None:
        """Name it; nothing runs yet."""
        self._daemon, self.name, self.queue, self._image = daemon, name, f"q-{name}", image
        self._spec = factories.wanted(
            api_url=address, auth_string=Secret(AUTH), work_queues=(self.queue,), concurrency=1, drain_seconds=600
        )
        entries = {entry.key: entry.value.reveal() for entry in wanted.environment(self._spec)}
        self._environment = entries | {"COOLIFY_CONTAINER_NAME": name} | more

    def start(self) -> Self:
        """As Coolify's compose file has it."""
        health = {
            "cmd": wanted.kind(self._spec).health_command,
            "interval": f"{wanted.INTERVAL_SECONDS}s",
            "timeout": f"{wanted.TIMEOUT_SECONDS}s",
            "start-period": f"{wanted.START_SECONDS}s",
            "retries": "60",
        }
        self._daemon.docker(
            *("run", "--detach", "--name", self.name, "--network", NETWORK, "--restart=unless-stopped"),
            *wanted.OPTIONS.split(),
            *(f"--health-{key}={value}" for key, value in health.items()),
            *(f"--env={key}={value}" for key, value in self._environment.items()),
            *(f"--volume={path}:{RELEASE}/{path.name}:ro" for path in FLOWS),
            self._image,
        )
        return self

    def stop_in(self, seconds: int) -> list[str]:
        """The command by which Coolify stops it; Docker kills it after those seconds."""
        return ["docker", "stop", f"--time={seconds}", self.name]

    def remove(self) -> None:
        """Whatever it does."""
        self._daemon.docker("rm", "--force", "--volumes", self.name)

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it."""
        return self._daemon.docker("exec", self.name, *command, check=check)

    def maps(self) -> str:
        """What the kernel says that its processes have mapped, which none of them shows to another in there."""
        numbers = self._daemon.docker("top", self.name, "-eo", "pid").stdout.split()[1:]
        return "".join(Path("/proc", number, "maps").read_text() for number in numbers)

    def python(self, code: str) -> str:
        """What the release's interpreter says to this."""
        return self.run("python", "-P", "-s", "-c", code).stdout.strip()

    def is_(self, what: str) -> str:
        """What Docker says of it, such as `.State.Health.Status`."""
        return self._daemon.docker("inspect", f"--format={{{{{what}}}}}", self.name).stdout.strip()

    def log(self) -> str:
        """All that it has said."""
        said = self._daemon.docker("logs", self.name)
        return said.stdout + said.stderr

    def healthy(self) -> Self:
        """Wait until Docker calls it healthy."""

        def why() -> str:
            return f"{self.name} is healthy\n{self.is_('json .State.Health')}\n{self.log()[-3000:]}"

        wait_for(lambda: self.is_(".State.Health.Status") == "healthy", why, every=0.5)
        return self

    def says(self, text: str) -> None:
        """Wait until its log has the text."""
        wait_for(lambda: text in self.log(), lambda: f"{text!r} in\n{self.log()[-3000:]}", every=0.3)
