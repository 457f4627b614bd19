"""Prefect's server, before a command of the operator's does anything: it is named, it answers, and it is Prefect's.

Another server may answer 200 to whatever is asked, and a command would say that it was done.
"""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, Protocol

import httpx
from prefect.client.base import ServerType
from prefect.settings import PREFECT_API_URL

from flows.campaigns.model import CampaignError
from flows.services.errors import NotionError, ResendFailedError, ServerError
from flows.services.notion_mapping import MappingError
from flows.services.prefect_api import NotRegisteredError, Prefect
from flows.services.settings import BadSettingError, MissingSettingError
from flows.services.words import env_file

if TYPE_CHECKING:
    from collections.abc import Callable

# What any of these commands may meet, and what says itself what to do.
TOLD = (
    *(CampaignError, ServerError, MissingSettingError, BadSettingError),
    *(NotRegisteredError, MappingError, NotionError),
)
REFUSED = frozenset({httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN})


class Main(Protocol):
    """A program: its arguments, those of the command line where none are given; its exit status."""

    def __call__(self, arguments: list[str] | None = None) -> int:
        """Run it."""


def needed(main: Callable[[list[str] | None], int]) -> Main:
    """A command that does nothing before `check`, and says in a line what went wrong: at a service, or in a setting."""

    @functools.wraps(main)
    def checked(arguments: list[str] | None = None) -> int:
        try:
            if not {"-h", "--help"} & set(sys.argv[1:] if arguments is None else arguments):
                check()
            return main(arguments)
        except (*TOLD, ResendFailedError) as problem:
            sys.stderr.write(f"{problem}\n")
        except httpx.TransportError as error:
            where = f"PREFECT_API_URL: {_shown()}"
            sys.stderr.write(f"{where}: nobody answers any more ({_words(error)}); what was done stays, run it again\n")
        return 1

    return checked


def check() -> None:
    """Ask the server one question that changes nothing.

    Raises:
        ServerError: PREFECT_API_URL is not set, or leads to none of Prefect's that takes this credential.
    """
    try:
        client = Prefect()
    except httpx.InvalidURL:
        remedy = f"write the server's, such as https://prefect.example.com/api, in {env_file()}"
        raise ServerError(f"PREFECT_API_URL: {_shown()!r} is no address; {remedy}") from None
    with client as prefect:
        try:
            known, status = _is_prefects(prefect.client), int(httpx.codes.OK)
        except httpx.HTTPStatusError as error:
            known, status = False, error.response.status_code
        except ValueError:  # no JSON
            known, status = False, int(httpx.codes.OK)
        except httpx.TransportError as error:
            raise ServerError(
                f"PREFECT_API_URL: {_shown()}: nobody answers ({_words(error)}); is the address right, is the server "
                "up, and may this machine reach it?"
            ) from None
    if status in REFUSED:
        raise ServerError(
            f"PREFECT_API_URL: {_shown()}: refuses the credential ({status}); set PREFECT_API_AUTH_STRING or "
            f"PREFECT_API_KEY in {env_file()}"
        )
    if not known:
        raise ServerError(
            f"PREFECT_API_URL: {_shown()}: what answers there is not Prefect's API ({status}); write the server's "
            f"address, …/api, in {env_file()}"
        )


def _is_prefects(client: Any) -> bool:
    """Whether the answer is one of Prefect's. Its Cloud, which its address tells, says no version."""
    if client.server_type == ServerType.CLOUD:
        return isinstance(client.request("POST", "/work_pools/filter", json={"limit": 1}).json(), list)
    found = client.request("GET", "/admin/version").json()
    return isinstance(found, str) and found[:1].isdecimal()


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__


def _shown() -> str:
    """The address; what stands before an @ is a credential."""
    scheme, mark, rest = str(PREFECT_API_URL.value()).partition("://")
    return f"{scheme}{mark}{rest.rpartition('@')[2]}"
