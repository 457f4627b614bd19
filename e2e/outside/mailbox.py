"""The mailbox in which the mails must lie, read by IMAP; nothing in it is changed, not even that a mail is unread."""

from __future__ import annotations

import contextlib
import imaplib
import ipaddress
import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from e2e.errors import AwayError
from e2e.letter import received

if TYPE_CHECKING:
    from e2e.letter import Letter

_SECONDS = 30
_PORTS = {"imaps": 993, "imap": 143}
_MARGIN = timedelta(minutes=2)
_JUNK = re.compile(r"""^\([^)]*\\Junk\b[^)]*\)\s+(?:"[^"]*"|NIL)\s+(.+)$""", re.IGNORECASE)


@dataclass(frozen=True)
class Arrived:
    """A mail in the mailbox: whom it was written to, when the server took it (to the second), in which spam folder."""

    to: tuple[str, ...]
    subject: str
    at: datetime
    letter: Letter
    spam: str = ""


@dataclass(frozen=True)
class Place:
    """Where a mailbox is. Prints without its password."""

    host: str
    port: int
    user: str
    folder: str
    encrypted: bool
    password: str

    def __repr__(self) -> str:
        return f"{self.folder} of {self.user} at {self.host}:{self.port}"


def place(address: str) -> Place:
    """What `imaps://user:password@host[:port][/folder]` says. Pure.

    Raises:
        ValueError: It says something else, or would send a password in the clear to another machine; without it.
    """
    parts = urlsplit(address)
    if parts.scheme not in _PORTS or not (parts.hostname and parts.username and parts.password):
        raise ValueError("it is not imaps://user:password@host[:port][/folder]")
    if parts.scheme == "imap" and not _is_near(parts.hostname):
        raise ValueError("imap:// would send the password in the clear; write imaps://")
    return Place(
        parts.hostname,
        parts.port or _PORTS[parts.scheme],
        unquote(parts.username),
        unquote(parts.path.strip("/")) or "INBOX",
        parts.scheme == "imaps",
        unquote(parts.password),
    )


def _is_near(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Mailbox:
    """A mailbox, asked over one connection, which is made anew when it breaks."""

    def __init__(self, address: str) -> None:
        """`address` is as `place` takes it."""
        self.place = place(address)
        self._imap: imaplib.IMAP4 | None = None
        self._known: dict[tuple[str, str, bytes], Arrived] = {}

    def since(self, began: datetime, tag: str) -> list[Arrived]:
        """What arrived since a moment for addresses with a tag, the oldest first; spam folders are looked into as well.

        Raises:
            AwayError: The server does not answer, or says no.
        """
        try:
            imap = self._opened()
            found = [one for folder in self._folders(imap) for one in self._in(imap, folder, began - _MARGIN, tag)]
        except (imaplib.IMAP4.error, OSError) as error:
            self.close()
            raise AwayError(f"the mailbox {self.place}: {type(error).__name__}: {error}") from None
        return sorted((one for one in found if one.at >= began - _MARGIN), key=lambda one: one.at)

    def ping(self) -> None:
        """Log in, and open the folder. Raises AwayError."""
        self.since(datetime.now(UTC), "nobody")

    def close(self) -> None:
        """End the connection."""
        if self._imap:
            with contextlib.suppress(imaplib.IMAP4.error, OSError):
                self._imap.logout()
        self._imap = None

    def _opened(self) -> imaplib.IMAP4:
        if self._imap is None:
            kind = imaplib.IMAP4_SSL if self.place.encrypted else imaplib.IMAP4
            self._imap = kind(self.place.host, self.place.port, timeout=_SECONDS)
            self._imap.login(self.place.user, self.place.password)
        return self._imap

    def _folders(self, imap: imaplib.IMAP4) -> list[str]:
        _, lines = imap.list()
        told = [line.decode(errors="replace") for line in lines if isinstance(line, bytes)]
        return [self.place.folder, *(found[1].strip('"') for line in told if (found := _JUNK.match(line)))]

    def _in(self, imap: imaplib.IMAP4, folder: str, since: datetime, tag: str) -> list[Arrived]:
        status, said = imap.select(f'"{folder}"', readonly=True)
        if status != "OK":
            raise imaplib.IMAP4.error(f"{folder}: {said[0]!r}")
        _, (validity, *_) = imap.response("UIDVALIDITY")
        # Days are those of the server's own clock: one more is asked for, and what is too old left out afterwards.
        day = imaplib.Time2Internaldate((since - timedelta(days=1)).timestamp())[1:12].strip()
        _, (uids, *_) = imap.uid("SEARCH", "SINCE", day, "TO", f'"{tag}"')
        return [self._one(imap, folder, str(validity), uid) for uid in (uids or b"").split()]

    def _one(self, imap: imaplib.IMAP4, folder: str, validity: str, uid: bytes) -> Arrived:
        key = (folder, validity, uid)
        if key not in self._known:
            _, (answer, *_) = imap.uid("FETCH", uid.decode(), "(INTERNALDATE BODY.PEEK[])")
            if not isinstance(answer, tuple):
                raise imaplib.IMAP4.error(f"{folder}: no mail {uid!r}")
            spam = "" if folder == self.place.folder else folder
            self._known[key] = parsed(answer[0], answer[1], spam)
        return self._known[key]


def parsed(head: bytes, original: bytes, spam: str = "") -> Arrived:
    """A mail as IMAP answers it (`1 (UID 1 INTERNALDATE "…" BODY[] {…}`), as this module shows it. Pure."""
    local = imaplib.Internaldate2tuple(head)
    if local is None:
        raise imaplib.IMAP4.error("a mail without INTERNALDATE")
    letter = received(original)
    at = datetime.fromtimestamp(time.mktime(local), UTC)
    return Arrived(tuple(one.lower() for one in letter.to), letter.subject, at, letter, spam)
