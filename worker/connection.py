"""How to reach Prefect's API, read as Prefect reads it: the environment first, then the active profile.

Prefect's own settings cost about two seconds of importing, which every gate of a deploy would pay.
"""

from __future__ import annotations

import base64
import json
import ssl
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Connection:
    """The API's address, and the headers that carry the credential (never shown)."""

    url: str
    headers: Mapping[str, str] = field(repr=False)
    insecure: bool = False
    ca_file: str | None = None

    def verify(self) -> ssl.SSLContext | bool:
        """What httpx is to trust."""
        if self.insecure:
            return False
        return ssl.create_default_context(cafile=self.ca_file) if self.ca_file else True


def connection(environ: Mapping[str, str]) -> Connection:
    """The connection that Prefect itself would use.

    Raises:
        ValueError: the address is missing or malformed, or the profiles cannot be read.
    """
    settings = {**_profile(environ), **environ}
    url = settings.get("PREFECT_API_URL", "").rstrip("/")
    if not url:
        raise ValueError("PREFECT_API_URL: not set; give the API's address, such as https://prefect.example.com/api")
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"PREFECT_API_URL: {url!r} is not an address; it begins with http:// or https://")
    return Connection(
        url,
        _headers(settings),
        insecure=settings.get("PREFECT_API_TLS_INSECURE_SKIP_VERIFY", "").lower() in {"1", "true", "yes", "on"},
        ca_file=settings.get("PREFECT_API_SSL_CERT_FILE"),
    )


def _headers(settings: Mapping[str, str]) -> dict[str, str]:
    headers = dict(json.loads(settings.get("PREFECT_CLIENT_CUSTOM_HEADERS") or "{}"))
    if auth := settings.get("PREFECT_API_AUTH_STRING"):
        headers["Authorization"] = "Basic " + base64.b64encode(auth.encode()).decode()
    elif key := settings.get("PREFECT_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    return headers


def _profile(environ: Mapping[str, str]) -> dict[str, str]:
    home = Path(environ.get("PREFECT_HOME", "~/.prefect")).expanduser()
    named = environ.get("PREFECT_PROFILES_PATH")
    path = Path(named) if named else home / "profiles.toml"
    try:
        text = path.read_text()
        content = tomllib.loads(text)
    except FileNotFoundError as error:
        if named:
            raise ValueError(f"PREFECT_PROFILES_PATH: {named} is not there; is the credential loaded?") from error
        return {}
    except (OSError, ValueError) as error:
        # Not the parser's own words: they may quote the line that holds the secret.
        raise ValueError(f"PREFECT_PROFILES_PATH: {path} cannot be read ({type(error).__name__}); mend it") from None
    active = environ.get("PREFECT_PROFILE") or content.get("active", "ephemeral")
    return {key: str(value) for key, value in content.get("profiles", {}).get(active, {}).items()}
