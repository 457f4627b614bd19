"""Prefect, Notion and Resend in memory, for the flows' real core: cheap, and stopped wherever a test wants.

Every call of the core to one of them is counted, and something may happen just before or after it: the try is killed,
a second try of the same run takes place, somebody leaves, the answer is lost. Time is the test's own.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

import httpx
import resend
from notion_client.errors import APIResponseError
from prefect.states import Pending
from resend.exceptions import raise_for_code_and_type

from flows.enrolment import enrol
from flows.sending import analytics, delivery, frozen, one_mail, template_store
from flows.services import notion_gateway, postpone, resend_operations
from flows.services import notion_schema as schema
from flows.services.notion_gateway import NotionGateway
from flows.services.prefect_api import Artifact
from flows.services.resend_operations import ResendOperations
from flows.services.settings import Settings
from sandbox.standins.clock import Clock
from sandbox.standins.notion_store import NotFound, NotionStore
from sandbox.standins.notion_values import InvalidRequest
from sandbox.standins.resend_payload import Refused
from sandbox.standins.resend_store import ResendStore, shown
from sandbox.standins.workspace import SCHEMAS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sandbox.standins.notion_store import Source

START = datetime(2026, 1, 5, 12, tzinfo=UTC)
LAG = 30.0


def add_properties(sequence: Source, contacts: Source) -> None:
    """Give the database of records the project's own properties, as `notion-setup` does."""
    for name, kind in schema.ADDED[schema.SEQUENCE].items():
        recipe = {"relation_property_name": "Contact", "rollup_property_name": schema.ROLLUPS.get(name)}
        definition = {"relation": {"data_source_id": contacts.id}, "rollup": recipe}
        sequence.schema[name] = {kind: definition.get(kind, {})}


class Killed(BaseException):
    """The process of a try is gone: nothing of it goes on, and it reports nothing."""


class Virtual(Clock):
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class Try:
    """One try of a run: which call it is at, and what happens before or after which: its number, or how it begins."""

    plan: dict[tuple[int | str, str], list[Callable[[], None]]]
    calls: list[str] = field(default_factory=list)
    lost: bool = False


@dataclass
class Run:
    """A run at Prefect."""

    id: str
    name: str
    key: str
    parameters: dict[str, Any]
    due: datetime
    state: Any
    tries: int = 0
    message: str = ""

    @property
    def enrols(self) -> bool:
        return "enrolment" not in self.parameters


class Services:
    """All three, and the calls between them and the core."""

    def __init__(self) -> None:
        self.clock = Virtual()  # everybody's, but a host's own, which is off by `host_off`
        self.host_off = timedelta()
        self.notion = NotionStore(clock=self.clock)
        self.resend = ResendStore(clock=self.clock, domains={"hublab.test": "verified"})
        self.runs: dict[str, Run] = {}
        self.kept: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, tuple[str, ...]] = {}  # of what is kept
        self.artifacts: dict[str, tuple[str, dict[str, Any], datetime]] = {}
        self.tries: list[Try] = []
        self.current: list[Run] = []
        self.quota, self.numbers = False, 0
        self.sources = {block: self.notion.create_database(block, one) for block, one in SCHEMAS.items()}
        add_properties(self.sources[schema.SEQUENCE], self.sources[schema.CONTACTS])
        blocks = {block: source.database for block, source in self.sources.items()}
        more = {"HUBLAB_SENDER": "Hublab <hello@hublab.test>", "HUBLAB_PUBLIC_URL": "https://hooks.hublab.test"}
        secrets = {"notion-token": "ntn", "resend-api-key": "re", "unsubscribe-secret": "unsubscribe-test"}
        self.settings = Settings(blocks | more | secrets)
        # Called with each mail that Resend takes.
        self.accepting: Callable[[dict[str, Any], str], None] = lambda _mail, _key: None

    def gateway(self) -> NotionGateway:
        """A client of this workspace, as the core makes one."""
        known = {source.database: source.id for source in self.sources.values()}
        return NotionGateway(self.settings, lambda: None, known)

    def call(self, name: str, work: Callable[[], Any]) -> Any:
        """One call of the try that is at work, with whatever happens around it."""
        if not self.tries:
            return work()
        mine = self.tries[-1]
        mine.calls.append(name)
        number = len(mine.calls)
        self._around(mine, number, name, "before")
        answer = work()
        self._around(mine, number, name, "after")
        return answer

    @staticmethod
    def _around(mine: Try, number: int, name: str, when: str) -> None:
        for which in [one for one in mine.plan if one[1] == when]:
            if which[0] == number or (isinstance(which[0], str) and name.startswith(which[0])):
                for act in mine.plan.pop(which, ()):
                    act()


