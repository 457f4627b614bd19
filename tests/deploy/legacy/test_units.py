"""Which units are a worker's, by their own settings and never by their name; and what would start a worker again."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING, Any

import pytest

from deploy.legacy import find, starters, units
from deploy.onhost import processes
from deploy.plan import make
from deploy.state import LegacyUnit, Starter
from tests.deploy.factories import bare, converged, legacy, wanted

if TYPE_CHECKING:
    from pathlib import Path


def words(line: str) -> list[str]:
    return line.split()


@pytest.mark.parametrize(
    "line",
    [
        "/opt/prefect/venv/bin/prefect worker start --pool default --name ${WORKER_NAME} --with-healthcheck",
        "/usr/local/bin/prefect --profile prod worker start",
        "/srv/venv/bin/python3.12 -m prefect worker start -p default",
        "/srv/venv/bin/python /srv/venv/bin/prefect worker start",
        "/usr/bin/env prefect worker start",
        "/usr/bin/env PREFECT_API_URL=http://x/api /srv/venv/bin/prefect worker start",
        "/bin/sh -c prefect worker start --pool default",
        "/bin/bash -c exec /srv/venv/bin/prefect worker start",
        "/bin/bash -c cd /srv && . venv/bin/activate && exec prefect worker start -p default",
        "/bin/bash -c source /srv/venv/bin/activate; prefect worker start",
        "/bin/sh -c PREFECT_API_URL=http://x/api prefect worker start",
    ],
)
def test_unit_that_starts_a_worker(line: str) -> None:
    assert units.is_start(words(line))


@pytest.mark.parametrize(
    "line",
    [
        "",
        "/usr/sbin/cron -f",
        "/usr/sbin/sshd -D",
        "/usr/local/bin/start-worker.sh",
        "/srv/venv/bin/prefect server start",
        "/srv/venv/bin/prefect worker ls",
        "/usr/bin/echo prefect worker start",
        "/usr/bin/python3 /srv/supervise.py prefect worker start",
        "/bin/sh -c redis-server & prefect worker start",
        "/bin/sh -c prefect worker start; rm -rf /srv/lock",
        "/bin/sh -c while true; do prefect worker start; done",
        "/bin/sh -c prefect worker start | tee /var/log/worker",
        "/bin/sh -c echo prefect worker start",
        "/bin/sh -c $(cat /srv/command)",
        "/usr/bin/docker run prefecthq/prefect prefect worker start",
        "/usr/bin/screen -D -m prefect worker start",
    ],
)
def test_unit_that_is_there_for_more_or_for_something_else(line: str) -> None:
    assert not units.is_start(words(line))


SHOWN = (
    "{ path=/usr/bin/mkdir ; argv[]=/usr/bin/mkdir -p /srv ; ignore_errors=no ; start_time=[n/a] ; pid=0 } ; "
    "{ path=/srv/venv/bin/prefect ; argv[]=/srv/venv/bin/prefect worker start ; ignore_errors=no ; pid=0 }"
)


def test_commands_as_systemd_tells_them() -> None:
    assert units.starts({"ExecStart": SHOWN})
    assert not units.starts({"ExecStart": SHOWN.replace("worker start", "server start")})
    assert not units.starts({})
    assert units.program_of({"ExecStart": SHOWN}) == "/usr/bin/mkdir"


OURS = "[Service]\nExecStart=/opt/hublab/releases/3.8.8-01/venv/bin/python -m worker\n"


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        (OURS, True),
        (OURS.replace("-m worker", "-P -m worker"), True),
        (OURS + "Environment=EDITED=1\n", True),
        (OURS.replace("/opt/hublab", "/srv/hublab"), False),
        (OURS.replace("/releases/3.8.8-01", "/releases/../../../srv"), False),
        (OURS.replace("python -m worker", "python -m workers_of_mine"), False),
        (OURS.replace("python -m worker", "prefect worker start"), False),
        ("[Service]\nExecStart=/srv/venv/bin/prefect worker start\n#" + OURS.splitlines()[1], False),
        ("# Written by the Hublab deploy\n[Service]\nExecStart=/usr/bin/true\n", False),
    ],
)
def test_unit_is_ours_by_what_it_starts(tmp_path: Path, text: str, ours: bool) -> None:
    path = tmp_path / "prefect-worker@1.service"
    path.write_text(text)
    path.chmod(0o644)
    assert units.is_ours(str(path), "/opt/hublab") is ours


def test_unit_that_others_may_write_is_not_ours(tmp_path: Path) -> None:
    path = tmp_path / "prefect-worker@1.service"
    path.write_text(OURS)
    for mode, owner in ((0o664, 0), (0o646, 0), (0o644, 65534)):
        path.chmod(mode)
        os.chown(path, owner, 0)
        assert not units.is_ours(str(path), "/opt/hublab")
    link = tmp_path / "prefect-worker@2.service"
    path.chmod(0o644)
    os.chown(path, 0, 0)
    link.symlink_to(path)
    assert units.is_ours(str(path), "/opt/hublab")
    assert not units.is_ours(str(link), "/opt/hublab")


@pytest.mark.parametrize(
    ("text", "unit", "user_unit"),
    [
        ("0::/system.slice/prefect-worker.service\n", "prefect-worker.service", None),
        (
            "0::/system.slice/system-prefect\\x2dworker.slice/prefect-worker@1.service\n",
            "prefect-worker@1.service",
            None,
        ),
        ("0::/system.slice/cron.service\n", "cron.service", None),
        ("0::/prefect.slice/own.service/below.service\n", "own.service", None),
        ("12:cpu:/\n1:name=systemd:/system.slice/x.service\n0::/\n", "x.service", None),
        ("0::/user.slice/user-1000.slice/session-3.scope\n", None, None),
        ("0::/user.slice/user-1000.slice/user@1000.service/app.slice/w@4.service\n", None, "w@4.service"),
        ("0::/user.slice/user-1000.slice/user@1000.service/init.scope\n", None, None),
        ("0::/user.slice/user-1000.slice/user@1000.service/tmux-spawn-1.scope/x.service\n", None, None),
        ("0::/system.slice/docker-0123.scope\n", None, None),
        ("0::/\n", None, None),
        ("", None, None),
    ],
)
def test_unit_of_a_process_is_told_by_what_systemd_named(
    monkeypatch: pytest.MonkeyPatch, text: str, unit: str | None, user_unit: str | None
) -> None:
    """By the parts that systemd named; what is below them, its owner could call as he likes."""
    monkeypatch.setattr(processes, "read", lambda _: text.encode())
    assert (processes.unit_of(1), processes.user_unit_of(1)) == (unit, user_unit)


class Tree:
    """Processes as (parent, executable)."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **tree: tuple[int, str]) -> None:
        parents = {int(pid[1:]): parent for pid, (parent, _) in tree.items()}
        programs = {int(pid[1:]): program for pid, (_, program) in tree.items()}
        monkeypatch.setattr(units, "parent", lambda pid: parents.get(pid, 0))
        monkeypatch.setattr(units, "executable", lambda pid: programs.get(pid, ""))


