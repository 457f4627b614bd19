"""A whole Hublab on one machine: Debian hosts under systemd-nspawn, and a Prefect server on PostgreSQL.

For tests and for a first look; nothing of it is product code. By hand: ``python -m sandbox up``. From a test::

    from sandbox import Sandbox

    sandbox = Sandbox.up(hosts=2, root=tmp_path / "sandbox")
    sandbox.hosts[0].ssh("systemctl status")
    sandbox.hosts[0].kill()
    sandbox.hosts[0].boot()
    sandbox.down()
"""

from sandbox.core import Sandbox
from sandbox.errors import SandboxError
from sandbox.machine import Machine

__all__ = ["Machine", "Sandbox", "SandboxError"]
