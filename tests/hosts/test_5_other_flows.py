"""Other people's flows on a real host: packages, variables and what the sandbox refuses, each by a setting of its own.

One deploy brings all three. What cannot be used, and what makes runs fail, leaves every worker as it was.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sandbox import runs
from sandbox.past import FLOWS
from tests.hosts.conftest import WORKERS, as_wanted, main_pids
from tests.hosts.others_flow import HOST

if TYPE_CHECKING:
    from sandbox import Machine, Sandbox
    from sandbox.operator import Operator

HERE = Path(__file__).parent
PACKAGE, NEEDED = "prettytable", "wcwidth"
VARIABLES = {"TRY_TOKEN": "sentinel-of-others-3fa9-#'q'", "TRY_LINES": "one\ntwo", "TRY_EMPTY": ""}
REFUSED = {
    "jit": "PermissionError",
    "proc": "FileNotFoundError",
    "ca": "SSLCertVerificationError",
    "package": "ModuleNotFoundError",
}
# An authority of the host's own, and whom it vouches for.
AUTHORITY = f"""
cd /usr/local/share/ca-certificates
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={HOST} \\
    -addext subjectAltName=DNS:{HOST} -keyout private.key -out private.crt 2>/dev/null
cat private.key private.crt > {FLOWS}/private.pem
chmod 644 {FLOWS}/private.pem; update-ca-certificates >/dev/null 2>&1
"""


@pytest.fixture(scope="module")
def wishes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What `.env` says more for them."""
    file = tmp_path_factory.mktemp("others") / "flows.env"
    write(file, **VARIABLES)
    return {
        "HUBLAB_EXTRA_REQUIREMENTS": str(HERE / "others.lock"),
        "HUBLAB_ENVIRONMENT": str(file),
        "HUBLAB_ALLOW": "jit,proc,ca",
    }


def write(file: Path, **variables: str) -> None:
    file.write_text("".join(f'{name}="{value}"\n' for name, value in variables.items()))


def run(sandbox: Sandbox, machine: Machine) -> dict[str, Any]:
    """What their flow says at its end, on the first worker."""
    machine.put(f"{FLOWS}/others_flow.py", HERE.joinpath("others_flow.py").read_text())
    with sandbox.api() as api:
        queue = f"probe-{machine.name}-1"
        deployment = runs.register(api, "others_flow.py:needs", directory=str(FLOWS), queue=queue)
        started = runs.start(api, deployment, {"folder": str(FLOWS), "package": PACKAGE})
        ended = runs.await_state(api, started, timeout=180)
    assert ended.type == "COMPLETED", ended
    found: dict[str, Any] = json.loads(ended.message)
    return found


@pytest.fixture(scope="module")
def opened(operator: Operator, machine: Machine, sandbox: Sandbox, wishes: dict[str, str]) -> str:
    """All of it is deployed, and what the deploy said; without it each try was refused."""
    as_wanted(operator)
    machine.ssh(AUTHORITY)
    assert run(sandbox, machine) == {"found": REFUSED, "variables": {}}
    result = operator.deploy(**wishes)
    assert result.status == 0, result.text
    return result.text


def test_each_is_there_where_its_setting_names_it(
    opened: str, operator: Operator, machine: Machine, sandbox: Sandbox, wishes: dict[str, str]
) -> None:
    digests = {name: hashlib.sha256(value.encode()).hexdigest() for name, value in VARIABLES.items()}
    assert run(sandbox, machine) == {"found": dict.fromkeys(REFUSED, "done"), "variables": digests}
    assert f"with {PACKAGE} " in opened
    assert "variables of flow runs (HUBLAB_ENVIRONMENT), new: TRY_EMPTY, TRY_LINES, TRY_TOKEN" in opened
    assert "HUBLAB_ALLOW=jit: " in opened
    assert "sentinel-of-others" not in opened
    proof = operator.verify(**wishes)
    assert proof.status == 0, proof.text


@pytest.mark.usefixtures("opened")
def test_variable_that_makes_runs_fail_goes_back_with_its_release(
    operator: Operator, machine: Machine, sandbox: Sandbox, wishes: dict[str, str]
) -> None:
    before, file = main_pids(machine), Path(wishes["HUBLAB_ENVIRONMENT"])
    write(file, HTTP_PROXY="gopher://nowhere", TRY_TOKEN="another")
    result = operator.deploy(**wishes, HUBLAB_GATE_SECONDS="60")
    write(file, **VARIABLES)
    assert result.status != 0
    assert "hublab-1-1: FAILED" in result.text
    assert "/etc/hublab/environment.json is the one of before" in result.text
    after = main_pids(machine)
    assert {number for number in before if after[number] != before[number]} == {1}
    assert sorted(run(sandbox, machine)["variables"]) == sorted(VARIABLES)
    plan = operator.plan(**wishes)
    assert "plan: nothing to do" in plan.text, plan.text


@pytest.mark.usefixtures("opened")
def test_lock_that_lacks_a_package_is_refused_before_any_worker_is_touched(
    operator: Operator, machine: Machine, wishes: dict[str, str], tmp_path: Path
) -> None:
    half, before = tmp_path / "half.lock", main_pids(machine)
    half.write_text((HERE / "others.lock").read_text().partition(NEEDED)[0])
    result = operator.deploy(**wishes | {"HUBLAB_EXTRA_REQUIREMENTS": str(half)})
    assert result.status != 0
    assert "could not be built; nothing else was changed" in result.text
    assert f"`{PACKAGE}` requires `{NEEDED}" in result.text
    assert main_pids(machine) == before


@pytest.mark.usefixtures("opened")
def test_release_before_is_without_the_packages_and_shut_as_it_was(
    operator: Operator, machine: Machine, sandbox: Sandbox, wishes: dict[str, str]
) -> None:
    """Its unit goes back with it; the variables are secrets, and stay what `.env` says now."""
    back = operator.run("pyinfra", "-y", "deploy/inventory.py", "deploy/rollback.py", **wishes)
    assert back.status == 0, back.text
    assert back.text.count("COMPLETED in") >= WORKERS
    found = run(sandbox, machine)
    assert found["found"] == REFUSED
    assert sorted(found["variables"]) == sorted(VARIABLES)
