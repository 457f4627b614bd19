"""A mail server of Debian's for the sandbox: Exim takes mail by SMTP, Dovecot shows it by IMAP.

Both run from a file tree of their own, as a user without rights, on loopback ports. Nothing is installed on the
operator's machine, and they end with the sandbox's cgroup.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from sandbox import build, needs, tree
from sandbox.cgroup import Cgroup, run_in
from sandbox.files import write_whole
from sandbox.shell import step
from sandbox.teardown import folder_locked
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from sandbox.layout import Layout

_HERE = Path(__file__).parent
_PACKAGES = "exim4-daemon-light,dovecot-imapd"
# Of the range that systemd keeps for users who are nobody's.
_USER = 61983
_USERS = ("mail", "Debian-exim", "dovecot", "dovenull")
_READY_SECONDS = 60.0
_RUN = r"""mount --bind "$2" "$1/srv" && mount --bind /dev "$1/dev" || exit 1
enter() { exec env -i PATH=/usr/sbin:/usr/bin chroot --userspec="$user:$user" "$tree" "$@"; }
tree="$1" user="$3"
enter /usr/sbin/dovecot -F -c /srv/dovecot.conf &
enter /usr/sbin/exim4 -bdf -q5s -C /srv/exim.conf
"""


@dataclass(frozen=True)
class MailServer:
    """How it is reached: `smtp` is `host:port`; `imap` is an address with the box's user and password in it."""

    smtp: str
    imap: str = field(repr=False)


def start(layout: Layout, box: str) -> MailServer:
    """Start it anew in the sandbox's cgroup, with a box for one address; tags behind a `+` are ignored.

    Raises:
        SandboxError: Its tree could not be built, or it did not start.
    """
    group = Cgroup(f"{layout.cgroup}/mail")
    group.kill()
    installed = _tree(layout)
    folder = layout.root / "mail"
    # Dovecot takes any process that has the number of its last one for itself, and then does not start.
    shutil.rmtree(folder / "dovecot", ignore_errors=True)
    smtp, imap = _free_ports()
    password = secrets.token_urlsafe(18)
    values = {"SMTP": smtp, "IMAP": imap, "PASSWORD": password, "USER": _USER}
    for one in (folder, folder / "boxes", folder / "boxes" / box.lower()):
        one.mkdir(mode=0o700, exist_ok=True)
        os.chown(one, _USER, _USER)
    for name in ("exim.conf", "dovecot.conf"):
        text = (_HERE / name).read_text()
        for key, value in values.items():
            text = text.replace(f"@{key}@", str(value))
        write_whole(folder / name, text, mode=0o600)
        os.chown(folder / name, _USER, _USER)
    with step("mail server"):
        _run(layout, group, installed, folder)
        for port in (smtp, imap):
            _await(port, folder)
    return MailServer(f"127.0.0.1:{smtp}", f"imap://{quote(box.lower(), safe='')}:{password}@127.0.0.1:{imap}")


def _run(layout: Layout, group: Cgroup, installed: Path, folder: Path) -> None:
    command = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        _RUN,
        "sh",
        str(installed),
        str(folder),
        str(_USER),
    ]
    layout.logs.mkdir(parents=True, exist_ok=True)
    with (layout.logs / "mail.log").open("ab") as log:
        subprocess.Popen(group.enter(command), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)


def _tree(layout: Layout) -> Path:
    """The tree with both programs; built when it is not there. Nothing in it is configured, so nothing is started."""
    needs.ensure(layout.root)
    suite = tree.suite()
    found = layout.trees / f"mail-{suite}"
    with folder_locked(layout.trees):
        if found.exists():
            return found
        making = tree.fresh(found)
        command = [
            "mmdebstrap",
            "--mode=root",
            "--quiet",
            "--variant=extract",
            f"--include={_PACKAGES}",
            suite,
            str(making),
        ]
        with step(f"Exim and Dovecot of Debian {suite} by mmdebstrap"):
            run_in(build.builders(layout), command, temporary=layout.temporary, timeout=900)
        (making / "srv").mkdir(exist_ok=True)
        lines = [f"{name}:x:{_USER}:{_USER}::/srv:/bin/false\n" for name in _USERS]
        (making / "etc/passwd").write_text("root:x:0:0::/:/bin/false\n" + "".join(lines))
        (making / "etc/group").write_text("root:x:0:\n" + "".join(f"{name}:x:{_USER}:\n" for name in _USERS))
        making.rename(found)
    return found


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        for each in (one, other):
            each.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _await(port: int, folder: Path) -> None:
    def greets() -> bool:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as there:
                return bool(there.recv(1))
        except OSError:
            return False

    wait_for(greets, f"the mail server greets at port {port}; see {folder}/*log and logs/mail.log", _READY_SECONDS)
