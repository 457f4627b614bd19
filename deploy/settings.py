"""What the operator asked for: `.env`, read and validated, or an error that names key, value and remedy."""

from __future__ import annotations

import difflib
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from dotenv import dotenv_values

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).resolve().parent.parent
SANDBOX_ENV = ROOT / ".sandbox" / "env"
# The campaign's own keys live in the same file; `flows/settings.py` checks those.
CAMPAIGN_PREFIXES = ("NOTION_", "RESEND_", "TESTING_", "WEBHOOK_", "CALENDLY_", "CAMPAIGN_", "FUNNEL_")
KNOWN_KEYS = (
    "HUBLAB_HOSTS",
    "HUBLAB_SSH_KEY",
    "HUBLAB_SSH_KNOWN_HOSTS",
    "HUBLAB_WORKERS",
    "HUBLAB_WORK_POOL",
    "HUBLAB_WORK_QUEUES",
    "HUBLAB_CONCURRENCY",
    "HUBLAB_DRAIN_SECONDS",
    "HUBLAB_GATE_SECONDS",
    "HUBLAB_MEMORY_MAX",
    "HUBLAB_PYTHON",
    "HUBLAB_READ_PATHS",
    "HUBLAB_WHEELS",
    "PREFECT_API_URL",
    "PREFECT_API_AUTH_STRING",
    "PREFECT_API_KEY",
)
HOST = re.compile(
    r"^(?:(?P<user>[a-z_][a-z0-9_-]*)@)?(?P<host>[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9a-fA-F:]+\])(?::(?P<port>\d+))?$"
)
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9 ._-]*$")
READ_PATH = re.compile(r"^/[A-Za-z0-9._/-]+$")
MEMORY = re.compile(r"^[1-9]\d*[MG]$")


class SettingsError(ValueError):
    """One or more settings are wrong; the message has a line for each, with key, value and remedy."""


class Secret:
    """A value that shows itself to nobody by accident: `repr`, `str` and `format` give `***`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The value itself, for the one place that writes it down."""
        return self._value

    def __repr__(self) -> str:
        return "***"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self._value

    def __hash__(self) -> int:
        return hash(self._value)


@dataclass(frozen=True)
class Target:
    """One host as SSH sees it."""

    address: str
    user: str = "root"
    port: int = 22


@dataclass(frozen=True)
class Settings:
    """All of `.env` that concerns the deploy. Times in seconds."""

    source: Path
    hosts: tuple[Target, ...]
    api_url: str
    auth_string: Secret | None = None
    api_key: Secret | None = None
    ssh_key: str | None = None
    ssh_known_hosts: str = "~/.ssh/known_hosts"
    workers: int = 3
    work_pool: str = "default"
    work_queues: tuple[str, ...] = ("default",)
    concurrency: int = 4
    drain_seconds: int = 900
    gate_seconds: int = 180
    memory_max: str = "4G"
    python: str = "3.12"
    read_paths: tuple[str, ...] = ()
    wheels: str = "push"


