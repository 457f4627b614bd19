"""Control-C in the midst of a deploy: it ends, whatever is at work, and no script takes it for done."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEAF = """
import signal, sys
import gevent
from deploy import interrupt
signal.signal(signal.SIGINT, lambda *_: sys.exit(0))  # as pyinfra's own
interrupt.end_at_once()
def work():
    print("at work", flush=True)
    while True:
        try:
            gevent.sleep(0.01)
        except BaseException:
            pass
gevent.spawn(work).join()
"""
LOADED = """
import runpy, signal
from pyinfra.api import Config
from pyinfra.context import ctx_config
ctx_config.set(Config())
runpy.run_path("deploy/inventory.py", run_name="inventory")
from deploy import interrupt
assert signal.getsignal(signal.SIGINT) is interrupt._end
"""


def test_ends_at_once_and_with_the_signals_status_also_where_a_step_catches_all() -> None:
    command = ["env", "--default-signal=INT", sys.executable, "-c", DEAF]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "at work\n"
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGINT
    assert "`./hublab status` says how things are" in said


def test_every_command_of_pyinfras_has_it(tmp_path: Path) -> None:
    env = tmp_path / "env"
    env.write_text("HUBLAB_HOSTS=root@192.0.2.1\nPREFECT_API_URL=http://192.0.2.2:4200/api\n")
    known = {"HUBLAB_ENV_FILE": str(env), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-c", LOADED]
    done = subprocess.run(command, cwd=ROOT, env=known, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
