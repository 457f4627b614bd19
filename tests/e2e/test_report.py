"""The report, read as its readers read it: a person in a browser, light and dark, wide and narrow; a program."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from junitparser import JUnitXml

from e2e import report
from e2e.browser import WAYS, shot
from e2e.record import Enrolment, Event, Mail, Record
from e2e.report import facts, words
from e2e.report.facts import Hop
from tests.e2e.letters import letter as written
from tests.e2e.visit import Visit

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_BEGAN = datetime(2025, 11, 14, 5, 0, 2, tzinfo=UTC)
_STEPS = {"signup": 7, "noshow": 3, "postcall": 3, "onboarding": 3}
_CASES = ("well", "lost", "doubled", "nothing", "unseen", "hostile")
_EVIL = "<script>window.hacked = 1</script><img src=x onerror=hacked=1> \x1b[31m $\\frac{ 🎄 &amp; \"'"


def _at(seconds: float) -> datetime:
    return _BEGAN + timedelta(seconds=seconds)


def _mail(sequence: str, step: int, posted: float, picture: Path) -> Mail:
    due = posted + 60 * (step if sequence != "signup" else step - 1)
    to, subject = f"you+{sequence}@example.com", f"{sequence}: letter {step}"
    return Mail(
        sequence,
        step,
        f"{sequence}_email_{step}",
        to,
        wanted_subject=subject,
        wanted_due=_at(due),
        due=_at(due),
        started=_at(due + 1),
        ended=_at(due + 4),
        run_id=f"run-{sequence}-{step}",
        state="Completed",
        reason="sent",
        runs=1,
        accepted=_at(due + 3),
        delivered=_at(due + 3.5 + step / 10),
        event="delivered",
        copies=1,
        resend_id=f"mail-{sequence}-{step}",
        subject=subject,
        sent_to=(to,),
        letter=written(to, subject, _at(due + 3), html=f"<p>The body of {sequence} {step}</p>"),
        noted=_at(due),
        pictures=dict.fromkeys(WAYS, picture),
    )


def _enrolment(sequence: str, posted: float, picture: Path) -> Enrolment:
    return Enrolment(
        sequence,
        f"you+{sequence}@example.com",
        "form" if sequence == "signup" else "webhook",
        posted=_at(posted),
        answered=_at(posted + 0.25),
        handler_id=f"handler-{sequence}",
        handler_state="Completed",
        handler_started=_at(posted + 1.25),
        handler_ended=_at(posted + 3.25),
        page="https://www.notion.so/page",
        completed=True,
        mails=[_mail(sequence, step, posted, picture) for step in range(1, _STEPS[sequence] + 1)],
    )


def _well(picture: Path) -> Record:
    return Record(
        "sandbox",
        _BEGAN,
        _at(400),
        enrolments=[_enrolment(name, 3 + 2 * place, picture) for place, name in enumerate(_STEPS)],
        events=[Event(_at(121), "redeploy"), Event(_at(125), "a worker is killed"), Event(_at(398), "the very end")],
        versions={"release": "20251114T045102-0b0311b", "prefect": "3.8.8"},
        links={"Runs at Prefect": "https://prefect.example.com/runs"},
        pictures={"filled in": picture, "answered": picture},
    )


def _lose(mail: Mail) -> None:
    mail.started = mail.accepted = mail.delivered = mail.noted = None
    mail.pictures = {}
    mail.event = mail.subject = ""
    mail.letter = None
    mail.copies, mail.state, mail.reason = 0, "Crashed", "the worker was killed"
    mail.lost_at = "worker"
    mail.problems.append("It was never sent.")


def _case(name: str, picture: Path) -> Record:
    record = _well(picture)
    mails = record.mails
    if name == "lost":
        _lose(mails[3])
        record.diagnosis.append("signup 4 was lost between schedule and worker.")
    elif name == "doubled":
        mails[4].copies, mails[4].runs = 2, 2
        mails[4].problems.append("Resend accepted 2 mails of it.")
        record.ended = None
    elif name == "nothing":
        record.enrolments, record.events, record.pictures, record.versions, record.links = [], [], {}, {}, {}
    elif name == "unseen":
        record.enrolments = [
            Enrolment(
                "signup", "you@example.com", "form", mails=[Mail("signup", 1, "christmas_email_1", "you@example.com")]
            )
        ]
    elif name == "hostile":
        _spoil(record)
    return record


def _spoil(record: Record) -> None:
    """Puts what nobody wishes for wherever a text comes from outside."""
    mail, enrolment = record.mails[0], record.enrolments[1]
    mail.subject, mail.reason, mail.template, mail.state, mail.event = _EVIL, _EVIL, "x" * 400, _EVIL, _EVIL
    mail.problems.append(_EVIL + "y" * 400)
    enrolment.to, enrolment.page, enrolment.sequence, enrolment.reason = _EVIL, "javascript:hacked=1", _EVIL, _EVIL
    record.events.append(Event(_at(60), _EVIL))
    record.versions |= {_EVIL: _EVIL, "release": "z" * 400}
    record.links |= {_EVIL: "javascript:hacked=1", "broken": '"><script>hacked=1</script>'}
    record.pictures[_EVIL] = Path("/nowhere/picture.png")
    record.diagnosis.append(_EVIL)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Path:
    page = browser.new_page(viewport={"width": 600, "height": 1200})
    try:
        return shot(page, tmp_path_factory.mktemp("pictures") / "mail.png")
    finally:
        page.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory, picture: Path) -> dict[str, tuple[Record, Path]]:
    """Each case's record, and the page that was written of it."""
    records = {name: _case(name, picture) for name in _CASES}
    return {name: (record, report.write(record, tmp_path_factory.mktemp(name))) for name, record in records.items()}


