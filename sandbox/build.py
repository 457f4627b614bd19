"""Building the shared trees, the network and the processors kept busy side by side."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sandbox import interpreter, server, tree, venv
from sandbox.cgroup import Cgroup
from sandbox.layout import CHECKOUT
from sandbox.shell import step
from sandbox.teardown import folder_locked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from sandbox.layout import Layout


def builders(layout: Layout) -> Cgroup:
    """Return the cgroup in which builders run."""
    return Cgroup(f"{layout.cgroup}/build")


def trees(layout: Layout, suite: str | None = None, lock: Path = server.LOCK) -> tuple[Path, list[Path]]:
    """Build what is not there; return the tree of every host, and the server's layers, uppermost first.

    Args:
        layout: Whose.
        suite: Of the hosts; the server's by default.
        lock: What the server's Prefect is installed from.

    Raises:
        SandboxError: A builder failed; the others have been ended.
    """
    group = builders(layout)
    prefect = layout.trees / f"prefect-py{interpreter.find().version}-{server.digest(lock)}"

    def make_venv() -> None:
        if not prefect.exists():
            with step(f"Prefect from {lock.relative_to(CHECKOUT)}"):
                venv.build(prefect, server.VENV, lock, group, layout.temporary)

    # Another sandbox may be at the same trees.
    with folder_locked(layout.trees), ThreadPoolExecutor() as pool:
        other = pool.submit(make_venv)
        try:
            base = tree.base(layout, group)
            postgresql = tree.postgresql(layout, base, group)
            python = interpreter.layer(layout)
            hosts = tree.base(layout, group, suite) if suite else base
        except BaseException:
            group.kill()  # the other builder would keep the error from being seen for minutes
            raise
        other.result()
        shutil.rmtree(layout.temporary, ignore_errors=True)
    return hosts, [prefect, postgresql, python, base]


def together(calls: Iterable[Callable[[], object]]) -> None:
    """Call all at once, wait for all, and raise the first error."""
    with ThreadPoolExecutor(max_workers=8) as pool:
        for future in [pool.submit(call) for call in calls]:
            future.result()
