"""From what is wanted and what is there to what will be done: releases, folders, workers, and the words for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploy.plan import make
from deploy.state import Claim, HostState, LegacyUnit, Release, Uvloop
from tests.deploy.factories import bare, converged, file_fact, finished, legacy, release_name, running, wanted

PROFILES = "/etc/hublab/profiles.toml"


def test_bare_host_gets_everything() -> None:
    plan = make(wanted(), bare())
    assert (plan.address, plan.problems) == ("hublab-1.example.com", ())
    assert (plan.build, plan.switch, plan.previous) == (True, True, None)
    assert plan.create_users == ("hublab", "hublab-worker-1", "hublab-worker-2", "hublab-worker-3")
    assert set(plan.fix_paths) == {
        *("/etc/hublab", PROFILES, "/etc/hublab/environment.json", "/var/lib/hublab"),
        *("/opt/hublab", "/opt/hublab/releases", "/opt/hublab/root"),
    }
    assert [(step.number, step.name, step.reasons) for step in plan.restarts] == [
        (1, "hublab-1-1", ("new",)),
        (2, "hublab-1-2", ("new",)),
        (3, "hublab-1-3", ("new",)),
    ]
    assert (plan.surplus, plan.legacy, plan.legacy_units, plan.prune) == ((), (), (), ())
    assert plan.changes
    assert plan.activates


def test_words_for_a_bare_host() -> None:
    words = make(wanted(workers=1), bare()).words
    assert words[0].startswith(f"release {release_name()} will be built (Prefect 3.")
    assert words[0].endswith(", Python 3.12.1, no uvloop)")
    assert words[1] == f"release of record: none → {release_name()}"
    assert "users hublab, hublab-worker-1 will be created" in words
    assert any(word.startswith("/etc/hublab, ") and word.endswith(" will be written") for word in words)
    assert words[-1] == "hublab-1-1 will be started: new"


EMPTYING, SIGNALS = "emptying files of other runs", "sending signals to its worker and to other runs"
LISTENING = "listening at TCP ports of its choice"


@pytest.mark.parametrize(
    ("version", "told"),
    [
        (0, ["writing in folders of other runs and reading the memory of its worker", EMPTYING, LISTENING, SIGNALS]),
        (2, [EMPTYING, LISTENING, SIGNALS]),
        (5, [SIGNALS]),
    ],
)
def test_old_kernel_is_named(version: int, told: list[str]) -> None:
    words = make(wanted(), bare(landlock=version)).words
    has = f"(Landlock {version}, Linux 6.12 has 6)"
    assert f"its kernel cannot keep a flow run from {', '.join(told)} {has}" in words


def test_kernel_that_holds_everything_is_not_mentioned() -> None:
    assert not any("kernel" in word for word in make(wanted(), bare(landlock=6)).words)


@pytest.mark.parametrize(
    ("version", "said"),
    [("3.4.1", True), ("3.6.13", True), ("3.6.14", False), ("3.9.1", False), ("", False), ("3.8.8+local", False)],
)
def test_the_plan_says_what_an_old_server_does_not_hear(version: str, said: bool) -> None:
    words = make(wanted(), bare(api_version=version)).words
    assert any(f"Prefect's server is {version}, and takes no events" in word for word in words) is said


def test_folders_come_before_what_lies_in_them() -> None:
    paths = make(wanted(), bare()).fix_paths
    for index, path in enumerate(paths):
        assert not any(later != path and path.startswith(f"{later}/") for later in paths[index:])


def test_converged_host_is_left_alone() -> None:
    plan = make(wanted(), converged(wanted()))
    assert not plan.changes
    assert not plan.activates
    assert plan.words == ()
    assert plan.release == release_name()
    assert len(plan.workers) == 3


def test_surplus_workers_are_removed_and_the_others_stay() -> None:
    plan = make(wanted(workers=1), converged(wanted(workers=3)))
    assert plan.surplus == (2, 3)
    assert plan.restarts == ()
    said = "will be drained and removed: only 1 is wanted; its user hublab-worker-3 and its folder stay"
    assert f"prefect-worker@3.service {said}" in plan.words


def test_one_more_worker_touches_no_other() -> None:
    plan = make(wanted(workers=4), converged(wanted(workers=3)))
    assert [step.name for step in plan.restarts] == ["hublab-1-4"]


@pytest.mark.parametrize("path", ["/etc/hublab", "/opt/hublab/releases", "/opt/hublab/root", "/var/lib/hublab"])
@pytest.mark.parametrize("fault", [{"mode": "0777"}, {"uid": 1000}, {"gid": 1000}])
def test_loosened_folder_is_put_right(path: str, fault: dict[str, Any]) -> None:
    state = converged(wanted())
    plan = make(wanted(), replace(state, files=state.files | {path: file_fact(path, **fault)}))
    assert plan.fix_paths == (path,)
    assert plan.restarts == ()
    assert plan.words == (f"{path} will be put right",)


def test_readable_credential_is_put_right() -> None:
    state = converged(wanted())
    loose = file_fact(PROFILES, wanted().profiles(), mode="0644")
    assert make(wanted(), replace(state, files=state.files | {PROFILES: loose})).fix_paths == (PROFILES,)


def test_user_that_is_gone_is_created_again() -> None:
    host = wanted()
    plan = make(host, converged(host, users=frozenset(host.users()) - {"hublab-worker-2"}))
    assert plan.create_users == ("hublab-worker-2",)
    assert plan.words == ("user hublab-worker-2 will be created",)


def damaged(**damage: Any) -> HostState:
    name = release_name()
    return converged(wanted(), releases={name: finished(name, **damage)})


@pytest.mark.parametrize(
    ("damage", "word"),
    [
        ({"added": ("uvloop-0.21.0",)}, "uvloop-0.21.0 was added"),
        ({"missing": ("prefect-3.8.8",)}, "prefect-3.8.8 is missing"),
        ({"code_changed": True}, "its code below worker or flows changed"),
        ({"guard": False}, "its guard against uvloop changed"),
        (
            {"added": ("uvloop-0.21.0",), "guard": False},
            "uvloop-0.21.0 was added; its guard against uvloop changed",
        ),
    ],
)
def test_tampered_release_gets_a_fresh_one_beside_it(damage: dict[str, Any], word: str) -> None:
    name = release_name()
    plan = make(wanted(), damaged(**damage))
    assert (plan.release, plan.build, plan.switch, plan.previous) == (f"{name}.2", True, True, name)
    assert all(step.reasons == (f"runs release {name}",) for step in plan.workers)
    assert name not in plan.prune
    assert plan.words[0] == f"release {name} was tampered with ({word}): a fresh one is built beside it"
    assert plan.words[1].startswith(f"release {name}.2 will be built")


def test_half_built_release_is_built_again_under_its_name() -> None:
    name = release_name()
    plan = make(wanted(), bare(releases={name: Release(name, complete=False)}))
    assert (plan.release, plan.build, plan.prune) == (name, True, ())


def test_finished_release_is_not_built_again() -> None:
    name = release_name()
    plan = make(wanted(), bare(releases={name: finished(name)}))
    assert (plan.release, plan.build, plan.switch) == (name, False, True)


def test_upgrade_keeps_wanted_and_previous_and_what_ran_until_then_goes() -> None:
    """A worker of a rollout that was cut off ran a third release; by the end of this one it runs the wanted one."""
    name = release_name()
    releases = {item: finished(item) for item in ("current", "previous", "running", "old")}
    half = Release("half", complete=False)
    state = converged(wanted(), releases=releases | {"half": half}, current="current", previous="previous")
    state = replace(state, workers={1: running(wanted(), 1, "current"), 2: running(wanted(), 2, "running")})
    plan = make(wanted(), state)
    assert (plan.release, plan.previous, plan.build) == (name, "current", True)
    assert plan.prune == ("half", "old", "previous", "running")
    assert "release old will be removed" in plan.words
    assert f"release of record: current → {name}" in plan.words


def test_no_upgrade_keeps_the_release_before() -> None:
    name = release_name()
    releases = {item: finished(item) for item in (name, "previous", "old")}
    plan = make(wanted(), converged(wanted(), releases=releases, previous="previous"))
    assert plan.prune == ("old",)
    assert not plan.switch


def test_legacy_workers_are_retired_and_the_rest_left_alone() -> None:
    site = "/usr/lib/python3/dist-packages"
    stray = legacy(
        pid=78,
        unit=None,
        how="",
        origin="started by hand",
        name="",
        uvloop=(Uvloop(site, "0.17.0", "a Debian package owns it"),),
    )
    boxed = Claim(79, "deploy", "boxed", "it runs in a container", container=True)
    fake = Claim(80, "nobody", "", "it executes /usr/bin/dash, which is no Python")
    units = (LegacyUnit("prefect-worker.service"),)
    plan = make(wanted(), converged(wanted(), legacy=(legacy(), stray), claims=(boxed, fake), legacy_units=units))
    assert plan.legacy == (legacy(), stray)
    assert plan.legacy_units == units
    assert plan.activates
    assert plan.restarts == ()
    assert plan.words == (
        (
            "legacy worker old (pid 77, unit prefect-worker.service, Prefect 3.4.1) will be retired after its runs"
            "; uvloop 0.21.0 will be removed from /srv/venv/bin/python "
            "(below /srv/venv/lib/python3.12/site-packages, as its owner)"
        ),
        (
            "legacy worker (no name) (pid 78, started by hand, user deploy, Prefect 3.4.1) will be retired "
            f"after its runs; uvloop 0.17.0 stays in {site}: a Debian package owns it"
        ),
        "legacy unit prefect-worker.service will be disabled and masked",
        "worker boxed (pid 79, user deploy) runs in a container and is left alone",
        (
            "(no name) (pid 80, user nobody) says that it is a worker, and is not: "
            "it executes /usr/bin/dash, which is no Python; it is left alone"
        ),
    )


def test_what_is_left_alone_changes_nothing() -> None:
    claims = (Claim(79, "deploy", "boxed", "it runs in a container", container=True), Claim(80, "nobody", "", "why"))
    assert not make(wanted(), converged(wanted(), claims=claims)).changes


def test_no_word_shows_the_credential() -> None:
    for state in (bare(), converged(wanted(), current="other")):
        plan = make(wanted(), state)
        assert "sentinel" not in repr(plan)


def test_unit_finds_its_root_and_its_interpreter_behind_a_link() -> None:
    """Where /opt leads elsewhere: systemd makes no root behind a link, and a venv stands on where Python lies."""
    state = bare(root="/srv/opt/hublab/root", python_prefix="/srv/opt/python3.12")
    (unit, *_) = [step.unit for step in make(wanted(), state).restarts]
    assert "\nRootDirectory=/srv/opt/hublab/root\n" in unit
    assert " /srv/opt/python3.12 /usr " in unit
    (unit, *_) = [step.unit for step in make(wanted(), bare()).restarts]
    assert "\nRootDirectory=/opt/hublab/root\n" in unit
