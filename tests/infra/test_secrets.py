"""The credential: where it must be, and nowhere else."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from deploy import spec

if TYPE_CHECKING:
    from testinfra.host import Host

    from deploy.settings import Settings


TOKEN = re.compile(r"(?=.*\d)(?=.*[A-Za-z])[^\s/]{16,}")
"""What is looked for of the variables in HUBLAB_ENVIRONMENT: `1` and `Europe/Paris` are everywhere."""


@pytest.fixture
def credential(settings: Settings) -> str:
    """The credential itself; a server without one has nothing that could leak."""
    value = settings.auth_string or settings.api_key
    assert value, "this server takes no credential: set PREFECT_API_AUTH_STRING or PREFECT_API_KEY"
    return value.reveal().rpartition(":")[2]


@pytest.fixture
def secrets(settings: Settings, credential: str) -> list[str]:
    """What must be seen nowhere: it, and each line of a variable that reads like a secret."""
    lines = [line for _, value in settings.environment for line in value.reveal().splitlines()]
    return [credential, *filter(TOKEN.fullmatch, lines)]


@pytest.mark.parametrize(
    ("path", "mode", "owner"),
    [
        ("/etc/hublab", 0o755, "root"),
        ("/etc/hublab/profiles.toml", 0o600, "root"),
        ("/etc/hublab/environment.json", 0o600, "root"),
        ("/opt/hublab", 0o755, "root"),
        ("/opt/hublab/releases", 0o755, "root"),
        ("/opt/hublab/root", 0o755, "root"),
        ("/var/lib/hublab", 0o755, "root"),
        ("/var/lib/hublab/worker-1", 0o711, "root"),
        ("/var/lib/hublab/worker-1/tmp", 0o700, "hublab-worker-1"),
        ("/var/lib/hublab/worker-1/prefect", 0o700, "hublab-worker-1"),
    ],
)
def test_files_with_secrets_have_their_mode_and_owner(host: Host, path: str, mode: int, owner: str) -> None:
    found = host.file(path)
    assert found.exists
    assert (oct(found.mode), found.user) == (oct(mode), owner)


def test_credential_arrives(host: Host, unit: str, pid: str, credential: str) -> None:
    """The proof that the searches below look for the right thing: the worker is handed the file that has it."""
    assert credential in host.file(spec.PROFILES).content_string
    handed = f"/proc/{pid}/root/run/credentials/{unit}/profiles.toml"
    assert credential in host.file(handed).content_string


def test_variables_of_flow_runs_arrive(host: Host, unit: str, pid: str, settings: Settings) -> None:
    """The running worker was handed what `.env` names now, by name and value."""
    handed = json.loads(host.file(f"/proc/{pid}/root/run/credentials/{unit}/environment.json").content_string)
    wanted = {name: value.reveal() for name, value in settings.environment}
    assert sorted(handed) == sorted(wanted)
    assert [name for name in wanted if handed[name] != wanted[name]] == [], "their values are others"


# As whoever is asked for: the folder is opened before root's rights are given up, so that only its own and the file's
# count. The mode is no measure: with an access list, as of systemd 254 and later, its group bits are the list's mask.
OPEN = """
import os, sys
folder = os.open(sys.argv[1], os.O_PATH)
for who in sys.argv[2:]:
    if os.fork():
        os.wait()
        continue
    user, group = map(int, who.split(":"))
    os.setgroups([])
    os.setresgid(group, group, group)
    os.setresuid(user, user, user)
    try:
        print("read" if os.read(os.open("profiles.toml", os.O_RDONLY, dir_fd=folder), 4096) else "empty", flush=True)
    except PermissionError:
        print("refused", flush=True)
    os._exit(0)
"""


@pytest.mark.parametrize("who", ["the worker", "nobody", "root's group", "the host's other users"])
def test_only_the_worker_and_root_can_read_the_credential(
    host: Host, unit: str, pid: str, properties: dict[str, str], who: str
) -> None:
    entries = [line.split(":") for line in host.check_output("getent passwd").splitlines()]
    users = {entry[0]: (entry[2], entry[3]) for entry in entries}
    worker = users[properties["User"]]
    askers = {
        "the worker": [worker],
        "nobody": [("65534", "65534")],
        "root's group": [("65534", "0")],
        "the host's other users": [ids for ids in users.values() if ids[0] not in ("0", worker[0])],
    }[who]
    python, folder = f"{spec.CURRENT}/venv/bin/python", f"/proc/{pid}/root/run/credentials/{unit}"
    asked = " ".join(f"{user}:{group}" for user, group in askers)
    answers = host.check_output(f"%s -I -c %s %s {asked}", python, OPEN, folder).split()
    assert answers == ["read" if who == "the worker" else "refused"] * len(askers)


def found(secrets: list[str], text: str) -> list[int]:
    """Which of them are in a text, by their places in the list: a report shows none."""
    return [number for number, secret in enumerate(secrets) if secret in text]


def test_no_secret_in_systemctl_show(host: Host, unit: str, secrets: list[str]) -> None:
    assert found(secrets, host.check_output("systemctl show %s", unit)) == []
    assert found(secrets, host.check_output("systemctl cat %s", unit)) == []


def test_not_in_the_workers_environment(host: Host, pid: str, secrets: list[str], settings: Settings) -> None:
    environ = host.check_output("tr '\\0' '\\n' < /proc/%s/environ", pid)
    assert found(secrets, environ) == []
    names = {line.partition("=")[0] for line in environ.splitlines()}
    assert names & {name for name, _ in settings.environment} <= {"LANG", "TZ"}, "they are the runs' alone"


def test_not_in_any_argument_list(host: Host, secrets: list[str]) -> None:
    assert found(secrets, host.check_output("cat /proc/[0-9]*/cmdline | tr '\\0' ' '")) == []


def test_no_secret_in_the_journal(host: Host, secrets: list[str]) -> None:
    assert found(secrets, host.check_output("journalctl --no-pager --output=cat --lines=20000")) == []


def test_not_in_any_file_that_others_can_read(host: Host, secrets: list[str]) -> None:
    folders = "/etc /opt/hublab /var/lib/hublab /var/log /tmp /var/tmp /run"
    find = f"find {folders} -xdev -type f -perm /0044 -size -512k -not -path '*/site-packages/*' -print0"
    text = host.check_output(f"{find} 2>/dev/null | xargs -0 cat 2>/dev/null | tr -c '[:print:]' '\\n' | sort -u")
    assert len(text) > 1000, "the search read nothing"
    assert found(secrets, text) == []
