"""`.env`: the one parser of it, and the one decision between the hosts that it names and a sandbox."""

from __future__ import annotations

import difflib
import io
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv.parser import parse_stream

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
# The campaign's own keys; a file that has no other speaks of no host.
CAMPAIGN_PREFIXES = (
    "NOTION_",
    "RESEND_",
    "TESTING_",
    "WEBHOOK_",
    "CALENDLY_",
    "CALCOM_",
    "CAMPAIGN_",
    "FUNNEL_",
    "UNSUBSCRIBE_",
    "ALERT_",
    "HEARTBEAT_",
)
FAULTS_SHOWN = 10
_OTHERS_WRITE, _OTHERS_READ = stat.S_IWGRP | stat.S_IWOTH, stat.S_IRGRP | stat.S_IROTH


class SettingsError(ValueError):
    """One or more settings are wrong; the message has a line for each, with key, value and remedy."""


def shown(path: Path, root: Path = ROOT) -> str:
    """A file as one types its name in the checkout: `.env`, or the sandbox's `.sandbox/campaign.env`."""
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def named(value: str, root: Path = ROOT) -> Path:
    """The path that a setting names: of the root, unless it is absolute or a home's."""
    return root / os.path.expanduser(value)  # noqa: PTH111 - pathlib's own raises where there is no such home


def hint(word: str, known: Sequence[str]) -> str:
    """What is proposed in the place of a word that nobody knows: the one that it resembles, else all."""
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are: {', '.join(known)}."


def read(path: Path) -> dict[str, str | None]:
    """Key → value, as written; None for a key without a value. Nothing of the environment gets in.

    Raises:
        SettingsError: it cannot be read, others can write it, a line is not KEY=value, or a key stands there twice; a
            line is named by its number alone, since a credential may be on it.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig") if stat.S_ISREG(path.stat().st_mode) else None
    except (OSError, ValueError) as error:  # no UTF-8, or a path with a NUL in it
        raise SettingsError(f"{path}: cannot be read ({error}). It must be a text file in UTF-8.") from error
    if text is None:
        raise SettingsError(f"{path}: cannot be read. It must be a text file in UTF-8.")
    refuse_writable(path)
    values: dict[str, str | None] = {}
    lines: dict[str, list[int]] = {}
    faults = []
    for found in parse_stream(io.StringIO(text, newline=None)):
        line = found.original.line + _blank_lines(found.original.string)
        if found.error:
            faults.append(f"line {line}: is not KEY=value. Check its quotes, or put a # before it.")
        elif found.key is not None:
            values[found.key] = found.value
            lines.setdefault(found.key, []).append(line)
    for key, places in lines.items():
        if len(places) > 1:
            faults.append(f"{key}: stands there twice, on lines {', '.join(map(str, places))}. Keep one of them.")
    if faults:
        raise SettingsError("\n".join(f"{path.name}: {fault}" for fault in faults[:FAULTS_SHOWN]))
    return values


def refuse_writable(path: Path) -> None:
    """A file that steers a deploy is its operator's alone to write.

    Raises:
        SettingsError: it is not, by its mode.
    """
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS_WRITE:
        raise SettingsError(
            f"{path}: mode {mode:04o}: its group or everybody can write to it, and so decide what is done to the hosts "
            f"-> chmod 600 {path}"
        )


def exposed(path: Path) -> tuple[str, ...]:
    """That others on this machine can read it, as ssh minds it of a key; for what keeps no deploy from its work."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if not mode & _OTHERS_READ:
        return ()
    who = f"mode {mode:04o}: others on this machine can read it, and the secrets in it"
    return (f"{path}: {who} -> chmod 600 {path}",)


def _blank_lines(text: str) -> int:
    """How many blank lines the parser took for the beginning of a binding."""
    return text[: len(text) - len(text.lstrip())].count("\n")


def asked(key: str, root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> str:
    """What the environment says of a key, else the file that decides, else the sandbox's; where there is one.

    Raises:
        SettingsError: the file cannot be read.
    """
    if value := environ.get(key, "").strip():
        return value
    named = environ.get("HUBLAB_ENV_FILE")
    file = Path(named) if named else decide(root, environ) or sandbox_file(root)
    return (read(file).get(key) or "").strip() if file and file.is_file() else ""


def decide(root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> Path | None:
    """The file that names the hosts: `HUBLAB_ENV_FILE`, else a `.env` that is there; None for the sandbox.

    A `.env` with nothing but the campaign's keys leaves it to the sandbox. One that cannot be read, or that says
    anything else, decides: a misspelt HUBLAB_HOSTS shall be refused, not be taken for its absence.

    Raises:
        SettingsError: the file that decides is not there, or cannot be read.
    """
    if named := environ.get("HUBLAB_ENV_FILE"):
        if Path(named).is_file():
            return Path(named)
        raise SettingsError(f"HUBLAB_ENV_FILE: {named} is not a file. Unset it, or name a file like .env.example.")
    env = root / ".env"
    if not os.path.lexists(env) or all(key.startswith(CAMPAIGN_PREFIXES) for key in read(env)):
        return None
    return env


def sandbox_file(root: Path = ROOT) -> Path | None:
    """What the sandbox of this checkout says of its hosts, with the campaign that it has; None when it is not up.

    Raises:
        SettingsError: it is another user's.
    """
    folder = root / ".sandbox"
    try:
        return next((file for name in ("campaign.env", "env") if (file := folder / name).is_file()), None)
    except PermissionError as error:
        raise SettingsError(
            f"{folder}: is root's alone ({error.strerror}). Use sudo, or name hosts in .env."
        ) from error
