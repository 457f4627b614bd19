"""What is installed is what was locked, nothing more; uvloop is not there and cannot be."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from deploy import spec
from deploy.release import requirements, wheels

if TYPE_CHECKING:
    from testinfra.host import Host

LIST_PACKAGES = (
    "import importlib.metadata as m, json; print(json.dumps({d.name: d.version for d in m.distributions()}))"
)
ABOUT = "import json, platform as p; print(json.dumps([p.machine(), p.python_version(), '-'.join(p.libc_ver())]))"


def python(release: str) -> str:
    return f"{release}/venv/bin/python"


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_interpreter_is_one_the_lock_is_made_for(host: Host, release: str) -> None:
    assert host.check_output("%s --version", python(release)).split()[1].rpartition(".")[0] in {"3.12", "3.13"}


def test_interpreter_that_was_brought_is_roots_and_serves_a_release(host: Host) -> None:
    """It is what runs: nobody but root can write any of it, and none is left that no release stands on."""
    brought = host.run("ls /opt/hublab/python 2>/dev/null").stdout.split()
    assert not host.check_output("find /opt/hublab/python -xdev ! -user root 2>/dev/null || true")
    assert not host.check_output("find /opt/hublab/python -xdev -perm /022 ! -type l 2>/dev/null || true")
    stood_on = host.check_output("readlink -f /opt/hublab/releases/*/venv/bin/python").split()
    assert [name for name in brought if not any(f"/python/{name}/" in path for path in stood_on)] == []


def test_packages_equal_the_lock(host: Host, release: str) -> None:
    """An extra package is how uvloop came back; a missing one is a release that was damaged."""
    installed = {
        normal(key): value
        for key, value in json.loads(host.check_output("%s -I -c %s", python(release), LIST_PACKAGES)).items()
    }
    platform = wheels.Platform(*json.loads(host.check_output("%s -I -c %s", python(release), ABOUT)))
    locked = dict(re.findall(r"^([\w.-]+)==(\S+)", wheels.concrete_lock(requirements.text(), platform), re.MULTILINE))
    assert installed == {normal(key): value for key, value in locked.items()}


def test_prefect_and_uvicorn_are_no_older_than_the_cure(host: Host, release: str) -> None:
    """3.6.6 and 0.36: the first versions whose health check leaves the process's event-loop policy alone."""
    installed = json.loads(host.check_output("%s -I -c %s", python(release), LIST_PACKAGES))

    def version(name: str) -> tuple[int, ...]:
        return tuple(int(part) for part in installed[name].split(".")[:3])

    assert version("prefect") >= (3, 6, 6)
    assert version("uvicorn") >= (0, 36)


def test_uvloop_cannot_be_imported(host: Host, release: str) -> None:
    done = host.run("%s -c 'import uvloop'", python(release))
    assert done.rc == 1
    assert "uvloop" in done.stderr
    assert (
        host.check_output("%s -c %s", python(release), "import importlib.util as u; print(u.find_spec('uvloop'))")
        == "None"
    )


def test_uvloop_has_no_file_in_the_release(host: Host, release: str) -> None:
    assert host.check_output("find %s/venv/lib -maxdepth 3 -iname '*uvloop*'", release) == ""


def test_uvloop_is_not_loaded_by_the_running_worker(host: Host, pid: str) -> None:
    """uvloop's policy needs uvloop's library; a process that has not mapped it runs on asyncio's own loop."""
    assert host.run("grep -c uvloop /proc/%s/maps", pid).stdout.strip() == "0"


def test_the_worker_runs_the_release_of_record(host: Host, pid: str, release: str) -> None:
    # Each by where it lies: /opt may be a link.
    assert host.check_output("readlink -f %s", spec.CURRENT) == host.check_output("readlink -f %s", release)
    carried = host.check_output("tr '\\0' '\\n' < /proc/%s/environ", pid).splitlines()
    assert f"HUBLAB_RELEASE={release.rpartition('/')[2]}" in carried
    assert host.check_output("tr '\\0' ' ' < /proc/%s/cmdline", pid).startswith(f"{python(release)} -P -s -m worker")


def test_the_release_is_what_it_was_when_it_was_finished(host: Host, release: str) -> None:
    """Its own record lists packages and the digest of its code; both must still hold."""
    revision = json.loads(host.file(f"{release}/REVISION").content_string)
    found = host.check_output("find %s/venv/lib -maxdepth 4 -name '*.dist-info' -printf '%%f\\n'", release).splitlines()
    assert sorted(name.removesuffix(".dist-info") for name in found) == revision["packages"]
    listed = host.check_output(f"cd {release} && sha256sum {' '.join(revision['code_files'])}").splitlines()
    total = hashlib.sha256()
    for digest, name in sorted((line.split(None, 1) for line in listed), key=lambda pair: pair[1]):
        total.update(name.encode() + b"\0" + bytes.fromhex(digest))
    assert total.hexdigest() == revision["code"]


def test_nothing_in_the_release_can_be_written_by_the_workers(host: Host, release: str) -> None:
    assert host.check_output("find %s -not -type l \\( -perm /0022 -o -not -user root \\) -print -quit", release) == ""
    refused = host.run("runuser -u hublab-worker-1 -- touch %s/worker/x", release)
    assert "Permission denied" in refused.stderr, refused


def test_no_half_built_release_is_in_use(host: Host, release: str) -> None:
    assert host.file(f"{release}/REVISION").is_file
