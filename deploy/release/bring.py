"""Brings the host a Python that a release can be built for; needs nothing of it but a shell and its core tools."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from pyinfra import logger
from pyinfra.api import FunctionCommand, operation

from deploy import spec
from deploy.release import interpreter, upload
from deploy.release.movable import InterpreterError
from deploy.remote import one_line
from deploy.rollout.report import announce

if TYPE_CHECKING:
    from collections.abc import Generator

    from pyinfra.api import Host, State
    from pyinfra.api.command import PyinfraCommand

    from deploy.rollout.member import Member

# As root, with the archive on standard input. Complete and proven to start, or absent: the last step is a rename. It is
# done before the lock, which takes a Python itself; of two deploys that bring the same, the second finds it there.
UNPACK = """
set -eu;
umask 022;
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin;
fail() {{ echo "$1" >&2; exit 1; }};
mkdir -p {folder};
others=$(find {base} {folder} -maxdepth 0 -perm /022 -o -not -user root 2>&1);
[ -z "$others" ] || fail "{folder} or the folder above it is not root's alone: look at what lies there";
free=$(df -Pk {folder} | awk 'END {{print $4}}');
[ "$free" -gt {needed} ] || fail "{folder}: $((free / 1024)) MiB free, {mib} MiB are needed: make room there";
made=$(mktemp -d {folder}/.arriving-XXXXXXXX);
trap 'rm -rf "$made"' EXIT;
cat > "$made/archive";
echo "{digest}  $made/archive" | sha256sum --check --status || fail "what arrived is not what was sent; deploy again";
mkdir "$made/tree";
tar -xzf "$made/archive" -C "$made/tree" --no-same-owner --no-same-permissions;
"$made/tree/bin/python3" -I -c '{proof}';
"$made/tree/bin/python3" -I -m compileall -q -j 0 "$made/tree/lib" -s "$made/tree" -p {folder}/{name};
chmod -R u=rwX,go=rX "$made/tree";
chmod -R a-w "$made/tree";
sync;
[ -d {folder}/{name} ] || mv -T "$made/tree" {folder}/{name};
"""
PROOF = "import bz2, ctypes, hashlib, lzma, sqlite3, ssl, uuid, venv, zlib"
NEEDED_KIB = 250 * 1024
# It compiles the standard library meanwhile, and says nothing.
SILENCE_SECONDS = 600.0


@operation()
def bring(member: Member) -> Generator[PyinfraCommand, None, None]:
    """Puts it where the plan says, and looks again: a release's name and units follow from what is there."""
    if member.plan.brings:
        yield FunctionCommand(send, (member,), {})


def send(state: State, host: Host, member: Member) -> bool:  # noqa: ARG001 - pyinfra's
    """One host's; False when it could not be had or did not arrive, having said why."""
    found = member.state
    try:
        brought = interpreter.archive(member.wanted.python, found.machine, found.libc)
        member.say(f"Python {brought.version} comes from {brought.source}")
        upload.pour_into(host, script(brought), brought.file, SILENCE_SECONDS)
    except (InterpreterError, upload.UploadError) as error:
        logger.error("%sno Python could be brought; nothing was changed: %s", host.print_prefix, error)
        return False
    member.look_again()
    if member.plan.brings:
        logger.error("%s%s was brought, and is not found there", host.print_prefix, brought.name)
        return False
    announce(member)
    return not member.plan.problems


def script(brought: interpreter.Brought) -> str:
    """The shell's part. Pure."""
    return one_line(
        UNPACK.format(
            base=spec.BASE,
            folder=spec.PYTHON,
            name=shlex.quote(brought.name),
            digest=brought.digest,
            proof=PROOF,
            needed=NEEDED_KIB,
            mib=NEEDED_KIB // 1024,
        )
    )
