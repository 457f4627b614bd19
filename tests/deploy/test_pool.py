"""What of a pool, or of a server, would let workers be ONLINE and run nothing: said by the plan, with the remedy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from deploy.fleet.standing import Status
from deploy.fleet.status import render
from deploy.plan import make
from deploy.pool import template_faults
from deploy.state import Pool
from deploy.words import warnings
from tests.deploy.factories import converged, wanted

HOST = wanted()
TEMPLATE: dict[str, Any] = {
    "job_configuration": {"command": "{{ command }}", "env": "{{ env }}", "working_dir": "{{ working_dir }}"},
    "variables": {"type": "object", "properties": {"command": {"title": "Command"}, "working_dir": {"type": "string"}}},
}
GOOD = Pool(there=True, type="process", template=TEMPLATE)


def told(pool: Pool, **wishes: Any) -> list[tuple[str, str]]:
    plan = make(wanted(**wishes), converged(HOST, pool=pool))
    return [(problem.what.partition(": ")[2], problem.remedy) for problem in plan.problems]


def test_pool_as_prefect_makes_it_is_no_problem() -> None:
    assert told(GOOD) == []
    assert make(HOST, converged(HOST)).problems == (), "nor one that could not be asked for"


@pytest.mark.parametrize(
    ("changes", "what", "remedy"),
    [
        ({"there": False}, "has no work pool default", "prefect work-pool create default --type process"),
        ({"type": "docker"}, "default is a pool of type docker", "create one"),
        ({"paused": True}, "default is paused", "prefect work-pool resume default"),
        ({"limit": 0}, "has a concurrency limit of 0", "clear-concurrency-limit default"),
        ({"paused_queues": ("default", "other")}, "default of the pool default is paused", "work-queue resume default"),
        ({"template": None}, "has no job_configuration with its variables", "work-pool update default"),
        ({"template": {"variables": {}}}, "has no job_configuration with its variables", "work-pool update default"),
    ],
)
def test_pool_in_which_nothing_would_run_is_a_problem(changes: dict[str, Any], what: str, remedy: str) -> None:
    ((found, cure),) = told(replace(GOOD, **changes))
    assert what in found
    assert remedy in cure


def test_queue_that_nobody_here_polls_may_be_paused() -> None:
    assert told(replace(GOOD, paused_queues=("other",))) == []
    # What an operator has paused for a while is in no deploy's way.
    assert told(replace(GOOD, paused_queues=("campaign",)), campaign_queues=("campaign",)) == []


def template(**changes: Any) -> dict[str, Any]:
    return {**TEMPLATE, "variables": {**TEMPLATE["variables"], **changes}}


def test_variable_that_is_required_and_has_no_value_is_named() -> None:
    (fault,) = template_faults(HOST, template(required=["image", "command"], properties={"command": {"default": "x"}}))
    assert fault.startswith("requires the variable image and gives it no value")


@pytest.mark.parametrize(
    ("folder", "seen"),
    [
        ("/srv/flows", False),
        ("/opt/prefect/flows", False),
        ("/data/flows/today", True),
        ("/tmp/x", True),
        ("/data/../srv", False),
        ("relative", False),
        ("", True),
        (None, True),
    ],
)
def test_folder_that_the_sandbox_hides_is_named(folder: str | None, seen: bool) -> None:
    host = wanted(read_paths=("/data",))
    by_default = template(properties={"working_dir": {"default": folder}})
    fixed = {**TEMPLATE, "job_configuration": {"working_dir": folder}}
    for made in (by_default, fixed):
        assert (template_faults(host, made) == []) is seen, made


@pytest.mark.parametrize("strange", [[], "text", {"job_configuration": {}, "variables": {"properties": []}}])
def test_template_of_another_shape_is_no_traceback(strange: Any) -> None:
    assert len(template_faults(HOST, strange)) == 1


@pytest.mark.parametrize(
    ("version", "barred"), [("2.20.4", True), ("3.4.1", False), ("", False), ("main+dirty", False)]
)
def test_server_of_another_major_version_is_a_problem(version: str, barred: bool) -> None:
    problems = make(HOST, converged(HOST, api_version=version)).problems
    assert bool(problems) is barred
    assert all(f"is Prefect {version}" in problem.what for problem in problems)


@pytest.mark.parametrize(
    ("url", "open_", "warned"),
    [
        ("http://prefect.example.com/api", True, True),
        ("http://10.0.0.5:4200/api", True, True),
        ("http://127.example.com/api", True, True),
        ("http://127.0.0.1:4200/api", True, False),
        ("http://[::1]:4200/api", True, False),
        ("http://localhost:4200/api", True, False),
        ("http://prefect.example.com/api", False, False),
    ],
)
def test_api_that_asks_for_no_credential_is_a_warning(url: str, open_: bool, warned: bool) -> None:
    found = warnings(wanted(api_url=url), converged(HOST, api_open=open_))
    assert bool(found) is warned
    shown = render(Status("h", warnings=found))
    assert ("warning: the API at" in shown) is warned
    assert Status("h", warnings=found).as_planned, "a deploy cures it not, and nothing runs otherwise than planned"


@pytest.mark.parametrize(
    ("on", "wished", "told"),
    [
        (True, True, "testing mode is on: mails to TESTING_ADDRESS go out minutes apart"),
        (
            True,
            False,
            "testing mode is on at Prefect, and .env does not have it -> `./hublab campaign secrets` takes it out",
        ),
        (False, True, "TESTING_MODE of .env is not at Prefect"),
        (False, False, ""),
        (None, True, ""),
    ],
)
def test_testing_mode_is_in_plan_and_status_until_it_is_taken_out_at_prefect(
    on: bool | None, wished: bool, told: str
) -> None:
    host, state = wanted(testing=wished), converged(HOST, testing=on)
    found = warnings(host, state)
    assert bool(found) is bool(told)
    assert told in "".join(found)
    assert ("warning: " in render(Status("h", warnings=found))) is bool(told)
