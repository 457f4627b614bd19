"""A process that has imported everything and forks a child for each try, so that a try can be killed for real.

Speaks JSON lines. In: `{"what": "enrol" | "send", "arguments": […], "runs": n}`; out: `{"pid": …}`. In: a line, to
begin; out: `{"status": …}` as `os.waitpid` has it. `runs` is how often Prefect would have started this run.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from typing import Any

import flows.services.notion_gateway
import flows.services.resend_operations
from flows.enrolment.enrol import enrol
from flows.send_email_flow import send_email

DONE, LATER, FAILED = 0, 3, 4
assert flows.services.notion_gateway
assert flows.services.resend_operations


def attempt(asked: dict[str, Any]) -> int:
    """One try of a flow's body; the exit status tells what became of it."""
    os.environ["PREFECT__RUNTIME__FLOW_RUN__RUN_COUNT"] = str(asked["runs"])
    try:
        state = enrol(*asked["arguments"]) if asked["what"] == "enrol" else send_email.fn(*asked["arguments"])
    except Exception:  # noqa: BLE001 - told to the test by its status, and on stderr
        traceback.print_exc()
        return FAILED
    return DONE if state.is_completed() else LATER


def main() -> None:
    """Fork a child per request until stdin ends."""
    for line in sys.stdin:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(attempt(json.loads(line)))
        os.close(reading)
        print(json.dumps({"pid": pid}), flush=True)  # noqa: T201 - the protocol
        sys.stdin.readline()
        os.close(writing)
        print(json.dumps({"status": os.waitpid(pid, 0)[1]}), flush=True)  # noqa: T201 - the protocol


if __name__ == "__main__":
    main()
