"""What the operator asked for: `.env`, read and validated, or an error that names key, value and remedy."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from deploy import campaigns, env_file, hosts_file, variables, webhooks
from deploy.env_file import CAMPAIGN_PREFIXES, ROOT, SettingsError
from deploy.env_values import COOLIFY, KEPT, NAME, Reader
from deploy.hosts_file import Target
from deploy.onhost.api_facts import ON
from deploy.release import requirements
from deploy.service.allowances import ALLOWANCES
from deploy.spec import AUTO, WorkerHost, Workers

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deploy.coolify.access import Coolify
    from deploy.secret import Secret

__all__ = ["ROOT", "Settings", "SettingsError", "Target", "find_env_file", "load", "parse"]

# The campaign's own keys live in the same file; `flows` checks their values.
CAMPAIGN_KEYS = (
    "HUBLAB_SENDER",
    "HUBLAB_REPLY_TO",
    "HUBLAB_PUBLIC_URL",
    "HUBLAB_CALENDLY_LINK",
    "HUBLAB_PORTAL_URL",
    "HUBLAB_NOTION_URL",
    "HUBLAB_RESEND_URL",
    "HUBLAB_NOTION_LAG_SECONDS",
    "HUBLAB_RETRY_SECONDS",
    "HUBLAB_TEMPLATE_SECONDS",
    "HUBLAB_RESEND_WINDOW_HOURS",
    "HUBLAB_CAMPAIGN_QUEUE",
    "HUBLAB_NOTION_PER_MINUTE",
    "HUBLAB_RESEND_PER_SECOND",
    "HUBLAB_TESTING_MINUTE_SECONDS",
    "TESTING_ADDRESS",
    "HUBLAB_TIMEZONE",
    "HUBLAB_ALERT_MINUTES",
)
PYTHON = re.compile(r"auto|3\.1[23](\.\d{1,3})?|/[A-Za-z0-9._/+-]+")
QUEUE = re.compile(r"(?!probe-)[A-Za-z0-9][A-Za-z0-9._-]{0,49}")
WHEELS = re.compile(r"push|index")
YES_OR_NO = re.compile(r"yes|no")
PREFLIGHT = re.compile(r"off|required")
MEMORY = re.compile(r"[1-9]\d{0,5}[MG]")


@dataclass(frozen=True)
class Settings(Workers):
    """All of `.env` that concerns the deploy, and of `hosts.toml` beside it. Times in seconds.

    `own`: what a host has otherwise than all others, by its address. `exposed`: which of the files that others on this
    machine can read, in words.
    """

    source: Path
    hosts: tuple[Target, ...]
    api_url: str
    auth_string: Secret | None = None
    api_key: Secret | None = None
    ssh_key: str | None = None
    ssh_known_hosts: str | None = None
    campaign_queues: tuple[str, ...] = ()
    testing: bool = False
    canary_seconds: int = 0
    wheels: str = "push"
    webhooks: Mapping[str, webhooks.Webhooks] = field(default_factory=dict)
    preflight: bool = False
    coolify: Coolify | None = None
    own: Mapping[str, Workers] = field(default_factory=dict)
    exposed: tuple[str, ...] = ()

    def of(self, target: Target) -> Workers:
        """What is wanted of one host's workers."""
        return self.own.get(target.address, self)

    @property
    def ssh_hosts(self) -> tuple[Target, ...]:
        """The hosts that SSH reaches."""
        return tuple(target for target in self.hosts if not target.application)


