"""Every link and every picture of every mail, fetched as its reader's programs would: none may lead nowhere."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

from e2e import reading

if TYPE_CHECKING:
    from e2e.contract import Terms
    from e2e.letter import Letter
    from e2e.record import Record

_SECONDS = 20
_AT_ONCE = 4
# What a site answers to programs that it does not know; that something is there, it says all the same.
_GUARDED = frozenset({401, 403, 429})
_SHOWN = 120


def fetch(record: Record, terms: Terms) -> None:
    """Fetch all of it, each address once; what is wrong becomes a problem of each mail that has it.

    What leads to a host that is not on the list is not fetched: that it does is a problem already.
    """
    wanted = {id(mail): _wanted(letter, terms) for mail in record.mails if (letter := mail.received or mail.letter)}
    addresses = dict.fromkeys(one for found in wanted.values() for one in found)
    with (
        httpx.Client(timeout=_SECONDS, follow_redirects=True, trust_env=False) as client,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):
        wrong = dict(zip(addresses, pool.map(partial(_wrong, client), addresses), strict=True))
    for mail in record.mails:
        mail.problems += [text for one in wanted.get(id(mail), ()) if (text := wrong[one])]


def _wanted(letter: Letter, terms: Terms) -> dict[tuple[str, bool], None]:
    """Each address that can be fetched, with whether it must be a picture."""
    links = [*reading.links(letter.html), *reading.links_of_text(letter.text)]
    found = [*((one, False) for one in links), *((one, True) for one in reading.pictures(letter.html))]
    return dict.fromkeys(pair for pair in found if _fetched(pair[0], terms))


def _fetched(address: str, terms: Terms) -> bool:
    try:
        parts = urlsplit(address)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and (parts.hostname or "") in terms.hosts


def _wrong(client: httpx.Client, wanted: tuple[str, bool]) -> str:
    """What is wrong with an address; empty when nothing is. A GET changes nothing, also of what unsubscribes."""
    address, picture = wanted
    what = f"Its {'picture' if picture else 'link'} {address[:_SHOWN]}"
    try:
        with client.stream("GET", address) as answer:
            kind = answer.headers.get("content-type", "")
            if answer.status_code >= httpx.codes.BAD_REQUEST and answer.status_code not in _GUARDED:
                return f"{what} answers {answer.status_code}."
            return f"{what} is no picture but {kind or 'nothing'}." if picture and not kind.startswith("image/") else ""
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return f"{what} is not reached ({type(error).__name__})."
