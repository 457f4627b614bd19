"""The deployments of a work pool, as far as it decides whether their runs can begin on this host. Runs nothing of them.

A pull step may have a token among its inputs, a deployment's environment anything: only what is named here leaves the
host.
"""

from __future__ import annotations

import posixpath
import shutil
from pathlib import Path
from typing import Any

from deploy.onhost.prefect_api import Access, ApiError, in_pool, pages
from deploy.onhost.state import Deployment, Step
from deploy.onhost.untrusted import printable

PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
SET_FOLDER, GIT = "set_working_directory", "git_clone"
INSTALL = "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES"


def deployments(access: Access, pool: str) -> tuple[Deployment, ...]:
    """Those of a pool, by name; none where the credential does not reach so far."""
    try:
        found = pages(access, "/deployments/filter", in_pool(pool))
    except ApiError:
        return ()
    return tuple(facts(item) for item in found)


def facts(item: dict[str, Any]) -> Deployment:
    """Of one deployment, as the API tells of it."""
    found = [_table(step) for step in item.get("pull_steps") or []]
    steps = [(str(name), _table(inputs)) for step in found for name, inputs in step.items()]
    folders = [str(inputs.get("directory") or "") if name.endswith(f".{SET_FOLDER}") else "" for name, inputs in steps]
    variables = _table(item.get("job_variables"))
    environment = _table(variables.get("env"))
    folder = next(filter(None, reversed(folders)), "")
    folder = str(folder or (None if steps else item.get("path")) or variables.get("working_dir") or "")
    entrypoint = str(item.get("entrypoint") or "")
    fetched = bool(item.get("storage_document_id")) or not all(folders)
    fetched |= ":" not in entrypoint and bool(folder)  # a module may lie in any folder that a run starts in
    place = "" if fetched or ":" not in entrypoint else posixpath.join(folder, entrypoint.rpartition(":")[0])
    return Deployment(
        name=printable(str(item["name"])),
        entrypoint=printable(entrypoint),
        fetched=fetched,
        place=printable(place),
        there=Path(place).is_file() if place.startswith("/") else None,
        folder=printable(str(variables.get("working_dir") or "")),
        steps=tuple(_step(name, inputs) for name, inputs in steps),
        packages=tuple(printable(word) for word in str(environment.get("EXTRA_PIP_PACKAGES") or "").split()),
        installs=str(environment.get(INSTALL) or "").lower() in {"1", "true", "t", "yes", "y", "on"},
    )


def _table(found: Any) -> dict[str, Any]:
    """What anybody may have registered: where it is none, there is nothing to be told from it."""
    return found if isinstance(found, dict) else {}


def _step(name: str, inputs: dict[str, Any]) -> Step:
    requires = inputs.get("requires") or []
    lacks_git = name.endswith(f".{GIT}") and not shutil.which("git", path=PROGRAMS)
    asked = tuple(printable(str(one)) for one in (requires if isinstance(requires, list) else [requires]))
    return Step(printable(name), asked, ("git",) if lacks_git else ())
