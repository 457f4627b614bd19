"""`python -m flows.webhooks.service`: the webhook app as a service that starts also while Prefect is away.

Exit status 78: a setting is missing or wrong; trying again does not help.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import uvicorn
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

from flows.services.errors import ServerError
from flows.services.prefect_api import Prefect
from flows.services.settings import BadSettingError, MissingSettingError, Settings
from flows.webhooks import http
from flows.webhooks.app import build
from worker.systemd import Notifier

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

EX_CONFIG = 78
BEAT = 50  # ticks of a tenth of a second
HOUR = 36_000


class Service(uvicorn.Server):
    """Tells systemd when the socket listens, and that the loop moves for as long as it does.

    In a container it says by itself who it is, at the start and every hour: a deploy by Coolify knows it by that alone.
    """

    def __init__(self, config: uvicorn.Config, notifier: Notifier, describe: Callable[[], str]) -> None:
        """Serve what `config` has; `describe` says what goes on."""
        super().__init__(config)
        self._notifier, self._describe = notifier, describe

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and only then be READY."""
        await super().startup(sockets)
        if self.started:
            self._notifier.send("READY=1", f"STATUS={self._describe()}")

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second by the loop that serves."""
        if counter % HOUR == 0 and (release := os.environ.get("HUBLAB_RELEASE")):
            sys.stderr.write(f"webhooks {os.environ.get('HUBLAB_WORKER_NAME')}: release {release}\n")
        if counter % BEAT == 0:
            self._notifier.send("WATCHDOG=1", f"STATUS={self._describe()}")
        return await super().on_tick(counter)


def read_secrets(path: Path) -> Settings:
    """The settings of a credential file: a JSON object, name of a Secret block → value.

    Raises:
        BadSettingError: it cannot be read or is no such object.
    """
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BadSettingError(
            f"--secrets: {path} cannot be read ({type(error).__name__}); `./hublab deploy` writes it anew"
        ) from None
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise BadSettingError(f"--secrets: {path} is not a JSON object of strings; `./hublab deploy` writes it anew")
    return Settings(found)


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM, on asyncio's own loop."""
    parser = argparse.ArgumentParser(prog="python -m flows.webhooks.service", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--spool", type=Path, default=Path("/var/lib/hublab/webhooks/spool"))
    parser.add_argument("--secrets", type=Path, help="a credential file; without it, Prefect's Secret blocks")
    asked = parser.parse_args(arguments)
    try:
        settings = read_secrets(asked.secrets) if asked.secrets else _from_prefect()
        app = build(settings, asked.spool)
    except (BadSettingError, MissingSettingError, ServerError) as fault:
        sys.stderr.write(f"webhooks: {fault}\n")
        return EX_CONFIG
    config = uvicorn.Config(
        app, host=asked.host, port=asked.port, loop="asyncio", lifespan="on", access_log=False,
        timeout_graceful_shutdown=15, forwarded_allow_ips=settings.get("webhook-proxies"), **http.options(),
    )  # fmt: skip
    # The forwarders repeat what fails, with short pauses. Prefect's client would sleep for up to half a minute more
    # when Prefect is back, and mails would go to who had left meanwhile.
    with temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}):
        Service(config, Notifier.from_environment(os.environ), app.state.describe).run()
    return 0


def _from_prefect() -> Settings:
    with Prefect() as prefect:
        return prefect.settings()


if __name__ == "__main__":
    sys.exit(main())