@pytest.mark.parametrize("width", [1280, 375])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("case", _CASES)
def test_report_can_be_read_light_dark_wide_and_narrow(
    reports: dict[str, tuple[Record, Path]], browser: Browser, case: str, scheme: str, width: int
) -> None:
    path = reports[case][1]
    with Visit(browser, path, scheme, width) as visit:
        assert visit.flaws() == []
        assert [url for url in visit.asked if not url.startswith("data:")] == [path.as_uri()]
        assert visit.tell("document.documentElement.scrollWidth") <= width
        assert visit.tell("document.querySelectorAll('h1, .about dd').length") == 6


@pytest.mark.parametrize("case", _CASES)
def test_page_json_and_junit_say_the_same(reports: dict[str, tuple[Record, Path]], browser: Browser, case: str) -> None:
    record, path = reports[case]
    whole = json.loads(path.with_name("report.json").read_text())
    suites = list(JUnitXml.fromfile(str(path.with_name("junit.xml"))))
    failed = [[not test.is_passed for test in suite] for suite in suites]
    told = [mail for one in whole["enrolments"] for mail in one["mails"]]
    wrong = [bool(facts.wrong(mail)) for mail in record.mails]

    assert (whole["passed"], whole["verdict"]) == (record.passed, record.verdict) == (case == "well", record.verdict)
    assert failed[0] == [not record.passed]
    assert [bool(one["problems"]) or mailed for one, mailed in zip(told, wrong, strict=True)] == wrong
    assert [flag for suite in failed[1:] for flag in suite[1:]] == wrong
    assert [suite[0] for suite in failed[1:]] == [bool(one.problems) for one in record.enrolments]
    with Visit(browser, path) as visit:
        heading = visit.texts("h1")[0]
        assert heading == f"{'✓ Passed' if record.passed else '✗ Failed'} {record.verdict}"
        assert visit.tell("looks.all('tr[id]').map(it => it.className === 'wrong')") == wrong
        assert visit.tell("looks.all('tr[id]').map(looks.gaps)") == [len(mail["missing"]) for mail in told]


def test_what_is_wrong_with_an_enrolment_alone_is_said_at_the_top(
    tmp_path: Path, picture: Path, browser: Browser
) -> None:
    record = _well(picture)
    record.enrolments[0].problems.append("Mail 3 went out before mail 2.")
    with Visit(browser, report.write(record, tmp_path)) as visit:
        assert visit.texts(".diagnosis p") == ["signup: Mail 3 went out before mail 2."]


