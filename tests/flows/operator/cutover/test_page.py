"""What docs/cutover.md has typed is typed in its order, against such a production; what it says in numbers is so."""

from __future__ import annotations

import importlib
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest
import typer
from typer.testing import CliRunner

import flows
from cli import campaign
from cli.app import app
from flows.enrolment import takeover
from flows.operator.cutover import facts, fates, lock, taking
from flows.services import notion_schema as schema
from tests.flows.operator.cutover.test_takes_over import live, theirs
from tests.flows.past import DELAYS
from tests.flows.world import settings_at_prefect

if TYPE_CHECKING:
    from tests.flows.past import Past

ROOT = Path(str(flows.__file__)).parent.parent
PAGE = (ROOT / "docs" / "cutover.md").read_text("utf-8")
SARAH = "sarah@her-salon.com"
# Each command of the page, in its order → what it says. `notion-setup` is there as "and without `--dry-run`".
SAYS = [
    ("secrets", "created   notion-token"),
    ("notion-setup --dry-run", "would add 'Cancelled' (checkbox) to Email Sequence"),
    ("secrets", "unchanged notion-token"),
    ("register", ""),  # it says not to
    ("cutover", f"{SARAH}  christmas/signup  enrolled "),
    (f"cutover --person {SARAH}", "4 christmas_email_4: comes, due"),
    ("cutover --apply", "done: 2 × take the key, "),
    ("cutover", "to do: nothing"),
    ("preflight", "all well"),
    ("status", "christmas/signup"),
    ("cutover --back", "mail 4 was not handed back: a booking is made: Booked"),
    ("secrets", "unchanged notion-token"),
    ("erase <address>", "nothing more goes to this address"),
]


class Operator:
    """Who types `./hublab campaign …`: each program runs in this process."""

    def __init__(self, env: Path, patch: pytest.MonkeyPatch) -> None:
        patch.setenv("HUBLAB_ENV_FILE", str(env))
        patch.setattr(campaign, "become", self.become)

    def become(self, command: list[str], **__: str) -> NoReturn:
        _, _, name, *arguments = command
        module = importlib.import_module(
            name if name.count(".") == 2 and name[-7:] != "cutover" else f"{name}.__main__"
        )
        raise typer.Exit(module.main(arguments))

    def types(self, line: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["campaign", *shlex.split(line)], prog_name="hublab")
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return done.exit_code, done.output


def test_the_page_is_typed_in_its_order_and_does_what_it_says(
    past: Past, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = PAGE[PAGE.index("## The procedure") :]
    assert re.findall(r"`\./hublab campaign ([^`]+)`", part) == [line for line, _ in SAYS]
    booked = past.person(3, Booking_Status="Booked")
    past.person(3, SARAH)
    source = past.world.services.notion.store.database(past.world.services.databases[schema.SEQUENCE])
    kept = dict(source.schema)
    del source.schema["Cancelled"]
    quick = {
        "HUBLAB_NOTION_PER_MINUTE": "60000",
        "HUBLAB_RESEND_PER_SECOND": "1000",
        "TESTING_ADDRESS": "qa@resend.dev",
    }
    env = tmp_path / ".env"
    env.write_text("".join(f"{name}={value!r}\n" for name, value in (past.world.environment | quick).items()))
    env.chmod(0o600)
    operator = Operator(env, monkeypatch)
    try:
        with settings_at_prefect():
            for number, (line, says) in enumerate(SAYS):
                if line == "register":
                    continue
                status, said = operator.types(line.replace("<address>", SARAH))
                assert says in said, f"{number}: {line}: {said}"
                assert status == 0 or line == "status", f"{number}: {line}: {said}"  # other tests' runs have failed
                assert "BLOCKED" not in said
                after(past, operator, line, booked)
    finally:
        source.schema = kept


def after(past: Past, operator: Operator, line: str, booked: str) -> None:
    """What is so once a command was typed, by the page's words around it."""
    if line == "notion-setup --dry-run":
        assert operator.types("notion-setup")[0] == 0
    if line == "cutover --apply":
        assert set(live(past, SARAH)) == set(live(past, booked)) == {4, 5, 6, 7}
        queues = {"work_queue_names": ["campaign", "campaign-handlers"]}  # as the workers do
        past.api.post("/work_pools/default/get_scheduled_flow_runs", json=queues).raise_for_status()
    if line == "cutover --back":
        assert (set(theirs(past, SARAH)), set(theirs(past, booked))) == ({4, 5, 6, 7}, set())
        assert operator.types("cutover --apply")[0] == 0
        assert set(live(past, SARAH)) == set(live(past, booked)) == {4, 5, 6, 7}
        assert operator.types("cutover --back")[0] == 0
    if line == "erase <address>":
        assert past.mails_of(SARAH) == []
        assert theirs(past, booked) == {}


def test_the_rehearsal_is_where_the_page_says() -> None:
    command = next(one for one in re.findall(r"`\.venv/bin/pytest ([^`]+)`", PAGE))
    option, marks, file = shlex.split(command)
    assert (option, marks) == ("-m", ""), "it takes minutes: a mark keeps it out of all other runs"
    assert "@pytest.mark.faults" in (ROOT / file).read_text("utf-8")


WORDS: dict[str, Any] = {
    r"waited for, (\w+) minutes; then run": taking.PATIENCE / 60,
    r"After (\d+) minutes its worker counts as lost": fates.STALE.total_seconds() / 60,
    r"if it was due within (\d+) hours": fates.GRACE.total_seconds() / 3600,
    r"it is younger than (\d+) hours": fates.GRACE.total_seconds() / 3600,
    r"crashed within (\d+) hours": fates.GRACE.total_seconds() / 3600,
    r"after (\w+) days withheld": fates.PATIENCE.days,
    r"counts as gone after (\w+) minutes": lock.LEASE.total_seconds() / 60,
    r"After the last old run\*\* \((\w+) days\)": DELAYS[7].days,
    r"a state named `(\w+)`, last of all": facts.TAKEN,
    r"cancels ours with a state named `(\w+)`": facts.HANDED,
    r"under the key `(\w+:)…`": facts.BACK,
    r"it is settled who enrols whom \(the variable `([\w-]+)`\)": takeover.VARIABLE,
    r"A variable `([\w-]+-)<number>` at Prefect is the lock": lock.NAME,
}
NUMBERS = {"two": 2, "five": 5, "seven": 7, "eleven": 11}


@pytest.mark.parametrize("words", WORDS)
def test_what_the_page_says_in_numbers_and_names_is_so(words: str) -> None:
    (found,) = re.findall(words, PAGE)
    said = NUMBERS.get(found, found)
    assert (int(said) if str(said).isdecimal() else said) == WORDS[words]