class Prefect:
    """What the flows ask of Prefect: variables and runs whose names and keys are unique, and artifacts."""

    def __init__(self, services: Services) -> None:
        self._all = services

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def now(self) -> datetime:
        return self._all.clock.now()

    def settings(self, *more: str) -> Settings:
        if more:
            found = self.variables(list(more))
            return Settings(self._all.settings._values, {name: found.get(name) for name in more})
        return self._all.settings

    def start_once(
        self,
        deployment: str,
        parameters: dict[str, Any],
        key: str,
        *,
        due: datetime | None = None,
        state: Any = None,
        name: str | None = None,
        tags: tuple[str, ...] = (),
    ) -> Run:
        def start() -> Run:
            if key not in self._all.runs:
                when = due or self._all.clock.now()
                run = Run(f"run-{len(self._all.runs)}", name or key, key, parameters, when, state or Pending())
                self._all.runs[key] = run
            return self._all.runs[key]

        return self._all.call(f"start {deployment} {tags}", start)  # type: ignore[no-any-return]

    def run_of(self, key: str) -> Run | None:
        return self._all.call("run_of", lambda: self._all.runs.get(key))  # type: ignore[no-any-return]

    def variables(self, names: list[str]) -> dict[str, Any]:
        what = "read suppression" if any(one.startswith("suppressed-") for one in names) else "variables"
        return self._all.call(  # type: ignore[no-any-return]
            what, lambda: {one: dict(self._all.kept[one]) for one in names if one in self._all.kept}
        )

    def variable(self, name: str) -> Any:
        return self.variables([name]).get(name)

    def claim(self, name: str, value: dict[str, Any], tags: tuple[str, ...] = ()) -> bool:
        def claim() -> bool:
            first = name not in self._all.kept
            self._all.kept.setdefault(name, value)
            self._all.tags.setdefault(name, tags)
            return first

        return self._all.call(f"claim {tags}", claim)  # type: ignore[no-any-return]

    def remember(self, name: str, value: dict[str, Any], tags: tuple[str, ...] = ()) -> None:
        def remember() -> None:
            self._all.kept[name] = value
            self._all.tags.setdefault(name, tags)

        self._all.call(f"remember {tags}", remember)

    def tagged(self, tag: str) -> Iterator[tuple[str, Any]]:
        def found() -> list[tuple[str, Any]]:
            return [(name, value) for name, value in self._all.kept.items() if tag in self._all.tags.get(name, ())]

        yield from self._all.call(f"tagged {tag}", found)

    def forget(self, name: str) -> None:
        self._all.call("forget", lambda: (self._all.kept.pop(name, None), self._all.tags.pop(name, None)))

    def artifacts(self, keys: list[str]) -> dict[str, list[Artifact]]:
        def found() -> dict[str, list[Artifact]]:
            there = self._all.artifacts.items()
            return {key: [Artifact(one, dict(data), at) for one, (of, data, at) in there if of == key] for key in keys}

        return self._all.call("artifacts", found)  # type: ignore[no-any-return]

    def artifact_of(self, identity: str) -> Artifact | None:
        def found() -> Artifact | None:
            if identity not in self._all.artifacts:
                return None
            _, data, at = self._all.artifacts[identity]
            return Artifact(identity, dict(data), at)

        return self._all.call("artifact_of", found)  # type: ignore[no-any-return]

    def keep(self, key: str, kind: str, data: dict[str, Any], *, run: str | None = None) -> Artifact:
        def keep() -> Artifact:
            self._all.numbers += 1
            identity = f"{kind}-{self._all.numbers}-of-{run}"
            self._all.artifacts[identity] = (key, data, self._all.clock.now())
            return Artifact(identity, data, self._all.clock.now())

        return self._all.call("keep", keep)  # type: ignore[no-any-return]

    def replace(self, artifact: Artifact, data: dict[str, Any]) -> None:
        def replace() -> None:
            if artifact.id in self._all.artifacts:
                key, _, at = self._all.artifacts[artifact.id]
                self._all.artifacts[artifact.id] = (key, data, at)

        self._all.call("replace", replace)

    def drop(self, artifact: str) -> None:
        self._all.call("drop", lambda: self._all.artifacts.pop(artifact, None))


