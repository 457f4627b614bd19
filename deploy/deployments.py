"""The deployments of a host's work pool, and which of them could not run in the release that is wanted. Pure.

By what Prefect's API says of them alone; nothing of them is run or imported. What cannot be told from that (what a
`git clone` brings, what a shell script does) is taken for good.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from deploy import pool
from deploy.onhost.common import counted
from deploy.release import identity, requirements
from deploy.table import first

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.spec import WorkerHost
    from deploy.state import Deployment, HostState, Step

MOST_NAMED = 12
PIP_STEP = "prefect.deployments.steps.pip_install_requirements"
BRING = "HUBLAB_EXTRA_REQUIREMENTS brings it"
SHOW = "name its folder in HUBLAB_READ_PATHS"


def listed(host: WorkerHost, state: HostState) -> str:
    """All of them, in a line; nothing where there are none, or none could be asked for."""
    names = [item.name for item in state.deployments]
    count = counted(len(names), "deployment", "deployments")
    return f"{count} in pool {host.work_pool}: {first(names, MOST_NAMED)}" if names else ""


def warnings(host: WorkerHost, state: HostState) -> tuple[str, ...]:
    """Those that could not run, each with its reasons."""
    if not state.deployments:
        return ()
    code, packages = frozenset(identity.shipped_code().files), requirements.names()
    started = pool.folder(state.pool.template) if state.pool else ""
    told = ((item.name, [*faults(host, item, code, packages, started)]) for item in state.deployments)
    return tuple(
        f"deployment {name} of pool {host.work_pool} could not run here: {'; '.join(found)}"
        for name, found in told
        if found
    )


def faults(
    host: WorkerHost, item: Deployment, code: frozenset[str], packages: frozenset[str], started: str = ""
) -> Iterator[str]:
    """Why its runs would not begin, or fail at once.

    Args:
        host: whose workers they would run on.
        item: the deployment.
        code: the files of the release.
        packages: the names of its packages.
        started: the folder in which the pool's runs start, where its template names one.
    """
    if not item.entrypoint:
        yield "it has no entrypoint; register it anew"
        return
    for step in item.steps:
        yield from _step_faults(step, packages, code)
    if item.folder and not pool.is_seen(host, item.folder):
        yield f"it starts in {item.folder}, which the workers' sandbox hides; {SHOW}"
    if not (item.fetched or (started and not item.place.startswith("/"))):
        yield from _file_faults(host, item) if ":" in item.entrypoint else _module_faults(item, code, packages)
    if not item.installs:
        for package in item.packages:
            if _name(package) not in packages:
                yield f"EXTRA_PIP_PACKAGES names {package}, and no worker installs packages; {BRING}"


def _step_faults(step: Step, packages: frozenset[str], code: frozenset[str]) -> Iterator[str]:
    if step.name == PIP_STEP:
        yield f"its pull step {step.name} installs into the release, which nobody can write; {BRING}"
    for package in step.requires:
        if _name(package) not in packages:
            yield f"its pull step {step.name} requires {package}, which the release does not have; {BRING}"
    module = step.name.partition(".")[0]
    if not step.requires and _name(module) not in packages and not _ours(module, code):
        yield f"its pull step {step.name} is of a package that the release does not have; {BRING}"
    for program in step.lacks:
        yield f"its pull step {step.name} needs {program}; install it on the host"


def _file_faults(host: WorkerHost, item: Deployment) -> Iterator[str]:
    if not item.place.startswith("/"):
        yield (
            f"its code {item.entrypoint} is at no place that a worker knows: it has no pull step and no absolute path; "
            "register it with one"
        )
    elif not pool.is_seen(host, posixpath.dirname(item.place)):
        yield f"its code {item.place} is hidden by the workers' sandbox; {SHOW}"
    elif item.there is False:
        yield f"there is no {item.place} on the host; put it there, or register it anew"


def _module_faults(item: Deployment, code: frozenset[str], packages: frozenset[str]) -> Iterator[str]:
    module = item.entrypoint.rpartition(".")[0]
    top = module.partition(".")[0]
    if _ours(top, code):
        file = module.replace(".", "/")
        if not {f"{file}.py", f"{file}/__init__.py"} & code:
            yield f"its module {module} is not in the release; register it anew"
    elif _name(top) not in packages:
        yield f"its module {module} is not in the release, and no package of it is called {top}; {BRING}"


def _ours(module: str, code: frozenset[str]) -> bool:
    return any(file.startswith(f"{module}/") for file in code)


def _name(requirement: str) -> str:
    """Of the package, without its version and extras; a module's name stands for that of its package."""
    return canonicalize_name(re.split(r"[\s<>=!~;\[@]", requirement, maxsplit=1)[0])
