"""The running units: alive as systemd sees it, and locked in as the kernel sees it."""

from __future__ import annotations

import re
import time
import warnings
from typing import TYPE_CHECKING

import pytest

from deploy import spec
from deploy.service import allowances
from tests.infra.walls import exposure, hidden, inside, privileges

if TYPE_CHECKING:
    from testinfra.host import Host

    from deploy.settings import Settings


def test_unit_is_active_and_starts_at_boot(properties: dict[str, str]) -> None:
    assert properties["ActiveState"] == "active"
    assert properties["SubState"] == "running"
    assert properties["UnitFileState"] == "enabled"
    assert properties["NeedDaemonReload"] == "no"


def test_no_unit_is_in_a_crash_loop(host: Host, settings: Settings) -> None:
    """`active` is also what a unit says that dies every two seconds: what counts is that the process stays the same."""
    units = " ".join(spec.unit_name(number) for number in range(1, settings.workers + 1))
    show = f"systemctl show --property=Id,MainPID,NRestarts {units}"
    before = host.check_output(show)
    time.sleep(7)  # longer than RestartSec=5
    assert host.check_output(show) == before


def test_worker_speaks_to_systemd(properties: dict[str, str]) -> None:
    assert properties["Type"] == "notify"
    assert properties["NotifyAccess"] == "main"
    assert re.match(r"polling .*, \d+ runs? in flight", properties["StatusText"]), properties["StatusText"]


def test_watchdog_is_armed_and_fed(host: Host, unit: str, properties: dict[str, str]) -> None:
    assert properties["WatchdogUSec"] == "1min"
    before = properties["WatchdogTimestampMonotonic"]
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if host.check_output("systemctl show --property=WatchdogTimestampMonotonic --value %s", unit) != before:
            return
        time.sleep(1)
    pytest.fail(f"{unit} did not feed its watchdog for 40 s")


def test_stopping_spares_the_runs(properties: dict[str, str]) -> None:
    """Without KillMode=process, systemd itself would kill the flow runs that the worker waits for."""
    assert properties["KillMode"] == "process"
    assert properties["Restart"] == "always"


def test_systemd_rates_the_worker_as_shut_in(host: Host, unit: str, settings: Settings) -> None:
    """What HUBLAB_ALLOW opens has its price."""
    prices = {"jit": 0.1, "proc": 0.1, "ca": 0.0}
    assert exposure(host, unit) <= 1.0 + sum(prices[word] for word in settings.allow)
    for line in allowances.told(settings.allow):
        warnings.warn(line, stacklevel=1)


def test_memory_that_is_written_cannot_be_executed(properties: dict[str, str], settings: Settings) -> None:
    """What a run meets, the host's own tests try from within a run: `tests/hosts/test_5_other_flows.py`."""
    assert properties["MemoryDenyWriteExecute"] == ("no" if "jit" in settings.allow else "yes")


def test_process_has_no_privilege(host: Host, pid: str, number: int) -> None:
    """Each worker has a user of its own: its runs can neither signal nor trace nor read what is another's."""
    assert privileges(host, pid) == (f"hublab-worker-{number}", "1", "2", {"0000000000000000"})


@pytest.mark.parametrize(
    "path", ["/root", "/home", "/etc/hublab", "/etc/shadow", "/etc/ssh", "/boot", "/opt/hublab/wheels"]
)
def test_worker_does_not_see(host: Host, pid: str, path: str) -> None:
    unseen, text = hidden(host, pid, path)
    assert unseen, f"{path} is visible inside: {text}"


@pytest.mark.parametrize("path", ["/", "/usr", "/opt/hublab", "/etc"])
def test_not_even_root_could_write(host: Host, pid: str, path: str) -> None:
    rc, text = inside(host, pid, f"touch {path}/hublab-probe && rm {path}/hublab-probe", user="root")
    assert rc != 0
    assert "Read-only file system" in text


@pytest.mark.parametrize("folder", ["state", "/tmp", "/var/tmp", "/dev/shm"])
def test_worker_can_execute_nothing_where_it_can_write(host: Host, pid: str, number: int, folder: str) -> None:
    program = f"{folder.replace('state', f'{spec.STATE}/worker-{number}/tmp')}/hublab-probe"
    rc, text = inside(host, pid, f"cp /usr/bin/true {program} && {program}; s=$?; rm -f {program}; exit $s")
    assert rc == 126, text
    assert "Permission denied" in text


def test_worker_sees_only_its_own_release(host: Host, pid: str, release: str) -> None:
    rc, text = inside(host, pid, f"ls {spec.RELEASES}")
    assert rc == 0, text
    listed = set(text.split())
    assert release.rpartition("/")[2] in listed
    # Mount points of other workers' releases may be there; they are empty folders.
    for other in listed - {release.rpartition("/")[2]}:
        assert hidden(host, pid, f"{spec.RELEASES}/{other}") == (True, "")


def test_worker_sees_no_other_process(host: Host, pid: str, settings: Settings) -> None:
    host_itself = "test -e /proc/meminfo" if "proc" in settings.allow else "! test -e /proc/meminfo"
    assert inside(host, pid, f"test -e /proc/self && ! test -e /proc/1 && {host_itself}") == (0, "")


@pytest.mark.parametrize(("key", "file"), [("MemoryMax", "memory.max"), ("TasksMax", "pids.max")])
def test_share_of_the_host_is_the_kernels_bound_too(
    host: Host, pid: str, properties: dict[str, str], key: str, file: str
) -> None:
    """systemd says the same on a host whose kernel bounds nothing."""
    group = host.check_output("sed -n 's/^0:://p' /proc/%s/cgroup", pid)
    bound = host.run("cat /sys/fs/cgroup%s/%s", group, file)
    if bound.rc:
        pytest.skip(f"NOT ENFORCED: this host's cgroup v2 has no controller for {key}")
    assert bound.stdout.strip() == properties[key]