def test_unit_that_serves_one_worker_through_a_script(monkeypatch: pytest.MonkeyPatch) -> None:
    Tree(monkeypatch, p9=(8, "/usr/bin/python3.12"), p8=(7, "/usr/bin/dash"), p7=(1, "/usr/bin/bash"))
    assert units.serves_only(9, {"MainPID": "7"})
    assert units.serves_only(9, {"MainPID": "9"})
    assert not units.serves_only(9, {"MainPID": "0"})
    assert not units.serves_only(9, {"MainPID": "6"})


@pytest.mark.parametrize("daemon", ["/usr/sbin/cron", "/usr/sbin/sshd", "/usr/bin/tmux", "/usr/bin/python3.11", ""])
def test_daemon_that_starts_a_worker_serves_others_too(monkeypatch: pytest.MonkeyPatch, daemon: str) -> None:
    Tree(monkeypatch, p9=(8, "/usr/bin/python3.12"), p8=(7, "/usr/bin/dash"), p7=(1, daemon))
    assert not units.serves_only(9, {"MainPID": "7"})


def test_unit_of_a_cron_job_is_not_the_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "unit_of", lambda _: "cron.service")
    monkeypatch.setattr(find, "user_unit_of", lambda _: None)
    shown = {"ExecStart": "{ path=/usr/sbin/cron ; argv[]=/usr/sbin/cron -f ; ignore_errors=no }", "MainPID": "7"}
    monkeypatch.setattr(find, "show", lambda _: {"cron.service": shown})
    Tree(monkeypatch, p9=(8, "/usr/bin/python3.12"), p8=(7, "/usr/bin/dash"), p7=(1, "/usr/sbin/cron"))
    by = find.origin(9)
    assert (by.how, by.words) == ("", "started by cron.service")


