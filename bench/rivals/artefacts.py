"""What every rival is given: the same wheels, lock, code and units that this project's deploy would bring."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy import spec
from deploy.release import identity, requirements, wheels
from deploy.service import unit
from deploy.settings import load, worker_host

if TYPE_CHECKING:
    from sandbox import Machine, Sandbox

SCRIPTS = Path(__file__).parent
WORKERS = 3
CREDENTIALS = tuple(Path(path).name for path in (spec.PROFILES, spec.ENVIRONMENT))


@dataclass(frozen=True)
class Artefacts:
    """One folder with the archive of each host and its files, and what the scripts are told."""

    folder: Path
    release: str
    python: str
    pool: str
    api: str
    auth: str
    hosts: tuple[Machine, ...]

    def archive(self, host: Machine) -> Path:
        """What a host without the release needs."""
        return self.folder / f"{host.name}.tar"

    def check(self, host: Machine) -> str:
        """The script of the no-op for one host."""
        folder = self.folder / host.address
        entries = []
        for number in range(1, WORKERS + 1):
            text = (folder / spec.unit_name(number)).read_text()
            entries.append(f"{number}:{hashlib.sha256(text.encode()).hexdigest()}:{unit.digest_of(text)}")
        values = {
            "RELEASE": self.release,
            "USER_NAME": spec.USER,
            "CREDENTIALS": hashlib.sha256(b"".join((folder / name).read_bytes() for name in CREDENTIALS)).hexdigest(),
            "UNITS": " ".join(entries),
            "API": self.api,
            "POOL": self.pool,
            "AUTH": self.auth,
            "PYTHON": self.python,
        }
        head = "".join(f"{key}='{value}'\n" for key, value in values.items())
        return head + (SCRIPTS / "check.sh").read_text()


def make(sandbox: Sandbox, folder: Path) -> Artefacts:
    """Renders everything once, outside of what is timed."""
    settings = load(sandbox.env_file)
    hosts = tuple(sandbox.hosts)
    python = hosts[0].ssh("readlink -f $(command -v python3.12 || command -v python3.13)")
    facts = "sys.base_prefix, platform.python_version(), platform.machine(), '-'.join(platform.libc_ver())"
    executable = python.stdout.strip()
    prefix, version, machine, libc = (
        hosts[0].ssh(f'{executable} -I -c "import platform, sys; print({facts})"').stdout.split()
    )
    platform = wheels.Platform(machine, version, libc)
    release = identity.release_id(version, prefix)
    shared = folder / "shared"
    for name, content in identity.shipped_code().files.items():
        (shared / name).parent.mkdir(parents=True, exist_ok=True)
        (shared / name).write_bytes(content)
    (shared / "requirements.lock").write_text(wheels.concrete_lock(requirements.LOCK.read_text(), platform))
    (shared / "wheels").mkdir()
    house = wheels.wheelhouse(platform)
    for wheel in house.hashes:
        shutil.copy(house.folder / wheel, shared / "wheels")
    made = Artefacts(folder, release, executable, settings.work_pool, settings.api_url, sandbox.auth, hosts)
    place = {"release": release, "python_prefix": prefix}
    reach = (sandbox.server.address,)
    for host, target in zip(hosts, settings.hosts, strict=True):
        wanted = worker_host(settings, target)
        own = folder / host.address
        own.mkdir()
        for path, text in wanted.secret_files().items():
            (own / Path(path).name).write_text(text)
        (own / "hublab.pth").write_text(identity.GUARD.format(release=f"{spec.RELEASES}/{release}"))
        for number in range(1, WORKERS + 1):
            text = unit.render(wanted, hostname=host.name, number=number, reach=reach, **place)
            (own / spec.unit_name(number)).write_text(text)
        with tarfile.open(made.archive(host), "w") as tar:
            tar.add(shared, ".")
            tar.add(own, "host")
    return made
