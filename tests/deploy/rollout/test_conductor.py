"""The order of a rollout, and what happens when a step of it fails."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from deploy import remote
from deploy.legacy.workers import LegacyWorkers
from deploy.onhost.roll_worker import RollWorker
from deploy.onhost.wire import encode
from deploy.plan import make
from deploy.rollout.conductor import conduct
from deploy.rollout.machine import one_by_one
from deploy.rollout.steps import SshSteps
from deploy.rollout.waves import waves
from deploy.state import LegacyUnit
from tests.deploy.factories import (
    SENTINEL,
    bare,
    converged,
    file_fact,
    finished,
    legacy,
    release_name,
    running,
    wanted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from deploy.onhost.wire import Query
    from deploy.planned import Plan
    from deploy.rollout.machine import Machine, Together
    from deploy.spec import WorkerHost
    from deploy.state import HostState

OPERATOR = "deploy@desk"


@dataclass
class Recorder(SshSteps):
    """A machine that does nothing but write down what it was asked, in a journal that all share."""

    wanted: WorkerHost
    state: HostState
    plan: Plan
    journal: list[str]
    failing: frozenset[str]
    asked: dict[str, tuple[dict[str, Any], bool]] = field(default_factory=dict)
    trouble: str = ""

    def run(self, query: Query, *, detached: bool = False) -> bool:
        what = remote.name_of(query)
        if isinstance(query, (RollWorker, LegacyWorkers)):
            what = query.worker if isinstance(query, RollWorker) else query.phase
        self.asked[what] = (json.loads(encode(query)), detached)
        self.journal.append(f"{self.wanted.address} {what}")
        if f"{what}!" in self.failing:
            raise KeyError(what)
        return what not in self.failing

    def say(self, text: str) -> None:
        raise AssertionError(text)


class Fleet:
    """Hosts h1, h2, ... with a state each, in the inventory's order."""

    def __init__(
        self,
        *states: HostState,
        failing: str = "",
        workers: int = 2,
        canary_seconds: int = 0,
        together: Together = one_by_one,
    ) -> None:
        self.everything: list[str] = []
        self.machines = []
        for number, state in enumerate(states, 1):
            host = wanted(address=f"h{number}", workers=workers, canary_seconds=canary_seconds)
            named = bare(**{**state.__dict__, "hostname": state.hostname if state.workers else f"h{number}"})
            fails = frozenset(item.partition(" ")[2] for item in failing.split(",") if item.startswith(f"h{number} "))
            self.machines.append(Recorder(host, named, make(host, named), self.everything, fails))
        self.outcomes = conduct(self.machines, OPERATOR, together)

    @property
    def journal(self) -> list[str]:
        """What was asked, without the credentials that every bare host gets first."""
        return [line for line in self.everything if not line.endswith(" put_secrets")]

    def query(self, number: int, what: str) -> dict[str, Any]:
        asked = self.machines[number - 1].asked[what][0]
        return {key: value for key, value in asked.items() if key not in ("places", "token")}


class Groups:
    """Goes through the hosts of a wave one by one, and remembers who came together."""

    def __init__(self) -> None:
        self.groups: list[list[str]] = []

    def __call__(self, work: Callable[[Machine], None], machines: Iterable[Machine]) -> None:
        wave = list(machines)
        self.groups.append([machine.address for machine in wave])
        one_by_one(work, wave)


def test_worker_by_worker_host_by_host() -> None:
    fleet = Fleet(bare(), bare())
    assert fleet.journal == ["h1 h1-1", "h1 h1-2", "h2 h2-1", "h2 h2-2", "h1 finish_host", "h2 finish_host"]
    for number in (1, 2):
        outcome = fleet.outcomes[f"h{number}"]
        assert (outcome.ok, outcome.reached, outcome.gates, outcome.reason) == (True, True, 2, "")
        assert outcome.done == [f"h{number}-1", f"h{number}-2"]


def test_first_failure_stops_everything_after_it_and_undoes_everything_before() -> None:
    fleet = Fleet(bare(), bare(), bare(), failing="h2 h2-1")
    assert fleet.journal == [
        *("h1 h1-1", "h1 h1-2", "h2 h2-1"),
        *("h2 roll_back", "h2 finish_host", "h1 roll_back", "h1 finish_host"),
    ]
    first, second, third = fleet.outcomes.values()
    assert (first.ok, first.reached, first.reason) == (False, True, "the rollout failed at h2; rolled back")
    assert (second.ok, second.reached, second.gates) == (False, True, 0)
    assert second.reason == "h2-1 failed its gate; rolled back"
    assert (third.ok, third.reached) == (False, False)
    assert third.reason == "not started: the rollout stopped at h2"