def test_lines_that_start_a_worker_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    me, home = pwd.getpwuid(os.getuid()).pw_name, tmp_path / "home"
    spool, own = tmp_path / "spool", home / ".config/systemd/user"
    spool.mkdir()
    own.mkdir(parents=True)
    (spool / "deploy").write_text("# prefect worker start\n\n@reboot cd /srv && ./start.sh\n0 4 * * * backup\n")
    (spool / me).write_text("@reboot /srv/venv/bin/prefect worker start --pool default\n")
    (own / "w.service").write_text("[Service]\nExecStart=/srv/venv/bin/prefect worker start\n")
    (own / "x.service").write_text("[Service]\nExecStart=/usr/bin/true\n")
    monkeypatch.setattr(starters, "SPOOL", str(spool))
    monkeypatch.setattr(starters, "users", lambda: {me: str(home)})
    mine = [item for item in starters.starters({"deploy"}, set()) if str(tmp_path) in item.file]
    assert mine == [
        Starter(f"{spool}/deploy", 3, "deploy"),
        Starter(f"{spool}/{me}", 1, me),
        Starter(f"{own}/w.service", 2, me),
    ]
    assert [item.file for item in starters.starters(set(), set()) if str(tmp_path) in item.file] == [
        f"{spool}/{me}",
        f"{own}/w.service",
    ]


def test_unit_or_line_that_starts_a_worker_by_a_script_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not a worker's own unit is not shut out: so it is told, unless it is told otherwise already."""
    system, spool, script = tmp_path / "system", tmp_path / "spool", tmp_path / "start.sh"
    (system / "dropped.service.d").mkdir(parents=True)
    (system / "multi-user.target.wants").mkdir()
    spool.mkdir()
    script.write_text("#!/bin/sh\n# prefect worker start\nexec /srv/venv/bin/prefect worker start --pool default\n")
    (tmp_path / "quiet.sh").write_text("#!/bin/sh\n# prefect worker start\ntrue\n")
    (tmp_path / "keep.py").write_text("subprocess.run(['prefect', 'worker', 'start'])\n")
    (spool / "deploy").write_text(f"*/5 * * * * pgrep prefect || {script}\n* * * * * {tmp_path}/quiet.sh\n")
    lines = {
        "script": f"ExecStart={script}",
        "python": f"ExecStart=/usr/bin/python3 {tmp_path}/keep.py",
        "uv": "ExecStart=/usr/local/bin/uv run prefect worker start",
        "quiet": f"ExecStart={tmp_path}/quiet.sh",
        "off": f"ExecStart={script}",
        "static": f"ExecStart={script}",
        "timed": f"ExecStart={script}",
        "masked": f"ExecStart={script}",
        "known": "ExecStart=/srv/venv/bin/prefect worker start",
        "app@": f"ExecStart={script}",
        "idle@": f"ExecStart={script}",
        "pw@": "ExecStart=/srv/venv/bin/prefect worker start",
    }
    for name, line in lines.items():
        (system / f"{name}.service").write_text(f"[Service]\n{line}\n")
    (system / "dropped.service").write_text("[Service]\nExecStart=/usr/bin/true\n")
    (system / "dropped.service.d/x.conf").write_text(f"[Service]\nExecStart=\nExecStart={script}\n")
    (system / "multi-user.target.wants/app@1.service").symlink_to(system / "app@.service")
    (system / "multi-user.target.wants/pw@2.service").symlink_to(system / "pw@.service")
    monkeypatch.setattr(starters, "SPOOL", str(spool))
    monkeypatch.setattr(starters, "users", dict)
    monkeypatch.setattr(units, "FOLDERS", (str(system),))
    states = {"off": "disabled", "timed": "static", "static": "static", "masked": "masked"}

    def show(names: list[str]) -> dict[str, dict[str, str]]:
        assert not [name for name in names if "@." in name]  # systemd refuses to tell of a template
        plain = {name: states.get(name.removesuffix(".service"), "enabled") for name in names}
        timer = {"timed.service": "timed.timer"}
        return {name: {"UnitFileState": state, "TriggeredBy": timer.get(name, "")} for name, state in plain.items()}

    monkeypatch.setattr(units, "show", show)
    mine = [item for item in starters.starters(set(), {"known.service", "pw@2.service"}) if str(tmp_path) in item.file]
    assert sorted((item.file.removeprefix(f"{tmp_path}/"), item.line, item.unit) for item in mine) == [
        ("spool/deploy", 1, ""),
        ("system/app@.service", 2, "app@1.service"),
        ("system/dropped.service.d/x.conf", 3, "dropped.service"),
        ("system/python.service", 2, "python.service"),
        ("system/script.service", 2, "script.service"),
        ("system/timed.service", 2, "timed.timer"),
        ("system/uv.service", 2, "uv.service"),
    ]


