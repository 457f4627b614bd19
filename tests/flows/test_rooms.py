"""The rooms of flows/: arrows between them run one way, and entry points stay where scheduled runs expect them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import flows
from flows.operator.register import ENTRYPOINTS, flow_of

ROOT = Path(str(flows.__file__)).parent
# A room may import those named here, and itself.
MAY_IMPORT = {
    "services": set[str](),
    "campaigns": set[str](),
    "recipients": {"campaigns", "services"},
    "sending": {"campaigns", "recipients", "services"},
    "enrolment": {"campaigns", "recipients", "services"},
    "webhooks": {"campaigns", "enrolment", "recipients", "sending", "services"},
    "operator": {"campaigns", "enrolment", "recipients", "sending", "services"},
}


def imported(path: Path) -> set[str]:
    """The rooms that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module] if node.module != "flows" else [f"flows.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("flows.")}
    return found


def test_every_room_imports_only_those_below_it() -> None:
    assert {path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()} == set(MAY_IMPORT)
    for room, allowed in MAY_IMPORT.items():
        for path in (ROOT / room).rglob("*.py"):
            assert imported(path) <= allowed | {room}, path


def test_a_deployment_that_exists_finds_its_entry_point() -> None:
    assert {entrypoint: flow_of(entrypoint).name for entrypoint in ENTRYPOINTS} == {
        "flows.signup_handler.handle": "christmas-signup-handler",
        "flows.noshow_recovery_handler.handle": "christmas-noshow-recovery-handler",
        "flows.postcall_maybe_handler.handle": "christmas-postcall-maybe-handler",
        "flows.onboarding_handler.handle": "christmas-onboarding-handler",
        "flows.campaign_handler.handle": "campaign-enrolment-handler",
        "flows.send_email_flow.send_email": "christmas-send-email",
        "flows.watch_flow.watch": "campaign-watch",
    }


def test_an_error_is_told_by_its_class_and_never_by_the_name_of_one() -> None:
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Compare):
                parts = [one.attr for one in ast.walk(node) if isinstance(one, ast.Attribute)]
                assert "__name__" not in parts, f"{path}:{node.lineno}"


def test_the_words_are_the_fields() -> None:
    """Client, app, receiver: nothing here is a door."""
    for path in (*ROOT.rglob("*.py"), *ROOT.rglob("*.md")):
        assert not re.search(r"(?i)(?<![a-z])doors?(?![a-z])", f"{path.name} {path.read_text('utf-8')}"), path
