"""A small client for the few questions that a gate asks of Prefect's API, without the cost of importing Prefect."""

from __future__ import annotations

import contextlib
import time
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Self

import httpx

if TYPE_CHECKING:
    from worker.connection import Connection

_PAUSE_SECONDS = 0.5
_PAGE = 200
_CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"  # OpenSSL's word; httpx has no error of its own for it
_UNTRUSTED = ": its certificate is not trusted; where your own authority has signed it, set HUBLAB_ALLOW=ca"


class ApiError(Exception):
    """The API refused, or did not answer in time. The text says which request and what came of it."""


class Rest:
    """Requests that are repeated while the API is away or overloaded, until the deadline."""

    def __init__(self, connection: Connection, timeout_seconds: float) -> None:
        """Everything asked of this client together may take `timeout_seconds`."""
        self._http = httpx.Client(
            base_url=connection.url, headers=dict(connection.headers), verify=connection.verify(), timeout=15
        )
        self._deadline = time.monotonic() + timeout_seconds
        self._clock_ahead = timedelta(0)

    def __enter__(self) -> Self:
        """Use the connection."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the connection."""
        self._http.close()

    @property
    def seconds_left(self) -> float:
        """Until the deadline."""
        return max(0.0, self._deadline - time.monotonic())

    def server_time(self, here: datetime) -> datetime:
        """The server's clock (to the second) at the instant that this host's clock showed `here`."""
        return here + self._clock_ahead

    def get(self, path: str) -> Any:
        """Read. None when it is not there."""
        return self._ask("GET", path)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Write, or read by a filter. None when what the path names is not there."""
        return self._ask("POST", path, body)

    def pages(self, path: str, body: dict[str, Any]) -> list[Any]:
        """Read by a filter, all pages."""
        found: list[Any] = []
        while page := self.post(path, {**body, "limit": _PAGE, "offset": len(found)}):
            found += page
            if len(page) < _PAGE:
                break
        return found

    def try_post(self, path: str, body: dict[str, Any]) -> None:
        """Write once, past the deadline too, for what is good to have and not worth failing for."""
        with contextlib.suppress(httpx.HTTPError):
            self._http.post(path, json=body, timeout=5)

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        problem = "was not asked"
        while self.seconds_left:
            try:
                response = self._http.request(method, path, json=body, timeout=min(15.0, self.seconds_left + 1))
            except httpx.TransportError as error:
                problem = f"unreachable ({type(error).__name__}{_UNTRUSTED if _CERTIFICATE in str(error) else ''})"
            else:
                self._set_clock(response)
                if response.status_code == httpx.codes.NOT_FOUND:
                    return None
                if response.is_success or response.status_code == httpx.codes.CONFLICT:
                    return response.json()
                problem = f"answers {response.status_code}"
                if response.status_code == httpx.codes.FORBIDDEN and "CSRF" in response.text:
                    self._fetch_csrf_token()
                elif response.is_client_error and response.status_code not in {408, 429}:
                    raise ApiError(
                        f"{method} {self._http.base_url}{path.lstrip('/')}: {problem}: {response.text[:300]}"
                    )
            time.sleep(min(_PAUSE_SECONDS, self.seconds_left))
        raise ApiError(f"{method} {self._http.base_url}{path.lstrip('/')}: {problem}; gave up at the time limit")

    def _set_clock(self, response: httpx.Response) -> None:
        if stamp := response.headers.get("date"):
            self._clock_ahead = parsedate_to_datetime(stamp).astimezone(UTC) - datetime.now(UTC).replace(microsecond=0)

    def _fetch_csrf_token(self) -> None:
        client = self._http.headers.setdefault("Prefect-Csrf-Client", str(uuid.uuid4()))
        token = self._http.get("/csrf-token", params={"client": client}).json()["token"]
        self._http.headers["Prefect-Csrf-Token"] = token
