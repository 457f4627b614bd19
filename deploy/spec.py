"""What is wanted on one host. Pure data: paths, names and the settings that concern that host."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from deploy import variables
from deploy.onhost.prefect_api import Access
from deploy.onhost.wire import PLACES

if TYPE_CHECKING:
    from deploy.coolify.access import Coolify
    from deploy.secret import Secret
    from deploy.variables import Variables
    from deploy.webhooks import Webhooks

BASE = str(PLACES.base)
RELEASES = f"{BASE}/releases"
CURRENT = f"{BASE}/current"
WHEELS = f"{BASE}/wheels"
# The interpreters that a deploy brought, one folder each, `3.12.16-1f2e3d4c5b`.
PYTHON = f"{BASE}/python"
# The versions that a release can be built for, the preferred first; `auto` is the first of them that is there.
PYTHONS = ("3.12", "3.13")
AUTO = "auto"
# Where no interpreter of a release can be: the workers' sandbox hides them.
HIDDEN = ("/root", "/home")
# The empty folder that a worker sees as its root.
ROOT_FOLDER = f"{BASE}/root"
CONFIG = str(PLACES.config)
# The root-only files that become credentials of the units, each by its own name.
SECRETS = PROFILES, ENVIRONMENT, WEBHOOK_SECRETS = tuple(map(str, PLACES.secrets))
STATE = str(PLACES.state)
LOCK = str(PLACES.lock)
UNITS = str(PLACES.units)
# The group of all workers, by which an operator gives them a folder; releases up to 0.1 ran as the user of that name.
USER = "hublab"
WEBHOOKS_USER = f"{USER}-webhooks"
UNIT = "prefect-worker@"
WEBHOOKS_UNIT = "hublab-webhooks.service"
# What the deploy looks at and puts right.
PATHS = (*SECRETS, CONFIG, STATE, BASE, RELEASES, ROOT_FOLDER)


@dataclass(frozen=True, kw_only=True)
class Workers:
    """What each host may have otherwise than the others: its workers. Times in seconds."""

    workers: int = 3
    work_pool: str = "default"
    work_queues: tuple[str, ...] = ("default",)
    concurrency: int = 4
    drain_seconds: int = 900
    gate_seconds: int = 180
    memory_max: str = "4G"
    python: str = AUTO
    read_paths: tuple[str, ...] = ()
    write_paths: tuple[str, ...] = ()
    allow_networks: tuple[str, ...] = ()
    allow_listen: bool = False
    allow: tuple[str, ...] = ()
    environment: Variables = ()

    def of_workers(self) -> dict[str, Any]:
        """These alone, by their names, of whatever else there is."""
        return {field.name: getattr(self, field.name) for field in fields(Workers)}


@dataclass(frozen=True)
class WorkerHost(Workers):
    """One host of the inventory and all that is wanted there. Times in seconds.

    `application`: the uuid of what is an application of Coolify's, and no host that SSH reaches; else empty.
    `exposed`: files with secrets that others on the operator's machine can read, in words. `env_file`: where all of it
    was read, as a remedy names it.
    """

    address: str
    wheels: str
    api_url: str
    auth_string: Secret | None
    api_key: Secret | None
    canary_seconds: int = 0
    webhooks: Webhooks | None = None
    preflight: bool = False
    application: str = ""
    coolify: Coolify | None = None
    campaign_queues: tuple[str, ...] = ()
    testing: bool = False
    exposed: tuple[str, ...] = ()
    env_file: str = ".env"

    @property
    def queues(self) -> tuple[str, ...]:
        """All that its workers poll. One that is paused is in the way of a deploy, but not the campaign's."""
        return tuple(dict.fromkeys((*self.work_queues, *self.campaign_queues)))

    def users(self) -> tuple[str, ...]:
        """The system users that are wanted there."""
        workers = (worker_user(number) for number in range(1, self.workers + 1))
        return (USER, *workers, *((WEBHOOKS_USER,) if self.webhooks else ()))

    def secret_files(self) -> dict[str, str]:
        """Every root-only file on the host, with its content."""
        files = {PROFILES: self.profiles(), ENVIRONMENT: variables.document(self.environment)}
        if self.webhooks:
            files[WEBHOOK_SECRETS] = self.webhooks.document()
        return files

    def api_access(self) -> Access:
        """What an on-host program needs to speak to the server; travels on its standard input."""
        auth, key = self.auth_string, self.api_key
        return Access(self.api_url, auth.reveal() if auth else "", key.reveal() if key else "")

    def profiles(self) -> str:
        """The Prefect profile that carries the credential; becomes a root-only file on the host."""
        lines = ['active = "hublab"', "[profiles.hublab]", f"PREFECT_API_URL = {toml_string(self.api_url)}"]
        if self.auth_string:
            lines.append(f"PREFECT_API_AUTH_STRING = {toml_string(self.auth_string.reveal())}")
        if self.api_key:
            lines.append(f"PREFECT_API_KEY = {toml_string(self.api_key.reveal())}")
        return "\n".join(lines) + "\n"


def unit_name(number: int) -> str:
    """The systemd unit of one worker, counted from 1."""
    return f"{UNIT}{number}.service"


def worker_user(number: int) -> str:
    """The system user of one worker, counted from 1."""
    return f"{USER}-worker-{number}"


def owns_drop_in(path: str) -> bool:
    """Whether a drop-in is for our units alone: the deploy moves it aside. One for all services is not its own."""
    return path.split("/")[-2].startswith((UNIT, f"{WEBHOOKS_UNIT}.d"))


def worker_name(hostname: str, number: int) -> str:
    """The worker's name at the Prefect server: unique as long as host names are."""
    return f"{hostname}-{number}"


def toml_string(value: str) -> str:
    """A TOML basic string. JSON's escapes are TOML's, but for surrogate pairs and the delete character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
