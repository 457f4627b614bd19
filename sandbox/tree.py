"""The read-only file trees that machines share: a stock Debian, and PostgreSQL above it.

Each is built under a temporary name and renamed when it is complete, so that a tree which exists is whole.
"""

from __future__ import annotations

import platform
import shlex
import shutil
from typing import TYPE_CHECKING

from sandbox.cgroup import Cgroup, run_in
from sandbox.errors import SandboxError
from sandbox.shell import run, step

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.layout import Layout

# What a Debian server has, and nothing that is there for the deploy's sake.
_STOCK = "systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,iproute2,procps,less,curl,ca-certificates,python3"
# Newest release of the C library that a suite can serve → suite.
_SUITES = {(2, 36): "bookworm", (2, 41): "trixie"}
# Fetched while apt's lists are at hand, installed later, in the server's own layer.
_FETCH = (
    # Only what PostgreSQL adds: the packages of the tree itself are still in the cache at this point.
    'rm -f "$1"/var/cache/apt/archives/*.deb && '
    'APT_CONFIG="$MMDEBSTRAP_APT_CONFIG" apt-get -y --no-install-recommends --download-only install postgresql'
    ' && mkdir -p {debs} && mv "$1"/var/cache/apt/archives/*.deb {debs}'
)
_INSTALL = r"""set -eu
mount -t overlay overlay -o lowerdir="$1",upperdir="$2",workdir="$3" "$4"
mount --bind "$5" "$4/mnt"
mount -t proc proc "$4/proc"
printf '#!/bin/sh\nexit 101\n' > "$4/usr/sbin/policy-rc.d"
chmod 755 "$4/usr/sbin/policy-rc.d"
mkdir -p "$4/etc/postgresql-common"
printf "initdb_options = '--no-sync'\nadd_include_dir = 'conf.d'\n" > "$4/etc/postgresql-common/createcluster.conf"
env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    chroot "$4" sh -c 'exec dpkg --force-unsafe-io --install /mnt/*.deb'
rm "$4/usr/sbin/policy-rc.d"
chroot "$4" useradd --system --user-group --home-dir /var/lib/prefect prefect
# A cut of the sandbox's power ends processes, not the kernel below: what was written is kept, synced or not.
for folder in "$4"/etc/postgresql/*/main/conf.d; do
    printf 'fsync = off\nmax_connections = 200\n' > "$folder/sandbox.conf"
done
"""


def suite(wanted: str | None = None) -> str:
    """Return a Debian suite whose C library can run the operator's Python.

    Args:
        wanted: Its name; the oldest that can by default.

    Raises:
        SandboxError: The operator's C library is newer than that suite's, or than any suite's known here.
    """
    names = list(_SUITES.values())
    if wanted is not None and wanted not in names:
        raise SandboxError(f"--suite: {wanted!r} is none of {', '.join(names)}")
    name, version = platform.libc_ver()
    have = tuple(int(part) for part in version.split(".")[:2]) if name == "glibc" else (99, 0)
    for newest, answer in sorted(_SUITES.items()):
        if have <= newest and wanted in (None, answer):
            return answer
    raise SandboxError(
        f"Python here stands on {name or 'an unknown C library'} {version}; "
        + (f"{wanted} has an older one" if wanted else "Debian 12 and 13 have glibc up to 2.41")
    )


def base(layout: Layout, cgroup: Cgroup, wanted: str | None = None) -> Path:
    """Return the tree with a stock Debian and sshd; build it first when it is not there."""
    name = suite(wanted)
    tree = layout.trees / f"base-{name}"
    if tree.exists():
        return tree
    building = fresh(tree)
    debs = shlex.quote(str(_debs(layout)))
    shutil.rmtree(_debs(layout), ignore_errors=True)
    with step(f"Debian {name} by mmdebstrap"):
        run_in(
            cgroup,
            ["mmdebstrap", "--mode=root", "--quiet", "--variant=minbase", f"--include={_STOCK}",
             f"--customize-hook={_FETCH.format(debs=debs)}", name, building],
            temporary=layout.temporary, timeout=900,
        )  # fmt: skip
    _settle(building)
    building.rename(tree)
    return tree


def postgresql(layout: Layout, below: Path, cgroup: Cgroup) -> Path:
    """Return the layer that holds PostgreSQL, from Debian's packages; build it above ``below`` when it is not there."""
    tree = layout.trees / f"postgresql-{below.name}"
    if tree.exists():
        return tree
    building, work, root = fresh(tree), layout.trees / "work.partial", layout.trees / "root.partial"
    for folder in (building, work, root):
        folder.mkdir(parents=True, exist_ok=True)
    with step("PostgreSQL from Debian's packages"):
        run_in(
            cgroup,
            ["sh", "-c", _INSTALL, "sh", below, building, work, root, _debs(layout)],
            temporary=layout.temporary,
            timeout=600,
        )
    for folder in (work, root, _debs(layout)):
        shutil.rmtree(folder)
    building.rename(tree)
    return tree


def _debs(layout: Layout) -> Path:
    return layout.trees / "debs"


def fresh(tree: Path) -> Path:
    """Return the folder, not there yet, in which a tree is built until it is whole."""
    building = tree.with_name(f"{tree.name}.partial")
    shutil.rmtree(building, ignore_errors=True)
    tree.parent.mkdir(parents=True, exist_ok=True)
    return building


def _settle(tree: Path) -> None:
    """Take out what must differ between machines, and switch on what each of them needs."""
    for key in (tree / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    (tree / "etc/machine-id").write_text("")
    (tree / "etc/default/locale").write_text("LANG=C.UTF-8\n")  # sshd's PAM stack logs a warning without it
    (tree / "var/log/journal").mkdir(mode=0o2755, exist_ok=True)  # journald writes to disk when the folder is there
    run(["chroot", tree, "systemctl", "enable", "systemd-networkd.service", "ssh.service"], timeout=60)
    # A console nobody can log in on, and a wait for a network that has an address from the first moment.
    run(
        ["chroot", tree, "systemctl", "mask", "console-getty.service", "systemd-networkd-wait-online.service"],
        timeout=60,
    )
    run(
        [
            "chroot",
            tree,
            "useradd",
            "--create-home",
            "--no-user-group",
            "--gid",
            "users",
            "--shell",
            "/bin/bash",
            "operator",
        ],
        timeout=60,
    )
    sudoers = tree / "etc/sudoers.d/operator"
    sudoers.write_text("operator ALL=(ALL) NOPASSWD: ALL\n")
    sudoers.chmod(0o440)
