"""HUBLAB_PREFLIGHT=required: a deploy is refused, before anything is changed, while the campaign is not ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.hosts.conftest import main_pids
from tests.hosts.test_5_rollback import audit

if TYPE_CHECKING:
    from sandbox import Machine
    from sandbox.operator import Operator

UNITS = "sha256sum /etc/systemd/system/prefect-worker@*.service; readlink /opt/hublab/current; ls /opt/hublab/releases"


def test_a_deploy_is_refused_with_every_row_and_changes_nothing(deployed: Operator, machine: Machine) -> None:
    pids, units, deploys = main_pids(machine), machine.ssh(UNITS).stdout, len(audit(machine))
    # There is something to do, and nobody has run `campaign secrets` or `campaign register` at this server.
    result = deployed.deploy(HUBLAB_CONCURRENCY="7", HUBLAB_PREFLIGHT="required")
    assert result.status != 0
    assert "HUBLAB_PREFLIGHT: required, and the campaign is not ready" in result.text
    assert f"HUBLAB_PREFLIGHT=off in {deployed.env_file} deploys without it" in result.text
    assert f"add NOTION_TOKEN to {deployed.env_file}, `./hublab campaign secrets`" in result.text
    assert "christmas-send-email/christmas-send-email" in result.text
    assert main_pids(machine) == pids
    assert machine.ssh(UNITS).stdout == units
    assert len(audit(machine)) == deploys
    assert deployed.deploy(HUBLAB_PREFLIGHT="off").status == 0