def test_what_is_missing_is_seen_as_missing(reports: dict[str, tuple[Record, Path]], browser: Browser) -> None:
    path = reports["lost"][1]
    for width, name in ((1280, "timeline-wide"), (375, "timeline-narrow")):
        with Visit(browser, path, width=width) as visit:
            assert visit.tell("looks.shown('[class^=timeline]').map(it => it.classList[0])") == [name]
            seen = visit.tell(f"looks.texts('.{name} text')")
            assert "never started, accepted, delivered" in seen
            assert "! 4" in seen
            assert {"redeploy", "a worker is killed"} <= set(seen)
            assert "signup 4: never started, accepted, delivered" in visit.tell(
                f"document.querySelector('.{name} desc').textContent"
            )
            assert "never sent" in visit.texts(".gallery .none")
            assert visit.texts(".diagnosis p")[0] == "signup 4 was lost between schedule and worker."


def test_each_moment_has_its_mark(reports: dict[str, tuple[Record, Path]], browser: Browser) -> None:
    def marks(case: str) -> dict[str, int]:
        with Visit(browser, reports[case][1]) as visit:
            names = ("soft", "started", "sent", "good", "bad")
            return {name: visit.tell(f"looks.marks('{name}')") for name in names}

    # Each is there in both panels, and once more in the legend.
    assert marks("well") == {"soft": 33, "started": 33, "sent": 33, "good": 33, "bad": 1}
    assert marks("lost") == {"soft": 33, "started": 31, "sent": 31, "good": 31, "bad": 2}


def test_the_picture_follows_the_theme(reports: dict[str, tuple[Record, Path]], browser: Browser) -> None:
    def fills(scheme: str) -> set[str]:
        with Visit(browser, reports["well"][1], scheme) as visit:
            return set(visit.tell("looks.all('.timeline-wide text').map(it => getComputedStyle(it).fill)"))

    assert not fills("light") & fills("dark")
    assert "#0100" not in reports["well"][1].read_text()


def test_a_screenshot_opens_larger(reports: dict[str, tuple[Record, Path]], browser: Browser) -> None:
    with Visit(browser, reports["well"][1], width=375) as visit:
        shot = visit.page.get_by_alt_text("The mail signup 2 as rendered, light: signup: letter 2")
        before = shot.bounding_box()
        shot.click()
        after = shot.bounding_box()
        assert before
        assert after
        assert after["width"] > 1.5 * before["width"]
        assert after["height"] / after["width"] == pytest.approx(2, abs=0.02)  # whole, as it was taken
        assert visit.tell("document.documentElement.scrollWidth") <= 375


def test_foreign_text_stays_text(reports: dict[str, tuple[Record, Path]], browser: Browser) -> None:
    with Visit(browser, reports["hostile"][1]) as visit:
        assert visit.tell("[document.scripts.length, typeof window.hacked]") == [0, "undefined"]
        assert visit.tell("[...document.links].filter(it => !/^(https?:|file:)/.test(it.protocol)).length") == 0
        assert visit.tell("document.querySelector('#mail-0 bdi').textContent") == words.clean(_EVIL)
        assert visit.texts(".gallery.form .none") == ["picture.png is not there or is no picture"]
        # Were there a hole, the page's own policy would still let nothing run.
        visit.tell("document.body.append(Object.assign(document.createElement('script'), {text: 'window.hacked = 1'}))")
        assert visit.tell("typeof window.hacked") == "undefined"


def test_links_open_beside_the_report(reports: dict[str, tuple[Record, Path]], browser: Browser) -> None:
    with Visit(browser, reports["well"][1]) as visit:
        found = visit.tell("[...document.links].map(it => [it.href, it.target, it.relList.contains('noopener')])")
        assert found == [["https://www.notion.so/page", "_blank", True]] * 4 + [
            ["https://prefect.example.com/runs", "_blank", True]
        ]


def test_times_are_utc_wherever_they_came_from(tmp_path: Path, picture: Path) -> None:
    record = _well(picture)
    tokyo = timezone(timedelta(hours=9))
    record.mails[0].due = datetime(2025, 11, 14, 14, 0, 5, 250000, tokyo)
    record.mails[6].delivered = datetime(2025, 11, 15, 9, 0, 1, tzinfo=tokyo)
    page = report.write(record, tmp_path / "new" / "folder")
    told = json.loads(page.with_name("report.json").read_text())["enrolments"][0]["mails"]
    assert told[0]["due"] == "2025-11-14T05:00:05.250Z"
    assert ">05:00:05</time>" in page.read_text()
    assert ">00:00:01 +1 d</time>" in page.read_text()
    assert page.read_text().count("14 November 2025") == 1


