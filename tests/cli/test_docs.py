"""What the pages say can be typed can be typed, and what they link to is there."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from typing import TYPE_CHECKING

import pytest

from cli.start import CHECKOUT
from docs import troubleshooting

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Typed

PAGES = [
    path
    for path in sorted(CHECKOUT.rglob("*.md"))
    if not any(part[0] == "." or part == "mutants" for part in path.relative_to(CHECKOUT).parts)
]
# The changelog speaks of what could be typed once, and of what is refused.
TO_TYPE = [page for page in PAGES if page.name != "CHANGELOG.md"]
MAKEFILES = "".join((CHECKOUT / name).read_text() for name in ("Makefile", "tests/tests.mk"))
CODE = re.compile(r"`([^`\n]+)`|^( {4}|\t)(.+)$|^((?:\./hublab|make) .+)$", re.MULTILINE)


def title(path: Path) -> str:
    return str(path.relative_to(CHECKOUT))


TESTS = {title(path): path.read_text() for path in (CHECKOUT / "tests").rglob("*.py")}


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_tests_that_are_named_as_proof_are_there(page: Path) -> None:
    text = re.sub(r"Prefect's own tests .+? fails \(`\w+`\)", "", page.read_text(), flags=re.DOTALL)
    files = set(re.findall(r"(?<![\w.-])tests/[\w/]+\.py", text)) - set(TESTS)
    names = set(re.findall(r"`(?:[\w/]+\.py::)?(test_\w+)`", text))
    functions = set(re.findall(r"def (test_\w+)\(", "".join(TESTS.values())))
    alone = set(re.findall(r"`(test_\w+\.py)`", text)) - {path.rpartition("/")[2] for path in TESTS}
    assert sorted(files | alone | (names - functions)) == []


def test_the_page_of_messages_is_what_the_code_says_today() -> None:
    assert troubleshooting.PAGE.read_text() == troubleshooting.page(), "python -m docs.troubleshooting"


def test_each_message_says_what_to_do_or_the_page_does() -> None:
    rows = re.findall(r"^\| (.+?) \| (.*) \|$", troubleshooting.PAGE.read_text(), re.MULTILINE)
    assert [text for text, remedy in rows if not remedy] == [], "each a line in docs/remedies.toml"
    known = tomllib.loads(troubleshooting.REMEDIES.read_text())
    assert sorted(known.keys() - dict(rows)) == [], "no message has these words"


def typed_lines(page: Path, program: str) -> list[str]:
    """What a page shows after a program's name, comments and placeholders' marks taken away."""
    found = [
        next(part for part in match.group(1, 3, 4) if part)
        for match in CODE.finditer(page.read_text())
        if any(match.group(1, 3, 4))
    ]
    lines = [re.split(r"  #|\s[>|&;]", line)[0].strip() for line in found]
    return [line.removeprefix(program).strip() for line in lines if line.startswith(f"{program} ")]


@pytest.mark.parametrize("page", PAGES, ids=title)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", TO_TYPE, ids=title)
def test_commands_of_hublab_can_be_typed(
    page: Path, typed: Typed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").touch()
    for line in typed_lines(page, "./hublab"):
        if re.search(r"[…\[<]", line) or line.startswith("--"):
            continue  # the shape of a command, not one to type
        asks = line.split()[0] in {"deploy", "rollback", "decommission"} and "-y" not in line
        unasked = f"{line} -y" if asks else line
        typed.plan = [{"changes": False}]
        status, said = typed(unasked)
        assert status == 0, f"{line}: {said}"


@pytest.mark.parametrize("page", TO_TYPE, ids=title)
def test_targets_of_make_are_there_and_take_what_is_written_beside_them(page: Path) -> None:
    targets = " ".join(re.findall(r"^\.PHONY:(.*)$", MAKEFILES, re.MULTILINE)).split()
    takes = dict(re.findall(r"^takes\.([\w-]+) := (.+)$", MAKEFILES, re.MULTILINE))
    for line in typed_lines(page, "make"):
        words = shlex.split(line.partition("|")[0].replace("…", "").strip(" .,"))
        goals = [word for word in words if "=" not in word and re.fullmatch(r"[a-z][a-z0-9-]*", word)]
        assert goals[0] in targets, line
        assert set(re.findall(r"\b([A-Z_]+)=", line)) <= set(takes.get(goals[0], "").split()), line


def told(path: Path) -> str:
    """Every text of a module that is no docstring; what an f-string is filled with is an …"""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = {ast.get_docstring(node, clean=False) for node in nodes if isinstance(node, documented)}
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            node.values = [one if isinstance(one, ast.Constant) else ast.Constant("…") for one in node.values]
    whole = ["".join(str(one.value) for one in node.values) for node in nodes if isinstance(node, ast.JoinedStr)]  # type: ignore[attr-defined]
    single = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join(text for text in (*whole, *single) if text not in docstrings)


MODULES = [path for room in ("flows", "deploy", "worker", "cli") for path in sorted((CHECKOUT / room).rglob("*.py"))]


def test_messages_name_commands_that_can_be_typed(typed: Typed) -> None:
    """An operator is told `./hublab …`, whatever the module behind it is called."""
    texts = {path: told(path) for path in MODULES}
    assert {title(path) for path, text in texts.items() if re.search(r"`(?:\S*/)?python -m (?!pip)", text)} == set()
    named = {line for text in texts.values() for line in re.findall(r"`\./hublab ([^`\n]+)`", text)}
    assert "campaign register" in named
    for line in sorted(named):
        status, said = typed(f"{line} --help")
        assert status == 0, f"{line}: {said}"
