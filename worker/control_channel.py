"""The worker's side of the line by which an engine hears why it is ended: Prefect's control channel, by a socket file.

Prefect's own listens on loopback. A worker listens at no port, and neither it nor its runs reach loopback, where the
host has what it keeps to itself; an engine that tried would wait for two minutes before its run began.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Self

from prefect.runner import _control_channel

from worker.control_line import SOCKET

if TYPE_CHECKING:
    from uuid import UUID

_OPEN = 1  # where Prefect's has its port
MOST_LINES = 512
"""Open at once: each costs the worker a file, of which its unit has 4096, and any run may open as many as it likes."""


class ControlChannel(_control_channel.ControlChannel):
    """Open within its context; where it cannot be opened, an engine is ended without a word, by signals alone."""

    def __init__(self) -> None:
        """Not open yet."""
        super().__init__()
        self._folder = ""
        self._lines = 0

    async def __aenter__(self) -> Self:
        """Listen at a file that no run knows the place of before it begins."""
        try:
            self._folder = tempfile.mkdtemp(prefix="control-")
            self._server = await asyncio.start_unix_server(self._handle_connection, self._path)
            self._port = _OPEN
        except OSError as error:
            self._logger.warning("No control channel, engines are ended by signals alone: %s", error)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Close it, and remove the file."""
        await super().__aexit__(*exc_info)
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _handle_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """As Prefect's, within bounds. An engine that finds no place is ended by signals alone."""
        if self._lines >= MOST_LINES:
            writer.close()
            return
        self._lines += 1
        try:
            await super()._handle_connection(reader, writer)
        finally:
            self._lines -= 1

    @property
    def _path(self) -> str:
        return str(Path(self._folder, "socket"))

    def variables(self, flow_run_id: UUID) -> dict[str, str]:
        """What the run's engine is told; none while the channel is not open."""
        if self._port is None:
            return {}
        port, token = self.register(flow_run_id)
        return {"PREFECT__CONTROL_PORT": str(port), "PREFECT__CONTROL_TOKEN": token, SOCKET: self._path}
