"""Keeps uvloop, and any other foreign event loop, out of the worker.

The crash that this project cures: a worker on asyncio's loop in a process whose *policy* is uvloop's cannot start a
subprocess (`get_child_watcher` raises NotImplementedError), so every flow run crashes while the worker looks healthy.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys


def uvloop_fault() -> str | None:
    """Why this interpreter may not run a worker, in words; None when it may."""
    try:
        importable = importlib.util.find_spec("uvloop") is not None
    except ValueError:  # a module without a spec was put into sys.modules by hand
        importable = True
    if importable:
        return (
            f"uvloop: importable by {sys.executable}; a worker whose process takes uvloop's event-loop policy crashes "
            "every flow run. Remove it (python -m pip uninstall uvloop), or deploy a release, which shuts it out"
        )
    return policy_fault()


def policy_fault() -> str | None:
    """Whose event-loop policy rules this process, when it is not asyncio's own; None when it is."""
    policy = type(asyncio.get_event_loop_policy())
    if policy.__module__.partition(".")[0] == "asyncio":
        return None
    return (
        f"event-loop policy: {policy.__module__}.{policy.__qualname__} rules this process instead of asyncio's own; "
        "flow runs would crash. Remove whatever sets it"
    )


def shut_uvloop_out() -> None:
    """Make `import uvloop` fail in this process from now on, whatever is installed later."""
    sys.modules.setdefault("uvloop", None)  # type: ignore[arg-type]