def find_env_file(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> Path:
    """The file that names the hosts (see `env_file.decide`), the sandbox's own included.

    Raises:
        SettingsError: there is none, or it cannot be read.
    """
    if found := env_file.decide(root, environ) or env_file.sandbox_file(root):
        return found
    raise SettingsError(
        "No host to deploy to: .env names none and no sandbox is up. "
        "Copy .env.example to .env and fill in HUBLAB_HOSTS, or run `./hublab deploy`, which boots a sandbox."
    )


def load(path: Path | None = None) -> Settings:
    """Reads and validates one file; environment variables never override it, so that the file is the plan.

    Raises:
        SettingsError: with every fault found, one a line.
    """
    source = path or find_env_file()
    found = parse(env_file.read(source), source, hosts_file.read(source.with_name(hosts_file.NAME)))
    return replace(found, exposed=(*env_file.exposed(source), *found.exposed))


def coolify_of(path: Path | None) -> Coolify:
    """Where Coolify is, by a file that need not say anything else yet, or need not be there.

    Raises:
        SettingsError: it does not say that.
    """
    read = Reader({key: value or "" for key, value in (env_file.read(path) if path else {}).items()})
    found = read.coolify(needed=True)
    if found is None or read.faults:
        name = path.name if path else ".env"
        raise SettingsError("\n".join(f"{name}: {fault}" for fault in read.faults))
    return found


def parse(values: Mapping[str, str | None], source: Path, tables: hosts_file.Tables | None = None) -> Settings:
    """Pure: the mapping of a `.env`, and the tables of a `hosts.toml`, to `Settings`.

    Raises:
        SettingsError: with every fault found, one a line.
    """
    tables = tables or {}
    read = Reader({key: value or "" for key, value in values.items()})
    if not read.raw("HUBLAB_HOSTS"):
        read.values = {**read.values, "HUBLAB_HOSTS": ",".join(map(hosts_file.named, tables))}
    read.faults += [
        f"{key}: a line without a value. Write {key}=value, or remove it." for key in values if values[key] is None
    ]
    auth, key = read.secret("PREFECT_API_AUTH_STRING"), read.secret("PREFECT_API_KEY")
    if auth and key:
        read.faults.append(
            "PREFECT_API_KEY: set together with PREFECT_API_AUTH_STRING. Keep the one that the server asks for."
        )
    if auth and ":" not in auth.reveal():
        read.faults.append("PREFECT_API_AUTH_STRING: has no colon. The server expects user:password.")
    for named, look in ((campaigns.KEY, campaigns.files), (requirements.KEY, requirements.added)):
        try:
            look(environ={named: read.raw(named), "HUBLAB_ENV_FILE": os.devnull})
        except SettingsError as fault:
            read.faults += str(fault).splitlines()
    hosts = tuple(
        hosts_file.reached(Target(*host), tables.get(host[0], {}), read) for host in read.hosts("HUBLAB_HOSTS")
    )
    served = webhooks.read(read, [host.address for host in hosts])
    hosts += tuple(Target(address) for address in served if address.startswith(COOLIFY))
    settings = Settings(
        source=source,
        hosts=hosts,
        api_url=read.api_url("PREFECT_API_URL"),
        auth_string=auth,
        api_key=key,
        ssh_key=read.file("HUBLAB_SSH_KEY"),
        ssh_known_hosts=read.file("HUBLAB_SSH_KNOWN_HOSTS"),
        **of_workers(read).of_workers(),
        canary_seconds=read.number("HUBLAB_CANARY_SECONDS", 0, 0, 86_400),
        campaign_queues=campaigns.queues(
            read.text("HUBLAB_CAMPAIGN_QUEUE", "campaign", QUEUE, "is not a name: letters, digits, '.', '_' and '-'")
        ),
        testing=read.raw("TESTING_MODE").lower() in ON,
        own=hosts_file.own(tables, [host.address for host in hosts], read, of_workers),
        exposed=tuple(dict.fromkeys(read.warnings)),
        wheels=read.text("HUBLAB_WHEELS", "push", WHEELS, "is neither push nor index"),
        webhooks=served,
        preflight=read.text("HUBLAB_PREFLIGHT", "off", PREFLIGHT, "is neither off nor required") == "required",
        coolify=read.coolify(needed=any(host.application for host in hosts)),
    )
    _refuse_unknown(read)
    if read.faults:
        theirs = f"{hosts_file.NAME}: "
        said = (fault if fault.startswith(theirs) else f"{source.name}: {fault}" for fault in read.faults)
        raise SettingsError("\n".join(said))
    return settings


def of_workers(read: Reader) -> Workers:
    """What a host's workers are, by one reading of the keys."""
    return Workers(
        workers=read.number("HUBLAB_WORKERS", 3, 1, 64),
        work_pool=read.text("HUBLAB_WORK_POOL", "default", NAME, "is not a name: letters, digits, '.', '_' and '-'"),
        work_queues=read.names("HUBLAB_WORK_QUEUES", "default"),
        concurrency=read.number("HUBLAB_CONCURRENCY", 4, 1, 100),
        drain_seconds=read.number("HUBLAB_DRAIN_SECONDS", 900, 1, 86_400),
        gate_seconds=read.number("HUBLAB_GATE_SECONDS", 180, 10, 3_600),
        memory_max=read.text("HUBLAB_MEMORY_MAX", "4G", MEMORY, "is not a size such as 512M or 4G"),
        python=read.text(
            "HUBLAB_PYTHON",
            AUTO,
            PYTHON,
            "is neither auto, 3.12, 3.13, a version such as 3.12.16 nor an absolute path",
        ),
        read_paths=read.folders("HUBLAB_READ_PATHS"),
        write_paths=read.folders("HUBLAB_WRITE_PATHS", hidden=KEPT),
        allow_networks=(networks := read.networks("HUBLAB_ALLOW_NETWORKS")),
        allow_listen=read.text("HUBLAB_ALLOW_LISTEN", "no", YES_OR_NO, "is neither yes nor no") == "yes"
        or "any" in networks,
        allow=read.choices("HUBLAB_ALLOW", tuple(ALLOWANCES)),
        environment=variables.read(read),
    )


def _refuse_unknown(read: Reader) -> None:
    """What nobody has asked for. Its value is not shown: it may be a credential under a misspelt name."""
    known = sorted({*read.asked, *CAMPAIGN_KEYS})
    for key in read.values:
        if key in known or key.startswith(CAMPAIGN_PREFIXES):
            continue
        near = difflib.get_close_matches(key.upper(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "remove it; .env.example lists the keys."
        read.faults.append(f"{key}: unknown key; {hint}")


def worker_host(settings: Settings, target: Target) -> WorkerHost:
    """The part of the settings that concerns one host."""
    own = settings.of(target)
    campaigns = own.work_pool == settings.work_pool  # it is in the pool that `.env` names
    return WorkerHost(
        **own.of_workers(),
        address=target.address,
        wheels=settings.wheels,
        api_url=settings.api_url,
        auth_string=settings.auth_string,
        api_key=settings.api_key,
        canary_seconds=settings.canary_seconds,
        webhooks=settings.webhooks.get(target.address),
        campaign_queues=settings.campaign_queues if campaigns else (),
        testing=settings.testing,
        preflight=settings.preflight and campaigns,
        application=target.application,
        coolify=settings.coolify if target.application else None,
        exposed=settings.exposed,
        env_file=env_file.shown(settings.source),
    )
