"""A host of a run: its lock is kept fresh, every step carries it, and a silent connection is given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import gevent
import pytest
from paramiko import ChannelException
from pyinfra.api import DeployError
from pyinfra.api.exceptions import ConnectError

from deploy import look, remote
from deploy.onhost.lock import Lock, Owner
from deploy.onhost.roll_back import RollBack
from deploy.onhost.roll_worker import RollWorker
from deploy.onhost.watch_canary import WatchCanary
from deploy.plan import make
from deploy.rollout import limits
from deploy.rollout import member as module
from deploy.rollout.member import Member
from tests.deploy.factories import bare, wanted
from tests.deploy.queries import blank

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.onhost.wire import Query
    from deploy.planned import Plan
    from deploy.state import HostState

OWNER = Owner("ada@desk", "deploy of release r1")
ROLL, BACK, WATCH = blank(RollWorker), blank(RollBack), blank(WatchCanary)


class Host:
    """A connection that answers what it is told to, or breaks; and may be made anew."""

    print_prefix = ""
    name = "h1"

    def __init__(self) -> None:
        self.connector = self
        self.client = self
        self.open = True
        self.comes_back = self.stranger = False
        self.asked: list[Query] = []
        self.answers: dict[str, Any] = {}

    def get_transport(self) -> Host:
        return self

    def is_authenticated(self) -> bool:
        return self.open

    def set_keepalive(self, _seconds: int) -> None:
        pass

    sock = None
    exec_command: Any = None

    def close(self) -> None:
        self.open = False

    disconnect = close

    def connect(self) -> None:
        if self.stranger:
            self.open = True  # paramiko leaves a connection open whose key it does not know
            raise ConnectError("SSH host key error")
        if not self.comes_back:
            raise ConnectError("no route to host")
        self.open = True

    def answer(self, _host: object, _python: str, query: Query, **_: object) -> bool:
        self.asked.append(query)
        found = self.answers.get(self.programs[-1], True)
        if callable(found):
            found = found()
        if isinstance(found, BaseException):
            raise found
        return bool(found)

    @property
    def programs(self) -> list[str]:
        return [item.phase if isinstance(item, Lock) else remote.name_of(item) for item in self.asked]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    monkeypatch.setattr(remote, "run", made.answer)
    monkeypatch.setattr(module, "REFRESH_SECONDS", 3600)
    return made


def member(host: Host) -> Member:
    plan: Plan = make(wanted(), bare())
    return Member(cast("Any", host), wanted(), bare(), plan)


@pytest.fixture
def held(host: Host) -> Iterator[Member]:
    one = member(host)
    assert one.lock("t1", OWNER)
    yield one
    one.unlock()


def test_every_step_carries_the_lock(host: Host) -> None:
    one = member(host)
    assert one.lock("t1", OWNER)
    one.run(ROLL, detached=True)
    one.run(WATCH)
    one.unlock()
    taken, rolled, watched, released = host.asked
    assert isinstance(taken, Lock)
    assert (taken.phase, taken.mine, taken.owner) == ("take", "t1", OWNER)
    assert taken.patience_seconds > wanted().drain_seconds + 2 * wanted().gate_seconds
    assert (rolled.token, rolled.looks) == ("t1", False)
    assert (watched.token, watched.looks) == ("t1", True)
    assert isinstance(released, Lock)
    assert (released.phase, released.mine) == ("release", "t1")


def test_nothing_is_begun_once_the_lock_was_given_back(host: Host) -> None:
    """Control-C: pyinfra hangs up while the rollout is still in the midst of its steps."""
    one = member(host)
    one.lock("t1", OWNER)
    one.unlock()
    assert not one.run(ROLL)
    assert host.programs == ["take", "release"]
    assert one.trouble == "the lock was given back"


def test_lock_of_somebody_else_is_not_held(host: Host) -> None:
    host.answers["take"] = False
    one = member(host)
    assert not one.lock("t1", OWNER)
    one.unlock()
    assert host.programs == ["take"]


def test_lock_whose_answer_did_not_come_is_given_back(host: Host) -> None:
    """SSH was cut while it was taken: it may be there, and nobody would keep it fresh."""
    host.answers["take"] = host.close
    host.comes_back = True
    one = member(host)
    assert not one.lock("t1", OWNER)
    assert host.programs == ["take", "release"]
    released = host.asked[1]
    assert isinstance(released, Lock)
    assert released.mine == "t1"
    assert one.trouble == "the connection broke during lock (it was closed)"


def test_lost_lock_ends_the_deploy_of_this_host_with_the_reason(host: Host, held: Member) -> None:
    """The step was refused by the host; the next one is not even asked for, and the lock of another is not touched."""
    host.answers["roll_worker"] = remote.LockLostError("the lock is no longer ours: locked by bob@laptop")
    assert not held.run(ROLL)
    assert held.trouble == "the lock is no longer ours: locked by bob@laptop"
    assert not held.run(BACK)
    assert held.trouble == "the lock is no longer ours: locked by bob@laptop"
    held.unlock()
    assert host.programs == ["take", "roll_worker"]
    assert host.open


def test_lost_lock_is_noticed_between_two_steps_too(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0)
    host.answers["refresh"] = remote.LockLostError("the lock is no longer ours: it was removed")
    one = member(host)
    one.lock("t1", OWNER)
    one._refresher.join()
    assert host.programs == ["take", "refresh"]
    assert not one.run(ROLL)
    assert one.trouble == "the lock is no longer ours: it was removed"


@pytest.mark.parametrize("fault", [OSError("gone"), False, gevent.Timeout(1)])
def test_host_that_answers_no_more_is_hung_up_so_that_nobody_waits_for_it(
    fault: object, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0)
    host.answers["refresh"] = fault
    one = member(host)
    one.lock("t1", OWNER)
    one._refresher.join()
    assert not host.open


def test_session_that_is_refused_is_no_silence(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """sshd answered: it grants no further session now. To hang up would break the step that has the other ones."""
    monkeypatch.setattr(module, "REFRESH_SECONDS", 0)
    told = iter([ChannelException(2, "Connect failed")] * 3 + [remote.LockLostError("the lock is no longer ours: x")])
    host.answers["refresh"] = lambda: next(told)
    one = member(host)
    one.lock("t1", OWNER)
    one._refresher.join()
    assert host.programs == ["take", *["refresh"] * 4]
    assert host.open


def test_look_that_the_connection_does_not_outlive_is_done_over_a_new_one(
    host: Host, held: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: Iterator[DeployError | HostState] = iter(
        [DeployError("h1 closed the connection before it answered"), bare(hostname="h1")]
    )

    def answer(*_: object, **__: object) -> HostState:
        found = next(looks)
        if isinstance(found, Exception):
            host.close()
            raise found
        return found

    monkeypatch.setattr(look, "look", answer)
    host.comes_back = True
    held.look_again()
    assert held.state.hostname == "h1"
    assert host.programs == ["take", "refresh"], "the lock was to be found ours over the new connection"


def test_look_that_fails_over_a_connection_that_stands_is_not_done_again(
    host: Host, held: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> HostState:
        raise DeployError("h1 answered no JSON: 42 MiB of motd")

    monkeypatch.setattr(look, "look", fail)
    with pytest.raises(DeployError, match="answered no JSON"):
        held.look_again()
    assert host.open


def test_step_over_a_connection_that_breaks_is_a_failure_of_this_host(host: Host, held: Member) -> None:
    host.answers["roll_worker"] = OSError("gone")
    assert not held.run(ROLL)
    assert held.trouble == "the connection broke during roll_worker (gone)"


def test_connection_that_is_closed_without_a_word_is_no_answer_of_the_program(host: Host, held: Member) -> None:
    host.answers["roll_worker"] = host.close
    assert not held.run(ROLL)
    assert held.trouble == "the connection broke during roll_worker (it was closed)"


def test_program_that_fails_is_no_trouble_of_the_connection(host: Host, held: Member) -> None:
    host.answers["roll_worker"] = False
    assert not held.run(ROLL)
    assert held.trouble == ""


def test_program_that_never_answers_is_given_up(host: Host, held: Member, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "seconds", lambda *_: 0)
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.01)
    host.answers["roll_worker"] = lambda: gevent.sleep(3600)
    assert not held.run(ROLL)
    assert "the connection broke during roll_worker" in held.trouble
    assert not host.open


def test_way_back_goes_over_a_new_connection_when_the_lock_is_still_ours(host: Host, held: Member) -> None:
    host.answers["roll_worker"] = host.close
    host.comes_back = True
    held.run(ROLL)
    assert held.run(BACK)
    assert host.programs == ["take", "roll_worker", "refresh", "roll_back"]
    assert held.trouble == ""


def test_new_connection_to_a_host_that_lost_the_lock_writes_nothing(host: Host, held: Member) -> None:
    """It was switched off and on again, or another deploy came by meanwhile."""
    host.answers["roll_worker"] = host.close
    host.answers["refresh"] = remote.LockLostError("the lock is no longer ours: it was removed")
    host.comes_back = True
    held.run(ROLL)
    assert not held.run(BACK)
    assert host.programs == ["take", "roll_worker", "refresh"]
    assert held.trouble == "the lock is no longer ours: it was removed"


def test_nothing_goes_to_who_answers_with_another_key(host: Host, held: Member) -> None:
    """And what was opened to him is closed: it would count as a connection at the next step."""
    host.answers["roll_worker"] = host.close
    host.stranger = True
    held.run(ROLL)
    for _ in range(2):
        assert not held.run(BACK)
        assert "cannot be reached any more (SSH host key error)" in held.trouble
        assert not host.open
    assert host.programs == ["take", "roll_worker"]


def test_host_that_is_gone_is_asked_once_more_and_then_left(host: Host, held: Member) -> None:
    host.answers["roll_worker"] = host.close
    held.run(ROLL)
    assert not held.run(BACK)
    assert "cannot be reached any more (no route to host)" in held.trouble
    assert host.programs == ["take", "roll_worker"]
