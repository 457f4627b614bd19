"""Faults of operators, hosts and disks in the midst of a deploy: it ends, says so, and the next one converges."""

from __future__ import annotations

import re
import signal
import time
from itertools import count
from typing import TYPE_CHECKING

import pytest

from sandbox.operator import Operator
from tests.hosts.faults import MOMENTS, Struck, converges, serve, told
from tests.hosts.other_server import with_any_credential
from tests.hosts.test_5_rollback import audit, left_behind
from tests.hosts.test_6_gates import serving

if TYPE_CHECKING:
    from sandbox import Machine, Sandbox
    from sandbox.load import Trickle
    from tests.hosts.book import Book

pytestmark = [pytest.mark.faults, pytest.mark.timeout(900)]
CONCURRENCY = count(30)


@pytest.fixture
def change() -> dict[str, str]:
    """Settings that no other test deploys."""
    return {"HUBLAB_CONCURRENCY": f"{next(CONCURRENCY)}"}


def second(three: Operator) -> Operator:
    """Another person with an inventory of their own."""
    return Operator(three.env_file.with_name("second"), three.settings)


SIGNALS = {
    signal.SIGINT: "Control-C",
    signal.SIGTERM: "the operator's process is asked to end",
    signal.SIGHUP: "the operator's terminal is closed",
}


@pytest.mark.parametrize("moment", ["lock", "start", "gate"])
@pytest.mark.parametrize("number", SIGNALS)
def test_signal_to_the_operators_process(
    number: signal.Signals, moment: str, three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle,
    book: Book, change: dict[str, str],
) -> None:  # fmt: skip
    """pyinfra hangs up at once; the rollout of the same process must not go on without the lock."""
    struck = Struck(three, **change)
    struck.until(*MOMENTS[moment])
    struck.process.send_signal(number)
    result = struck.end()
    assert result.status != 0
    serve(machine)
    following = converges(three, machine, sandbox, **change)
    outcome = "ended at once; the step on the host came to its end"
    book.add(f"{SIGNALS[number]}: {moment}", outcome, following, told(load.finish()))


def test_unlock_while_a_deploy_lives(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, change: dict[str, str]
) -> None:
    """Somebody was sure that it is dead. It is not, and must not go on as if nothing had happened."""
    struck = Struck(three, **change)
    struck.until(*MOMENTS["start"])
    removed = second(three).run("python", "-m", "deploy.fleet", "unlock")
    assert "a step of that deploy still runs" in removed.text, removed.text
    lines = len(audit(machine))
    result = struck.end()
    assert result.status != 0
    assert "the lock is no longer ours: it was removed" in result.text, result.text
    assert re.search(r"FAILED: .*the lock is no longer ours", result.text), result.text
    assert len(audit(machine)) == lines, "it wrote without the lock"
    following = converges(three, machine, sandbox, **change)
    outcome = "the step came to its end, the deploy ended with the reason and wrote nothing more"
    book.add("`./hublab unlock` while a deploy lives", outcome, following, told(load.finish()))


def test_rollback_while_a_deploy_lives(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, change: dict[str, str]
) -> None:
    struck = Struck(three, **change)
    struck.until(*MOMENTS["start"])
    back = second(three).run(
        "pyinfra", "-y", "--data", f"release={current(machine)}", "deploy/inventory.py", "deploy/rollback.py"
    )
    assert back.status != 0
    assert "Nothing was changed" in back.text, back.text
    result = struck.end()
    assert result.status == 0, result.text
    following = converges(three, machine, sandbox, **change)
    outcome = "the rollback was told who holds the host, and changed nothing; the deploy went on"
    book.add("a rollback while a deploy lives", outcome, following, told(load.finish()))


def current(machine: Machine) -> str:
    return machine.ssh("basename $(readlink /opt/hublab/current)").stdout.strip()


def test_two_operators_at_the_same_instant(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, change: dict[str, str]
) -> None:
    both = [Struck(three, **change), Struck(second(three), **change)]
    ended = [struck.end() for struck in both]
    winners = [result for result in ended if result.status == 0]
    losers = [result for result in ended if result.status != 0]
    assert len(winners) >= 1, ended[0].text + ended[1].text
    assert all("Nothing was changed" in result.text for result in losers)
    following = converges(three, machine, sandbox, **change)
    outcome = "one went on; the other was told who holds the host" if losers else "one after the other"
    book.add("two operators at the same instant", outcome, following, told(load.finish()))


OTHER_KEY = """set -e
cd /etc/ssh
mkdir -p /run/kept-keys && cp -p ssh_host_ed25519_key* /run/kept-keys
ssh-keygen -q -t ed25519 -N '' -f /run/new-key
cp /run/new-key ssh_host_ed25519_key && cp /run/new-key.pub ssh_host_ed25519_key.pub && rm /run/new-key*
systemd-run --quiet --unit=old-key --on-active=90 sh -c 'mv /run/kept-keys/* /etc/ssh/ && systemctl reload ssh'
systemctl reload ssh
pkill -KILL -f '^sshd: .*@notty'
"""


