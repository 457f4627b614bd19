"""The author's page: its commands are commands, and its files can be read."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import flows
from flows.campaigns import payloads
from flows.campaigns.model import parse
from flows.operator import preflight
from flows.services.notion_mapping import NotionMapping

ROOM = Path(str(flows.__file__)).parent
PAGES = [path.read_text("utf-8") for path in (ROOM / "README.md", ROOM.parent / "docs" / "campaign.md")]
BLOCKS = [block for page in PAGES for block in re.findall(r"^```(\w*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)]
COMMANDS = sorted(
    {line.partition("#")[0].strip() for kind, text in BLOCKS if not kind for line in text.splitlines() if line.strip()}
    | {one for page in PAGES for one in re.findall(r"`(make [^`\[]+)`", page)}
)


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one(command: str) -> None:
    """As make sees it: the target is there, and takes what is given; nothing is done."""
    assert command.startswith("make ")
    done = subprocess.run(
        ["make", "-n", *command.split()[1:]], cwd=ROOM.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_file_of_a_campaign_is_one_that_every_signup_passes() -> None:
    found = [parse(text, "README.md") for kind, text in BLOCKS if kind == "toml" and "campaign =" in text]
    assert len(found) == 2
    for sequences in found:
        for sequence in sequences.values():
            assert list(preflight.mapped(sequence)) == []
            payloads.checked(sequence, {"email": "ada@salon.net", "first_name": "Ada"})


def test_the_mapping_is_one() -> None:
    (text,) = [text for kind, text in BLOCKS if kind == "toml" and '["BusinessX' in text]
    NotionMapping(tomllib.loads(text))


def test_every_module_that_is_named_can_be_run() -> None:
    named = {name for page in PAGES for name in re.findall(r"python -m ([\w.]+)", page)}
    assert named
    for name in named:
        assert importlib.util.find_spec(name), name
