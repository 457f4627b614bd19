"""Requests to Prefect for a mail, counted on the wire: `python -m bench.prefect_requests [--signups 2]`.

No root: a real Prefect server (SQLite) on loopback, a real worker whose engines are forked, the stand-ins for Notion
and Resend. A proxy before the server counts; engines are known by a header that their deployments' variables give them.
Signups of seven mails, all due at once, start as the website may start them: at Prefect. How often a worker
polls, beats and looks for lost runs depends on the clock, and is no part of the count; neither is how a limit is waited
for, since none is reached here. The webhooks' reader of Notion runs beside, as in production, so that a send need not
read its record: its own requests, a few a minute for all mails together, go by the clock as well.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import results
from bench.boxes import UNLIMITED
from flows.campaigns.model import sequence
from flows.sending import ahead
from sandbox import env_file
from sandbox.campaign.contacts import PAYLOADS, address
from sandbox.checkout import commit, in_history
from sandbox.local.processes import AUTH, Worker, environment
from sandbox.local.proxy import Proxy
from sandbox.local.server import Api, prefect_server
from sandbox.server import POOL
from sandbox.standins.serve import stand_ins
from sandbox.waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

NAME = "prefect_requests"
AS_OFTEN = ("filter", "increment", "logs")  # the same once more is another question
# What an engine asks besides, once its run is fifteen seconds old: on a busy machine it may get that old.
LONG_RUNS = frozenset(
    {
        "GET /events/in",
        "GET /events/out",
        "GET /flows/ID",
        "GET /work_queues/ID",
        "GET /work_pools/NAME",
    }
)
# What a worker asks or tells each few seconds, however many mails go out in them.
KEPT = frozenset({"GET /deployments/ID", "GET /flows/ID", "GET /admin/storage", "POST /logs"})
type Counts = dict[str, dict[str, float]]
MAILS, CONCURRENCY = 7, 2
FLOWS = ("christmas-signup-handler", "christmas-send-email")
# The webhooks' reader: its first look at once, which theirs has a minute after their start, then as ever.
READER = (
    "from flows.webhooks import background, reader; reader.once(); "
    "background.Repeated('reader', reader.EVERY, lambda _: reader.once(), 'not read ahead')._loop()"
)
MARK = "x-hublab-asks: engine"
HEADERS = {"PREFECT_CLIENT_CUSTOM_HEADERS": json.dumps(dict([MARK.split(": ")]))}
# By the clock, not by the mail: polls, heartbeats, looks for cancellations and lost runs, and what a worker asks once.
TIMED = frozenset(
    {
        "POST /work_pools/NAME/get_scheduled_flow_runs",
        "POST /work_pools/NAME/workers/heartbeat",
        "POST /work_pools/NAME/workers/filter",
        "GET /work_pools/NAME",
        "GET /work_pools/NAME/queues/NAME",
        "POST /flow_runs/count",
        "POST /flow_runs/filter",
        "POST /variables/filter",
    }
)
_NAMED = frozenset({"work_pools", "queues", "concurrency_limits", "block_types"})
_VERBS = frozenset({"filter", "count", "increment", "decrement", "increment-with-lease", "decrement-with-lease"})
_ID = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


def kind(asked: str) -> str:
    """What was asked, without what it was about: `GET /api/flow_runs/<id>` → `GET /flow_runs/ID`. Pure."""
    method, path, *_ = asked.split(" ")
    parts = _ID.sub("ID", path.partition("?")[0]).removeprefix("/api").strip("/").split("/")
    for at, part in enumerate(parts):
        if at and part not in _VERBS and (parts[at - 1] in _NAMED or "name" in parts[:at]):
            parts[at] = "NAME"
    return f"{method} /{'/'.join(parts)}"


@dataclass
class Place:
    """Everything around a worker of the campaign."""

    api: Api
    proxy: Proxy
    running: Worker

    def enrol(self, number: int) -> str:
        """Start a handler's run as the website may; the enrolment's key."""
        body = PAYLOADS["signup"] | {"email": address(f"wire-{number}")}
        key = sequence("christmas", "signup").key_of(body)
        found = self.api.get(f"/deployments/name/{FLOWS[0]}/{FLOWS[0]}")["id"]
        wanted = {"parameters": {"payload": body}, "idempotency_key": key, "state": {"type": "SCHEDULED"}}
        self.api.post(f"/deployments/{found}/create_flow_run", wanted)
        return key

    def sent(self, key: str) -> bool:
        """Whether all mails of an enrolment are well, and the worker has nothing more to do."""
        names = [f"{key}:{number}" for number in range(1, MAILS + 1)]
        asked = {"flow_runs": {"idempotency_key": {"any_": names}}}
        states = [run["state"]["type"] for run in self.api.post("/flow_runs/filter", asked)]
        if bad := set(states) & {"FAILED", "CRASHED"}:
            raise AssertionError(f"{bad}; {self.running.log.read_text('utf-8')[-6000:]}")
        return states == ["COMPLETED"] * MAILS and self.running.systemd.messages[-1].find("0 runs in flight") > 0


@contextmanager
def campaign(folder: Path) -> Iterator[Place]:
    """A campaign with one worker on loopback, whose requests to Prefect are counted."""
    with ExitStack() as stack:
        api = Api(stack.enter_context(prefect_server(folder)))
        proxy = Proxy(api.port)
        stack.callback(proxy.close)
        both = stack.enter_context(stand_ins(per_minute=1_000_000))
        both.resend.per_second = 1_000_000
        (marks := folder / "worker").mkdir()
        queues = "campaign-handlers,campaign"
        running = Worker(
            proxy.port, marks, queue=queues, HUBLAB_CONCURRENCY=str(CONCURRENCY), HUBLAB_PRELOAD="flows.preload"
        )
        stack.callback(running.close)
        running.ready()
        env = _set_up(api, both.environment(), folder)
        reader = subprocess.Popen([sys.executable, "-c", READER], env=env)
        stack.callback(reader.wait)
        stack.callback(reader.kill)
        known = {"variables": {"name": {"any_": [ahead.LIST]}}}
        wait_for(lambda: api.post("/variables/filter", known), "Notion is read ahead")
        for flow in FLOWS:
            deployment = api.get(f"/deployments/name/{flow}/{flow}")["id"]
            api.patch(f"/deployments/{deployment}", {"job_variables": {"env": HEADERS}})
        yield Place(api, proxy, running)


def _set_up(api: Api, settings: dict[str, str], folder: Path) -> dict[str, str]:
    """What the operator does: settings, deployments and limits at Prefect, properties in Notion; by which variables."""
    more = {"HUBLAB_NOTION_LAG_SECONDS": "0", "HUBLAB_TESTING_MINUTE_SECONDS": "0.01"}
    env_file.write(file := folder / "campaign.env", settings | UNLIMITED | more)
    env = environment(folder, PREFECT_API_URL=f"http://127.0.0.1:{api.port}/api", PREFECT_API_AUTH_STRING=AUTH)
    for words in (["secret_blocks", "--env", str(file)], ["register", "--pool", POOL], ["notion_setup"]):
        subprocess.run([sys.executable, "-m", f"flows.operator.{words[0]}", *words[1:]], env=env, check=True)
    return env


def measure(place: Place, numbers: range) -> Counts:
    """Enrol, wait until all is sent; requests a mail by who asked and by kind."""
    place.proxy.whole.clear()
    for key in [place.enrol(number) for number in numbers]:
        wait_for(lambda key=key: place.sent(key), f"all mails of {key}", 600, every=1)  # type: ignore[misc]
    mails = len(numbers) * MAILS
    found: dict[str, Counter[str]] = {"engine": Counter(), "worker": Counter()}
    known = set[tuple[str, str]]()
    for whole in place.proxy.whole:
        head, _, body = whole.decode("latin-1").partition("\r\n\r\n")
        line, _, headers = head.partition("\r\n")
        if not line.startswith("GET ") and not kind(line).endswith(AS_OFTEN) and (line, body) in known:
            continue  # asked again, because the answer took too long: on a busy machine it does
        known.add((line, body))
        found["engine" if MARK in headers.lower() else "worker"][kind(line)] += 1
    return {who: {name: times / mails for name, times in kinds.most_common()} for who, kinds in found.items()}


def counted(found: Counts) -> Counts:
    """What depends on the mails alone. Pure."""
    worker = {name: times for name, times in found["worker"].items() if name not in TIMED}
    return {"engine": found["engine"], "worker": worker}


def total(found: Counts) -> float:
    """All of it, a mail. Pure."""
    return sum(sum(kinds.values()) for kinds in counted(found).values())


def table(before: Counts, now: Counts) -> results.Table:
    """By kind, the most frequent first. Pure."""
    old, new = (
        {(name, who): times for who, kinds in counted(one).items() for name, times in kinds.items()}
        for one in (before, now)
    )
    named = sorted(old | new, key=lambda one: -max(old.get(one, 0), new.get(one, 0)))
    rows = [
        [f"`{name}`", who, f"{old.get((name, who), 0):.2f}", f"{new.get((name, who), 0):.2f}"] for name, who in named
    ]
    sums = ["all", "both", f"{total(before):.1f}", f"{total(now):.1f}"]
    return results.Table(["requests to Prefect, for a mail", "by", "before", "now"], [sums, *rows])


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signups", type=int, default=2)
    parser.add_argument("--before", action="store_true", help="from now on compare with what is found now")
    asked = parser.parse_args()
    raw: dict[str, Any] = (None if asked.before else results.raw(NAME)) or {"before_commit": commit()}
    if not in_history(raw["before_commit"]):
        parser.error(
            f"what is compared with was measured at {raw['before_commit']}, which is no commit of this history; "
            "measure it anew with --before, at one that is"
        )
    with tempfile.TemporaryDirectory(prefix="hublab-wire-") as folder, campaign(Path(folder)) as place:
        measure(place, range(1))  # what is learnt once and kept for all is learnt here
        found = measure(place, range(1, 1 + asked.signups))
    results.write(NAME, table(raw.setdefault("before", found), found), raw | {"now": found})


if __name__ == "__main__":
    main()
