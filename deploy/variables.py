"""HUBLAB_ENVIRONMENT: variables for the flow runs of a host, from a file like `.env`. Each is taken for a secret."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from deploy import env_file
from deploy.secret import Secret

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from deploy.env_values import Reader

KEY = "HUBLAB_ENVIRONMENT"
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST = 64 * 1024  # bytes; the kernel takes twice that for one variable, and systemd a megabyte for all credentials
# They steer Prefect's client, the worker, Python, the C library, or what systemd tells a service of itself. In
# capitals: Prefect reads its settings whatever the case of their names.
PREFIXES = (
    *("PREFECT_", "HUBLAB_", "PYTHON", "LD_", "SSL_", "SSLKEYLOGFILE", "OPENSSL_", "GLIBC_", "MALLOC_", "GCONV_"),
    *("BASH_", "FSSPEC_", "SYSTEMD_", "LISTEN_", "WATCHDOG_", "NOTIFY_", "MEMORY_PRESSURE_"),
)
NAMES = (
    *("PATH", "HOME", "TMPDIR", "TMP", "TEMP", "USER", "LOGNAME", "SHELL", "PWD", "OLDPWD", "IFS", "ENV"),
    *("VIRTUAL_ENV", "LOCPATH", "NLSPATH", "TZDIR", "HOSTALIASES", "RES_OPTIONS", "LOCALDOMAIN"),
    *("CREDENTIALS_DIRECTORY", "INVOCATION_ID", "JOURNAL_STREAM", "MAINPID", "MANAGERPID", "EXIT_CODE", "EXIT_STATUS"),
    *(f"{kind}_DIRECTORY" for kind in ("STATE", "RUNTIME", "CACHE", "LOGS", "CONFIGURATION")),
)

type Variables = tuple[tuple[str, Secret], ...]


def read(reader: Reader, root: Path = env_file.ROOT) -> Variables:
    """The variables by name; what cannot be used is among the reader's faults, and its value is not shown."""
    named = reader.raw(KEY)
    if not named:
        return ()
    path = env_file.named(named, root)
    try:
        values = env_file.read(path)
    except env_file.SettingsError as error:
        reader.faults += [f"{KEY}: {fault}" for fault in str(error).splitlines()]
        return ()
    reader.warnings += [f"{KEY}: {warning}" for warning in env_file.exposed(path)]
    faults = {name: _fault(name, value) for name, value in values.items()}
    reader.faults += [f"{KEY}: {path.name}: {name}: {fault}" for name, fault in faults.items() if fault]
    return tuple(sorted((name, Secret(value)) for name, value in values.items() if value is not None))


def _fault(name: str, value: str | None) -> str:
    if not NAME.fullmatch(name):
        return "is not a variable's name; write letters, digits and _, and no digit first"
    if name.upper() in NAMES or name.upper().startswith(PREFIXES):
        return "is one that the worker, Prefect, Python or the system goes by, and no flow run is given it; take it out"
    if value is None:
        return f"a line without a value. Write {name}=value, or remove it."
    if "\0" in value or len(value.encode(errors="surrogateescape")) > LONGEST:
        return f"has a NUL in it, or is longer than {LONGEST} bytes; put it into a file that flows read"
    return ""


def document(variables: Variables) -> str:
    """The file that becomes a credential of each worker's unit."""
    return json.dumps({name: value.reveal() for name, value in variables}) + "\n"


def moves(variables: Variables, there: Mapping[str, str]) -> tuple[str, ...]:
    """Which come, change and go, by name.

    Args:
        variables: what is wanted.
        there: name → digest of what lies on the host.
    """
    wanted = {name: hashlib.sha256(value.reveal().encode()).hexdigest() for name, value in variables}
    verbs = {
        "new": [name for name in wanted if name not in there],
        "changed": [name for name in wanted if there.get(name, wanted[name]) != wanted[name]],
        "taken away": [name for name in sorted(there) if name not in wanted],
    }
    return tuple(f"{verb}: {', '.join(names)}" for verb, names in verbs.items() if names)
