"""The webhooks as they run: they answer, are shut in as the workers are, and their secrets are where they must be."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from deploy import spec
from tests.infra.test_network import METADATA, SEND, may_reach
from tests.infra.walls import asked, exposure, hidden, inside, privileges

if TYPE_CHECKING:
    from testinfra.host import Host

    from deploy.settings import Settings
    from deploy.webhooks import Webhooks

UNIT = "hublab-webhooks.service"


@pytest.fixture
def webhooks(host: Host, settings: Settings) -> Webhooks:
    """Only where the settings name the host."""
    address = host.backend.hostname
    found = settings.webhooks.get(address)
    if found is None:
        pytest.skip(f"HUBLAB_WEBHOOKS does not name {address}")
    return found


@pytest.fixture
def shown(host: Host, webhooks: Webhooks) -> dict[str, str]:
    """What systemd says of the unit."""
    return dict(line.partition("=")[::2] for line in host.check_output("systemctl show %s", UNIT).splitlines())


@pytest.fixture
def pid(shown: dict[str, str]) -> str:
    """The process; a unit that is active has one."""
    assert shown["MainPID"] != "0", f"{UNIT} has no process"
    return shown["MainPID"]


def test_a_unit_that_nobody_asked_for_is_not_there(host: Host, settings: Settings) -> None:
    there = host.run("systemctl is-active %s", UNIT).stdout.strip() == "active"
    assert there is (host.backend.hostname in settings.webhooks)


def test_webhooks_are_active_and_start_at_boot(shown: dict[str, str]) -> None:
    assert (shown["ActiveState"], shown["SubState"], shown["UnitFileState"]) == ("active", "running", "enabled")
    assert shown["NeedDaemonReload"] == "no"
    assert (shown["Type"], shown["WatchdogUSec"], shown["Restart"]) == ("notify", "1min", "always")
    assert shown["StatusText"].startswith("serving, waiting: "), shown["StatusText"]


def test_webhooks_run_the_release_of_record(host: Host, shown: dict[str, str]) -> None:
    current = host.check_output("readlink -f %s", spec.CURRENT)
    assert shown["ExecStart"].partition("path=")[2].partition("/venv/")[0] == current


# Asked from the host itself, with the secret that lies there: it is in no argument list.
ASK = """
import json, sys, urllib.error, urllib.request
kept = json.load(open(sys.argv[1]))
secret = kept.get("webhook-secret-christmas-signup", kept["webhook-secret"]).split(",")[0].strip()
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
def status(path, body=None, **headers):
    try:
        return opener.open(urllib.request.Request(sys.argv[2] + path, body, headers), timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code
json_body = {"content-type": "application/json"}
signup = "/webhook/christmas-signup"
known = json_body | {"x-webhook-secret": secret}
print(json.dumps([status("/health"), status(signup, b"{}", **json_body), status(signup, b"{}", **known)]))
"""


def test_webhooks_answer_and_know_their_callers(host: Host, webhooks: Webhooks) -> None:
    """Health is good; a call without the secret is refused, and one with it gets as far as its payload."""
    address = "127.0.0.1" if webhooks.bind == "0.0.0.0" else webhooks.bind
    base, python = f"http://{address}:{webhooks.port}", f"{spec.CURRENT}/venv/bin/python"
    found = host.check_output("%s -I -c %s %s %s", python, ASK, spec.WEBHOOK_SECRETS, base)
    assert json.loads(found) == [200, 401, 422]


def test_webhooks_reach_no_metadata_service(host: Host, settings: Settings, pid: str) -> None:
    """Held to the unit's rules, by trying. What root cannot reach either, since no route leads there, says nothing."""
    tried = [address for address, came in asked(host, SEND, METADATA).items() if came == "sent"]
    if not tried:
        pytest.skip("NOT TRIED: no route of this host leads to a metadata service")
    found = asked(host, SEND, ["127.0.0.1", *tried], pid)
    assert found.pop("127.0.0.1") == "sent", "their callers come from there"
    wanted = {address: "sent" if may_reach(settings, address) else "PermissionError" for address in tried}
    assert found == wanted


def test_systemd_rates_the_webhooks_as_shut_in(host: Host, webhooks: Webhooks) -> None:
    assert exposure(host, UNIT) <= 1.0


def test_webhooks_have_no_privilege(host: Host, pid: str) -> None:
    assert privileges(host, pid) == ("hublab-webhooks", "1", "2", {"0000000000000000"})
    assert host.run("grep -c uvloop /proc/%s/maps", pid).stdout.strip() == "0"


@pytest.mark.parametrize("path", ["/root", "/home", "/etc/hublab", "/etc/shadow", "/var/lib/hublab/worker-1/tmp"])
def test_webhooks_do_not_see(host: Host, pid: str, path: str) -> None:
    unseen, text = hidden(host, pid, path, user="root")
    assert unseen, f"{path} is visible inside: {text}"


@pytest.mark.parametrize("path", ["/", "/usr", "/opt/hublab", "/etc"])
def test_webhooks_could_not_write_even_as_root(host: Host, pid: str, path: str) -> None:
    rc, text = inside(host, pid, f"touch {path}/hublab-probe && rm {path}/hublab-probe", user="root")
    assert rc != 0
    assert "Read-only file system" in text


def test_webhooks_secrets_are_where_they_must_be_and_nowhere_else(
    host: Host, webhooks: Webhooks, shown: dict[str, str], pid: str
) -> None:
    file = host.file("/etc/hublab/webhooks.json")
    assert (oct(file.mode), file.user) == ("0o600", "root")
    assert json.loads(file.content_string).keys() == webhooks.secrets.keys()
    handed = f"/proc/{pid}/root/run/credentials/{UNIT}/webhooks.json"
    assert host.check_output("stat -c %%a %s", handed) == "400"
    seen = "\n".join(
        [
            *shown.values(),
            host.check_output("systemctl cat %s", UNIT),
            host.check_output("tr '\\0' '\\n' < /proc/%s/environ", pid),
            host.check_output("cat /proc/[0-9]*/cmdline | tr '\\0' ' '"),
            host.check_output("journalctl --no-pager --output=cat --unit=%s --lines=20000", UNIT),
        ]
    )
    assert UNIT in seen
    for secret in webhooks.secrets.values():
        assert secret.reveal() not in seen


def test_webhooks_spool_is_their_own(host: Host, webhooks: Webhooks) -> None:
    folder = host.file("/var/lib/hublab/webhooks/spool")
    assert (oct(folder.mode), folder.user) == ("0o700", "hublab-webhooks")