def test_hosts_go_back_side_by_side_however_many_waves_they_came_in() -> None:
    together = Groups()
    Fleet(*[bare()] * 5, workers=1, together=together, failing="h4 h4-1")
    assert together.groups == [["h1"], ["h2", "h3"], ["h4", "h5"], ["h4", "h3", "h2", "h1"]]


def test_roll_back_that_fails_on_one_host_is_told_and_the_others_go_back() -> None:
    fleet = Fleet(bare(), bare(), failing="h2 h2-1,h2 roll_back", workers=1)
    assert fleet.journal[-4:] == ["h2 roll_back", "h2 finish_host", "h1 roll_back", "h1 finish_host"]
    assert fleet.outcomes["h2"].reason == "h2-1 failed its gate; NOT all of it could be rolled back"
    assert fleet.outcomes["h1"].reason == "the rollout failed at h2; rolled back"


def test_hosts_go_one_then_a_quarter_then_the_rest_and_one_wave_at_a_time() -> None:
    together = Groups()
    fleet = Fleet(*[bare()] * 6, workers=1, together=together)
    assert together.groups == [["h1"], ["h2", "h3"], ["h4", "h5", "h6"], ["h1", "h2", "h3", "h4", "h5", "h6"]]
    assert all(outcome.ok for outcome in fleet.outcomes.values())


@pytest.mark.parametrize(("count", "sizes"), [(0, []), (1, [1]), (2, [1, 1]), (4, [1, 1, 2]), (10, [1, 3, 6])])
def test_waves_grow_threefold_and_leave_nobody_out(count: int, sizes: list[int]) -> None:
    assert [len(wave) for wave in waves(range(count))] == sizes
    assert [item for wave in waves(range(count)) for item in wave] == list(range(count))


def test_waves_may_be_made_smaller() -> None:
    assert [len(wave) for wave in waves(range(10), 2)] == [1, 2, 1, 2, 2, 2]
    assert [item for wave in waves(range(10), 2) for item in wave] == list(range(10))
    assert [len(wave) for wave in waves(range(10), 50)] == [1, 3, 6]


def test_canary_is_the_first_worker_of_the_first_host_and_no_other() -> None:
    fleet = Fleet(bare(), bare(), canary_seconds=30)
    assert fleet.journal[:5] == ["h1 h1-1", "h1 watch_canary", "h1 h1-2", "h2 h2-1", "h2 h2-2"]
    query = fleet.query(1, "watch_canary")
    assert (query["worker"], query["seconds"]) == ("h1-1", 30)


def test_canary_that_fails_goes_back_and_nobody_follows() -> None:
    fleet = Fleet(bare(), bare(), failing="h1 watch_canary", canary_seconds=30)
    assert fleet.journal == ["h1 h1-1", "h1 watch_canary", "h1 roll_back", "h1 finish_host"]
    assert fleet.outcomes["h1"].reason == "h1-1 failed as the canary; rolled back"
    assert not fleet.outcomes["h2"].reached


def test_former_automations_are_removed_once_for_all_hosts_when_all_have_passed() -> None:
    former = {"hublab: run lost runs again": "Set by the Hublab deploy"}
    fleet = Fleet(bare(automations=former), bare(automations=former), workers=1)
    assert fleet.journal == ["h1 h1-1", "h2 h2-1", "h1 remove_automations", "h1 finish_host", "h2 finish_host"]
    assert fleet.query(1, "remove_automations")["automations"] == ["hublab: run lost runs again"]


def test_host_gets_its_credential_just_before_its_first_worker() -> None:
    fleet = Fleet(bare(), bare(), failing="h1 h1-1", workers=1)
    assert fleet.everything == ["h1 put_secrets", "h1 h1-1", "h1 roll_back", "h1 finish_host"]
    content = fleet.query(1, "put_secrets")["content"]
    assert content.keys() == {"/etc/hublab/profiles.toml", "/etc/hublab/environment.json"}
    assert SENTINEL in content["/etc/hublab/profiles.toml"]


def test_credential_that_cannot_be_written_goes_back_too() -> None:
    fleet = Fleet(bare(), bare(), failing="h1 put_secrets", workers=1)
    assert fleet.everything == ["h1 put_secrets", "h1 roll_back", "h1 finish_host"]
    assert fleet.outcomes["h1"].reason == "its credential could not be written; rolled back"


