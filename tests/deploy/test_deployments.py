"""The pool's deployments in the plan: all by name, and those that could not run here with the reason and the remedy."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from deploy.deployments import faults, listed
from deploy.onhost import deployment_facts
from deploy.onhost.wire import decode, encode
from deploy.plan import make
from deploy.release import identity
from deploy.state import Deployment
from deploy.words import warnings
from flows.operator.register import ENTRYPOINTS
from tests.deploy.factories import converged, wanted

if TYPE_CHECKING:
    from pathlib import Path

HOST = wanted(read_paths=("/srv/flows",))
CODE = frozenset({"flows/send.py", "flows/__init__.py", "worker/probe_flow.py"})
PACKAGES = frozenset({"prefect", "prefect-aws", "httpx"})
TOKEN = "sentinel-77aa"
FOLDER = "prefect.deployments.steps.set_working_directory"
CLONE = "prefect.deployments.steps.git_clone"


def asked(monkeypatch: pytest.MonkeyPatch, git: str | None = "/usr/bin/git", **item: Any) -> Deployment:
    """One that the API tells of, by way of the host."""
    monkeypatch.setattr("shutil.which", lambda *_, **__: git)
    found = encode(deployment_facts.facts({"name": "theirs", "entrypoint": "flow.py:go"} | item))
    assert TOKEN not in found
    return decode(Deployment, found)


def told(item: Deployment, started: str = "") -> list[str]:
    return list(faults(HOST, item, CODE, PACKAGES, started))


def steps(*names: str, **inputs: Any) -> dict[str, Any]:
    return {"pull_steps": [{name: inputs} for name in names]}


@pytest.mark.parametrize(
    "item",
    [
        {"entrypoint": "flows.send.handle"},
        {"entrypoint": "httpx.main"},
        steps(CLONE, repository=f"https://{TOKEN}@example.com/x"),
        steps("prefect_aws.deployments.steps.pull_from_s3", requires="prefect-aws>=0.5", bucket="b"),
        {"storage_document_id": "0a"},
        {"entrypoint": "theirs.flow.go", "job_variables": {"working_dir": "/srv/flows"}},
        {"entrypoint": "theirs.flow.go", **steps(FOLDER, directory="/srv/flows")},
        {"job_variables": {"env": {"EXTRA_PIP_PACKAGES": "httpx==1 Prefect_AWS[s3]", "KEY": TOKEN}}, **steps(CLONE)},
        {
            "job_variables": {
                "env": {"EXTRA_PIP_PACKAGES": "pandas", "PREFECT_RUNNER_AUTO_INSTALL_DEPENDENCIES": "true"}
            },
            **steps(CLONE),
        },
    ],
)
def test_what_could_run_is_not_warned_of(monkeypatch: pytest.MonkeyPatch, item: dict[str, Any]) -> None:
    assert told(asked(monkeypatch, **item)) == []


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"entrypoint": None}, "it has no entrypoint"),
        ({}, "its code flow.py:go is at no place that a worker knows"),
        ({"path": "."}, "its code flow.py:go is at no place that a worker knows"),
        ({"path": "/opt/prefect/flows"}, "its code /opt/prefect/flows/flow.py is hidden by the workers' sandbox"),
        (steps(FOLDER, directory="/root"), "its code /root/flow.py is hidden by the workers' sandbox"),
        ({"path": "/srv/flows/none"}, "there is no /srv/flows/none/flow.py on the host"),
        ({"entrypoint": "/srv/flows/none.py:go"}, "there is no /srv/flows/none.py on the host"),
        ({"entrypoint": "flows.gone.handle"}, "its module flows.gone is not in the release; register it anew"),
        ({"entrypoint": "theirs.flow.go"}, "its module theirs.flow is not in the release, and no package of it is"),
        (steps("prefect_gcp.steps.pull", requires="prefect-gcp>=0.5"), "requires prefect-gcp>=0.5, which the release"),
        (steps("prefect_gcp.steps.pull"), "is of a package that the release does not have"),
        (steps("prefect.deployments.steps.pip_install_requirements"), "installs into the release"),
        ({"job_variables": {"working_dir": "/home/x"}, **steps(CLONE)}, "it starts in /home/x, which the workers'"),
        ({"job_variables": {"env": {"EXTRA_PIP_PACKAGES": "pandas>=2"}}, **steps(CLONE)}, "EXTRA_PIP_PACKAGES names"),
    ],
)
def test_what_could_not_run_is_said_with_the_reason(
    monkeypatch: pytest.MonkeyPatch, item: dict[str, Any], reason: str
) -> None:
    (found,) = told(asked(monkeypatch, **item))
    assert reason in found


@pytest.mark.parametrize(
    "item",
    [
        {"pull_steps": [{CLONE: None}]},
        {"pull_steps": ["x", {CLONE: "y"}]},
        {"job_variables": {"env": "{{ env }}", "working_dir": 7}, **steps(CLONE)},
        {"job_variables": [], **steps(CLONE)},
    ],
)
def test_deployment_of_a_strange_shape_is_in_no_deploys_way(
    monkeypatch: pytest.MonkeyPatch, item: dict[str, Any]
) -> None:
    assert asked(monkeypatch, **item).fetched


def test_host_without_git_clones_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = told(asked(monkeypatch, git=None, **steps(CLONE, repository="x")))
    assert found == f"its pull step {CLONE} needs git; install it on the host"


def test_file_that_is_there_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "flow.py").touch()
    host = replace(HOST, read_paths=(str(tmp_path),))
    item = asked(monkeypatch, path=str(tmp_path))
    assert item.there is True
    assert list(faults(host, item, CODE, PACKAGES)) == []


def test_folder_of_the_pools_template_is_where_code_may_lie(monkeypatch: pytest.MonkeyPatch) -> None:
    assert told(asked(monkeypatch), started="/srv/flows") == []


def test_campaigns_own_deployments_can_run() -> None:
    code = frozenset(identity.shipped_code().files)
    for entrypoint in (*ENTRYPOINTS, "worker.probe_flow.probe"):
        assert list(faults(HOST, Deployment("ours", entrypoint), code, PACKAGES)) == [], entrypoint


def test_plan_lists_all_and_warns_of_those_that_could_not_run() -> None:
    good = [Deployment(f"d{number}", "flows.signup_handler.handle") for number in range(14)]
    host = wanted()
    state = converged(host, deployments=(*good, Deployment("bad", "x.y")))
    assert listed(host, state) == (
        "15 deployments in pool default: " + ", ".join(f"d{number}" for number in range(12)) + ", 3 more"
    )
    (warning,) = warnings(host, state)
    assert warning.startswith("deployment bad of pool default could not run here: its module x is not in the release")
    assert not make(host, state).problems, "others' deployments are in no deploy's way"
    assert not make(host, state).changes
    assert listed(host, converged(host)) == ""
