"""From the form to delivered mails, against the real flows, webhooks and funnel page, without machines."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from e2e import form
from e2e.__main__ import main
from e2e.browser import Album, opened
from e2e.contract import sequences
from e2e.errors import RefusedError
from flows.operator.operate import pause
from flows.services import notion_schema as schema
from flows.services.notion_mapping import VARIABLE
from flows.services.prefect_api import Prefect
from sandbox.standins.faults import Fault
from tests.e2e.theatre import Theatre, secrets
from tests.e2e.visit import Visit
from tests.flows.operator.test_notion_as_it_is import Workspace, settled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from e2e.record import Record
    from sandbox.mail import MailServer
    from tests.flows.world import World

ALL = ("signup", "noshow", "postcall", "onboarding")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_sixteen_of_sixteen(theatre: Theatre) -> None:
    record = theatre.play(*ALL)
    assert record.passed, [record.verdict, record.diagnosis, [one.problems for one in record.enrolments + record.mails]]
    assert record.verdict == "16 of 16 mails in the mailbox, each once: all as it should be"
    assert [len(one.mails) for one in record.enrolments] == [7, 3, 3, 3]
    assert list(record.pictures) == ["filled in", "answered"]
    pictures = [*record.pictures.values(), *(path for mail in record.mails for path in mail.pictures.values())]
    assert len(pictures) == 2 + 3 * 16
    assert all(path.stat().st_size > 1000 for path in pictures)
    told = (theatre.folder / "out/report.json").read_text() + (theatre.folder / "out/report.html").read_text()
    assert not [secret for secret in secrets(theatre.values) if secret in told]
    assert json.loads((theatre.folder / "out/report.json").read_text())["delivered"] == 16
    with opened() as chromium:
        for scheme, width in (("light", 1280), ("dark", 375)):
            with Visit(chromium, theatre.folder / "out/report.html", scheme, width) as visit:
                assert visit.flaws() == []
                assert visit.tell("document.images.length") == 2 + 3 * 16
                assert visit.tell("document.documentElement.scrollWidth") <= width


@pytest.fixture
def mapped(
    world: World, post: MailServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Iterator[tuple[Theatre, Workspace]]:
    """A workspace whose properties have other names and kinds, settled as an operator settles it, by `notion.toml`."""
    there = Workspace(world)
    world.environment |= {block.upper().replace("-", "_"): identity for block, identity in there.databases.items()}
    with Theatre(world, post, tmp_path) as theatre:
        settled(there, theatre.folder, capsys)
        yield theatre, there
    with Prefect() as prefect:
        prefect.forget(VARIABLE)


@pytest.mark.long
@pytest.mark.timeout(300)
def test_whole_way_where_properties_have_other_names(mapped: tuple[Theatre, Workspace]) -> None:
    theatre, there = mapped
    record = theatre.play("signup", "onboarding")
    assert record.passed, [record.verdict, record.diagnosis, [one.problems for one in record.enrolments + record.mails]]
    assert [len(one.mails) for one in record.enrolments] == [7, 3]
    assert all(mail.noted for mail in record.mails)
    (contact,) = there.rows(schema.CONTACTS, record.enrolments[0].to)
    assert (contact["email"], contact["Christmas Campaign Status"]) == (record.enrolments[0].to, "Signed Up")


@pytest.mark.long
def test_same_command_against_what_a_file_names(
    theatre: Theatre, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HUBLAB_ENV_FILE", str(theatre.target().source))
    monkeypatch.setattr("sys.stdin", io.StringIO())
    status, out = theatre.folder / "STATUS.md", theatre.folder / "out"
    command = ["--only", "noshow", "--out", str(out), "--status", str(status)]
    assert main(command) == 2
    assert "nobody is there to be asked; --yes" in capsys.readouterr().err
    assert theatre.world.services.resend.store.mails == []
    assert main([*command, "--yes"]) == 0
    assert capsys.readouterr().out.startswith("3 of 3 mails in the mailbox, each once: all as it should be\n")
    assert json.loads((out / "report.json").read_text())["against"] == "production"
    assert "## End to end, in production\n\n- **Passed**: 3 of 3" in status.read_text()


def lost(record: Record) -> set[str]:
    return {mail.lost_at for mail in record.mails}


def test_webhooks_are_down(theatre: Theatre) -> None:
    theatre.receiver.close()
    target = theatre.target()
    with pytest.raises(RefusedError, match="HUBLAB_PUBLIC_URL: the webhooks do not say"):
        theatre.play("signup")
    # They go down after it was permitted to start.
    record = theatre.entered(target, "signup", "noshow")
    for one, words in zip(record.enrolments, ("the page says: We could not take", "did not take it"), strict=True):
        assert one.refused_at == "webhook"
        assert words in one.refusal
        assert "ConnectError" in one.refusal
    assert [path.name for path in record.pictures.values()] == ["form-1.png", "form-2.png"]


@pytest.mark.long
def test_page_has_changed(theatre: Theatre) -> None:
    text = form.FILE.read_text().replace("seconds = 60", "seconds = 2")
    answers = sequences()["signup"].answers | {"email": "delivered+x@resend.dev"}
    for old, new, words in (
        ("[name=gps_score]", "[name=gps]", 'waiting for locator("[name=gps]").first); correct e2e/form.toml'),
        ('ready = "form"', 'ready = "#other"', "#other"),
        ('done = "#thanks"', 'done = "#done"', "neither '#done' nor"),
    ):
        file = theatre.folder / "form.toml"
        file.write_text(text.replace(old, new))
        with opened() as chromium:
            seen = form.visit(chromium, theatre.values["FUNNEL_URL"], answers, Album(theatre.folder), file)
        assert seen.answered is None
        assert words in seen.refusal


def test_page_says_what_it_does_not_like(theatre: Theatre) -> None:
    album = Album(theatre.folder)
    answers = sequences()["signup"].answers | {"email": "nobody", "red_systems": 9}
    with opened() as chromium:
        seen = form.visit(chromium, theatre.values["FUNNEL_URL"], answers, album)
    assert seen.refusal == (
        "the page says: Please look at what is marked below. / This is not an e-mail address that we could write to. / "
        "Please give a whole number from 0 to 8"
    )
    assert list(album.pictures) == ["filled in", "as it ended"]


@pytest.mark.long
def test_queue_is_paused(theatre: Theatre) -> None:
    pause("default", paused=True)
    try:
        # The preflight would say so before the start: it is paused after that.
        record = theatre.followed(theatre.target(), "noshow", patience=25)
    finally:
        pause("default", paused=False)
    assert lost(record) == {"worker"}
    assert record.diagnosis
    for sentence in record.diagnosis:  # who signs up meanwhile is enrolled; their mails wait
        assert "its run is" in sentence
        assert "was not started" in sentence
        assert "the queue 'campaign' is paused: ./hublab campaign resume" in sentence


@pytest.mark.parametrize(
    ("service", "rule", "hop", "words"),
    [
        # Long, for the mail never comes and all of the patience passes; a refusal that ends the run is told at once.
        pytest.param(
            "notion",
            {"kind": "refuse", "path": "/pages/", "method": "PATCH", "status": 503},
            "Notion",
            "postponed",
            marks=pytest.mark.long,
        ),
        ("resend", {"kind": "refuse", "method": "POST", "status": 422, "code": "validation_error"}, "Resend", "422"),
    ],
)
def test_a_service_refuses(theatre: Theatre, service: str, rule: dict[str, Any], hop: str, words: str) -> None:
    theatre.world.setenv("HUBLAB_RETRY_SECONDS", "0")
    book = getattr(theatre.world.services, service).book
    book.rules.append(Fault(**rule, times=None))
    record = theatre.play("noshow", patience=60)
    assert lost(record) == {hop}
    assert words in record.diagnosis[0]


@pytest.mark.long
def test_a_mail_bounces(theatre: Theatre) -> None:
    record = theatre.play("noshow", patience=60, TESTING_ADDRESS="bounced@resend.dev")
    assert record.mails[0].lost_at == "delivery"
    assert "bounced" in record.diagnosis[0]
    assert not record.passed