def find_env_file(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> Path:
    """The file that decides: `HUBLAB_ENV_FILE`, else a `.env` that speaks of hosts, else the sandbox's own.

    Raises:
        SettingsError: when none of them is there.
    """
    if named := environ.get("HUBLAB_ENV_FILE"):
        if Path(named).is_file():
            return Path(named)
        raise SettingsError(f"HUBLAB_ENV_FILE: {named} is not a file. Unset it, or name a file like .env.example.")
    env = root / ".env"
    if env.is_file() and any(key.startswith("HUBLAB_") for key in dotenv_values(env)):
        return env
    sandbox = root / ".sandbox" / "env"
    if sandbox.is_file():
        return sandbox
    raise SettingsError(
        "No host to deploy to: .env names none and no sandbox is up. "
        "Copy .env.example to .env and fill in HUBLAB_HOSTS, or run `make deploy`, which boots a sandbox."
    )


def load(path: Path | None = None) -> Settings:
    """Reads and validates one file; environment variables never override it, so that the file is the plan.

    Raises:
        SettingsError: with every fault found, one a line.
    """
    source = path or find_env_file()
    return parse({key: value or "" for key, value in dotenv_values(source, interpolate=False).items()}, source)


@dataclass
class _Reader:
    values: Mapping[str, str]
    faults: list[str] = field(default_factory=list)

    def fault(self, key: str, value: str, remedy: str) -> None:
        self.faults.append(f"{key}: {value!r} {remedy}")

    def text(self, key: str, default: str, pattern: re.Pattern[str], remedy: str) -> str:
        value = self.values.get(key, "").strip() or default
        if not pattern.match(value):
            self.fault(key, value, remedy)
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        value = self.values.get(key, "").strip() or str(default)
        if not value.isdecimal() or not low <= int(value) <= high:
            self.fault(key, value, f"is not a whole number from {low} to {high}")
            return default
        return int(value)

    def secret(self, key: str) -> Secret | None:
        value = self.values.get(key, "").strip()
        if "\n" in value or len(value) > 4096:  # noqa: PLR2004
            self.faults.append(f"{key}: more than one line, or over 4096 characters. Put the bare credential there.")
        return Secret(value) if value else None

    def file(self, key: str) -> str | None:
        value = self.values.get(key, "").strip()
        if value and not Path(value).expanduser().is_file():
            self.fault(key, value, "is not a file on this machine")
        return value or None


def parse(values: Mapping[str, str], source: Path) -> Settings:
    """Pure: the mapping of a `.env` to `Settings`.

    Raises:
        SettingsError: with every fault found, one a line.
    """
    read = _Reader(values)
    _refuse_unknown(read)
    auth, key = read.secret("PREFECT_API_AUTH_STRING"), read.secret("PREFECT_API_KEY")
    if auth and key:
        read.faults.append(
            "PREFECT_API_KEY: set together with PREFECT_API_AUTH_STRING. Keep the one that the server asks for."
        )
    if auth and ":" not in auth.reveal():
        read.faults.append("PREFECT_API_AUTH_STRING: has no colon. The server expects user:password.")
    queues = read.values.get("HUBLAB_WORK_QUEUES", "").strip() or "default"
    settings = Settings(
        source=source,
        hosts=_hosts(read),
        api_url=_api_url(read),
        auth_string=auth,
        api_key=key,
        ssh_key=read.file("HUBLAB_SSH_KEY"),
        ssh_known_hosts=read.file("HUBLAB_SSH_KNOWN_HOSTS") or "~/.ssh/known_hosts",
        workers=read.number("HUBLAB_WORKERS", 3, 1, 64),
        work_pool=read.text("HUBLAB_WORK_POOL", "default", NAME, "is not a work pool's name"),
        work_queues=tuple(dict.fromkeys(part.strip() for part in queues.split(",") if part.strip())),
        concurrency=read.number("HUBLAB_CONCURRENCY", 4, 1, 100),
        drain_seconds=read.number("HUBLAB_DRAIN_SECONDS", 900, 1, 86_400),
        gate_seconds=read.number("HUBLAB_GATE_SECONDS", 180, 10, 3_600),
        memory_max=read.text("HUBLAB_MEMORY_MAX", "4G", MEMORY, "is not a size such as 512M or 4G"),
        python=read.text(
            "HUBLAB_PYTHON", "3.12", re.compile(r"^(3\.1[23]|/.+)$"), "is neither 3.12, 3.13 nor an absolute path"
        ),
        read_paths=_read_paths(read),
        wheels=read.text("HUBLAB_WHEELS", "push", re.compile(r"^(push|index)$"), "is neither push nor index"),
    )
    for queue in settings.work_queues:
        if not NAME.match(queue) or queue.startswith("probe-"):
            read.fault(
                "HUBLAB_WORK_QUEUES", queue, "is not a queue's name (names that start with probe- are the gate's)"
            )
    if read.faults:
        raise SettingsError("\n".join(f"{source.name}: {fault}" for fault in read.faults))
    return settings


def _refuse_unknown(read: _Reader) -> None:
    for key, value in read.values.items():
        if key in KNOWN_KEYS or key.startswith(CAMPAIGN_PREFIXES):
            continue
        near = difflib.get_close_matches(key, KNOWN_KEYS, n=1)
        hint = f"did you mean {near[0]}?" if near else "remove it; .env.example lists the keys."
        shown = "***" if any(word in key for word in ("AUTH", "KEY", "TOKEN", "SECRET", "PASSWORD")) else repr(value)
        read.faults.append(f"{key}: unknown key (value {shown}); {hint}")


def _read_paths(read: _Reader) -> tuple[str, ...]:
    """Folders of the host, beside the release, that flows may read: code that deployments of before lie in."""
    paths = [part.strip() for part in read.values.get("HUBLAB_READ_PATHS", "").split(",") if part.strip()]
    for path in paths:
        if not READ_PATH.match(path) or path.startswith(("/root", "/home", "/etc", "/proc", "/sys")):
            read.fault("HUBLAB_READ_PATHS", path, "is not an absolute path outside /root, /home, /etc, /proc and /sys")
    return tuple(paths)


def _hosts(read: _Reader) -> tuple[Target, ...]:
    raw = read.values.get("HUBLAB_HOSTS", "").strip()
    if not raw:
        read.faults.append("HUBLAB_HOSTS: missing. Name at least one host, as [user@]host[:port], separated by commas.")
    targets: dict[str, Target] = {}
    for part in filter(None, (part.strip() for part in raw.split(","))):
        match = HOST.match(part)
        port = int(match["port"] or 22) if match else 0
        if not match or not 0 < port < 65_536:  # noqa: PLR2004
            read.fault("HUBLAB_HOSTS", part, "is not [user@]host[:port]")
            continue
        address = match["host"].strip("[]")
        if address in targets:
            read.fault("HUBLAB_HOSTS", part, "is named twice")
        targets[address] = Target(address, match["user"] or "root", port)
    return tuple(targets.values())


def _api_url(read: _Reader) -> str:
    url = read.values.get("PREFECT_API_URL", "").strip().rstrip("/")
    if not url:
        read.faults.append("PREFECT_API_URL: missing. Give the server's API, such as https://prefect.example.com/api.")
        return ""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not parts.path.endswith("/api"):
        read.fault("PREFECT_API_URL", url, "is not a URL that ends in /api, such as https://prefect.example.com/api")
    if parts.username or parts.password:
        read.faults.append(
            "PREFECT_API_URL: carries a password. Move it to PREFECT_API_AUTH_STRING; URLs end up in logs."
        )
    return url