def test_bodies_and_pictures_are_named_not_repeated(reports: dict[str, tuple[Record, Path]]) -> None:
    text = reports["lost"][1].with_name("report.json").read_text()
    first, lost = (json.loads(text)["enrolments"][0]["mails"][index] for index in (0, 3))
    body = b"<p>The body of signup 1</p>"
    assert first["html"] == {"length": len(body), "sha256": hashlib.sha256(body).hexdigest()}
    assert (first["pictures"], lost["pictures"], lost["html"]) == (dict.fromkeys(WAYS, "mail.png"), {}, None)
    assert "The body of" not in text


def test_junit_carries_versions_problems_and_seconds(reports: dict[str, tuple[Record, Path]]) -> None:
    suites = list(JUnitXml.fromfile(str(reports["lost"][1].with_name("junit.xml"))))
    assert [suite.name for suite in suites] == ["run", *(f"{name} you+{name}@example.com" for name in _STEPS)]
    assert {one.name: one.value for one in suites[1].properties()} == {  # type: ignore[no-untyped-call] # junitparser
        "against": "sandbox",
        "release": "20251114T045102-0b0311b",
        "prefect": "3.8.8",
    }
    tests = list(suites[1])
    assert [test.name for test in tests] == ["enrolment", *(f"signup {step}" for step in range(1, 8))]
    assert [test.time for test in tests[:5]] == [3.25, 3.6, 3.7, 3.8, 0.0]
    assert (
        tests[4].result[0].text == "It was lost at the hop “worker”.\nIt was never sent.\nstate: the worker was killed"
    )


def test_the_same_record_gives_the_same_bytes(reports: dict[str, tuple[Record, Path]], tmp_path: Path) -> None:
    record, path = reports["lost"]
    again = report.write(record, tmp_path)
    for name in ("report.html", "report.json", "junit.xml"):
        assert again.with_name(name).read_bytes() == path.with_name(name).read_bytes()


def test_latency_is_counted_over_what_was_seen(reports: dict[str, tuple[Record, Path]]) -> None:
    hop = Hop("a → b", tuple(float(one) for one in range(1, 22)), 22)
    assert (hop.median, hop.p95, hop.most) == (11.0, 20.0, 21.0)
    assert Hop("a → b", (3.0, 1.0), 2).p95 == pytest.approx(2.9)
    assert (Hop("a → b", (), 1).median, Hop("a → b", (), 1).p95, Hop("a → b", (), 1).most) == (None, None, None)
    told = json.loads(reports["lost"][1].with_name("report.json").read_text())["latency"]
    assert [(one["hop"], one["measured"], one["of"], one["max"]) for one in told] == [
        ("form → answer", 4, 4, 0.25),
        ("answer → handler start", 4, 4, 1.0),
        ("handler start → all scheduled", 4, 4, 2.0),
        ("due → run start", 15, 16, 1.0),
        ("run start → accepted", 15, 16, 2.0),
        ("accepted → delivered", 15, 16, 1.2),
    ]


def test_mail_that_arrived_and_was_not_written_down_is_wrong() -> None:
    mail = Mail("signup", 1, "christmas_email_1", "you@example.com", event="delivered", lost_at="Notion")
    assert facts.wrong(mail) == ["It was lost at the hop “Notion”."]
    mail.lost_at = ""
    assert facts.wrong(mail) == []
    mail.event = "sent"
    assert facts.wrong(mail) == ["Was not seen as delivered."]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.421, "0.42 s"),
        (12.34, "12.3 s"),
        (125, "2 min 05 s"),
        (3725, "1 h 02 min"),
        (-0.5, "−0.50 s"),
        (59.99, "1 min 00 s"),
    ],
)
def test_a_duration_is_read_at_a_glance(seconds: float, text: str) -> None:
    assert words.span(seconds) == text
