"""What stands in the way of a deploy is told with what, where and the remedy, and then nothing is planned."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import pytest

from deploy.onhost.record import Line
from deploy.plan import make
from deploy.planned import Plan
from deploy.remedies import ConnectRemedies
from deploy.secret import Secret
from deploy.state import HostState, PortFault
from deploy.webhooks import Webhooks
from tests.deploy.factories import bare, converged, legacy, wanted

MIB = 1024**2


def barred(state: HostState, **host: Any) -> tuple[str, str]:
    """The one problem: what, and the remedy."""
    plan = make(wanted(**host), state)
    assert plan == Plan("hublab-1.example.com", plan.problems), "a host with a problem gets no steps"
    assert (plan.words, plan.lock) == ((), "")
    assert not plan.changes
    (problem,) = plan.problems
    return problem.what, problem.remedy


@pytest.mark.parametrize(("found", "told"), [("deploy", "deploy"), ("", "?")])
def test_sudo_refused(found: str, told: str) -> None:
    what, remedy = barred(HostState(problem="sudo", found=found))
    assert what == f"sudo is refused to user {told}"
    assert remedy == "give the user sudo without a password, or name root in HUBLAB_HOSTS"


@pytest.mark.parametrize(("found", "told"), [("Python 3.9.2", "Python 3.9.2"), ("", "none")])
def test_python_missing_or_too_old(found: str, told: str) -> None:
    what, remedy = barred(HostState(problem="python", found=found))
    assert what == f"HUBLAB_PYTHON: no Python 3.12 on the host (found: {told})"
    assert remedy == "install Python 3.12 or 3.13 there, or give the interpreter's absolute path in HUBLAB_PYTHON"


@pytest.mark.parametrize(("libc", "told"), [("", "an unknown C library"), ("musl-1.2", "musl-1.2")])
def test_python_that_does_not_fit_where_none_can_be_brought(libc: str, told: str) -> None:
    what, remedy = barred(bare(python_fits=False, python_version="3.11.2", libc=libc), python="auto")
    assert what == (
        "HUBLAB_PYTHON: the host has no Python 3.12 or 3.13 (found: 3.11.2), "
        f"and none is known that could be brought (x86_64, {told})"
    )
    assert remedy == "install Python 3.12 or 3.13 there, or name one that is there in HUBLAB_PYTHON"


def test_host_that_answers_nothing() -> None:
    what, remedy = barred(HostState(problem="silent"))
    assert what == "the host answered nothing to the first question"
    assert remedy == "see what it printed: .venv/bin/pyinfra -vvv --dry deploy/inventory.py deploy/workers.py"


def test_what_could_not_be_looked_at_is_named() -> None:
    what, remedy = barred(bare(faults={"clock": "timed out"}))
    assert what == "the host's clock could not be looked at: timed out"
    assert remedy == (
        "mend that on the host; where nothing is wrong there, it is a fault of the deploy's: report this line"
    )


def test_folder_that_flows_are_to_have_and_that_is_not_there() -> None:
    what, remedy = barred(bare(), read_paths=("/srv/flows",))
    assert (what, remedy) == (
        "HUBLAB_READ_PATHS: there is no /srv/flows on the host",
        "correct the path, or leave it out",
    )
    assert barred(bare(), write_paths=("/srv/out",))[0] == "HUBLAB_WRITE_PATHS: there is no /srv/out on the host"


@pytest.mark.parametrize("number", [1, 3])
def test_unit_of_somebody_else_by_the_name_of_a_worker_that_is_wanted(number: int) -> None:
    name = f"prefect-worker@{number}.service"
    what, remedy = barred(bare(strangers=(name, "prefect-worker@0.service", "prefect-worker@4.service")))
    assert what == (
        f"{name} on the host goes by the name of a unit of this deploy; it is neither that nor a worker's own unit"
    )
    assert remedy == f"remove it, or give it another name: systemctl cat {name}"


def test_place_that_is_not_roots() -> None:
    what, remedy = barred(bare(doubts=("/opt/hublab belongs to eve",)))
    assert what == "/opt/hublab belongs to eve"
    assert remedy == (
        "look at what it is, and remove it or give it to root alone; a deploy makes its own folders and accounts"
    )


@pytest.mark.parametrize(
    ("skew", "told"), [(86_400.0, "86400 s ahead of"), (60.6, "61 s ahead of"), (-90.0, "90 s behind")]
)
def test_clock_that_is_wrong(skew: float, told: str) -> None:
    what, remedy = barred(bare(skew=skew))
    assert what == f"its clock is {told} the clock of https://prefect.example.com/api"
    assert remedy == "set the clock that is wrong (timedatectl); runs would begin that much too early or too late"


@pytest.mark.parametrize("skew", [60.0, -60.0, 0.5])
def test_clock_that_is_right_enough(skew: float) -> None:
    assert not make(wanted(), bare(skew=skew)).problems


@pytest.mark.parametrize("prefix", ["/root/.pyenv/versions/3.12.1", "/home/deploy/python"])
def test_python_in_a_home_folder(prefix: str) -> None:
    what, remedy = barred(bare(python_prefix=prefix, python=f"{prefix}/bin/python3.12"))
    assert what == f"HUBLAB_PYTHON: {prefix}/bin/python3.12 lies in a home folder, which the workers' sandbox hides"
    assert remedy == "install Python under /usr/local or /opt"


@pytest.mark.parametrize("fault", [{"systemd": 249}, {"systemd": 247}, {"booted": False}])
def test_systemd_too_old_or_not_in_charge(fault: dict[str, Any]) -> None:
    what, remedy = barred(bare(**fault))
    assert what == f"systemd {fault.get('systemd', 252)} is not running as process 1, or older than 250"
    assert remedy == "use Debian 12 or later"


def test_systemd_250_is_enough() -> None:
    assert make(wanted(), bare(systemd=250)).problems == ()


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("host", "key"),
    [
        ({}, "PREFECT_API_AUTH_STRING"),
        ({"auth_string": None}, "PREFECT_API_AUTH_STRING"),
        ({"auth_string": None, "api_key": Secret("sentinel-key")}, "PREFECT_API_KEY"),
    ],
)
def test_refused_credential_is_told_by_its_key(status: int, host: dict[str, Any], key: str) -> None:
    what, remedy = barred(bare(api_status=status), **host)
    assert what == f"{key}: https://prefect.example.com/api refuses it ({status})"
    assert remedy == "put the credential that the server was started with into .env"
    assert "sentinel" not in what


def test_api_that_cannot_be_reached() -> None:
    what, remedy = barred(bare(api_status=None, api_error="Connection refused"))
    url = "https://prefect.example.com/api"
    assert what == f"PREFECT_API_URL: {url} could not be reached from the host (Connection refused)"
    assert remedy == "check the URL, the server, and the way from the host to it"


def test_api_that_answers_and_not_as_prefect_does() -> None:
    what, _ = barred(bare(api_error="answered, but not as Prefect does"))
    assert what == "PREFECT_API_URL: https://prefect.example.com/api answered, but not as Prefect does"


def test_url_that_does_not_end_as_most_do_is_doubted() -> None:
    what, remedy = barred(bare(api_status=404), api_url="https://prefect.example.com")
    assert what == "PREFECT_API_URL: https://prefect.example.com answered 404"
    assert remedy == "check the URL, which usually ends in /api, the server, and the way from the host to it"


@pytest.mark.parametrize("status", [500, 503, 404, 301])
def test_api_that_answers_wrongly(status: int) -> None:
    what, _ = barred(bare(api_status=status))
    assert what == f"PREFECT_API_URL: https://prefect.example.com/api answered {status}"


@pytest.mark.parametrize("path", ["/opt/hublab", "/var/lib", "/etc"])
def test_full_disk_is_told_by_its_path(path: str) -> None:
    free = converged(wanted()).free | {path: 49 * MIB}
    what, remedy = barred(converged(wanted(), free=free))
    assert what == f"{path}: 49 MiB free, 50 MiB are needed"
    assert remedy == "make room there, or give the file system more space"
    assert make(wanted(), converged(wanted(), free=free | {path: 50 * MIB})).problems == ()


def test_room_for_a_release_is_asked_for_only_when_one_is_built() -> None:
    free = {"/opt/hublab": 699 * MIB, "/var/lib": 60 * MIB, "/etc": 60 * MIB}
    what, _ = barred(bare(free=free))
    assert what == "/opt/hublab: 699 MiB free, 700 MiB are needed"
    assert make(wanted(), bare(free=free | {"/opt/hublab": 700 * MIB})).build
    assert make(wanted(), converged(wanted(), free=free)).problems == ()


def test_several_problems_are_told_at_once() -> None:
    state = bare(systemd=247, api_status=401, python_prefix="/root/x", free={"/opt/hublab": 0, "/etc": 0})
    assert len(make(wanted(), state).problems) == 5


def test_problem_keeps_what_runs() -> None:
    """A server that is away for a moment must not make a deploy take down what serves."""
    plan = make(wanted(workers=1), converged(wanted(), api_status=None, current="other"))
    assert plan.problems
    assert (plan.restarts, plan.surplus, plan.prune, plan.switch) == ((), (), (), False)
    assert plan.words == ()


def test_connection_that_fails_gets_a_remedy_and_what_has_one_is_left_as_it_is() -> None:
    own = "cannot be deployed to: the API could not be reached ([Errno 111] Connection refused)\n    -> check the URL"
    for said, remedies in ((own, 1), ("--> pyinfra error: Could not connect (Connection refused)", 1)):
        record = logging.LogRecord("pyinfra", logging.ERROR, __file__, 1, said, None, None)
        assert ConnectRemedies().filter(record)
        assert record.getMessage().count("\n    -> ") == remedies
        assert ("SSH port" in record.getMessage()) is (said != own)


@pytest.mark.parametrize("prefix", ["[coolify:app1app1] coolify:app1app1: ", "\033[1m[coolify:app1app1]\033[0m "])
def test_what_does_not_answer_for_an_application_is_no_host_with_an_ssh_port(prefix: str) -> None:
    said = f"{prefix}Prefect does not answer (timed out): nobody knows whose the lock is; rolled back"
    record = logging.LogRecord("pyinfra", logging.ERROR, __file__, 1, said, None, None)
    assert ConnectRemedies().filter(record)
    assert record.getMessage() == said


WEBHOOKS = Webhooks("10.0.0.5", 8080, {"webhook-secret": Secret("sentinel")})


@pytest.mark.parametrize(
    ("fault", "what", "remedy"),
    [
        (
            PortFault("No such thing", pid=0, unit=None, command=""),
            "HUBLAB_WEBHOOKS, HUBLAB_WEBHOOKS_BIND: nobody can listen at 10.0.0.5, port 8080: No such thing",
            "give an address that this host has; left out, it is 127.0.0.1, for a proxy on the host",
        ),
        (
            PortFault("", pid=77, unit="prefect-worker.service", command="python prefect worker"),
            (
                "HUBLAB_WEBHOOKS: at 10.0.0.5, port 8080 the legacy worker old (pid 77) serves its health check "
                "until it is retired"
            ),
            "deploy once without HUBLAB_WEBHOOKS, which retires it after its runs, or name another port",
        ),
        (
            PortFault("", pid=78, unit="shop.service", command="shop --serve"),
            "HUBLAB_WEBHOOKS: at 10.0.0.5, port 8080 listens shop --serve (pid 78, unit shop.service)",
            "name another port, or end what listens there",
        ),
        (
            PortFault("", pid=79, unit=None, command="python3 -m http.server"),
            "HUBLAB_WEBHOOKS: at 10.0.0.5, port 8080 listens python3 -m http.server (pid 79)",
            "name another port, or end what listens there",
        ),
        (
            PortFault("", pid=0, unit=None, command=""),
            "HUBLAB_WEBHOOKS: at 10.0.0.5, port 8080 listens a process that is not seen from here",
            "name another port, or end what listens there",
        ),
    ],
)
def test_port_that_somebody_else_holds(fault: PortFault, what: str, remedy: str) -> None:
    told = barred(bare(webhooks_port=fault, legacy=(legacy(pid=77, name="old"),)), webhooks=WEBHOOKS)
    assert told == (what, remedy)


def test_legacy_worker_without_a_name_that_holds_the_port_goes_by_its_process() -> None:
    fault = PortFault("", pid=77, unit=None, command="python")
    what, _ = barred(bare(webhooks_port=fault, legacy=(legacy(pid=77, name=""),)), webhooks=WEBHOOKS)
    assert "the legacy worker 77 (pid 77) serves" in what


def test_port_is_of_no_concern_without_webhooks() -> None:
    taken = PortFault("", pid=78, unit="shop.service", command="shop")
    assert make(wanted(), bare(webhooks_port=taken)).problems == ()
    assert make(wanted(webhooks=WEBHOOKS), bare()).problems == ()


def test_worker_of_that_name_that_runs_elsewhere_is_seen_before_ours_shares_its_name() -> None:
    """Two hosts of one hostname, each deployed by --limit: each would answer for the other's runs."""
    what, remedy = barred(bare(online=frozenset({"hublab-1-2", "hublab-9-1"})))
    assert what == "hublab-1-2 is ONLINE in the pool default at https://prefect.example.com/api, and not of this host"
    assert remedy.startswith("another host calls itself hublab-1: give each a hostname of its own (hostnamectl ")
    assert remedy.endswith("within two minutes, and the next deploy goes on")


