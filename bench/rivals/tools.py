"""How each tool is called. Every function ends when the hosts are as wanted, or raises."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import tempfile
from contextlib import ExitStack
from typing import IO, TYPE_CHECKING

from bench.rivals.artefacts import SCRIPTS, WORKERS, Artefacts
from deploy import spec
from deploy.rollout.waves import waves
from deploy.settings import ROOT
from sandbox import env_file, venv
from sandbox.operator import Operator

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sandbox import Machine, Sandbox

VENV = ROOT / ".hublab" / "bench" / "ansible"
PACKAGES = ("ansible-core==2.21.5", "mitogen==0.3.54")


def hublab(sandbox: Sandbox) -> None:
    """This project."""
    done = Operator(sandbox.env_file, env_file.read(sandbox.env_file)).deploy()
    assert done.status == 0, done.text[-3000:]


def status(sandbox: Sandbox) -> None:
    """What the operator types to see how all hosts are."""
    environment = os.environ | {"HUBLAB_ENV_FILE": str(sandbox.env_file)}
    done = subprocess.run(
        [str(ROOT / "hublab"), "status"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def bash(made: Artefacts) -> None:
    """The floor: what must be done, by one shell over one ssh per host and stage; the hosts activate in waves."""
    checks = [(host, f"bash -c {shlex.quote(made.check(host))}", None) for host in made.hosts]
    wrong = [host for host, status, _ in _everywhere(checks) if status]
    build = (SCRIPTS / "build.sh").read_text()
    arguments = f"{made.release} {made.python} {spec.USER}"
    builds = [(host, f"bash -c {shlex.quote(build)} build {arguments}", made.archive(host)) for host in wrong]
    _all_ended_well("the build", builds)
    activate = (SCRIPTS / "activate.sh").read_text()
    arguments = f"{made.release} {spec.USER} {made.pool} {made.api}"
    command = f"bash -c {shlex.quote(activate)} activate {arguments}"
    for wave in waves(wrong):
        _all_ended_well("the gate", [(host, command, None) for host in wave])


def ansible(made: Artefacts, *, mitogen: bool = False) -> None:
    """Ansible with pipelining, or with mitogen's strategy."""
    environment = {
        "ANSIBLE_HOME": str(made.folder / "ansible"),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_FORKS": str(len(made.hosts)),
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
        "ANSIBLE_LOCALHOST_WARNING": "0",
        "ANSIBLE_HOST_KEY_CHECKING": "1",
    }
    if mitogen:
        plugins = next(VENV.glob("lib/python3*/site-packages/ansible_mitogen/plugins/strategy"))
        environment |= {"ANSIBLE_STRATEGY": "mitogen_linear", "ANSIBLE_STRATEGY_PLUGINS": str(plugins)}
    sizes = json.dumps({"waves": [len(wave) for wave in waves(made.hosts)]})
    command = [str(VENV / "bin/ansible-playbook"), "-i", str(_inventory(made)), "--extra-vars", sizes]
    _run([*command, str(SCRIPTS / "playbook.yml")], environment)


def install_ansible() -> None:
    """Into a venv of its own, once."""
    venv.install(VENV, *PACKAGES)


def pids(hosts: Iterable[Machine]) -> list[str]:
    """Which processes serve; the same before and after shows that nothing was done."""
    return [host.ssh("systemctl show --property=MainPID 'prefect-worker@*'").stdout for host in hosts]


def clear(hosts: Iterable[Machine]) -> None:
    """Every host is bare again."""
    script = (SCRIPTS / "clear.sh").read_text()
    _everywhere([(host, f"bash -c {shlex.quote(script)}", None) for host in hosts])


def _inventory(made: Artefacts) -> Path:
    host = made.hosts[0]
    command = host.ssh_command()
    options = [item for item in command[1:-1] if item not in ("-i", str(host.layout.key))]
    names = {one.address: [spec.worker_name(one.name, n) for n in range(1, WORKERS + 1)] for one in made.hosts}
    shared = {
        "ansible_user": "root",
        "ansible_python_interpreter": made.python,
        "ansible_ssh_private_key_file": str(host.layout.key),
        "ansible_ssh_common_args": shlex.join(options),
        "release": made.release, "python": made.python, "user": spec.USER, "pool": made.pool, "api": made.api,
        "auth": made.auth, "folder": str(made.folder), "scripts": str(SCRIPTS), "names": names,
        "units": [spec.unit_name(number) for number in range(1, WORKERS + 1)],
    }  # fmt: skip
    hosts = {one.address: {"archive": str(made.archive(one))} for one in made.hosts}
    path = made.folder / "inventory.json"
    path.write_text(json.dumps({"all": {"hosts": hosts, "vars": shared}}))
    path.chmod(0o600)
    return path.rename(path.with_suffix(".yml"))  # JSON is YAML, and Ansible goes by the name


def _everywhere(jobs: Iterable[tuple[Machine, str, Path | None]]) -> list[tuple[Machine, int, str]]:
    """One ssh per host, all at once; what each ended with and said."""
    with ExitStack() as stack:
        started = []
        for host, command, archive in jobs:
            stdin = stack.enter_context(archive.open("rb")) if archive else subprocess.DEVNULL
            said = stack.enter_context(tempfile.TemporaryFile("w+"))
            process = subprocess.Popen([*host.ssh_command(), command], stdin=stdin, stdout=said, stderr=said)
            started.append((host, said, process))
        return [(host, process.wait(), _read(said)) for host, said, process in started]


def _read(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def _all_ended_well(what: str, jobs: Iterable[tuple[Machine, str, Path | None]]) -> None:
    failed = [f"{host.name}: {said[-2000:]}" for host, status, said in _everywhere(jobs) if status]
    assert not failed, f"{what} failed: {failed}"


def _run(command: list[str], environment: Mapping[str, str]) -> None:
    program = command[0] if command[0].startswith("/") else str(ROOT / ".venv/bin" / command[0])
    done = subprocess.run(
        [program, *command[1:]], cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, (
        f"{command} ended with {done.returncode}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    )