def test_credential_that_alone_is_not_as_wanted_is_put_right_and_no_worker_restarts() -> None:
    host = wanted(workers=2)
    state = converged(host)
    state.files["/etc/hublab/profiles.toml"] = file_fact("/etc/hublab/profiles.toml", host.profiles(), mode="0644")
    assert Fleet(state).everything == ["h1 put_secrets", "h1 finish_host"]


@pytest.mark.parametrize("what", ["put_secrets", "h2-1", "finish_host"])
def test_error_of_the_deploy_itself_is_a_failure_of_its_host(what: str) -> None:
    """Else the other hosts would stay as they are in the midst of it, and nobody would be told."""
    fleet = Fleet(bare(), bare(), bare(), failing=f"h2 {what}!", workers=1)
    assert fleet.outcomes["h2"].reason.startswith(f"an error of the deploy itself: KeyError: '{what}'")
    moved = what == "finish_host"
    assert [fleet.outcomes[name].ok for name in ("h1", "h2", "h3")] == [moved, False, moved]
    assert ("h1 roll_back" in fleet.everything) != moved


def test_nothing_is_undone_that_was_not_begun() -> None:
    fleet = Fleet(upgraded(), bare(legacy=(legacy(),)), failing="h2 freeze")
    assert fleet.journal == ["h2 freeze", "h2 thaw"]


def test_host_that_is_as_wanted_is_not_spoken_to() -> None:
    fleet = Fleet(converged(wanted(workers=2)), bare(), failing="h2 h2-2")
    assert fleet.journal == ["h2 h2-1", "h2 h2-2", "h2 roll_back", "h2 finish_host"]
    assert fleet.outcomes["h1"].ok
    assert not fleet.outcomes["h1"].reached


def test_legacy_workers_stop_polling_before_the_first_gate_anywhere() -> None:
    fleet = Fleet(bare(), bare(legacy=(legacy(),)), workers=1)
    assert fleet.journal == ["h2 freeze", "h1 h1-1", "h2 h2-1", "h1 finish_host", "h2 retire", "h2 finish_host"]
    assert all(outcome.ok for outcome in fleet.outcomes.values())


def test_failure_anywhere_lets_legacy_workers_poll_again() -> None:
    fleet = Fleet(bare(legacy=(legacy(),)), bare(), bare(legacy=(legacy(),)), failing="h2 h2-1", workers=1)
    assert fleet.journal == [
        *("h1 freeze", "h3 freeze"),
        *("h1 h1-1", "h2 h2-1"),
        *("h2 roll_back", "h2 finish_host", "h1 roll_back", "h1 finish_host"),
        *("h1 thaw", "h3 thaw"),
    ]


def test_failed_gate_beside_a_legacy_worker_keeps_that_one() -> None:
    fleet = Fleet(bare(legacy=(legacy(),)), failing="h1 h1-1")
    assert fleet.journal == ["h1 freeze", "h1 h1-1", "h1 roll_back", "h1 finish_host", "h1 thaw"]


def test_legacy_workers_that_cannot_be_held_stop_the_rollout_before_it_begins() -> None:
    states = bare(legacy=(legacy(),)), bare(legacy=(legacy(),)), bare()
    fleet = Fleet(*states, failing="h2 freeze")
    assert fleet.journal == ["h1 freeze", "h2 freeze", "h1 thaw", "h2 thaw"]
    assert [outcome.ok for outcome in fleet.outcomes.values()] == [False, False, False]
    assert fleet.outcomes["h2"].reason == "its legacy workers could not be held"
    assert fleet.outcomes["h1"].reason == "not started: the rollout stopped at h2"


def test_legacy_workers_that_cannot_be_retired_are_told_and_thawed() -> None:
    """Every worker has passed by then: nothing is undone, and the other host comes to its end."""
    fleet = Fleet(bare(legacy=(legacy(),)), bare(), failing="h1 retire", workers=1)
    assert fleet.journal == [
        *("h1 freeze", "h1 h1-1", "h2 h2-1"),
        *("h1 retire", "h1 finish_host", "h2 finish_host", "h1 thaw"),
    ]
    assert fleet.outcomes["h2"].ok
    assert fleet.outcomes["h1"].reason == "its legacy workers could not be retired"


