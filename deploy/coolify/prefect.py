"""Prefect's server, asked from the operator's machine: a container of Coolify's runs no program for us."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from deploy.onhost.api_facts import is_cloud, is_open
from deploy.onhost.prefect_api import ApiError, paged, request, server_now

if TYPE_CHECKING:
    from datetime import datetime

    from deploy.onhost.prefect_api import Access

HTTP_NOT_FOUND, HTTP_BUSY = 404, 503
PAUSES_SECONDS = (0.5, 1.0, 2.0, 4.0)


class Prefect:
    """One server, by address and credential. Every call raises OSError where it does not answer."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def ask(self, path: str, body: Any = None, method: str | None = None) -> Any:
        """One question; put again while the server's database is busy, which has done nothing then."""
        for pause in PAUSES_SECONDS:
            try:
                return request(self._access, path, body, method)
            except ApiError as error:
                if error.status != HTTP_BUSY:
                    raise
            time.sleep(pause)
        return request(self._access, path, body, method)

    def find(self, path: str, body: Any = None) -> Any:
        """The same for what may not be there: None then."""
        try:
            return self.ask(path, body)
        except ApiError as error:
            if error.status == HTTP_NOT_FOUND:
                return None
            raise

    def pages(self, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
        """A filter's answer, all pages; nothing where what the path names is not there."""
        return paged(lambda part: self.find(path, body | part) or [])

    def now(self) -> datetime:
        """The clock by which it dates things."""
        return server_now(self._access)

    def is_open(self) -> bool:
        """Whether it answers without any credential."""
        return is_open(self._access)

    def version(self) -> str:
        """Its version; empty for Prefect Cloud, which says none.

        Raises:
            ApiError: it says none, so it is none of Prefect's.
        """
        if is_cloud(self._access):
            return ""
        answer = self.ask("/admin/version")
        if not isinstance(answer, str):
            raise ApiError(None, "answers /admin/version with no version: it is not Prefect's")
        return answer
