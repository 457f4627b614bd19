"""A flow that tells what its process is like, for the comparison of a forked engine with a spawned one."""

import asyncio
import email.generator
import email.utils
import json
import logging
import multiprocessing.synchronize
import os
import random
import secrets
import signal
import ssl
import sys
import tempfile
import threading
import uuid
from pathlib import Path

from prefect import flow
from prefect._internal.uuid7 import uuid7
from prefect.settings import get_current_settings
from prefect.utilities.names import generate_slug

# Set by the first run in its own process: a later run that sees it would share that process's memory.
LEFT_BEHIND = "HUBLAB_TEST_LEFT_BEHIND"


@flow
def facts(file: str) -> None:
    """Write what is to be equal under "equal", what is to differ from run to run under "own"."""
    told = {"equal": _equal(), "own": _own()}
    setattr(sys, LEFT_BEHIND, True)
    os.environ[LEFT_BEHIND] = "1"
    asyncio.set_event_loop_policy(_ForeignPolicy())
    Path(file).write_text(json.dumps(told))


class _ForeignPolicy(asyncio.DefaultEventLoopPolicy):
    """As uvloop's."""


def _equal() -> dict[str, object]:
    settings = get_current_settings()
    main = sys.modules["__main__"]
    return {
        "environment": {
            k: v
            for k, v in os.environ.items()
            if k not in {"PREFECT__FLOW_RUN_ID", "PREFECT__FLOW_RUN_NAME", "HOME", "TMPDIR"}
        },
        "argv": sys.argv,
        "orig_argv": sys.orig_argv[1:],
        "main": (main.__name__, main.__file__, main.__spec__ and main.__spec__.name),
        "path": [entry for entry in sys.path if entry != str(Path.cwd())],
        "path begins here": sys.path[0] == str(Path.cwd()),
        "streams": [str(Path(f"/proc/self/fd/{number}").readlink()) for number in range(3)],
        "buffering": [getattr(sys.stdout, name) for name in ("line_buffering", "write_through", "encoding")],
        "signals": {number: str(signal.getsignal(number)) for number in signal.valid_signals() - {signal.SIGTERM}},
        "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
        "worker's modules": sorted(name for name in sys.modules if name.partition(".")[0] == "worker"),
        "policy": type(asyncio.get_event_loop_policy()).__module__,
        "levels": {name: logging.getLogger(name).getEffectiveLevel() for name in ("", "prefect", "prefect.flow_runs")},
        "handlers": {name: [str(h) for h in logging.getLogger(name).handlers] for name in ("", "prefect")},
        "settings": settings.to_environment_variables(exclude_unset=True),
        "temporary folder": tempfile.gettempdir() == os.environ["TMPDIR"],
        "left behind": [hasattr(sys, LEFT_BEHIND), LEFT_BEHIND in os.environ],
        "excepthooks": [sys.excepthook is sys.__excepthook__, threading.excepthook is threading.__excepthook__],
        "umask": _umask(),
    }


def _own() -> dict[str, object]:
    return {
        "pid": os.getpid(),
        "parent": os.getppid(),
        "session": os.getsid(0),
        "random": random.random(),  # noqa: S311
        "cwd": str(Path.cwd()),
        "home": os.environ["HOME"],
        "secret": _secret(),
        "threads": [thread.name for thread in threading.enumerate()],
        "title": Path("/proc/self/cmdline").read_bytes().rstrip(b"\0").decode().split("\0"),
    }


def _secret() -> dict[str, str]:
    """What two runs must not have in common."""
    return {
        "key of multiprocessing": bytes(multiprocessing.current_process().authkey).hex(),
        "random": str(random.getrandbits(64)),
        "system's random": secrets.token_hex(),
        "temporary name": next(tempfile._get_candidate_names()),  # type: ignore[attr-defined]
        "uuid1": str(uuid.uuid1()),
        "uuid4": str(uuid.uuid4()),
        "Prefect's id": str(uuid7()),
        "Prefect's name": generate_slug(4),
        "OpenSSL": ssl.RAND_bytes(16).hex(),
        "boundary": email.generator.Generator._make_boundary(),  # type: ignore[attr-defined]
        "message id": email.utils.make_msgid(),
        "semaphore": multiprocessing.synchronize.SemLock._make_name(),  # type: ignore[attr-defined]
        "temporary folder": tempfile.gettempdir(),
    }


def _umask() -> int:
    mask = os.umask(0o77)
    os.umask(mask)
    return mask