def test_host_key_that_changes_in_the_midst(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, change: dict[str, str]
) -> None:
    """The connection breaks, and who answers then has another key than the one known: it gets no secret, no order."""
    struck = Struck(three, **change)
    struck.until(*MOMENTS["gate"])
    machine.ssh(OTHER_KEY, check=False)  # and is back with its own key after a minute and a half
    result = struck.end()
    assert result.status != 0
    assert re.search(r"FAILED: .*cannot be reached any more \(SSH host key error", result.text), result.text
    while "lock" not in machine.ssh("ls /run/hublab", check=False).stdout:
        time.sleep(1)
    following = converges(three, machine, sandbox, **change)
    outcome = "not connected to again: NOT all of it could be rolled back, status 1"
    book.add("SSH is cut, and then the host has another key", outcome, following, told(load.finish()))


def test_sshd_that_falls_silent(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, change: dict[str, str]
) -> None:
    """The host's kernel still acknowledges every byte; only nobody answers. The way back goes over a new connection."""
    struck = Struck(three, **change)
    struck.until(*MOMENTS["start"])
    machine.ssh("pgrep -f '^sshd: .*@notty' | grep -vx $PPID | xargs kill -STOP")  # all but this very one
    result = struck.end()
    machine.ssh("pkill -CONT -f '^sshd: .*@notty'; true", check=False)
    assert result.status != 0, result.text
    assert "the host answers no more: hanging up" in result.text, result.text
    assert left_behind(machine) == ""
    following = converges(three, machine, sandbox, **change)
    outcome = "hung up after 25 s; rolled back over a new connection"
    book.add("sshd of the host falls silent", outcome, following, told(load.finish()))


SMALL = (
    "mount -t tmpfs -o size=64k tmpfs {folder} && cp -a /run/kept/. {folder}/ && head -c 1M /dev/zero > {folder}/filler"
)


@pytest.fixture
def full(machine: Machine, request: pytest.FixtureRequest) -> str:
    """One folder of the host that has no room left; and it has again when the test has ended."""
    folder = str(request.param)
    machine.ssh(f"mkdir -p {folder}; rm -rf /run/kept; cp -a {folder} /run/kept")
    machine.ssh(SMALL.format(folder=folder), check=False)
    request.addfinalizer(lambda: machine.ssh(f"umount -l {folder}", check=False))  # noqa: PT021 - as late as that
    return folder


@pytest.mark.parametrize(
    ("full", "said"),
    [
        ("/etc/hublab", "No space left on device"),
        ("/run/hublab", "No space left on device"),
    ],
    indirect=["full"],
)
def test_disk_that_is_full_where_something_small_is_written(
    full: str, said: str, three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book,
    change: dict[str, str],
) -> None:  # fmt: skip
    before = serving(machine)
    result = three.deploy(**change, **with_any_credential(sandbox, "sentinel-of-a-full-disk"))
    assert result.status != 0
    assert said in result.text, result.text
    assert "Traceback" not in result.text, result.text
    assert serving(machine) == before
    machine.ssh(f"umount -l {full}")
    assert machine.ssh("grep -rlF sentinel-of-a-full-disk /etc /var/lib/hublab", check=False).stdout == ""
    following = converges(three, machine, sandbox, **change)
    book.add(f"no room left in {full}", "no worker touched, status 1", following, told(load.finish()))


def test_host_that_is_booted_between_plan_and_lock(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, change: dict[str, str]
) -> None:
    """Its workers of the plan are other processes now; what the plan says of them is looked at again under the lock."""
    struck = Struck(three, **change)
    struck.until(r"Ready: deploy/workers.py")
    struck.suspend()
    machine.kill()
    machine.boot()
    struck.resume()
    result = struck.end()
    following = converges(three, machine, sandbox, **change)
    outcome = f"ended with status {result.status}: the connection of the plan was gone"
    book.add("the host is booted between plan and lock", outcome, following, told(load.finish(), again=True))


def test_hostname_that_changes_between_plan_and_lock(
    three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, change: dict[str, str]
) -> None:
    struck = Struck(three, **change)
    struck.until(r"Ready: deploy/workers.py")
    struck.suspend()
    machine.ssh("hostname renamed")
    struck.resume()
    try:
        result = struck.end()
        assert result.status == 0, result.text
        assert "the host has changed since the plan was made" in result.text, result.text
        assert "renamed-1: ONLINE" in result.text, result.text
    finally:
        machine.ssh("hostname hublab-1")
    following = converges(three, machine, sandbox, **change)
    outcome = "planned anew under the lock: the workers have the new name"
    book.add("the host is renamed between plan and lock", outcome, following, told(load.finish()))