def test_crontab_of_nothing_but_names_of_scripts_is_read_to_a_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crontab, read = tmp_path / "crontab", list[str]()
    crontab.write_text("\n".join(f"/{number}" for number in range(50_000)))

    def regular(path: str) -> bytes:
        read.append(path)
        return crontab.read_bytes() if path == str(crontab) else b""

    monkeypatch.setattr(starters, "regular", regular)
    starters.starts_one.cache_clear()
    assert starters.lines(str(crontab)) == []
    assert len(read) == 1 + starters.MOST_SCRIPTS - 1


def test_crontab_that_is_no_file_of_text_holds_nothing_up(tmp_path: Path) -> None:
    """A pipe that nobody writes, a link to a secret, a device, a novel: each read as nothing, or a little."""
    os.mkfifo(tmp_path / "pipe")
    secret = tmp_path / "secret"
    secret.write_text("@reboot prefect worker start secret\n")
    (tmp_path / "link").symlink_to(secret)
    (tmp_path / "device").symlink_to("/dev/zero")
    with (tmp_path / "novel").open("wb") as novel:
        novel.truncate(10 * 1024**3)
    for name in ("pipe", "link", "device", "novel", "nothing"):
        assert starters.lines(str(tmp_path / name), boot=True) == []
    assert starters.lines(str(secret)) == [(1, "@reboot prefect worker start secret")]