def test_host_that_was_given_the_name_of_another_is_seen() -> None:
    there = converged(wanted(workers=1), hostname="web", online=frozenset({"web-1", "hublab-1-1"}))
    text = 'Environment="HUBLAB_WORKER_NAME=hublab-1-1"\n'
    before = {1: replace(there.workers[1], unit_text=text)}
    what, _ = barred(replace(there, workers=before), workers=1)
    assert what.startswith("web-1 is ONLINE")


def test_host_that_has_its_name_of_before_again_is_no_other() -> None:
    """Prefect takes its workers of then for ONLINE yet."""
    there = converged(wanted(workers=1), online=frozenset({"hublab-1-1", "renamed-1"}))
    named = {1: replace(there.workers[1], unit_text='Environment="HUBLAB_WORKER_NAME=renamed-1"\n')}
    then = (Line(workers=("hublab-1-1",)), Line(workers=("renamed-1",)))
    assert make(wanted(workers=1), replace(there, workers=named)).problems
    assert not make(wanted(workers=1), replace(there, workers=named, deploys=then)).problems


def test_own_workers_of_now_and_of_just_before_are_nobody_elses() -> None:
    assert not make(wanted(), converged(wanted())).problems
    online = frozenset({"hublab-1-1"})
    assert not make(wanted(), bare(online=online, deploys=(Line(result="its gate"),))).problems, (
        "Prefect forgets it yet"
    )
    assert not make(wanted(), bare(online=online, legacy=(legacy(name="hublab-1-1"),))).problems


@pytest.mark.parametrize("name", ["w" * 62, "h_ö", "-h", "a b"])
def test_hostname_that_makes_no_workers_name(name: str) -> None:
    what, remedy = barred(bare(hostname=name))
    assert (
        what == f"its hostname {name!r} makes no worker's name ({name}-3): letters, digits, '.', '_', '-', at most 63"
    )
    assert remedy == "give it another hostname: hostnamectl set-hostname NAME"


def test_longest_hostname_that_makes_one() -> None:
    assert not make(wanted(workers=9), bare(hostname="w" * 61)).problems
    assert make(wanted(workers=10), bare(hostname="w" * 61)).problems
