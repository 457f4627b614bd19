"""Three hosts in memory, which a real rollout reaches through real members: SSH and the programs are stood in for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import gevent
from pyinfra.api.exceptions import ConnectError, PyinfraError

from deploy import look, remote
from deploy.onhost.lock import LOST, Lock
from deploy.onhost.roll_worker import RollWorker
from deploy.plan import make
from deploy.rollout import member as member_module
from deploy.rollout.activate import Rollout
from deploy.rollout.hold import hold_all
from deploy.rollout.member import Member
from tests.deploy.factories import bare, converged, wanted

if TYPE_CHECKING:
    import pytest

    from deploy.rollout.machine import Outcome
    from deploy.state import HostState

HOSTS = ("h1", "h2", "h3")
WORKERS = 2
# Not how long anything takes: how long a test waits before it says that something never ends.
NEVER = 30


@dataclass
class Computer:
    """What is on one host, and what was done to it: `strays` are writes of somebody who did not hold the lock."""

    name: str
    up: bool = True
    lock: str = ""
    secret: str = "old"
    units: dict[str, str] = field(default_factory=dict)
    before: dict[str, Any] | None = None
    current: str = "old"
    audit: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    bad: str = ""
    strays: list[str] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        """All of it is what was wanted, and of record."""
        moved = len(self.units) == WORKERS and set(self.units.values()) == {"new"}
        return moved and self.secret == self.current == "new" and self.before is None

    @property
    def is_old(self) -> bool:
        """Nothing is left of what was wanted."""
        return (self.secret, self.units, self.current, self.before) == ("old", {}, "old", None)

    def execute(self, query: Any) -> bool:
        """What the programs of `onhost/` do, as far as a rollout sees it."""
        program = remote.name_of(query)
        if program == "lock":
            return self.execute_lock(query)
        if query.token != self.lock:
            raise remote.LockLostError(f"{LOST}: {self.lock or 'it was removed'}")
        self.asked.append(program)
        if program == "put_secrets":
            self.begin()
            self.secret = "new"
        elif program == "roll_worker":
            self.begin()
            self.units[query.unit] = "new"
            if query.unit == self.bad:
                self.units.pop(query.unit)
                return False
        elif program == "roll_back" and self.before:
            self.secret, self.units, self.before = self.before["secret"], dict(self.before["units"]), None
        elif program == "finish_host":
            if query.ended:
                self.current, self.before = "new", None
            self.audit.append(query.audit.result)
        return True

    def begin(self) -> None:
        self.before = self.before or {"secret": self.secret, "units": dict(self.units)}

    def execute_lock(self, query: Lock) -> bool:
        phase, token = query.phase, query.mine
        if phase == "take" and not self.lock:
            self.lock = token
        elif self.lock != token and phase != "release":
            raise remote.LockLostError(f"{LOST}: {self.lock or 'it was removed'}")
        elif phase == "release" and self.lock == token:
            self.lock = ""
        return True


class Link:
    """One operator's connection to a host, in the shape that pyinfra's SSH connector has."""

    print_prefix = ""
    sock = None
    exec_command: Any = None

    def __init__(self, computer: Computer) -> None:
        self.computer, self.name = computer, computer.name
        self.connector = self.client = self
        self.open = True
        self.answers = True  # for good; False: the way to it is gone

    def get_transport(self) -> Link:
        return self

    def is_authenticated(self) -> bool:
        return self.open

    def set_keepalive(self, _seconds: int) -> None:
        pass

    def close(self) -> None:
        self.open = False

    disconnect = close

    def connect(self) -> None:
        if not (self.answers and self.computer.up):
            raise ConnectError("no route to host")
        self.open = True


class Fault:
    """What happens at one program on one host, once."""

    def __init__(self, kind: str, host: str, stage: str) -> None:
        self.kind, self.host, self.stage, self.struck = kind, host, stage, False

    def meets(self, host: str, query: Any) -> bool:
        stage = query.unit if isinstance(query, RollWorker) else remote.name_of(query)
        return not self.struck and (host, stage) == (self.host, self.stage)


class Fleet:
    """A deploy over the three, as pyinfra runs it: a greenlet for each host, and the first to come conducts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, fault: Fault | None = None) -> None:
        self.fault = fault
        self.computers = {name: Computer(name) for name in HOSTS}
        self.links = {name: Link(self.computers[name]) for name in HOSTS}
        self.rollout = Rollout()
        monkeypatch.setattr(remote, "run", self.run)
        monkeypatch.setattr(look, "look", self.look)
        monkeypatch.setattr(member_module, "REFRESH_SECONDS", 3600)
        monkeypatch.setattr("deploy.rollout.hold.announce", lambda _: None)
        for name in HOSTS:
            spec, state = wanted(address=name, workers=WORKERS), bare(hostname=name)
            one = Member(cast("Any", self.links[name]), spec, state, make(spec, state))
            self.rollout.members[name] = one

    @property
    def struck(self) -> bool:
        """Whether the fault has happened: a test of one that never comes shows nothing."""
        return self.fault is not None and self.fault.struck

    def run(self, link: Any, _python: str, query: Any, **_: Any) -> bool:
        gevent.sleep(0)
        if not link.open:
            raise OSError("not connected")
        if self.fault and self.fault.meets(link.name, query):
            self.fault.struck = True
            return self.strike(link, query)
        return link.computer.execute(query) if link.computer.up else self.gone(link)

    def gone(self, link: Link) -> bool:
        link.close()
        return False

    def strike(self, link: Any, query: Any) -> bool:
        """What the operator's side sees: no answer, and a connection that is closed."""
        kind, computer = cast("Fault", self.fault).kind, link.computer
        if kind == "a bug of ours":
            raise RuntimeError("a bug")
        if kind in ("SSH is cut", "the way to it is gone"):
            computer.execute(query)  # what the host had begun, it ends
            link.answers = kind == "SSH is cut"
        if kind in ("the power is cut", "it never comes back"):
            computer.lock, computer.up = "", kind == "the power is cut"
        if kind in ("the operator is suspended", "./hublab unlock"):
            # Another deploy came by, and is still at it, or has gone again.
            computer.lock = "another's" if kind == "the operator is suspended" else ""
            return bool(computer.execute(query))
        return self.gone(link)

    def look(self, link: Any, spec: Any, **_: Any) -> HostState:
        if not (link.open and link.computer.up):
            raise PyinfraError("it does not answer")
        shown = converged(spec, hostname=link.name)
        return shown if link.computer.is_new else bare(hostname=link.name)

    def ends_with(self) -> dict[str, Outcome | BaseException]:
        """What each host's greenlet ends with, when all locks were given back; each of them does end."""
        state = cast("Any", Inventory(list(self.links.values())))

        def part(name: str) -> Outcome | BaseException:
            try:
                return self.rollout.outcome_for(state, name)
            except BaseException as error:  # noqa: BLE001 - it is what is looked at
                return error

        assert hold_all(self.rollout) == set(HOSTS)
        tasks = {name: gevent.spawn(part, name) for name in HOSTS}
        self.await_all(tasks)
        self.await_all({name: gevent.spawn(one.unlock) for name, one in self.rollout.members.items()})
        return {name: task.value for name, task in tasks.items()}

    def await_all(self, tasks: dict[str, Any]) -> None:
        gevent.joinall(list(tasks.values()), timeout=NEVER)
        waiting = [name for name, task in tasks.items() if not task.ready()]
        gevent.killall(list(tasks.values()))
        assert waiting == [], "these wait for ever"


class Inventory:
    """pyinfra's state, as far as a rollout asks it."""

    def __init__(self, hosts: list[Any]) -> None:
        self.inventory = self.active_hosts = hosts
