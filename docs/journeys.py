"""`python -m docs.journeys`: draws a deploy, a run and a mail into docs/architecture.md, file by file.

An arrow is one that can be followed in an editor: its beginning names what is called there, its end defines that.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"


@dataclass(frozen=True)
class Arrow:
    """From a function to a file. `called`: what it names there; a file's stem where one program starts another."""

    begin: str
    function: str
    called: str
    end: str

    def fault(self, root: Path = ROOT) -> str:
        """Why it cannot be followed; empty where it can."""
        text = (root / self.begin).read_text()
        there = _defined(ast.parse(text))
        if self.function and self.function not in there:
            return f"{self.begin} has no {self.function}"
        part = ast.get_source_segment(text, there[self.function]) if self.function else text
        if self.called not in (part or ""):
            return f"{self.begin}, {self.function or 'the file'}: names no {self.called}"
        name, file = self.called.rpartition(".")[2], root / self.end
        known = {found.rpartition(".")[2] for found in _defined(ast.parse(file.read_text()))}
        return "" if name in known | {file.stem} else f"{self.end} defines no {name}"


def _defined(tree: ast.Module) -> dict[str, ast.stmt]:
    """`name`, and `Class.name`."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    found: dict[str, ast.stmt] = {node.name: node for node in tree.body if isinstance(node, kinds)}
    for node in [one for one in found.values() if isinstance(one, ast.ClassDef)]:
        found |= {f"{node.name}.{inner.name}": inner for inner in node.body if isinstance(inner, kinds)}
    return found


WORDS = {
    "cli/fleet.py": "./hublab deploy becomes pyinfra",
    "deploy/workers.py": "once for each host: plan, lock, install, configure, activate",
    "deploy/rollout/members.py": "a host of this run: what is wanted, what is there",
    "deploy/look.py": "asks the host, in one round trip",
    "deploy/plan.py": "the difference: the plan",
    "deploy/rollout/activate.py": "the first host to come conducts for all",
    "deploy/rollout/conductor.py": "host by host, worker by worker; all goes back when one fails",
    "deploy/rollout/steps.py": "a step is a program that runs on the host",
    "deploy/onhost/roll_worker.py": "notes what was, moves, or puts it back",
    "deploy/onhost/worker_unit.py": "unit in place, drain, systemctl restart, gate",
    "worker/lifecycle.py": "one worker's life: polls, drains",
    "worker/process_worker.py": "claims a run",
    "worker/engines.py": "sees an engine to its end",
    "worker/engine_process.py": "what the engine is told",
    "worker/forking.py": "asks for a fork",
    "worker/fork_server.py": "has imported Prefect, and nothing of any run; forks",
    "worker/forked_engine.py": "becomes Prefect's engine: the flow's first line",
    "worker/domain.py": "the run's Landlock domain",
    "worker/reconciler.py": "looks at runs as they are, puts right what is wrong",
    "flows/webhooks/app.py": "signature, limits, 202 once it is on disk",
    "flows/webhooks/forwarding.py": "from disk to Prefect and Notion",
    "flows/signup_handler.py": "and its like: one run an event, by its key",
    "flows/enrolment/enrol.py": "record in Notion; one run a step, each due at its time",
    "flows/send_email_flow.py": "one run is one mail",
    "flows/sending/one_mail.py": "may it go? is it out already?",
    "flows/sending/frozen.py": "the mail as it was first composed",
    "flows/sending/delivery.py": "Resend, under an idempotency key",
    "flows/webhooks/events.py": "delivered, bounced, complained, unsubscribed",
    "flows/recipients/suppression.py": "who has left",
}
DEPLOY = (
    Arrow("cli/fleet.py", "deploy", "workers", "deploy/workers.py"),
    Arrow("deploy/workers.py", "", "to_deploy", "deploy/rollout/members.py"),
    Arrow("deploy/rollout/members.py", "to_deploy", "look", "deploy/look.py"),
    Arrow("deploy/rollout/members.py", "to_deploy", "plan.make", "deploy/plan.py"),
    Arrow("deploy/workers.py", "", "activate", "deploy/rollout/activate.py"),
    Arrow("deploy/rollout/activate.py", "Rollout._conduct", "Conductor", "deploy/rollout/conductor.py"),
    Arrow("deploy/rollout/conductor.py", "Conductor.move", "machine.move", "deploy/rollout/steps.py"),
    Arrow("deploy/rollout/steps.py", "SshSteps.move", "RollWorker", "deploy/onhost/roll_worker.py"),
    Arrow("deploy/onhost/roll_worker.py", "main", "move", "deploy/onhost/worker_unit.py"),
)
RUN = (
    Arrow("worker/lifecycle.py", "Lifecycle.__init__", "HublabWorker", "worker/process_worker.py"),
    Arrow("worker/process_worker.py", "HublabWorker.run", "engines.execute", "worker/engines.py"),
    Arrow("worker/engines.py", "Engines.execute", "EngineStarter", "worker/engine_process.py"),
    Arrow("worker/engine_process.py", "EngineStarter._begin", "fork_server.fork", "worker/forking.py"),
    Arrow("worker/forking.py", "ForkServer.start", "worker.fork_server", "worker/fork_server.py"),
    Arrow("worker/fork_server.py", "main", "run", "worker/forked_engine.py"),
    Arrow("worker/forked_engine.py", "_become", "enter", "worker/domain.py"),
    Arrow("worker/lifecycle.py", "Lifecycle._recover", "Reconciler", "worker/reconciler.py"),
)
MAIL = (
    Arrow("flows/webhooks/app.py", "Receiver.keep", "forwarder.notify", "flows/webhooks/forwarding.py"),
    Arrow("flows/webhooks/forwarding.py", "start", "", "flows/signup_handler.py"),
    Arrow("flows/signup_handler.py", "_handle", "enrol", "flows/enrolment/enrol.py"),
    Arrow("flows/enrolment/enrol.py", "start_mail", "", "flows/send_email_flow.py"),
    Arrow("flows/send_email_flow.py", "_send_email", "send", "flows/sending/one_mail.py"),
    Arrow("flows/sending/one_mail.py", "Sending._freeze", "frozen.freeze", "flows/sending/frozen.py"),
    Arrow("flows/sending/one_mail.py", "Sending.run", "Delivery", "flows/sending/delivery.py"),
    Arrow("flows/sending/one_mail.py", "Sending._last_look", "suppression.look", "flows/recipients/suppression.py"),
    Arrow("flows/webhooks/forwarding.py", "to_prefect", "events.suppress", "flows/webhooks/events.py"),
    Arrow("flows/webhooks/events.py", "suppress", "suppression.record", "flows/recipients/suppression.py"),
)
JOURNEYS = {"deploy": DEPLOY, "run": RUN, "mail": MAIL}


def files(journey: tuple[Arrow, ...]) -> list[str]:
    """In the order in which they are read."""
    return list(dict.fromkeys(path for arrow in journey for path in (arrow.begin, arrow.end)))


def picture(journey: tuple[Arrow, ...]) -> str:
    """As Mermaid draws it."""
    names = {path: f"n{number}" for number, path in enumerate(files(journey), 1)}
    lines = [f'  {name}["{path}<br>{WORDS[path]}"]' for path, name in names.items()]
    for arrow in journey:
        line = f'-->|"{arrow.called}"|' if arrow.called else '-.->|"a run at Prefect"|'
        lines.append(f"  {names[arrow.begin]} {line} {names[arrow.end]}")
    return "\n".join(["```mermaid", "flowchart TD", *lines, "```"])


def drawn(page: str) -> str:
    """The page with its pictures as the code is today."""
    for name, journey in JOURNEYS.items():
        mark = rf"(<!-- picture: {name} -->\n).*?(\n<!-- /picture -->)"
        page = re.sub(mark, lambda found, new=journey: f"{found[1]}{picture(new)}{found[2]}", page, flags=re.DOTALL)  # type: ignore[misc]
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text()))
