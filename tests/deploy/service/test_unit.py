"""The unit of one worker as text: settings arrive, nothing secret does, and systemd reads it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from deploy.onhost.common import HostError
from deploy.onhost.worker_unit import verify
from deploy.secret import Secret
from deploy.service import unit
from tests.deploy.factories import SENTINEL
from tests.deploy.units import directives, environment, render


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ({"drain_seconds": 30}, "TimeoutStopSec=90"),
        ({"memory_max": "512M"}, "MemoryMax=512M"),
        ({"concurrency": 10}, "TasksMax=2304"),
        ({"work_queues": ("a", "b c")}, 'Environment="HUBLAB_WORK_QUEUES=a,b c"'),
        ({"campaign_queues": ("first", "default")}, 'Environment="HUBLAB_WORK_QUEUES=default,first"'),
        ({"work_pool": "two words"}, 'Environment="HUBLAB_WORK_POOL=two words"'),
    ],
)
def test_settings_arrive_in_the_unit(host: dict[str, Any], line: str) -> None:
    assert line in render(**host).splitlines()


def test_folders_for_flows_are_read_only() -> None:
    found = dict(directives(render(read_paths=("/srv/flows", "/srv/more"))))
    assert {"/srv/flows", "/srv/more"} <= set(found["BindReadOnlyPaths"].split())
    assert found["BindPaths"] == "/var/lib/hublab/worker-1/tmp /var/lib/hublab/worker-1/prefect"
    assert "/srv" not in found["ExecPaths"]


def test_folders_that_flows_may_write_hold_no_program() -> None:
    text = render(write_paths=("/srv/out", "/srv/more"))
    found = dict(directives(text))
    assert {"/srv/out", "/srv/more"} <= set(found["BindPaths"].split())
    assert {"+/srv/out", "+/srv/more"} <= set(found["NoExecPaths"].split())
    assert environment(text)["HUBLAB_WRITE_PATHS"] == "/srv/out:/srv/more"


def test_each_worker_has_a_user_of_its_own() -> None:
    users = [dict(directives(render(number)))["User"] for number in (1, 2, 3)]
    assert users == ["hublab-worker-1", "hublab-worker-2", "hublab-worker-3"]


@pytest.mark.parametrize(
    ("prefix", "named"), [("/usr/local", False), ("/usr/python", False), ("/opt/py", True), ("/usrx", True)]
)
def test_interpreter_is_visible_and_can_be_executed(prefix: str, named: bool) -> None:
    found = dict(directives(render(prefix=prefix)))
    assert (prefix in found["BindReadOnlyPaths"].split()) is named
    assert (prefix in [path.lstrip("-+") for path in found["ExecPaths"].split()]) is named


@pytest.mark.parametrize("value", ["50%h", "a\\b", 'a"b', "%%", "a b"])
def test_systemds_own_signs_are_escaped(value: str) -> None:
    assert environment(render(work_pool=value))["HUBLAB_WORK_POOL"] == value
    assert "%h" not in render(work_pool=value).replace("%%", "")


def test_two_workers_differ_only_where_they_must() -> None:
    """The name, the number in paths, and the digest over both."""
    first, second = render(1), render(2)
    assert first != second
    alike = second.replace("worker-2", "worker-1").replace("hublab-1-2", "hublab-1-1")
    assert alike.replace(unit.digest_of(second), unit.digest_of(first)) == first


def test_digest_stands_for_the_text_alone() -> None:
    assert unit.digest_of(render()) == unit.digest_of(render())
    other_ways_to_the_same = render(gate_seconds=11, wheels="index", python="/opt/python3.12/bin/python3.12", workers=9)
    assert other_ways_to_the_same == render()
    digests = {
        unit.digest_of(text)
        for text in (render(), render(2), render(memory_max="5G"), render(prefix="/opt/other"), render(work_pool="b"))
    }
    assert len(digests) == 5


def test_digest_is_the_one_that_the_process_carries() -> None:
    text = render()
    assert environment(text)["HUBLAB_UNIT"] == unit.digest_of(text)
    assert unit.digest_of("[Service]\nExecStart=/bin/true\n") == ""


def test_no_secret_in_the_text() -> None:
    assert SENTINEL not in render(auth_string=Secret(f"a:{SENTINEL}"), api_key=Secret(SENTINEL))
    assert render(auth_string=Secret("a:b")) == render(auth_string=None, api_key=Secret("c"))


def test_each_relaxation_says_why() -> None:
    lines = render().splitlines()
    for key in ("RestrictAddressFamilies=", "RootDirectory=", "NoExecPaths=", "KillMode=", "LoadCredential="):
        at = next(index for index, line in enumerate(lines) if line.startswith(key))
        assert lines[at - 1].startswith("# "), key


def runnable(text: str) -> str:
    """The release does not exist here; systemd insists that the program does."""
    return re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", text, flags=re.MULTILINE)


def test_systemd_reads_it_without_a_word() -> None:
    verify("prefect-worker@1.service", runnable(render(work_pool="50% of it", read_paths=("/srv/flows",))))


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("KillMode=process", "KillMode=sometimes"), ("UMask=0077", "UMaks=0077"), ("MemoryMax=4G", "MemoryMax=4 apples")],
)
def test_systemd_refuses_what_is_wrong(right: str, wrong: str) -> None:
    with pytest.raises(HostError, match=r"prefect-worker@1\.service does not verify: .*"):
        verify("prefect-worker@1.service", runnable(render()).replace(right, wrong))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"concurrency": 6}, " (HUBLAB_CONCURRENCY 4 → 6)"),
        ({"memory_max": "3G"}, " (MemoryMax 4G → 3G)"),
        ({"drain_seconds": 60}, " (HUBLAB_DRAIN_SECONDS 900 → 60)"),
        ({"work_queues": ("a", "b")}, " (HUBLAB_WORK_QUEUES default → a,b)"),
        ({}, ""),
    ],
)
def test_difference_of_two_units_in_words(changes: dict[str, Any], words: str) -> None:
    assert unit.difference(render(), render(**changes)) == words


def test_difference_to_a_unit_that_is_not_known_cannot_be_told() -> None:
    assert unit.difference("", render()) == ""


def test_of_a_long_list_only_what_came_and_went_is_told() -> None:
    assert unit.difference(render(), render(read_paths=("/srv/x",))) == " (BindReadOnlyPaths +/srv/x)"
    assert unit.difference(render(read_paths=("/srv/x",)), render()) == " (BindReadOnlyPaths -/srv/x)"
