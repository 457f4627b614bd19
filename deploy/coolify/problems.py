"""What stands in the way of a deploy to one application. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.coolify import environment
from deploy.coolify.deployments import is_ours
from deploy.coolify.wanted import BUILD_SPARE_SECONDS, LONGEST_SECONDS, START_SECONDS, kind
from deploy.coolify.wanted import environment as entries
from deploy.onhost.common import counted
from deploy.problem import Problem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from deploy.coolify.answers import Application, Server
    from deploy.coolify.state import ApplicationState, Revision
    from deploy.spec import WorkerHost

NAMED = 5


def find(wanted: WorkerHost, state: ApplicationState) -> tuple[Problem, ...]:
    """What stands in the way, whatever the plan."""
    if state.problem or state.app is None:
        what, _, remedy = (state.problem or "it could not be looked at").partition(" -> ")
        return (Problem(what, remedy or "look at it in Coolify"),)
    found = [
        *_kind(state.app, state.revision),
        *_rolling(state.app),
        *_server(state.server),
        *_times(wanted, state.server),
    ]
    found += [
        Problem(f"its environment: {why}", "change it in .env")
        for why in map(environment.fault, entries(wanted))
        if why
    ]
    if any(item.key == "HUBLAB_WORKER_NAME" for item in state.variables):
        what = "its environment sets HUBLAB_WORKER_NAME: the old and the new worker would go by one name"
        found.append(Problem(what, "remove it in Coolify; each container has a name of its own"))
    return (*(found or _theirs(wanted, state, state.app)), *_others(state))


def _theirs(wanted: WorkerHost, state: ApplicationState, app: Application) -> Iterator[Problem]:
    """What runs there and was never ours: a deploy would stop it as if it were."""
    ours = state.kept or state.before or state.release or any(item.marked for item in state.variables)
    if not (ours or app.status.startswith("exited")):
        adopt = f"./hublab coolify adopt {app.uuid}, where it is a worker; else "
        yield Problem(
            f"it runs ({app.status or 'status unknown'}), and no deploy of this project has set it up: Coolify would "
            "stop it, and whatever it is doing",
            f"{'' if wanted.webhooks else adopt}stop it in Coolify, if it may be replaced",
        )


def _kind(app: Application, here: Revision) -> Iterator[Problem]:
    if app.build_pack == "dockercompose":
        yield Problem(
            "it is a compose application: Coolify gates none of its containers and gives each 30 s to stop",
            f"./hublab coolify adopt {app.uuid}: makes a new application in its place",
        )
    elif app.build_pack not in {"dockerfile", "dockerimage"}:
        yield Problem(
            f"its build pack is {app.build_pack or 'unknown'}, not dockerfile or dockerimage",
            f"name another application, or ./hublab coolify adopt {app.uuid}",
        )
    elif here.commit and not app.image and app.base_directory.strip("/") != here.folder:
        yield Problem(
            f"its base directory is {app.base_directory or '/'}: Coolify would look for the Dockerfile below it",
            f"set it to /{here.folder} in Coolify",
        )


def _rolling(app: Application) -> Iterator[Problem]:
    """What makes Coolify stop the old container before it starts the new one, and look at no health check."""
    wrong = {
        f"it maps ports of the host ({app.ports_mappings})": bool(app.ports_mappings),
        "its container has a fixed name": bool(
            app.settings.is_consistent_container_name_enabled or app.settings.custom_internal_name
        ),
    }
    for what, is_so in wrong.items():
        if is_so:
            yield Problem(f"{what}: Coolify would stop the old worker first, and gate nothing", "clear it in Coolify")
    if app.additional_servers_count:
        yield Problem("it runs on more than one server", "one application is one worker: leave it one server")


def _server(server: Server | None) -> Iterator[Problem]:
    if server is None:
        return
    if not (server.is_reachable and server.is_usable):
        yield Problem(f"Coolify does not reach its server {server.name}", "validate the server in Coolify")
    if server.settings.is_swarm_manager or server.settings.is_swarm_worker:
        yield Problem(f"its server {server.name} is a Docker Swarm: no drain, no gate", "use a server without Swarm")


def _times(wanted: WorkerHost, server: Server | None) -> Iterator[Problem]:
    whole = START_SECONDS + wanted.gate_seconds + kind(wanted).grace_seconds
    most = min(LONGEST_SECONDS, (server.settings.dynamic_timeout if server else LONGEST_SECONDS) - BUILD_SPARE_SECONDS)
    if whole > most:
        yield Problem(
            f"HUBLAB_DRAIN_SECONDS: {wanted.drain_seconds} with HUBLAB_GATE_SECONDS {wanted.gate_seconds} makes "
            f"{whole} s; Coolify ends a deployment before that",
            f"keep both together below {most - START_SECONDS} s",
        )


def _others(state: ApplicationState) -> Iterator[Problem]:
    for item in state.deployments:
        if item.running and not is_ours(item, state.before):
            yield Problem(
                f"somebody else's deployment {item.deployment_uuid} is {item.status}",
                "wait for its end; it is not cancelled, since that kills processes on the host",
            )


def of_image(tag: str, releases: Collection[str]) -> tuple[Problem, ...]:
    """Why an image of that tag is not what this checkout makes."""
    if not tag:
        what = "HUBLAB_COOLIFY_IMAGE: missing, and it is an application that runs an image"
        return (Problem(what, "./hublab image, push it, and name it there with its tag"),)
    if tag not in releases:
        what = f"HUBLAB_COOLIFY_IMAGE: {tag} is not the release of this checkout"
        return (Problem(what, "./hublab image here, push it, and name its tag"),)
    return ()


def of_revision(revision: Revision) -> tuple[Problem, ...]:
    """Why this checkout cannot be what Coolify runs."""
    if not revision.commit:
        return (Problem("this checkout is no git repository, so no commit can be named", "clone it with git"),)
    found = []
    if revision.changed:
        more = f" and {len(revision.changed) - NAMED} more" if len(revision.changed) > NAMED else ""
        what = f"not committed: {', '.join(revision.changed[:NAMED])}{more}; Coolify builds what is committed"
        found.append(Problem(what, "commit and push, or undo the change"))
    elif not revision.pushed:
        what = f"no remote branch has commit {revision.commit[:10]}"
        found.append(Problem(what, "git push, to the repository that Coolify builds from"))
    if revision.extra:
        what = f"HUBLAB_CAMPAIGNS: {', '.join(revision.extra[:NAMED])} would be missing in what Coolify builds"
        found.append(Problem(what, "commit them below flows/campaigns, and leave HUBLAB_CAMPAIGNS out"))
    if revision.packages:
        packages = counted(revision.packages, "package", "packages")
        what = f"HUBLAB_EXTRA_REQUIREMENTS: {packages} would be missing in what Coolify builds"
        found.append(Problem(what, "name them in pyproject.toml, `make lock`, commit, and leave the key out"))
    return tuple(found)