def test_file_that_a_line_names_is_opened_only_where_it_is_a_regular_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crontab names devices as well, and opened as root they do things: a watchdog begins to count."""
    pipe, script, real, opened = tmp_path / "pipe", tmp_path / "start.sh", os.open, list[str]()
    os.mkfifo(pipe)
    script.write_text("exec prefect worker start\n")

    def watched(path: str, flags: int, *more: Any, **named: Any) -> int:
        if not flags & os.O_PATH:
            opened.append(os.path.realpath(path))
        return real(path, flags, *more, **named)

    monkeypatch.setattr(os, "open", watched)
    named = f"* * * * * root echo V {pipe} /dev/null /proc/version {tmp_path}; {script}"
    starters.starts_one.cache_clear()
    assert starters.starts(named)
    assert opened == [str(script)]


def test_script_is_found_behind_systemds_signs_and_in_a_lines_folder_and_a_log_is_none(tmp_path: Path) -> None:
    """What a line writes to says what was started, and starts nothing."""
    script, log = tmp_path / "start.sh", tmp_path / "worker.log"
    script.write_text("exec prefect worker start\n")
    log.write_text("+ prefect worker start --pool default\n")
    starters.starts_one.cache_clear()
    for sign in ("", "-", "@-", "-@", "+", "!!-", ":"):
        assert starters.starts(f"ExecStart={sign}{script}"), sign
    for start in ("./start.sh", "bash start.sh", "sh ./start.sh"):
        assert starters.starts(f"*/5 * * * * cd {tmp_path} && {start}"), start
        assert not starters.starts(f"*/5 * * * * cd {tmp_path}/other && {start}"), start
    for line in (f"0 4 * * * backup >> {log} 2>&1", f"0 4 * * * backup >{log}", f"StandardOutput=append:{log}"):
        assert not starters.starts(line), line


def plan_words(**changes: Any) -> tuple[str, ...]:
    return make(wanted(), converged(wanted(), **changes)).words


def test_plan_says_who_starts_a_worker_again() -> None:
    cron = legacy(pid=5, unit="cron.service", how="", origin="started by cron.service", uvloop=())
    wrapped = legacy(
        pid=6, name="w", unit="w.service", how="wrapper", origin="unit w.service through /srv/w", uvloop=()
    )
    own = {"unit": None, "user_unit": "x.service", "how": "", "origin": "unit x.service of the user's own systemd"}
    line = Starter("/var/spool/cron/crontabs/deploy", 3, "deploy")
    unit = Starter("/etc/systemd/system/app.service", 7, "", "app.timer")
    assert plan_words(legacy=(cron, wrapped, legacy(pid=7, name="u", uvloop=(), **own)), starters=(line, unit)) == (
        (
            "legacy worker old (pid 5, started by cron.service, user deploy, Prefect 3.4.1) "
            "will be retired after its runs"
        ),
        "legacy worker w (pid 6, unit w.service through /srv/w, Prefect 3.4.1) will be retired after its runs",
        "w.service starts w again at the next boot, since no deploy changes it: systemctl disable w.service",
        (
            "legacy worker u (pid 7, unit x.service of the user's own systemd, user deploy, Prefect 3.4.1) "
            "will be retired after its runs"
        ),
        (
            "the systemd of user deploy starts u again at the next boot or login: "
            "systemctl --user disable x.service, as deploy"
        ),
        (
            "/var/spool/cron/crontabs/deploy of user deploy, line 3, may start a worker again, "
            "and no deploy changes it: remove that line"
        ),
        (
            "/etc/systemd/system/app.service, line 7, may start a worker again, "
            "and no deploy changes it: systemctl disable app.timer"
        ),
    )


def test_operators_own_units_of_our_name_make_room() -> None:
    first, fourth = LegacyUnit("prefect-worker@1.service", active=True), LegacyUnit("prefect-worker@4.service")
    plan = make(wanted(), bare(legacy_units=(first, fourth)))
    assert plan.in_the_way == (first,)
    assert [step.reasons for step in plan.workers] == [("new",)] * 3
    assert plan.surplus == ()
    said = [line for line in plan.words if "legacy unit" in line]
    assert said == [
        (
            "legacy unit prefect-worker@1.service makes room for the deploy's own of that name, "
            "and comes back if that fails"
        ),
        "legacy unit prefect-worker@4.service will be disabled and masked",
    ]


def test_stranger_of_our_name_is_not_overwritten() -> None:
    (problem,) = make(wanted(), bare(strangers=("prefect-worker@2.service",))).problems
    assert problem.what.startswith("prefect-worker@2.service on the host goes by the name of a unit of this deploy")
    assert not make(wanted(), bare(strangers=("prefect-worker@9.service",))).problems


def test_units_that_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of which a file says Prefect, drop-ins included; of a template its instances; and the names of ours."""
    etc, lib = tmp_path / "etc", tmp_path / "lib"
    for path, text in {
        etc / "plain.service": "ExecStart=/srv/prefect worker start",
        etc / "other.service": "ExecStart=/usr/bin/true",
        etc / "dropped.service.d/x.conf": "ExecStart=/srv/prefect worker start",
        lib / "dropped.service": "ExecStart=/usr/bin/true",
        lib / "both.service": "ExecStart=/srv/prefect worker start",
        etc / "both.service.d/x.conf": "Nice=5",
        lib / "many@.service": "ExecStart=/srv/prefect worker start",
        etc / "prefect-worker@2.service": "ExecStart=/usr/bin/true",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"[Service]\n{text}\n")
    wants = etc / "multi-user.target.wants"
    wants.mkdir()
    for name in ("many@a.service", "getty@tty1.service"):
        (wants / name).symlink_to(lib / "many@.service")
    monkeypatch.setattr(units, "FOLDERS", (str(etc), str(lib)))
    asked: list[str] = []

    def ask(*argv: str) -> str:
        asked.extend(argv[argv.index("--") + 1 :])
        return "many@b.service loaded active running Many\nprefect-worker@1.service loaded active running x\n"

    monkeypatch.setattr(units, "ask", ask)
    found = units.candidates("prefect-worker@")
    assert asked == ["prefect-worker@*.service", "many@*.service"]
    assert found == {
        "plain.service",
        "dropped.service",
        "both.service",
        "many@a.service",
        "many@b.service",
        "prefect-worker@1.service",
        "prefect-worker@2.service",
    }
