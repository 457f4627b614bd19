"""What a container of Coolify's gets as its environment, and which values would not arrive as they are. Pure."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from deploy.coolify.answers import MARK
from deploy.secret import Secret

KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A comment is read by whoever may read the application, so a guess at a secret must cost something.
COST = {"n": 2**14, "r": 8, "p": 1, "dklen": 16}


@dataclass(frozen=True)
class Entry:
    """One variable. A secret is shown once, that is never again, and is compared by a digest in its comment."""

    key: str
    value: Secret
    secret: bool = False

    @classmethod
    def plain(cls, key: str, value: object) -> Entry:
        """One that is no secret."""
        return cls(key, Secret(str(value)))

    def body(self, *, preview: bool = False) -> dict[str, Any]:
        """What Coolify is asked to keep: literal, so that `$` and quotes stay; never an argument of a build."""
        return {
            "key": self.key,
            "value": self.value.reveal(),
            "is_preview": preview,
            "is_literal": True,
            "is_multiline": False,
            "is_shown_once": self.secret,
            "is_runtime": True,
            "is_buildtime": False,
            "comment": self.mark(),
        }

    def mark(self, salt: str = "") -> str:
        """A comment by which the value is known again, though Coolify does not show it."""
        salt = salt or secrets.token_hex(8)
        return f"{MARK}{salt}:{_digest(self.value, salt, dear=self.secret)}"

    def is_marked(self, comment: str) -> bool:
        """Whether a comment was made for this value."""
        salt = comment.removeprefix(MARK).partition(":")[0]
        return comment.startswith(MARK) and bool(salt) and secrets.compare_digest(self.mark(salt), comment)


@lru_cache(64)
def _digest(value: Secret, salt: str, *, dear: bool) -> str:
    text = value.reveal().encode()
    return (hashlib.scrypt(text, salt=salt.encode(), **COST) if dear else hashlib.sha256(text).digest()).hex()


def fault(entry: Entry) -> str:
    """Why a value would not reach the container as it is, without showing it; empty when it does."""
    value = entry.value.reveal()
    if not KEY.fullmatch(entry.key):
        return f"{entry.key!r}: is not a variable's name; write letters, digits and _, and no digit first"
    if "'" in value:
        return f"{entry.key}: has a single quote, which breaks Coolify's deployment; choose a value without one"
    if value.endswith("\\"):
        return f"{entry.key}: has a backslash at its end, which swallows the quote after it; choose another"
    if not value.isprintable():
        return f"{entry.key}: has a line break or a control character, which Coolify does not keep; put it on one line"
    if value != value.strip() or not value:
        return f"{entry.key}: is empty, or begins or ends with a blank, which Coolify cuts off; take it away"
    return ""