class NotionClient:
    """The calls of Notion's SDK that the gateway makes, on the stand-in's store."""

    def __init__(self, services: Services) -> None:
        store = self._store = services.notion

        def asked(name: str, work: Callable[[], dict[str, Any]]) -> Any:
            try:
                return services.call(f"notion {name}", work)
            except (InvalidRequest, NotFound) as error:
                status, code = (
                    (400, "validation_error") if isinstance(error, InvalidRequest) else (404, "object_not_found")
                )
                raise APIResponseError(code, status, str(error), httpx.Headers(), "{}") from None

        self.pages = SimpleNamespace(
            retrieve=lambda page: asked("read page", lambda: store.shown(store.page(page))),
            update=lambda page, **body: asked("write page", lambda: store.shown(store.update_page(page, body))),
            create=lambda parent, properties: asked(
                "create page",
                lambda: store.shown(store.create_page(store.source(parent["data_source_id"]), properties)),
            ),
        )
        self.data_sources = SimpleNamespace(
            query=lambda source, **body: asked("query", lambda: store.query(store.source(source), body))
        )
        self.databases = SimpleNamespace(
            retrieve=lambda database: asked("database", lambda: {"data_sources": [{"id": store.database(database).id}]})
        )

    def close(self) -> None:
        """Nothing is open."""


class Emails:
    """The calls of Resend's SDK that the flows make, on the stand-in's store."""

    def __init__(self, services: Services) -> None:
        self._all = services

    def _asked(self, name: str, work: Callable[[], Any]) -> Any:
        def answer() -> Any:
            try:
                return work()
            except Refused as refused:
                raise_for_code_and_type(refused.status, refused.name, str(refused))

        found = self._all.call(f"resend {name}", answer)
        if self._all.tries and self._all.tries[-1].lost:
            self._all.tries[-1].lost = False
            raise_for_code_and_type(500, "HttpClientError", "the answer was lost")
        return found

    def send(self, payload: dict[str, Any], options: dict[str, Any]) -> Any:
        return self._asked("send", lambda: self._send(payload, options["idempotency_key"]))

    def _send(self, payload: dict[str, Any], key: str) -> dict[str, Any]:
        store = self._all.resend
        if self._all.quota:
            raise Refused(429, "daily_quota_exceeded", "You have reached your daily email sending quota.")
        if store.domains["hublab.test"] != "verified":
            raise Refused(403, "validation_error", "The hublab.test domain is not verified.")
        known = store.once(key, payload)
        if known is not None:
            return dict(known)
        answer = None
        try:
            self._all.accepting(payload, key)
            answer = {"id": store.accept(payload, key)["id"]}
        finally:
            store.settle(key, payload, answer)
        return answer

    def list(self, asked: dict[str, Any]) -> Any:
        part, more = self._all.resend.listed(asked["limit"], asked.get("after"))
        return self._asked("list", lambda: {"has_more": more, "data": [shown(mail) for mail in part]})

    def get(self, identity: str) -> Any:
        return self._asked("get", lambda: shown(self._all.resend.find(identity)))


class Runtime:
    """What `prefect.runtime.flow_run` says of the run that is at work."""

    def __init__(self, services: Services) -> None:
        self._all = services

    @property
    def id(self) -> str | None:
        return self._all.current[-1].id if self._all.current else None

    @property
    def run_count(self) -> int:
        return self._all.current[-1].tries if self._all.current else 1


@contextmanager
def installed(services: Services) -> Iterator[Prefect]:
    """The core speaks to these services, by their clock."""
    prefect, emails, client = Prefect(services), Emails(services), NotionClient(services)
    clock = services.clock

    class Now(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return (clock.now() + services.host_off).astimezone(tz)

    time = SimpleNamespace(sleep=clock.advance, monotonic=lambda: clock.now().timestamp())

    @contextmanager
    def notion_client(*_: Any) -> Iterator[NotionGateway]:
        yield services.gateway()

    def resend_client(*_: Any) -> ResendOperations:
        return ResendOperations(services.settings, lambda: None)

    quiet = logging.getLogger("tests.in_memory")
    quiet.disabled = True
    run = SimpleNamespace(flow_run=Runtime(services))
    asking = (one_mail, frozen, delivery, postpone, analytics, template_store, enrol)
    dated = tuple(module for module in asking if hasattr(module, "datetime"))
    table: tuple[tuple[tuple[Any, ...], str, Any], ...] = (
        (dated, "datetime", Now),
        ((notion_gateway, resend_operations, enrol), "time", time),
        ((postpone,), "clock", clock),
        ((one_mail, postpone, enrol), "runtime", run),
        ((postpone,), "_postponed", lambda: run.flow_run.run_count - 1),
        ((one_mail, postpone, enrol), "log", lambda: quiet),
        ((one_mail, enrol), "Prefect", lambda: prefect),
        ((one_mail, enrol), "notion_client", notion_client),
        ((one_mail,), "resend_client", resend_client),
        ((notion_gateway,), "Client", lambda **_: client),
        ((resend,), "Emails", emails),
        ((resend,), "RequestsClient", lambda **_: None),
    )
    with ExitStack() as stack:
        for modules, name, value in table:
            for module in modules:
                stack.enter_context(patch.object(module, name, value))
        yield prefect