def test_dead_legacy_unit_is_retired_without_a_freeze() -> None:
    fleet = Fleet(bare(legacy_units=(LegacyUnit("prefect-worker.service"),)), workers=1)
    assert fleet.journal == ["h1 h1-1", "h1 retire", "h1 finish_host"]
    assert fleet.query(1, "retire")["legacy_units"] == ["prefect-worker.service"]


def test_last_step_that_fails_counts() -> None:
    fleet = Fleet(bare(), bare(), failing="h1 finish_host", workers=1)
    assert (fleet.outcomes["h1"].ok, fleet.outcomes["h1"].reason) == (False, "the last step failed")
    assert fleet.outcomes["h2"].ok


def test_steps_that_must_not_be_cut_run_detached() -> None:
    asked = Fleet(bare(legacy=(legacy(),)), failing="h1 finish_host", workers=1).machines[0].asked
    assert {what: detached for what, (_, detached) in asked.items()} == {
        "freeze": False,
        "put_secrets": True,
        "h1-1": True,
        "retire": True,
        "finish_host": True,
        "thaw": False,
    }


def test_worker_that_is_rolled_is_told_nothing_that_a_unit_of_before_may_have_otherwise() -> None:
    fleet = Fleet(bare(), workers=1)
    query = fleet.query(1, "h1-1")
    assert query.pop("text") == fleet.machines[0].plan.workers[0].unit
    # Nothing of what is wanted that a unit of before may have had otherwise: no pool, no API, no user, no limit.
    assert query == {
        "unit": "prefect-worker@1.service",
        "worker": "h1-1",
        "room": None,
        "gate_seconds": 180,
    }


def test_roll_query_where_a_unit_of_that_name_is_somebody_elses() -> None:
    """What serves under the name is ended first; the units beside it are no business of this step."""
    names = ("prefect-worker@1.service", "prefect-worker@2.service")
    there = [legacy(pid=number, unit=name) for number, name in enumerate(names)]
    fleet = Fleet(bare(legacy=tuple(there), legacy_units=tuple(map(LegacyUnit, names))), workers=2)
    rolled = fleet.query(1, "h1-1")
    assert [item["pid"] for item in rolled["room"].pop("legacy")] == [0]
    assert rolled["room"] == {"drain_seconds": 900}
    assert fleet.query(1, "retire")["legacy_units"] == []
    assert [unit["name"] for unit in fleet.query(1, "freeze")["in_the_way"]] == list(names)


def upgraded() -> HostState:
    """Runs release `old` with three workers where two are wanted; `older` is of no use to anybody."""
    host = wanted()
    workers = {number: running(host, number, "old") for number in (1, 2, 3)}
    return bare(current="old", releases={name: finished(name) for name in ("old", "older")}, workers=workers)


def test_finish_query_after_success() -> None:
    query = Fleet(upgraded()).query(1, "finish_host")
    assert (query["surplus"], query["prune"]) == (["prefect-worker@3.service"], ["older"])
    assert (query["switch"], query["release"], query["previous"]) == (True, release_name(), "old")
    assert query["audit"] == {
        "who": OPERATOR,
        "what": "deploy",
        "previous": "old",
        "to": release_name(),
        "workers": ["hublab-1-1", "hublab-1-2"],
        "result": "ok",
        "at": "",
        "seconds": None,
    }


def test_finish_query_after_a_failure_writes_the_audit_line_and_nothing_else() -> None:
    query = Fleet(upgraded(), failing="h1 hublab-1-2").query(1, "finish_host")
    assert (query["surplus"], query["prune"], query["switch"]) == ([], [], False)
    assert query["audit"]["workers"] == ["hublab-1-1"]
    assert query["ended"] is False
    assert query["audit"]["result"] == "hublab-1-2 failed its gate; rolled back"


def test_roll_back_query_names_the_workers_and_leaves_the_rest_to_the_host() -> None:
    query = Fleet(upgraded(), failing="h1 hublab-1-2").query(1, "roll_back")
    assert query == {"gate_seconds": 180}


@pytest.mark.parametrize("failing", ["", "h1 h1-1"])
def test_secret_goes_only_to_the_program_that_asks_the_server(failing: str) -> None:
    asked = Fleet(bare(legacy=(legacy(),)), failing=failing).machines[0].asked
    told = {what for what, (query, _) in asked.items() if SENTINEL in json.dumps(query)}
    assert told == {"freeze", "put_secrets", "thaw" if failing else "retire"}
    assert asked["freeze"][0]["access"]["auth"] == f"admin:{SENTINEL}"
