"""The deployments of a work pool, as far as it decides whether their runs can begin on this host. Runs nothing of them.

A pull step may have a token among its inputs, a deployment's environment anything: only what is named here leaves the
host.
"""

from __future__ import annotations

import posixpath
import shutil
from pathlib import Path
from typing import Any

from deploy.onhost.prefect_api import ApiError, pages
from deploy.onhost.untrusted import printable

PROGRAMS = "/usr/local/bin:/usr/bin:/bin"
SET_FOLDER, GIT = "set_working_directory", "git_clone"
INSTALL = "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES"


def deployments(query: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Those of the pool, by name; None where the credential does not reach so far."""
    try:
        found = pages(query, "/deployments/filter", {"work_pools": {"name": {"any_": [query["pool"]]}}})
    except ApiError:
        return None
    return [facts(item) for item in found]


def facts(item: dict[str, Any]) -> dict[str, Any]:
    """Of one deployment, as the API tells of it."""
    found = [_table(step) for step in item.get("pull_steps") or []]
    steps = [_step(str(name), _table(inputs)) for step in found for name, inputs in step.items()]
    variables = _table(item.get("job_variables"))
    environment = _table(variables.get("env"))
    folder = next((step["folder"] for step in reversed(steps) if step["folder"]), None)
    folder = str(folder or (None if steps else item.get("path")) or variables.get("working_dir") or "")
    entrypoint = str(item.get("entrypoint") or "")
    fetched = bool(item.get("storage_document_id")) or any(not step["folder"] for step in steps)
    fetched |= ":" not in entrypoint and bool(folder)  # a module may lie in any folder that a run starts in
    place = "" if fetched or ":" not in entrypoint else posixpath.join(folder, entrypoint.rpartition(":")[0])
    return {
        "name": printable(str(item["name"])),
        "entrypoint": printable(entrypoint),
        "fetched": fetched,
        "place": printable(place),
        "there": Path(place).is_file() if place.startswith("/") else None,
        "folder": printable(str(variables.get("working_dir") or "")),
        "steps": [{key: step[key] for key in ("name", "requires", "lacks")} for step in steps],
        "packages": [printable(word) for word in str(environment.get("EXTRA_PIP_PACKAGES") or "").split()],
        "installs": str(environment.get(INSTALL) or "").lower() in {"1", "true", "t", "yes", "y", "on"},
    }


def _table(found: Any) -> dict[str, Any]:
    """What anybody may have registered: where it is none, there is nothing to be told from it."""
    return found if isinstance(found, dict) else {}


def _step(name: str, inputs: dict[str, Any]) -> dict[str, Any]:
    requires = inputs.get("requires") or []
    lacks_git = name.endswith(f".{GIT}") and not shutil.which("git", path=PROGRAMS)
    return {
        "name": printable(name),
        "requires": [printable(str(one)) for one in (requires if isinstance(requires, list) else [requires])],
        "folder": str(inputs.get("directory") or "") if name.endswith(f".{SET_FOLDER}") else "",
        "lacks": ["git"] if lacks_git else [],
    }
