"""A laptop that sleeps in the midst of a deploy and wakes up when another deploy has come by: it writes nothing."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from sandbox.operator import Operator
from tests.hosts.book import ALL
from tests.hosts.faults import MOMENTS, UNITS, Struck, converges, told
from tests.hosts.other_server import with_any_credential
from tests.hosts.test_5_rollback import audit, left_behind
from tests.hosts.test_6_faults import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox import Machine, Sandbox
    from sandbox.load import Trickle
    from tests.hosts.book import Book

WHEN = [moment for moment in MOMENTS if moment not in ("activate", "lock", "roll-back")] if ALL else ["gate"]
STALE = "sentinel-of-who-slept-52c7"
CONCURRENCY = count(20)


def everything(machine: Machine) -> str:
    """All that a deploy writes on a host, and the processes that it starts."""
    files = "find /etc/hublab /etc/systemd/system /opt/hublab /var/lib/hublab -not -path '*/worker-*/*'"
    listed = machine.ssh(f"{files} -printf '%M %u %g %s %T@ %p %l\\n' | sort", timeout=120).stdout
    return listed + machine.ssh(f"systemctl show -p MainPID --value {UNITS}").stdout


@pytest.mark.timeout(900)
@pytest.mark.parametrize("moment", WHEN)
def test_who_wakes_up_after_another_deploy_writes_nothing(
    moment: str, three: Operator, machine: Machine, sandbox: Sandbox, load: Trickle, book: Book, broken_checkout: Path
) -> None:
    # It would write another credential, other units and perhaps another release.
    sleeper = prepare(moment, three, machine, broken_checkout, load)
    struck = Struck(sleeper, HUBLAB_CONCURRENCY=f"{next(CONCURRENCY)}", **with_any_credential(sandbox, STALE))
    struck.until(*MOMENTS[moment])
    struck.suspend()
    change = {"HUBLAB_CONCURRENCY": f"{next(CONCURRENCY)}"}
    try:
        # Another person, who knows nothing of it: waits for the lease and the step, takes the lock over, goes on.
        other = Operator(three.env_file.with_name("another"), three.settings).deploy(**change)
        assert other.status == 0, other.text
        assert "its owner is gone; taken over" in other.text
        before, lines = everything(machine), len(audit(machine))
    finally:
        struck.resume()
    result = struck.end()
    assert result.status != 0
    assert "the lock is no longer ours" in result.text, result.text
    assert sorted(set(everything(machine).splitlines()) ^ set(before.splitlines())) == []
    assert len(audit(machine)) == lines
    found = machine.ssh(f"grep -rlF '{STALE}' /etc /opt/hublab /var/lib/hublab /run", check=False).stdout
    assert found == ""
    assert left_behind(machine) == ""
    following = converges(three, machine, sandbox, **change)
    outcome = f"ended with status {result.status}: it had lost the lock, and wrote nothing over the other deploy's"
    book.add(f"the operator is suspended while another deploys: {moment}", outcome, following, told(load.finish()))
