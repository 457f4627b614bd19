"""`python -m deploy.coolify list | adopt`: what Coolify has; a stock worker is replaced. Told by the environment."""

from __future__ import annotations

import os
import sys
from dataclasses import replace

from deploy import env_file
from deploy.coolify.adopt import Adoption
from deploy.coolify.client import Client
from deploy.coolify.errors import CoolifyError, RolloutError
from deploy.coolify.ledger import LockError
from deploy.coolify.prefect import Prefect
from deploy.env_values import APPLICATION, COOLIFY
from deploy.fleet.connect import USAGE
from deploy.hosts_file import Target
from deploy.onhost.common import counted
from deploy.rollout.activate import whoami
from deploy.settings import Settings, SettingsError, coolify_of, load, worker_host
from deploy.table import render

FAULTS = (CoolifyError, RolloutError, LockError, OSError, ValueError)


def say(text: str) -> None:
    """One line to the operator."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def listed(client: Client) -> int:
    """Every server and what runs on it."""
    version, rows = client.version(), []
    for server in client.servers():
        state = "reachable" if server.is_reachable and server.is_usable else "NOT reachable"
        rows.append((f"{server.name} ({server.ip})", "server", state, server.uuid))
        rows += [(f"  {item.name}", item.type, item.status, item.uuid) for item in client.resources(server.uuid)]
    say(f"Coolify {version} at {client.url}")
    say(render(("name", "type", "status", "uuid"), rows))
    return 0


def adopt(client: Client, settings: Settings) -> int:
    """Replaces the worker of APP; with --list, says what it would do."""
    uuid, by = (os.environ.get(name, "").removeprefix(COOLIFY) for name in ("APP", "BY"))
    for name, value in {"UUID": uuid, "--by": by or uuid}.items():
        if not APPLICATION.fullmatch(f"{COOLIFY}{value}"):
            sys.stderr.write(
                f"{name}: {value!r} is not the uuid of an application; `./hublab coolify list` shows them\n"
            )
            return USAGE
    if uuid == by:
        said = f"--by: {by} is the old one itself; name the application that takes its place, or leave it out"
        sys.stderr.write(f"{said}\n")
        return USAGE
    wanted = replace(worker_host(settings, Target(f"{COOLIFY}{uuid}", "", 0)), coolify=settings.coolify)
    adoption = Adoption(wanted, client, Prefect(wanted.api_access()), say)
    found = adoption.find()
    say(f"{found.app.name or uuid} ({found.app.build_pack}, {found.app.status}), as far as can be seen:")
    for fault in found.faults or ("no fault can be seen",):
        say(f"  {fault}")
    runs = counted(len(found.runs), "run", "runs")
    say(f"  its worker: {found.worker or 'nameless'}; {runs} in flight will be waited for")
    say("plan: a new application beside it is deployed and gated; the pool's queues are paused until its runs have")
    say("      ended; then it is stopped, and the queues are open again. Nothing is deleted")
    if os.environ.get("LIST"):
        return 0
    new = adoption.run(found, whoami(), by)
    say(f"done. Put {COOLIFY}{new} into HUBLAB_HOSTS of {settings.source}, and run `./hublab status`")
    return 0


def main(arguments: list[str]) -> int:
    """0; 1 with the reason; 2 where the settings are wrong."""
    try:
        # The uuids for HUBLAB_HOSTS are found by the list, so that it asks for none.
        settings = load() if arguments == ["adopt"] else None
        where = coolify_of(env_file.decide())
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return USAGE
    try:
        with Client(where.url, where.token) as client:
            return adopt(client, settings) if settings else listed(client)
    except FAULTS as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
