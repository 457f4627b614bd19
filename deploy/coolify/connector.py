"""How pyinfra takes an application of Coolify's for a host: one that no command runs on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Never, override

from pyinfra.api import DeployError, connectors, inventory
from pyinfra.connectors.base import BaseConnector

from deploy.env_values import COOLIFY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NAME = "coolify"


class CoolifyConnector(BaseConnector):
    """The `@coolify/<uuid>` of an inventory; the host is called as in HUBLAB_HOSTS."""

    handles_execution = True

    @override
    @staticmethod
    def make_names_data(name: str | None = None) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        yield f"{COOLIFY}{name}", {}, []

    @override
    def run_shell_command(self, *_: Any, **__: Any) -> Never:
        raise DeployError(f"{self.host.name}: no command runs in a container of Coolify's; its API has none for that")

    put_file = get_file = run_shell_command


def register() -> None:
    """Makes the connector known; pyinfra finds others' by the packages that are installed, and this is none."""
    known: Callable[[], dict[str, Any]] = connectors.get_all_connectors

    def with_ours() -> dict[str, Any]:
        return {**known(), NAME: CoolifyConnector}

    if NAME not in known():
        connectors.get_all_connectors = with_ours
        inventory.get_all_connectors = with_ours
