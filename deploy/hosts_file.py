"""`hosts.toml`, beside the `.env` that decides: what one host has otherwise than all others.

A table for each host, by its address as in HUBLAB_HOSTS; where that is left out, the tables are the hosts. Its keys are
those of `.env` in small letters, without `HUBLAB_`: `workers = 6`, `work_queues = ["mails"]`; and `user`, `port` and
`ssh_key`, where ssh_config does not say them.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deploy.env_file import SettingsError, hint, refuse_writable
from deploy.env_values import COOLIFY, HIGHEST_PORT, USER, Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from deploy.spec import Workers

    type Table = Mapping[str, Any]
    type Tables = Mapping[str, Table]

NAME = "hosts.toml"
OF_WORKERS = (
    *("workers", "work_pool", "work_queues", "concurrency", "drain_seconds", "gate_seconds", "memory_max", "python"),
    *("read_paths", "write_paths", "allow_networks", "allow_listen", "allow", "environment"),
)
# What no container gets from here.
OF_UNITS = ("allow", "environment")
NO_USER_OR = re.compile(rf"(?:{USER})?")
MAY_BE_EMPTY = ("read_paths", "write_paths", "allow_networks", "allow", "environment")
OF_SSH = ("user", "port", "ssh_key")


@dataclass(frozen=True)
class Target:
    """One host as SSH sees it, or an application of Coolify's by its uuid: `coolify:<uuid>`.

    No user or port: as ssh_config says, else root and 22.
    """

    address: str
    user: str = ""
    port: int = 0
    ssh_key: str | None = None

    @property
    def application(self) -> str:
        """Its uuid at Coolify; empty for a host."""
        return self.address.removeprefix(COOLIFY) if self.address.startswith(COOLIFY) else ""


def read(path: Path) -> Tables:
    """The tables; none where there is no such file.

    Raises:
        SettingsError: it cannot be read, others can write it, it is no TOML, or has something else than tables.
    """
    try:
        found = tomllib.loads(path.read_text("utf-8-sig")) if path.exists() else {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error}). It must be a text file in UTF-8.") from error
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(
            f'{path.name}: is not TOML ({error}). A host\'s table begins with ["its address"].'
        ) from error
    if path.exists():
        refuse_writable(path)
    for address, table in found.items():
        if not isinstance(table, dict):
            raise SettingsError(
                f"{path.name}: {address}: stands before the first host. Keys are those of a host's table."
            )
        if (whole := _whole(address, table)) != address:
            raise SettingsError(
                f"{path.name}: [{whole}]: TOML reads this as a table within the table {address}. An address with dots "
                f'stands in quotes: ["{whole}"]'
            )
    return found


def _whole(name: str, table: Table) -> str:
    """A table's name with those of the tables in it: no host's key has one."""
    inner = next((key for key, value in table.items() if isinstance(value, dict)), None)
    return name if inner is None else _whole(f"{name}.{inner}", table[inner])


def named(address: str) -> str:
    """A table's name in the words of HUBLAB_HOSTS."""
    return f"[{address}]" if ":" in address and not address.startswith("coolify:") else address


def reached(target: Target, table: Table, said: Reader) -> Target:
    """The host with the user, port and key that its table has; what HUBLAB_HOSTS says of it counts before them."""
    read = _reader(table, OF_SSH, Reader({}))
    user = read.text("HUBLAB_USER", "", NO_USER_OR, "is no user's name")
    port = read.number("HUBLAB_PORT", 0, 0, HIGHEST_PORT)
    key = read.file("HUBLAB_SSH_KEY")
    said.faults += _told(target.address, table, read)
    return replace(target, user=target.user or user, port=target.port or port, ssh_key=key)


def own(
    tables: Tables, addresses: Sequence[str], said: Reader, of_workers: Callable[[Reader], Workers]
) -> dict[str, Workers]:
    """What each host that has a table is to have, by its address; faults go to those of `said`."""
    found = {}
    for address, table in tables.items():
        if address not in addresses:
            said.faults.append(f"{NAME}: {address!r} is no host of HUBLAB_HOSTS; {hint(address, addresses)}")
        for key in table.keys() - {*OF_WORKERS, *OF_SSH}:
            near = hint(key.lower().removeprefix("hublab_"), OF_WORKERS + OF_SSH)
            said.faults.append(f"{NAME}: {address}: {key}: unknown key; {near}")
        for key in OF_UNITS if address.startswith(COOLIFY) else ():
            if key in table:
                said.faults.append(
                    f"{NAME}: {address}: {key}: does nothing for an application of Coolify's; set it there, not here"
                )
        read = _reader(table, OF_WORKERS, said)
        found[address] = of_workers(read)
        said.faults += _told(address, table, read)
        said.warnings += read.warnings
    return found


def _reader(table: Table, keys: Sequence[str], said: Reader) -> Reader:
    """What `.env` says, with a host's own values over it, each as `.env` would have it."""
    read = Reader(said.values)
    values = {}
    for key, value in ((key, value) for key, value in table.items() if key in keys):
        parts = value if isinstance(value, list) else [value]
        words = ["yes" if part is True else "no" if part is False else str(part) for part in parts]
        if not all(isinstance(part, str | int) for part in parts):
            read.fault(_key(key), str(value), "is neither a text, a number, true or false, nor a list of texts")
        elif not any(words) and key not in MAY_BE_EMPTY:
            read.fault(_key(key), ",".join(words), "is empty; leave it out, and what .env says holds")
        else:
            values[_key(key)] = ",".join(words)
    read.values = {**read.values, **values}
    return read


def _told(address: str, table: Table, read: Reader) -> list[str]:
    """A host's faults, by the keys of its table; what is wrong in `.env` is said of `.env`."""
    faults = [
        (fault.partition(":")[0].removeprefix("HUBLAB_").lower(), fault.partition(":")[2]) for fault in read.faults
    ]
    return [f"{NAME}: {address}: {key}:{words}" for key, words in faults if key in table]


def _key(key: str) -> str:
    return f"HUBLAB_{key.upper()}"
