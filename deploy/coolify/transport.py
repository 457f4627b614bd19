"""One request to Coolify's API: the token, limits of time and size, and what is tried again."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Self

import httpx

from deploy.coolify.errors import BusyError, CoolifyError, UnclearError, refusal
from deploy.onhost.untrusted import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.secret import Secret

API = "/api/v1"
TIMEOUT = httpx.Timeout(30, connect=10)
ANSWER_SECONDS = 60.0
ANSWER_BYTES = 32 * 1024 * 1024
TRIES = 4
PAUSE_SECONDS = 1.0
# A pause that Coolify asks for and that is longer than this ends the command: nobody waits for it.
LONGEST_PAUSE_SECONDS = 120.0
# Of a proxy, which may have passed the request on; those above 504 are Cloudflare's, which Coolify Cloud is behind.
PASSING = frozenset({502, 503, 504, 520, 521, 522, 523, 524})


class Transport:
    """Coolify's API by its address and a token. Reads are tried again; what changes something is sent once."""

    def __init__(
        self,
        url: str,
        token: Secret,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self.url, self._token, self._sleep = url.rstrip("/"), token, sleep
        # Who gets the token is what .env says: no redirect decides it, and no ~/.netrc.
        self._http = httpx.Client(
            base_url=self.url + API,
            headers={"Accept": "application/json"},
            auth=self._authorize,
            timeout=TIMEOUT,
            transport=transport,
            follow_redirects=False,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Transport({self.url})"

    def close(self) -> None:
        """Ends its connections."""
        self._http.close()

    def _authorize(self, request: httpx.Request) -> httpx.Request:
        request.headers["Authorization"] = f"Bearer {self._token.reveal()}"
        return request

    def read(self, path: str, **params: str | int) -> Any:
        """An answer to GET; tried again where that may help.

        Raises:
            CoolifyError: refused, or no answer.
        """
        for attempt in range(TRIES):
            pause = PAUSE_SECONDS * 2**attempt
            try:
                return self._once("GET", path, None, params)
            except BusyError as error:
                if attempt == TRIES - 1 or error.seconds > LONGEST_PAUSE_SECONDS:
                    raise
                pause = error.seconds
            except CoolifyError as error:
                if attempt == TRIES - 1 or not (error.status is None or error.status in PASSING):
                    raise
            self._sleep(pause)
        raise AssertionError("unreachable")

    def change(self, method: str, path: str, body: Any = None, **params: str | int) -> Any:
        """An answer to what changes something; it is sent once, whatever comes.

        Raises:
            CoolifyError: refused.
            UnclearError: it was sent, and no answer of Coolify's came.
        """
        try:
            return self._once(method, path, body, params)
        except CoolifyError as error:
            if error.status in PASSING:
                raise UnclearError(f"{error}; it may have been done", error.status) from None
            raise

    def _once(self, method: str, path: str, body: Any, params: dict[str, str | int]) -> Any:
        try:
            with self._http.stream(method, path, json=body, params=params or None) as response:
                text = self._text(response)
        except httpx.HTTPError as error:
            raise self._silence(method, path, error) from None
        return self._answer(method, path, response, text)

    def _silence(self, method: str, path: str, error: httpx.HTTPError) -> CoolifyError:
        reason = self.hide(printable(str(error) or type(error).__name__, 200))
        if method == "GET" or isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return CoolifyError(
                f"HUBLAB_COOLIFY_URL: {self.url} does not answer ({reason}) -> is the address right, and Coolify up?"
            )
        return UnclearError(f"{method} {path}: sent, and no answer came ({reason}); it may have been done")

    def _text(self, response: httpx.Response) -> bytes:
        began, parts, size = time.monotonic(), [], 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > ANSWER_BYTES or time.monotonic() - began > ANSWER_SECONDS:
                raise httpx.ReadError(f"more than {ANSWER_BYTES // 1024**2} MiB, or not within {ANSWER_SECONDS:.0f} s")
        return b"".join(parts)

    def _answer(self, method: str, path: str, response: httpx.Response, text: bytes) -> Any:
        status = response.status_code
        if response.is_redirect:
            where = printable(response.headers.get("Location", "nowhere"), 200)
            raise CoolifyError(f"HUBLAB_COOLIFY_URL: {self.url} redirects to {where} -> name that address", status)
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError):
            answer = text.decode(errors="replace").strip()  # /version and /health answer in bare text
        if not response.is_success:
            error = refusal(method, path, status, answer, _seconds(response.headers.get("Retry-After", "")))
            error.args = (self.hide(str(error)),)
            raise error
        return answer

    def hide(self, text: str) -> str:
        """A text without the token."""
        return text.replace(self._token.reveal(), "***")


def _seconds(value: str) -> float:
    """`Retry-After` as Coolify sends it, in seconds; a minute where it is anything else."""
    return float(value) if value.isascii() and value.isdecimal() and len(value) < 7 else 60.0  # noqa: PLR2004
