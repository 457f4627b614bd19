"""Reads single values of a `.env`: each either usable, or a fault that names key, value and remedy."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from deploy.coolify.access import Coolify
from deploy.env_file import hint
from deploy.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Neither begins as an option does, nor has a sign of a shell's.
USER = r"[A-Za-z0-9_][A-Za-z0-9._-]*"
HOST = re.compile(
    rf"(?:(?P<user>{USER})@)?(?P<host>[A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9a-fA-F:]+\])(?::(?P<port>\d{{1,5}}))?"
)
# The worker's own rule for the names of pools, queues and workers: what it refuses at start is refused here.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
# A server's ends in /api; Prefect Cloud's goes on with the account and the workspace.
WORKSPACE = r"/accounts/[0-9a-fA-F-]{1,36}/workspaces/[0-9a-fA-F-]{1,36}"
URL = re.compile(rf"https?://[A-Za-z0-9.:\[\]_-]+(?:/[A-Za-z0-9._~/-]*)?/api(?:{WORKSPACE})?")
# An application of Coolify's among the hosts; a host that is called so has a port of digits behind it.
COOLIFY = "coolify:"
APPLICATION = re.compile(r"coolify:(?!\d{1,5}$)[a-z0-9-]{8,64}")
COOLIFY_URL = re.compile(r"https?://[A-Za-z0-9.:\[\]_-]+(?:/[A-Za-z0-9._~/-]*)?")
IMAGE = re.compile(r"([a-z0-9][a-zA-Z0-9._:/-]*):([A-Za-z0-9_][A-Za-z0-9._-]{0,127})")
READ_PATH = re.compile(r"/[A-Za-z0-9._/-]+")
HIDDEN = ("/root", "/home", "/etc", "/proc", "/sys")
# Where programs lie, and what the system and the deploy keep: no place for flows to write.
KEPT = (*HIDDEN, "/bin", "/boot", "/dev", "/lib", "/lib64", "/opt/hublab", "/run", "/sbin", "/usr", "/var/lib/hublab")
LONGEST_SECRET = 4096
HIGHEST_PORT = 65_535


@dataclass
class Reader:
    """The values of one file, the faults found so far, what is only to be warned of, and the keys asked for."""

    values: Mapping[str, str]
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    asked: set[str] = field(default_factory=set)

    def fault(self, key: str, value: str, remedy: str) -> None:
        """Notes that a value is not usable."""
        self.faults.append(f"{key}: {value[:80]!r} {remedy}")

    def raw(self, key: str) -> str:
        """The value as written, without the space around it."""
        self.asked.add(key)
        return self.values.get(key, "").strip()

    def text(self, key: str, default: str, pattern: re.Pattern[str], remedy: str) -> str:
        """A value that fits a pattern from end to end."""
        value = self.raw(key) or default
        if not pattern.fullmatch(value):
            self.fault(key, value, remedy)
        return value

    def number(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number within bounds."""
        value = self.raw(key) or str(default)
        digits = value.isascii() and value.isdecimal() and len(value) <= len(str(high))
        if not digits or not low <= int(value) <= high:
            self.fault(key, value, f"is not a whole number from {low} to {high}")
            return default
        return int(value)

    def secret(self, key: str) -> Secret | None:
        """A credential; its faults never show it."""
        value = self.raw(key)
        if not value.isprintable() or len(value) > LONGEST_SECRET:
            self.faults.append(
                f"{key}: not one line of at most {LONGEST_SECRET} characters. Put the bare credential there."
            )
        return Secret(value) if value else None

    def file(self, key: str) -> str | None:
        """A file of this machine."""
        value = self.raw(key)
        try:
            there = not value or Path(value).expanduser().is_file()
        except (OSError, RuntimeError, ValueError):
            there = False
        if not there:
            self.fault(key, value, "is not a file on this machine; correct the path, or leave it out")
        return value or None

    def names(self, key: str, default: str) -> tuple[str, ...]:
        """Names of work queues, separated by commas."""
        found = tuple(dict.fromkeys(part.strip() for part in (self.raw(key) or default).split(",") if part.strip()))
        if not found:
            self.fault(key, self.raw(key), "names nothing; leave it out, or name at least one queue")
        for name in found:
            if not NAME.fullmatch(name) or name.startswith("probe-"):
                self.fault(
                    key,
                    name,
                    "is not a queue's name: letters, digits, '.', '_', '-', at most 63; probe-* is the gate's",
                )
        return found

    def choices(self, key: str, known: Sequence[str]) -> tuple[str, ...]:
        """Words of a list, separated by commas; in the list's own order, so that another order is no change."""
        found = [part.strip() for part in self.raw(key).split(",") if part.strip()]
        for word in found:
            if word not in known:
                self.fault(key, word, f"is none of the words that it takes; {hint(word, known)}")
        return tuple(word for word in known if word in found)

    def networks(self, key: str) -> tuple[str, ...]:
        """Networks, as an address or in CIDR notation; or the one word `any`."""
        found: list[str] = []
        for part in filter(None, (part.strip() for part in self.raw(key).split(","))):
            try:
                found.append(part if part == "any" else str(ipaddress.ip_network(part)))
            except ValueError as error:
                self.fault(key, part, f"is neither a network such as 10.1.0.0/16 nor `any` ({error})")
        return tuple(dict.fromkeys(found))

    def folders(self, key: str, hidden: Sequence[str] = HIDDEN) -> tuple[str, ...]:
        """Folders of the host that flows may read, or write, beside the release and their own."""
        paths = tuple(part.strip() for part in self.raw(key).split(",") if part.strip())
        for path in paths:
            plain = READ_PATH.fullmatch(path) and path == posixpath.normpath(path)
            if not plain or any(_overlap(path, name) for name in hidden):
                self.fault(key, path, f"is not a plain absolute path outside {', '.join(hidden)}")
        return paths

    def hosts(self, key: str) -> tuple[tuple[str, str, int], ...]:
        """Address, user and port of each host; an empty user or 0 where they are not named."""
        targets: dict[str, tuple[str, str, int]] = {}
        for part in filter(None, (part.strip() for part in self.raw(key).split(","))):
            target = (part, "", 0) if APPLICATION.fullmatch(part) else _ssh_target(part)
            if target is None:
                ours = part.startswith(COOLIFY)
                kind = f"{COOLIFY}<uuid>, as `./hublab coolify list` shows it" if ours else "[user@]host[:port]"
                self.fault(key, part, f"is not {kind}")
                continue
            if target[0] in targets:
                self.fault(key, part, "is named twice")
            targets[target[0]] = target
        if not targets and not any(fault.startswith(key) for fault in self.faults):
            self.faults.append(f"{key}: missing. Name at least one host, as [user@]host[:port], separated by commas.")
        return tuple(targets.values())

    def api_url(self, key: str) -> str:
        """The URL of Prefect's API, without a credential in it."""
        url = self.raw(key).rstrip("/")
        if not url:
            self.faults.append(f"{key}: missing. Give the server's API, such as https://prefect.example.com/api.")
        elif "@" in url:
            # Not shown: what stands before the sign is a credential.
            self.faults.append(f"{key}: carries a password. Move it to PREFECT_API_AUTH_STRING; URLs end up in logs.")
        elif not URL.fullmatch(url) or not _has_valid_port(url):
            self.fault(key, url, "is not a URL that ends in /api, such as https://prefect.example.com/api")
        return url

    def coolify(self, *, needed: bool) -> Coolify | None:
        """Where Coolify is and its token: both or none, and both where HUBLAB_HOSTS names an application of it."""
        url, token = self._coolify_url("HUBLAB_COOLIFY_URL"), self.secret("HUBLAB_COOLIFY_TOKEN")
        image = self._image("HUBLAB_COOLIFY_IMAGE")
        if (needed or token) and not self.raw("HUBLAB_COOLIFY_URL"):
            self.faults.append(
                "HUBLAB_COOLIFY_URL: missing. Give Coolify's address, such as https://coolify.example.com."
            )
        if (needed or url) and not token:
            self.faults.append(
                "HUBLAB_COOLIFY_TOKEN: missing. Make one in Coolify under Keys & Tokens > API tokens, "
                "with the abilities read, write and deploy."
            )
        return Coolify(url, token, image) if url and token else None

    def _image(self, key: str) -> tuple[str, str]:
        """An image's name, its registry before it, and its tag, which is the id of a release."""
        value = self.raw(key)
        match = IMAGE.fullmatch(value)
        if value and not match:
            self.fault(
                key, value, "is not registry/name:tag; the tag is the release's id, as `./hublab image` prints it"
            )
        return (match[1], match[2]) if match else ("", "")

    def _coolify_url(self, key: str) -> str:
        """Coolify's address, without a credential in it, and without the path of its API."""
        url = self.raw(key).rstrip("/").removesuffix("/api/v1").rstrip("/")
        if "@" in url:
            self.faults.append(f"{key}: carries a credential. The token belongs in HUBLAB_COOLIFY_TOKEN.")
        elif url and not (COOLIFY_URL.fullmatch(url) and _has_valid_port(url)):
            self.fault(key, url, "is not an address such as https://coolify.example.com")
        return url


def _ssh_target(text: str) -> tuple[str, str, int] | None:
    """Address, user and port; an empty user or 0 where they are not named. None for what is no host."""
    match = HOST.fullmatch(text)
    if not match or (match["port"] and not 0 < int(match["port"]) <= HIGHEST_PORT):
        return None
    return match["host"].strip("[]"), match["user"] or "", int(match["port"] or 0)


def _overlap(one: str, other: str) -> bool:
    """Whether one of two folders holds the other, or they are the same."""
    return posixpath.commonpath((one, other)) in (one, other)


def _has_valid_port(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False
