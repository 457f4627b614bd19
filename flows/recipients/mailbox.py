"""Which addresses reach the same person: the mailbox behind an address. Pure.

Used to find who has left, so that in doubt two addresses are one: a mail too few is better than one to who has left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flows.campaigns.model import normalised
from flows.campaigns.values import line

if TYPE_CHECKING:
    from collections.abc import Iterable

# Other names of the same provider's mailboxes.
ALIASES = {"googlemail.com": "gmail.com", "protonmail.com": "proton.me", "pm.me": "proton.me"}
# Providers to whom a dot in the local part means nothing.
DOTLESS = frozenset({"gmail.com", "proton.me"})
# So many letters tell contacts apart well enough, and their writings with dots fit into a filter: 64, of 100.
LETTERS = 7
FEW = 3  # and so many, where many mailboxes are asked for at once: 4 writings each
ASCII = "xn--"  # how a part of a domain begins that is written in other letters than its own
# Resend's domain for tests, where each +label is a mailbox of its own.
LABELS_COUNT = frozenset({"resend.dev"})
# Domains whose mailboxes belong to people who know nothing of each other: nobody is counted by them.
SHARED_DOMAINS = LABELS_COUNT | {
    *("gmail.com", "proton.me", "outlook.com", "hotmail.com", "hotmail.ca", "live.com", "live.ca", "msn.com"),
    *(
        "yahoo.com",
        "yahoo.ca",
        "ymail.com",
        "icloud.com",
        "me.com",
        "mac.com",
        "aol.com",
        "gmx.com",
        "gmx.de",
        "web.de",
    ),
    *("rogers.com", "bell.net", "sympatico.ca", "shaw.ca", "telus.net", "videotron.ca", "comcast.net", "att.net"),
}


def mailbox(email: str) -> str:
    """The mailbox behind an address: lower case, without its +tag, without dots where the provider ignores them.

    A person's address is as it was pasted: with a name before it, or with what nothing shows.
    """
    local, _, domain = normalised(line(email).rpartition("<")[2].rstrip("> ")).rpartition("@")
    domain = _shown(domain.rstrip("."))
    domain = ALIASES.get(domain, domain)
    if domain not in LABELS_COUNT:
        local = local.partition("+")[0] or local
    if domain in DOTLESS:
        local = local.replace(".", "")
    return f"{local}@{domain}"


def former(email: str) -> str:
    """As earlier releases had it of an address whose domain was written in ASCII and has a letter such as `ß`."""
    local, _, domain = mailbox(email).rpartition("@")
    return f"{local}@{_ascii(domain)}"


def conditions(email: str) -> dict[str, Any]:
    """A filter for Notion that finds every page of a mailbox, and others: which, `mailbox` of their addresses tells."""
    local, _, domain = mailbox(email).rpartition("@")
    domains = {domain, *(one for one, real in ALIASES.items() if real == domain)}
    domains |= {_ascii(one) for one in domains}
    anyway = [{"property": "Email", "email": {"contains": f"@{one}"}} for one in sorted(domains)]
    begins = _written(local[:LETTERS]) if domain in DOTLESS else [local]
    first = [{"property": "Email", "email": {"starts_with": one}} for one in begins]
    return {"and": [{"or": first}, {"or": anyway}]}


def beginnings(emails: Iterable[str]) -> list[str]:
    """How every address of these mailboxes begins, and others do: which is whose, `mailbox` tells."""
    found = set[str]()
    for email in emails:
        local, _, domain = mailbox(email).rpartition("@")
        found |= set(_written(local[:FEW])) if domain in DOTLESS else {f"{local}@", f"{local}+"}
    return sorted(found)


def _written(letters: str) -> list[str]:
    """Letters with and without a dot between each two."""
    found = [letters[:1]]
    for letter in letters[1:]:
        found = [f"{one}{dot}{letter}" for one in found for dot in ("", ".")]
    return found


def _shown(domain: str) -> str:
    """A domain in its own letters, as an enrolment has it, where it is written in ASCII (`xn--…`)."""
    return ".".join(map(_letters, domain.split(".")))


def _letters(label: str) -> str:
    # Not by Python's codec `idna`, which knows no `ß`: the standard of 2003 wrote it as `ss`.
    if not label.startswith(ASCII):
        return label
    try:
        return label.removeprefix(ASCII).encode("ascii").decode("punycode") or label
    except UnicodeError:
        return label


def _ascii(domain: str) -> str:
    """A domain as programs write it."""
    labels = domain.split(".")
    return ".".join(one if one.isascii() else ASCII + one.encode("punycode").decode() for one in labels)
