"""Pictures of a mail show it as its reader sees it."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import pytest
from playwright.sync_api import Error

from e2e.browser import WAYS, picture_mails, shot
from e2e.record import Enrolment, Mail, Record
from tests.e2e.letters import letter

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

BEGAN = datetime(2025, 11, 14, 5, 0, tzinfo=UTC)
DARK = "<style>@media (prefers-color-scheme: dark) { body { background: #123456; } }</style>"


def corner(path: Path) -> bytes:
    """The first point of a picture, as RGB: no filter of PNG's changes that one."""
    raw = path.read_bytes()
    begins = raw.index(b"IDAT")
    return zlib.decompressobj().decompress(raw[begins + 4 :], 4)[1:]


@pytest.mark.parametrize(
    ("styles", "grounds"),
    [("", dict.fromkeys(WAYS, "ffffff")), (DARK, dict.fromkeys(WAYS, "ffffff") | {"dark": "123456"})],
    ids=["plain", "with a dark look of its own"],
)
def test_ground_is_the_mails_own(browser: Browser, tmp_path: Path, styles: str, grounds: dict[str, str]) -> None:
    mail = Mail("signup", 1, "x", "you@example.com")
    mail.letter = letter(mail.to, "s", BEGAN, html=f"{styles}<p>hello</p>")
    record = Record("sandbox", BEGAN)
    record.enrolments = [Enrolment("signup", "form", mail.to, mails=[mail])]
    picture_mails(browser, record, tmp_path)
    assert mail.problems == []
    assert {way: corner(path).hex() for way, path in mail.pictures.items()} == grounds


@pytest.mark.parametrize(
    ("said", "fails", "tries"),
    [
        ("Protocol error (Page.captureScreenshot): Unable to capture screenshot", 3, 4),
        ("Protocol error (Page.captureScreenshot): Unable to capture screenshot", 4, 4),
        ("Target page, context or browser has been closed", 1, 1),
    ],
)
def test_browser_that_is_too_busy_to_draw_is_asked_again(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, fails: int, tries: int
) -> None:
    page = browser.new_page()
    draw, asked = page.screenshot, list[str]()

    def screenshot(*, path: Path, animations: Literal["disabled"]) -> bytes:
        asked.append(path.name)
        if len(asked) <= fails:
            raise Error(said)
        return draw(path=path, animations=animations)

    monkeypatch.setattr(page, "screenshot", screenshot)
    try:
        if fails < tries:
            assert shot(page, tmp_path / "page.png").stat().st_size > 0
        else:
            with pytest.raises(Error, match=said.rpartition(":")[2]):
                shot(page, tmp_path / "page.png")
    finally:
        page.close()
    assert len(asked) == tries
