"""The author's page: its files can be read, and its modules run. Its commands are tried with those of every page."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path

import flows
from flows.campaigns import payloads
from flows.campaigns.model import parse
from flows.operator import preflight
from flows.services.notion_mapping import NotionMapping

ROOM = Path(str(flows.__file__)).parent
PAGES = [path.read_text("utf-8") for path in (ROOM / "README.md", ROOM.parent / "docs" / "campaign.md")]
BLOCKS = [block for page in PAGES for block in re.findall(r"^```(\w*)\n(.*?)^```", page, re.DOTALL | re.MULTILINE)]


def test_a_file_of_a_campaign_is_one_that_every_signup_passes() -> None:
    found = [parse(text, "README.md") for kind, text in BLOCKS if kind == "toml" and "campaign =" in text]
    assert len(found) == 2
    for sequences in found:
        for sequence in sequences.values():
            assert list(preflight.mapped(sequence)) == []
            payloads.checked(sequence, {"email": "ada@salon.net", "first_name": "Ada"})


def test_mapping_that_the_page_shows_is_a_good_one() -> None:
    (text,) = [text for kind, text in BLOCKS if kind == "toml" and '["BusinessX' in text]
    NotionMapping(tomllib.loads(text))


def test_every_module_that_is_named_can_be_run() -> None:
    named = {name for page in PAGES for name in re.findall(r"python -m ([\w.]+)", page)}
    assert named
    for name in named:
        assert importlib.util.find_spec(name), name
