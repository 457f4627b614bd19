"""The difference between what is wanted of an application and what is there, in words. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from deploy.coolify import problems
from deploy.coolify.wanted import environment, fields, kind, present
from deploy.coolify.words import address
from deploy.problem import Problem
from deploy.release.identity import set_of
from deploy.words import is_loopback, open_api, short

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from deploy.coolify.answers import Application, Variable
    from deploy.coolify.environment import Entry
    from deploy.coolify.state import ApplicationState, Kept
    from deploy.spec import WorkerHost

EARLIER = "check out what shall run, and `./hublab deploy`"
# Names of what is something else tomorrow.
MOVING = ("", "HEAD", "latest")


@dataclass(frozen=True)
class Step:
    """The one worker of an application, and why it is deployed."""

    name: str
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ApplicationPlan:
    """All that a deploy will do to one application.

    `release`: what it will run, a commit or an image's tag. `expected`: the releases by which the worker that runs then
    is known to be the wanted one. `fields`: the settings that it will have; `entries`: the variables to set;
    `surplus`: those to take away. `volume`: where it needs one and has none.
    """

    address: str
    problems: tuple[Problem, ...] = ()
    release: str = ""
    previous: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    entries: tuple[Entry, ...] = ()
    surplus: tuple[str, ...] = ()
    volume: str = ""
    expected: frozenset[str] = frozenset()
    reasons: tuple[str, ...] = ()
    unfinished: bool = False
    switch: bool = False
    lock: str = field(default="", compare=False)
    words: tuple[str, ...] = field(default=(), compare=False)
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def content(self) -> str:
        """Lock and code of what it will run; a commit where no worker has ever said them of it."""
        return set_of(min(self.expected, default="") or self.release)

    @property
    def automations(self) -> tuple[str, ...]:
        """None is looked for."""
        return ()

    @property
    def workers(self) -> tuple[Step, ...]:
        """Its one worker."""
        return (Step(self.address, self.reasons),)

    @property
    def restarts(self) -> tuple[Step, ...]:
        """The worker, where it is not as wanted."""
        return self.workers if self.reasons else ()

    @property
    def activates(self) -> bool:
        """Whether anything is touched."""
        return bool(self.reasons or self.unfinished or self.switch)

    @property
    def changes(self) -> bool:
        """Whether the deploy will do anything at all."""
        return bool(self.activates or self.lock)


def make(wanted: WorkerHost, state: ApplicationState) -> ApplicationPlan:
    """What to do to an application, or why nothing can be done."""
    found = problems.find(wanted, state)
    settled = bool(state.app and state.release in state.releases and _is_settled(state, state.app.source))
    tag = wanted.coolify.image[1] if wanted.coolify else ""
    if state.app and not found and state.app.image:
        settled = settled and tag in ("", state.app.source)
        found = () if settled else problems.of_image(tag, state.releases)
    elif state.app and not (found or settled):
        found = problems.of_revision(state.revision)
    if found or state.app is None:
        return ApplicationPlan(wanted.address, found, lock=state.lock)
    source = state.app.source if settled else (tag if state.app.image else state.revision.commit)
    return _towards(wanted, state, state.app, source, fields(wanted, state.app, source), state.releases)


def _is_settled(state: ApplicationState, source: str) -> bool:
    """Whether what Coolify would start is what serves: a commit that changes nothing of the release drains nobody.

    One that was set by hand, or by a rollout that was cut off, may never have been deployed.
    """
    return source not in MOVING and source in (state.current or source, state.revision.commit)


def back(wanted: WorkerHost, state: ApplicationState, source: str = "") -> ApplicationPlan:
    """How to go back: to `source`, else to the one before; to that of record if a rollout was cut off."""
    found = problems.find(wanted, state)
    target = _target(state, source)
    if not found and isinstance(target, Problem):
        found = (target,)
    if found or state.app is None or isinstance(target, Problem):
        return ApplicationPlan(wanted.address, found, lock=state.lock)
    return _towards(wanted, state, state.app, target.source, target.fields, frozenset({target.release}))


def _target(state: ApplicationState, source: str) -> Kept | Problem:
    there = " or ".join(short(item.source) for item in state.kept)
    remedy = f"name one that has served: ./hublab rollback --to {there}" if there else "run `./hublab deploy`"
    if source:
        exact = [item for item in state.kept if item.source.startswith(source) or item.release == source]
        # A host's release has the host's Python in its id.
        named = exact or [item for item in state.kept if set_of(item.release) == set_of(source)]
        return named[0] if named else Problem(f"--to: {source} has not served here", remedy)
    past = state.kept if state.before else state.kept[1:]
    return past[0] if past else Problem("there is no release before this one", EARLIER)


def _towards(  # noqa: PLR0913 - all that a plan depends on
    wanted: WorkerHost,
    state: ApplicationState,
    app: Application,
    source: str,
    settings: Mapping[str, Any],
    expected: frozenset[str],
) -> ApplicationPlan:
    entries = tuple(_entries(wanted, state.variables))
    surplus = tuple(_surplus(wanted, state.variables))
    volume = "" if (there := kind(wanted).volume) in state.volumes else there
    reasons = tuple(_reasons(wanted, state, app, settings, entries, expected))
    reasons += tuple(f"{key} is not in .env any more" for key in surplus)
    reasons += (f"no volume is at {volume}",) if volume else ()
    plan = ApplicationPlan(
        address=wanted.address,
        release=source,
        previous=state.current,
        fields=dict(settings),
        entries=tuple(entry for entry, _ in entries),
        surplus=surplus,
        volume=volume,
        expected=expected,
        reasons=reasons,
        unfinished=state.before is not None,
        switch=state.current != source,
        lock=state.lock,
    )
    return _with_words(plan, wanted, state, app)


def _entries(wanted: WorkerHost, there: tuple[Variable, ...]) -> Iterator[tuple[Entry, str]]:
    """The variables that are not as wanted, each with what is wrong."""
    ours = {item.key: item for item in there if not item.is_preview}
    twins = {item.key: item for item in there if item.is_preview}
    for entry in environment(wanted):
        if wrong := _wrong(entry, ours.get(entry.key), twins.get(entry.key)):
            yield entry, wrong


def _surplus(wanted: WorkerHost, there: tuple[Variable, ...]) -> list[str]:
    """Those that a deploy has set and that are wanted no more, such as the secret of a route that is closed again."""
    known = {entry.key for entry in environment(wanted)}
    return sorted({item.key for item in there if item.marked and not item.is_preview} - known)


def _wrong(entry: Entry, found: Variable | None, twin: Variable | None) -> str:
    if found is None:
        return "is missing"
    if not entry.is_marked(found.comment):
        return "has another value" if found.comment else "was not set by a deploy"
    wrong = {
        "is not literal": not found.is_literal,
        "is an argument of the build": found.is_buildtime,
        "is not there when it runs": not found.is_runtime,
        "can be read in Coolify": entry.secret and not found.is_shown_once,
        "goes to previews of pull requests": entry.secret and twin is not None and not twin.is_shown_once,
    }
    return ", ".join(words for words, is_so in wrong.items() if is_so)


def _reasons(  # noqa: PLR0913 - all that it depends on
    wanted: WorkerHost,
    state: ApplicationState,
    app: Application,
    settings: Mapping[str, Any],
    entries: tuple[tuple[Entry, str], ...],
    expected: frozenset[str],
) -> Iterator[str]:
    """Why it is deployed: by what the worker that runs carries, and by what Coolify would start the next one with."""
    if not state.online:
        yield kind(wanted).down if state.running or state.kept else "new"
    elif state.release not in expected:
        yield f"runs release {state.release or 'unknown'}"
    there = present(app, list(settings))
    for name, value in settings.items():
        if there[name] != value:
            was = there[name] if there[name] not in ("", None) else "none"
            yield f"{name} {short(str(was))} → {short(str(value))}"
    yield from (f"{entry.key} {wrong}" for entry, wrong in entries)
    if state.before is not None and not state.arrived:
        yield "its rollout was cut off"
    last = next(iter(state.deployments), None)
    if state.online and state.before is None and last and not (last.running or last.status == "finished"):
        yield f"its last deployment {last.deployment_uuid} is {last.status}, what runs has the environment of before"


def _with_words(
    plan: ApplicationPlan, wanted: WorkerHost, state: ApplicationState, app: Application
) -> ApplicationPlan:
    warnings = tuple(_warnings(wanted, state, app))
    return replace(plan, words=tuple(_words(plan, app)), warnings=warnings)


def _words(plan: ApplicationPlan, app: Application) -> Iterator[str]:
    if plan.switch:
        yield f"release of record: {short(plan.previous or 'none')} → {short(plan.release)}"
    if plan.reasons:
        verb = "started" if plan.reasons[0] == "new" else "deployed, and the old one drained"
        where = f"image {app.docker_registry_image_name}" if app.image else f"{app.git_repository} by Coolify"
        name, (first, *more) = app.name or plan.address, plan.reasons
        yield f"{name} ({where}) will be {verb}: {first}"
        yield from (f"{name}: {reason}" for reason in more)
    if plan.unfinished:
        yield "a rollout that was cut off will be brought to its end"


def _warnings(wanted: WorkerHost, state: ApplicationState, app: Application) -> Iterator[str]:
    """What the operator had better know, also where there is nothing to do."""
    yield from open_api(wanted, state)
    if is_loopback(urlsplit(wanted.api_url).hostname or ""):
        yield (
            f"PREFECT_API_URL: {wanted.api_url} is the container itself in there: "
            "give an address that this machine and the containers both reach"
        )
    if wanted.coolify and wanted.coolify.url.startswith("http://"):
        yield "HUBLAB_COOLIFY_URL: http, so the token travels in the clear: give Coolify a domain with TLS"
    if app.settings.is_auto_deploy_enabled and not app.image:
        yield "auto deploy is on: each push deploys it beside this tool; switch it off in Coolify"
    if app.settings.is_preview_deployments_enabled and not app.image:
        yield (
            "previews of pull requests are on: each would run code that nobody has read, beside what serves; switch "
            "them off in Coolify"
        )
    for name in ("pre_deployment_command", "post_deployment_command"):
        if getattr(app, name):
            yield f"its {name} runs as well; the deploy did not set it"
    yield from kind(wanted).warnings
    if state.revision.remote and not app.image and not _same(state.revision.remote, app.git_repository):
        yield f"it is built from {app.git_repository}, and this checkout's remote is {address(state.revision.remote)}"


def _same(one: str, other: str) -> bool:
    """Whether two addresses are of one repository, by their last two parts."""
    parts = [item.removesuffix(".git").replace(":", "/").rstrip("/").split("/")[-2:] for item in (one, other)]
    return parts[0] == parts[1]
