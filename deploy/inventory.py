"""The hosts, for pyinfra: `pyinfra deploy/inventory.py deploy/workers.py`."""

import logging
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from pyinfra import config, logger

from deploy import interrupt
from deploy.limit import limited
from deploy.remedies import ConnectRemedies
from deploy.settings import SettingsError, load, worker_host
from deploy.ssh import connection

interrupt.end_at_once()
logger.addFilter(ConnectRemedies())
# What goes wrong with a connection is said once, by pyinfra; paramiko's thread would print its traceback before that.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
try:
    _settings = limited(load())
    _connections = {target.address: connection(_settings, target) for target in _settings.hosts}
except SettingsError as error:
    for line in str(error).splitlines():
        logger.error(line)
    sys.exit(2)

# One host that cannot be reached or prepared stops the deploy before anything is changed anywhere.
config.FAIL_PERCENT = 0
# The rollout goes host by host in one place; no host may wait for a slot in pyinfra's pool meanwhile.
config.PARALLEL = max(len(_settings.hosts), 1)

if any(target.application for target in _settings.hosts):
    from deploy.coolify import connector

    connector.register()

workers = [
    (
        f"@coolify/{target.application}" if target.application else target.address,
        {"spec": worker_host(_settings, target), **_connections[target.address]},
    )
    for target in _settings.hosts
]
