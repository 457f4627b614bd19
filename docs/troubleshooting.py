"""`python -m docs.troubleshooting`: writes docs/troubleshooting.md from the messages that stand in the code.

What to do is said by the message, or by docs/remedies.toml.
"""

from __future__ import annotations

import ast
import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from docs.messages import GAP, connections, messages

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
PAGE, REMEDIES = ROOT / "docs" / "troubleshooting.md", ROOT / "docs" / "remedies.toml"
INTRO = """# Troubleshooting

Look for a part of the message that does not change: a setting's name, or a few words. `…` stands for what differs.
This page is made from the code (`python -m docs.troubleshooting`), so it has the words that you see.

Not here: what `./hublab status` and `./hublab campaign status` say of hosts, runs and mails; each line there ends with
the command that helps. What becomes of a run when something dies is in [long-runs.md](long-runs.md), what the webhooks
answer in [callers.md](callers.md).
"""


@dataclass
class Section:
    """Messages that an operator meets at one occasion."""

    title: str
    words: str
    paths: str
    makers: frozenset[str]
    rows: dict[str, str] = field(default_factory=dict)

    def takes(self, path: str, maker: str) -> bool:
        """Whether a message belongs here."""
        return maker in self.makers and bool(re.match(self.paths, path))


def sections() -> list[Section]:
    """In the order in which one meets them; the first that takes a message has it."""
    return [
        Section(
            "`.env` and the command line",
            "Nothing was changed, no host was asked. Status 2, or 1.",
            r"deploy/(?!coolify|onhost|pool)|cli/",
            frozenset({"SettingsError", "refuse", "faults.append", "fault", "returned"}),
        ),
        Section(
            "The plan refuses",
            "Nothing was changed. `./hublab plan` says the same.",
            r"deploy/(?!coolify)",
            frozenset({"Problem"}),
        ),
        Section(
            "SSH",
            "The host was not looked at.",
            r"deploy/(remedies|fleet)",
            frozenset({"REMEDIES", "FleetError", "UnreachableError"}),
        ),
        Section(
            "A deploy or a roll-back ends with",
            "What was moved has gone back, or the table says where it has not. The last journal lines stand below the "
            "message; the next deploy finishes or undoes what was begun.",
            r"deploy/(?!coolify|onhost/prefect_api)",
            frozenset({"HostError", "DeployError", "RolloutError", "UploadError", "WheelsError", "ImageError"})
            | {"InterpreterError", "LockError", "LockLostError"},
        ),
        Section(
            "The gate says of a worker",
            "It was put back to what it ran before.",
            r"worker/probe|deploy/onhost/(worker_unit|watch_canary)",
            frozenset({"GateError", "RuntimeError", "returned"}),
        ),
        Section(
            "A worker does not start",
            "It ends with status 78 and this line in its journal (`./hublab logs h1 1`); systemd does not try again "
            "until somebody starts it.",
            r"worker/",
            frozenset({"SettingError", "ValueError", "returned"}),
        ),
        Section(
            "Prefect's API, asked from a host",
            "Part of a longer line, which names the address.",
            r"deploy/onhost/prefect_api|deploy/onhost/api_facts|worker/",
            frozenset({"ApiError"}),
        ),
        Section(
            "Coolify",
            "Nothing of yours is deleted by a command that ends so.",
            r"deploy/coolify",
            frozenset({"Problem", "CoolifyError", "RolloutError", "LockError", "DeployError", "FleetError"})
            | {"NotFoundError", "ExistsError", "BusyError", "UnclearError"},
        ),
        Section(
            "The campaign's files and settings",
            "Said by `./hublab campaign preflight`, `secrets`, `register` and by the unit of the webhooks; what begins "
            "with `PREFECT_API_URL`, by every command of the campaign, which then has done nothing.",
            r"flows/",
            frozenset({"CampaignError", "MappingError", "BadSettingError", "MissingSettingError", "ServerError"}),
        ),
        Section(
            "A mail's run ends, or waits, with",
            "`./hublab campaign status` names the run; once the cause is mended, `./hublab campaign retry-failed` runs "
            "it again. What waits goes on by itself.",
            r"flows/",
            frozenset(
                {"UnusableTemplateError", "UncertainSendError", "LookupError", "UnreadableRecordError", "NotionError"}
                | {"NotionTooManyError"}
            )
            | {
                "NotionUnavailableError",
                "SuppressionUnreadableError",
                "ResendFailedError",
                "ResendQuotaError",
                "NotYetError",
            }
            | {"NotRegisteredError", "NothingThereError", "NotOursError", "WrongDatabaseError", "BlockedError"}
            | {
                "UndeliveredError",
                "ResendUnavailableError",
                "ResendConflictError",
                "ComplainedError",
                "NotAgreedError",
            },
        ),
    ]


@cache
def _remedies() -> dict[str, str]:
    """Of messages that do not say it themselves: what to do, by their words."""
    return tomllib.loads(REMEDIES.read_text("utf-8"))


def page() -> str:
    """The whole page."""
    found = sections()
    for path in sorted(file for room in ("cli", "deploy", "worker", "flows") for file in (ROOT / room).rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        tree = ast.parse(path.read_text("utf-8"))
        rows = [*messages(tree), *(connections(tree) if name == "deploy/remedies.py" else [])]
        for maker, said, remedy in rows:
            section = next((one for one in found if one.takes(name, maker)), None)
            if section and re.search(r"[A-Za-z]{3}.*[A-Za-z]{3}", said.replace(GAP, "")):
                text, advice = (said, remedy) if remedy else _split(said)
                text = _cell(text)
                section.rows.setdefault(text, _cell(advice or _remedies().get(text, "")))
    return "\n".join([INTRO, *(line for section in found for line in _written(section))])


def _split(said: str) -> tuple[str, str]:
    """What is wrong, and the remedy that is said in the same breath."""
    for mark in (" -> ", ". ", "; "):
        text, found, remedy = said.partition(mark)
        if found and re.match(r"[A-Za-z`]", remedy.strip()):
            return text, remedy
    return said, ""


def _written(section: Section) -> Iterator[str]:
    yield f"## {section.title}\n\n{section.words}\n"
    yield "| it says | what to do |\n|---|---|"
    yield from (f"| {text} | {remedy} |" for text, remedy in section.rows.items())
    yield ""


def _cell(text: str) -> str:
    """One line, with nothing in it that a table or a page would take for its own."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
