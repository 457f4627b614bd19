"""Each run has a domain of its own: what it can do to its worker, to other runs, and to the next one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from tests.worker.test_forking import SPAWNED, facts
from tests.worker.test_probe import LONG_AGO, begin, end
from tests.worker.world import PLAIN, TOP, Worker, alive, environment, wait_for
from worker import landlock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.local.server import Api
    from tests.worker.conftest import StartWorker
    from tests.worker.world import Trial

VARIANTS = [{}, SPAWNED, {"env": {"TZ": "Asia/Tokyo"}}]


@pytest.fixture(scope="module")
def worker(executed: Worker) -> Worker:
    """What is here about engines is also about what they have from their worker's start."""
    return executed


@pytest.fixture(scope="module")
def roomy(server: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    """A worker with two places, which no attack here harms."""
    worker = Worker(server, tmp_path_factory.mktemp("roomy"), HUBLAB_CONCURRENCY="2")
    yield worker.ready()
    worker.close()


def run(api: Api, worker: Worker, entrypoint: str, parameters: dict[str, Any], **job_variables: object) -> str:
    deployment = api.deploy(f"trial_attacks.{entrypoint}", entrypoint)
    body = {"work_queue_name": worker.queue, "parameters": parameters, "state": {"type": "SCHEDULED"}}
    body |= {"job_variables": job_variables}
    flow_run = str(api.post(f"/deployments/{deployment}/create_flow_run", body)["id"])
    assert api.wait_state(flow_run, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED", worker.log.read_text()
    return flow_run


def can_read(pid: int) -> bool:
    """Whether another process of the same user, in no domain, can read the memory of this one."""
    command = [*PLAIN, sys.executable, "-c", f"open('/proc/{pid}/mem')"]
    return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize("job_variables", VARIANTS, ids=["forked", "command", "early variable"])
def test_run_reaches_no_process_and_no_file_of_others(
    api: Api, roomy: Worker, trial: Trial, tmp_path: Path, job_variables: dict[str, Any]
) -> None:
    assert landlock.abi() >= 6, "these tests need Linux 6.12"
    worker, server = roomy, roomy.fork_server()
    other = api.start("until", worker.queue, **trial.files)
    sibling = trial.begun()
    assert [can_read(pid) for pid in (worker.process.pid, server, sibling)] == [False, False, True]
    place = os.readlink(f"/proc/{sibling}/cwd")  # noqa: PTH115 - of a process, not a path
    note = f"{place}/note"
    with open(note, "w") as file:  # noqa: PTH123
        file.write("of another run")
    forbidden = [
        *(f"{folder}/planted" for folder in (place, worker.home, worker.home / "tmp", TOP / "worker", "/tmp", "/dev")),
        *(str(worker.home / name) for name in ("profiles.toml", "logging.yml", ".sdk_telemetry")),
        note,
    ]
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(name := f"\0hublab-{uuid.uuid4().hex}")
        listener.listen()
        run(
            api,
            worker,
            "attack",
            {
                "file": str(tmp_path / "told"),
                "processes": {"worker": worker.process.pid, "server": server, "sibling": sibling},
                "forbidden": forbidden,
                "unreadable": [note, place, str(worker.home / "tmp")],
                "abstract": name[1:],
            },
            **job_variables,
        )
    told = json.loads((tmp_path / "told").read_text())
    for who in ("worker", "server", "sibling"):
        wrong = {what: outcome for what, outcome in told[who].items() if outcome != "PermissionError"}
        assert (who, wrong) == (who, {})
    assert set(told["write"].values()) == {"PermissionError"}, told["write"]
    assert set(told["read"].values()) == {"PermissionError"}, told["read"]
    # A link in another folder is refused as one on another disk would be.
    wrong = {what: how for what, how in told["files"].items() if how not in {"PermissionError", "OSError"}}
    assert wrong == {}
    assert "done" not in told["watch"].values(), told["watch"]
    unbound = told["ports"].pop("without a bind")
    assert set(told["ports"].values()) == {"PermissionError", "OSError"}, told["ports"]
    assert unbound == "done", (
        "the kernel refuses it by now: docs/security.md and worker/landlock.py say that it does not"
    )
    assert (told["abstract socket"], told["own memory"]) == ("PermissionError", "PermissionError")
    assert set(told["own"].values()) == {"done"}, told["own"]
    assert [alive(pid) for pid in (worker.process.pid, server, sibling)] == [True, True, True]
    trial.let_end()
    assert api.wait_state(other, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"


def test_run_that_works_where_others_have_their_folders_reads_nothing_of_them(
    api: Api, roomy: Worker, trial: Trial, tmp_path: Path
) -> None:
    """Whoever may start a run names the folder that it works in."""
    other = api.start("until", roomy.queue, **trial.files)
    place = os.readlink(f"/proc/{trial.begun()}/cwd")  # noqa: PTH115 - of a process, not a path
    with open(note := f"{place}/note", "w") as file:  # noqa: PTH123
        file.write("of another run")
    folders = str(roomy.home / "tmp")
    for number, works_in in enumerate(("/", str(roomy.home), folders, place)):
        told = tmp_path / f"told-{number}"
        run(api, roomy, "read", {"file": str(told), "paths": [note, folders]}, working_dir=works_in)
        assert set(json.loads(told.read_text()).values()) == {"PermissionError"}, works_in
    trial.let_end()
    assert api.wait_state(other, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"


PLACED = """
import sys
from pathlib import Path
from worker.workplace import Place
all = Path(sys.argv[1])
other = Place(str(all), [], None, listen=False)
for folder in (all / "my-prefect/flows", all / "tmp", Path(other.cwd), all, all.parent):
    print(str(folder) in Place(str(all), [], folder, listen=False).domain["readable"])
"""


def test_folder_of_the_operators_beside_those_of_runs_is_read_by_who_works_there(tmp_path: Path) -> None:
    """Whatever its name: where TMPDIR is a folder with other things in it, a repository may be called my-prefect."""
    command = [*PLAIN, sys.executable, "-c", PLACED, str(tmp_path)]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout.split() == ["True", "True", "False", "False", "False"]


EXCHANGED = """
import sys
from worker import domain
domain.enter({"writable": [], "readable": sys.argv[2:], "hidden": sys.argv[1], "listen": False})
for path in sys.argv[2:]:
    try:
        print(open(f"{path}/note").read())
    except PermissionError:
        print("refused")
"""


def test_folder_on_whose_way_a_link_has_come_since_it_was_named_is_not_read(tmp_path: Path) -> None:
    """A run may write some of the folders that another one is told to work in."""
    (tmp_path / "all/other").mkdir(parents=True)
    (tmp_path / "all/other/note").write_text("of another run")
    (tmp_path / "all/shared/own").mkdir(parents=True)
    (tmp_path / "all/shared/own/note").write_text("its own")
    (tmp_path / "all/shared/exchanged").symlink_to(tmp_path / "all")
    named = [str(tmp_path / "all/shared" / name) for name in ("own", "exchanged/other")]
    command = [*PLAIN, sys.executable, "-c", EXCHANGED, str(tmp_path / "all"), *named]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout.splitlines() == ["its own", "refused"]


def test_listening_is_allowed_by_one_setting(api: Api, start: StartWorker, tmp_path: Path) -> None:
    worker = start(HUBLAB_ALLOW_LISTEN="yes").ready()
    run(api, worker, "listen", {"file": str(tmp_path / "told")})
    found = json.loads((tmp_path / "told").read_text())
    assert found.pop("multipath TCP") == "OSError"
    assert set(found.values()) == {"done"}, found
    status, verdict = end(begin(worker, "--since", LONG_AGO, "--timeout", "60"))
    assert status == 0, verdict


def test_run_that_crowds_the_control_socket_takes_no_files_from_its_worker(
    api: Api, roomy: Worker, trial: Trial, tmp_path: Path
) -> None:
    """Each line that is open costs the worker a file, of which it has 4096; without them it can begin no run."""
    worker = roomy
    worker.fork_server()
    before, told = len(os.listdir(f"/proc/{worker.process.pid}/fd")), tmp_path / "told"  # noqa: PTH208
    parameters = {"file": str(told), "gate": trial.files["gate"]}
    body = {"work_queue_name": worker.queue, "parameters": parameters, "state": {"type": "SCHEDULED"}}
    deployment = api.deploy("trial_attacks.crowd_the_control_socket", "crowd_the_control_socket")
    flow_run = str(api.post(f"/deployments/{deployment}/create_flow_run", body)["id"])
    most = 0

    def crowded() -> bool:
        nonlocal most
        most = max(most, len(os.listdir(f"/proc/{worker.process.pid}/fd")))  # noqa: PTH208
        return told.exists() and bool(told.read_text())

    wait_for(crowded, "the crowd")
    assert int(told.read_text()) > 500, "the crowd came nowhere: this proves nothing"
    assert before + 100 < most < before + 1000
    other = api.start("until", worker.queue, **trial.files)
    trial.begun()
    trial.let_end()
    for one in (flow_run, other):
        assert api.wait_state(one, "COMPLETED", "CRASHED", "FAILED") == "COMPLETED"


# As systemd has it, which gives a worker one end of a connection to the journal.
WRITES_TO_A_SOCKET = """
import os, socket, sys
own, journal = socket.socketpair()
os.dup2(own.fileno(), 1)
from worker.__main__ import main
sys.exit(main())
"""


def test_worker_whose_output_a_run_has_shut_drains_and_is_started_anew(
    api: Api, start: StartWorker, trial: Trial
) -> None:
    """All its runs write to the same connection, and nothing keeps one of them from that."""
    worker = start(launch=WRITES_TO_A_SOCKET).ready()
    deployment = api.deploy("trial_attacks.shut_the_output", "shut_the_output")
    body = {"work_queue_name": worker.queue, "parameters": trial.files, "state": {"type": "SCHEDULED"}}
    flow_run = str(api.post(f"/deployments/{deployment}/create_flow_run", body)["id"])
    trial.begun()
    worker.drains()
    later = api.start("until", worker.queue, **trial.files)
    trial.let_end()
    assert worker.exit() == 70
    assert (api.state(flow_run), api.state(later)) == ("COMPLETED", "SCHEDULED")


def test_hooks_are_in_a_domain_too(api: Api, worker: Worker, trial: Trial, tmp_path: Path) -> None:
    out = tmp_path / "hook"
    flow_run = api.start("harmful_hook", worker.queue, **trial.files, forbidden=str(worker.home / "hook"), out=str(out))
    os.kill(trial.begun(), signal.SIGKILL)
    assert api.wait_state(flow_run, "CRASHED", "FAILED") == "CRASHED"
    assert wait_for(lambda: out.exists() and out.read_text(), "the hook's word") == "PermissionError"
    assert not (worker.home / "hook").exists()


def code(mark: Path) -> str:
    """Leaves a trace when it is executed, by whom and as what."""
    return f"import os, pathlib\npathlib.Path({str(mark)!r}, f'{{os.getpid()}}-{{__name__}}').touch()\n"


def plants(mark: Path) -> dict[str, str]:
    """File → content: code that Python, and settings that Prefect, look for in many a folder."""
    names = ("worker", "prefect", "flows", "sitecustomize", "usercustomize", "json", "sqlite3", "hooks", "trial_flows")
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    toml = "[api]\nrequest_timeout = 77.0\n"
    command = f"touch {mark}/logging"
    return {
        **{f"{name}.py": code(mark) for name in names},
        **{f"{name}/__init__.py": code(mark) for name in names},
        **{f".local/lib/{python}/site-packages/{name}.py": code(mark) for name in names},
        "hublab.pth": f"import os; os.system({command!r})\n",
        "logging.yml": f"version: 1\nhandlers:\n  planted:\n    (): subprocess.getoutput\n    cmd: {command}\n",
        "prefect.toml": toml,
        "pyproject.toml": "[tool.prefect.api]\nrequest_timeout = 77.0\n",
        ".env": "PREFECT_API_REQUEST_TIMEOUT=77\n",
        "profiles.toml": 'active = "planted"\n[profiles.planted]\nPREFECT_API_REQUEST_TIMEOUT = "77"\n',
        "planted-1.dist-info/entry_points.txt": "[prefect.collections]\nplanted = sqlite3\n",
    }


def lives_on(api: Api, worker: Worker, mark: Path, trial: Trial) -> None:
    """Runs of each kind, hooks and the probe find nothing of what was planted."""
    for job_variables in ({}, SPAWNED):
        found = facts(api, worker, **job_variables)
        assert "PREFECT_API_REQUEST_TIMEOUT" not in found["equal"]["settings"], found["equal"]["settings"]
    flow_run = api.start("hooked", worker.queue, **trial.files)
    os.kill(trial.begun(len(trial.lines("begin")) + 1), signal.SIGKILL)
    assert api.wait_state(flow_run, "CRASHED", "FAILED") == "CRASHED"
    wait_for(lambda: trial.lines("hook Crashed"), "the crash hook")
    status, verdict = end(begin(worker, "--since", LONG_AGO, "--timeout", "60"))
    assert status == 0, verdict
    assert sorted(os.listdir(mark)) == []  # noqa: PTH208


@pytest.mark.long
def test_what_a_run_plants_is_neither_run_nor_believed(
    api: Api, execute: StartWorker, tmp_path: Path, trial: Trial
) -> None:
    (mark := tmp_path / "mark").mkdir()
    (profiles := tmp_path / "profiles.toml").write_text("")
    worker = execute(PREFECT_PROFILES_PATH=str(profiles)).ready()
    worker.fork_server()
    folders = [str(worker.home), str(worker.home / "tmp"), str(worker.home / "storage")]
    parameters = {"file": str(tmp_path / "told"), "folders": folders, "plants": plants(mark)}
    run(api, worker, "plant", parameters)
    done = [path for path in json.loads((tmp_path / "told").read_text()) if path.startswith(str(worker.home))]
    beside = f"{worker.home}/tmp/tmp"
    assert {path for path in done if not path.startswith((f"{worker.home}/storage/", beside))} == set()
    assert any(path.startswith(beside) for path in done)
    lives_on(api, worker, mark, trial)
    assert worker.term().exit() == 0
    successor = worker.again()
    lives_on(api, successor.ready(), mark, trial)
    assert successor.term().exit() == 0


@pytest.mark.parametrize(
    "folder", ["home", *(pytest.param(name, marks=pytest.mark.long) for name in ("tmp", "storage"))]
)
def test_what_runs_of_former_releases_left_is_neither_run_nor_believed(
    api: Api, execute: StartWorker, tmp_path: Path, trial: Trial, folder: str
) -> None:
    """As on a kernel without Landlock: what lies in a folder of the worker's, which is also where it is started."""
    (mark := tmp_path / "mark").mkdir()
    (profiles := tmp_path / "profiles.toml").write_text("")
    worker = execute(PREFECT_PROFILES_PATH=str(profiles))
    assert worker.term().exit() in {0, -signal.SIGTERM}
    place = worker.home if folder == "home" else worker.home / folder
    for name, text in plants(mark).items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    successor = worker.again(cwd=place).ready()
    lives_on(api, successor, mark, trial)
    assert successor.term().exit() == 0


def test_random_state_is_not_shared(api: Api, worker: Worker) -> None:
    first, second = facts(api, worker), facts(api, worker)
    assert first["own"]["parent"] == second["own"]["parent"] == worker.fork_server()
    shared = [name for name, value in first["own"]["secret"].items() if value == second["own"]["secret"][name]]
    assert shared == []


GENERATORS = """
import gc, random
from worker.fork_server import preload
preload()
import worker.forked_engine
plain = [one for one in gc.get_objects() if isinstance(one, random.Random) and not isinstance(one, random.SystemRandom)]
print(plain == [random._inst])
"""


def test_only_generator_of_random_numbers_in_the_fork_server_is_the_one_that_python_reseeds(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GENERATORS]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip() == "True"


OLD_KERNEL = """
import json, os, socket, sys
from worker import domain, landlock
landlock.abi = lambda: VERSION
here = sys.argv[1]
domain.enter({"writable": [f"{here}/own"], "readable": [], "hidden": f"{here}/all", "listen": False})
def outcome(attempt):
    try:
        attempt()
    except OSError as error:
        return error.errno
    return 0
print(json.dumps({
    "write": outcome(lambda: open(f"{here}/x", "w")),
    "own": outcome(lambda: open(f"{here}/own/x", "w")),
    "empty": outcome(lambda: os.truncate(f"{here}/all/x", 0)),
    "signal": outcome(lambda: os.kill(os.getppid(), 0)),
    "listen": outcome(lambda: socket.socket().bind(("127.0.0.1", 0))),
}))
"""


@pytest.mark.parametrize(
    ("version", "held"),
    [(0, {}), (1, {"write"}), (2, {"write"}), (3, {"write", "empty"}), (4, {"write", "empty", "listen"}),
     (5, {"write", "empty", "listen"}), (6, {"write", "empty", "listen", "signal"}),
     (7, {"write", "empty", "listen", "signal"})],
)  # fmt: skip
def test_older_kernel_holds_what_it_can(tmp_path: Path, version: int, held: set[str]) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / "x").touch()
    command = [sys.executable, "-c", OLD_KERNEL.replace("VERSION", str(version)), str(tmp_path)]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode == 0, done.stderr
    assert {what for what, error in json.loads(done.stdout).items() if error} == set(held)


def test_worker_says_what_its_kernel_lacks(start: StartWorker) -> None:
    launch = "from worker import landlock\nlandlock.abi = lambda: 5\nfrom worker.__main__ import main\nmain()"
    worker = start(launch=launch).ready()
    worker.systemd.wait("; Landlock 5 of 6: a flow run can send signals to its worker")
    assert "This kernel has Landlock 5 of 6: a flow run can send signals" in worker.log.read_text()


def test_version_is_told_as_json(tmp_path: Path) -> None:
    command = [sys.executable, "-P", "-m", "worker.landlock"]
    done = subprocess.run(command, env=environment(tmp_path), capture_output=True, text=True, check=True, timeout=180)
    assert json.loads(done.stdout) == {"abi": landlock.abi(), "a flow run can": landlock.missing(landlock.abi())}


def test_run_outside_a_domain_does_not_begin(api: Api, start: StartWorker, trial: Trial) -> None:
    """Where the kernel refuses, for instance for want of memory, nothing of the run is executed."""
    worker = start(launch=REFUSED).ready()
    flow_run = api.start("until", worker.queue, **trial.files)
    assert api.wait_state(flow_run, "CRASHED", "FAILED", "COMPLETED") == "CRASHED"
    assert not trial.lines("begin")
    assert alive(worker.process.pid)


REFUSED = """
from worker import workplace
place = workplace.Place.__init__
def refused(self, *arguments, **named):
    place(self, *arguments, **named)
    self.domain["writable"] = [7]
workplace.Place.__init__ = refused
from worker.__main__ import main
main()
"""


NO_DOMAIN = """
from worker import workplace
place = workplace.Place.__init__
def open_place(self, parent, *arguments, **named):
    place(self, parent, *arguments, **named)
    self.domain |= {"writable": ["/"], "hidden": "/"}
workplace.Place.__init__ = open_place
from worker.__main__ import main
main()
"""


def test_probe_fails_where_runs_are_not_held(start: StartWorker) -> None:
    worker = start(launch=NO_DOMAIN).ready()
    status, verdict = end(begin(worker, "--since", LONG_AGO, "--timeout", "60"))
    assert (status, verdict["state"]) == (1, "FAILED"), verdict
    assert "a flow run of this worker can write where other runs have their folders" in verdict["error"]
