"""What is tested, and with which credentials: read from the operator's own `.env`."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dotenv import dotenv_values

from e2e.errors import RefusedError
from e2e.outside.mailbox import place

if TYPE_CHECKING:
    from collections.abc import Mapping

CHECKOUT = Path(__file__).resolve().parent.parent
_MAILBOX = re.compile(r"[^@\s+]+@[^@\s+]+\.[^@\s+]+\Z")
SECRETS = ("WEBHOOK_SECRET", "NOTION_TOKEN", "RESEND_API_KEY")
DATABASES = ("NOTION_EMAIL_TEMPLATES_DB_ID", "NOTION_EMAIL_SEQUENCE_DB_ID")
NEEDED = {
    "TESTING_ADDRESS": "the one address that may receive mail",
    "FUNNEL_URL": "the public page with the assessment",
    "HUBLAB_PUBLIC_URL": "where the webhooks are reached",
    "PREFECT_API_URL": "Prefect's API",
    "HUBLAB_SENDER": 'who mails come from, as "Name <address>"',
    **dict.fromkeys(SECRETS, "as in .env.example"),
    **dict.fromkeys(DATABASES, "as in .env.example"),
}
DEFAULTS = {"HUBLAB_NOTION_URL": "https://api.notion.com", "HUBLAB_RESEND_URL": "https://api.resend.com"}


@dataclass(frozen=True)
class Target:
    """Where everything is. Prints without its values, since secrets are among them.

    Attributes:
        values: The `.env`.
        against: `sandbox` or `production`.
        source: The file.
    """

    values: Mapping[str, str] = field(repr=False)
    against: str
    source: Path

    def __getitem__(self, key: str) -> str:
        """A value; empty when it is not set."""
        return self.values.get(key) or DEFAULTS.get(key, "")

    @property
    def mailbox(self) -> str:
        """The one address that may receive mail, in lower case."""
        return self["TESTING_ADDRESS"].lower()

    def address(self, tag: str) -> str:
        """An address of that mailbox: each sequence of each run has its own, since an address enters once."""
        name, _, domain = self.mailbox.partition("@")
        return f"{name}+{tag}@{domain}"

    def blocks(self) -> dict[str, str]:
        """What Prefect's Secret blocks must hold if the workers are to use what this file names; by block name."""
        return {key.lower().replace("_", "-"): self[key] for key in (*SECRETS, *DATABASES)}

    def is_mailbox(self, address: str) -> bool:
        """Whether a mail to an address ends in the one mailbox."""
        name, _, domain = address.lower().rpartition("@")
        return f"{name.partition('+')[0]}@{domain}" == self.mailbox


def find(environ: Mapping[str, str], root: Path = CHECKOUT) -> tuple[Path, bool]:
    """The file that names what is tested, and whether it is a sandbox's: by the deploy's own decision.

    Raises:
        RefusedError: a `.env` is there that cannot be read.
    """
    if named := environ.get("HUBLAB_ENV_FILE"):
        return Path(named), False
    command = [sys.executable, "-m", "deploy.fleet", "where", str(root)]
    done = subprocess.run(command, cwd=CHECKOUT, env=dict(environ), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RefusedError(done.stderr.strip().splitlines())
    found = done.stdout.strip()
    return (Path(found), False) if found else (root / ".sandbox" / "env", True)


def load(path: Path, against: str) -> Target:
    """Read a `.env`.

    Raises:
        RefusedError: keys that are missing or wrong, all of them at once.
    """
    if not path.is_file():
        raise RefusedError([f"{path}: there is no such file; copy .env.example to .env and fill it in"])
    values = {key: value for key, value in dotenv_values(path, interpolate=False).items() if value}
    wrong = [f"{key}: not set: {what}; add it to {path.name}" for key, what in NEEDED.items() if key not in values]
    given = values.get("TESTING_ADDRESS", "")
    if given and not _MAILBOX.match(given):
        wrong.append(f"TESTING_ADDRESS: {given!r} is not one plain address without a +tag; correct it")
    try:
        if "TESTING_MAILBOX" in values:
            place(values["TESTING_MAILBOX"])
    except ValueError as error:  # never with its value, which has a password
        wrong.append(f"TESTING_MAILBOX: {error}; correct it in {path.name}")
    wrong += [
        f"{key}: {values[key]!r} is not an http(s) address; correct it in {path.name}"
        for key in ("FUNNEL_URL", "HUBLAB_PUBLIC_URL", "PREFECT_API_URL")
        if key in values and not values[key].startswith(("https://", "http://"))
    ]
    if wrong:
        raise RefusedError(wrong)
    return Target(values, against, path)
