"""A real browser, and pictures of what it shows."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from playwright.sync_api import Error, sync_playwright

from e2e import needs

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from e2e.record import Mail, Record

# Nothing but what a page asks for leaves the machine; --no-sandbox, since root may not have Chromium's own.
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_MAIL_WIDTH, _MAIL_HEIGHT = 640, 820
# How a mail is shown: name → colour scheme and width.
WAYS: dict[str, tuple[Literal["light", "dark"], int]] = {
    "light": ("light", _MAIL_WIDTH),
    "dark": ("dark", _MAIL_WIDTH),
    "375 px wide": ("light", 375),
}
# What a mail is shown on: in a dark scheme about:blank is black, and no mail program's page is.
_WHITE = "data:text/html,<!doctype html>"
_MOST_HEIGHT = 4000
_LOAD_MILLISECONDS = 15_000
_NOT_DRAWN = "Unable to capture screenshot"  # what a busy Chromium says that has nothing to show yet
_TRIES, _PAUSE_MILLISECONDS = 4, 500


@contextmanager
def opened() -> Iterator[Browser]:
    """Debian's Chromium, headless, for as long as the block runs.

    Raises:
        RefusedError: it is missing and cannot be installed.
    """
    path = needs.chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


def shot(page: Page, path: Path) -> Path:
    """A picture of a whole page, as high as it is, up to a limit; its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    size = page.viewport_size or {"width": _MAIL_WIDTH, "height": 1}
    height = int(page.evaluate("document.documentElement.scrollHeight"))
    # The window grows for good: a picture beyond its edge moves the page for a moment, and a click after it may miss.
    page.set_viewport_size({"width": size["width"], "height": min(_MOST_HEIGHT, max(height, size["height"]))})
    for number in range(_TRIES):
        try:
            page.screenshot(path=path, animations="disabled")
            break
        except Error as error:
            if _NOT_DRAWN not in error.message or number == _TRIES - 1:
                raise
            page.wait_for_timeout(_PAUSE_MILLISECONDS)
    return path


@dataclass
class Album:
    """Pictures of one page after the other: title → file, in the order in which they were taken."""

    folder: Path
    pictures: dict[str, Path] = field(default_factory=dict)

    def take(self, page: Page, title: str) -> None:
        """A picture of the page as it is; one of the same title as another is numbered."""
        same = sum(known.startswith(title) for known in self.pictures)
        numbered = f"{title} ({same + 1})" if same else title
        self.pictures[numbered] = shot(page, self.folder / f"form-{len(self.pictures) + 1}.png")


def picture_mails(browser: Browser, record: Record, folder: Path) -> None:
    """Pictures of each mail, as mail programs show it: images load, scripts do not run.

    A mail that the browser cannot show is a problem of that mail.
    """
    for number, (way, (scheme, width)) in enumerate(WAYS.items()):
        context = browser.new_context(java_script_enabled=False, color_scheme=scheme)
        try:
            page = context.new_page()
            page.goto(_WHITE)
            for mail in record.mails:
                page.set_viewport_size({"width": width, "height": _MAIL_HEIGHT})
                if mail.html:
                    _picture(page, mail, way, folder / f"mail-{mail.sequence}-{mail.step}-{number}.png")
        finally:
            context.close()


def _picture(page: Page, mail: Mail, way: str, path: Path) -> None:
    try:
        page.set_content(mail.html, wait_until="load", timeout=_LOAD_MILLISECONDS)
        mail.pictures[way] = shot(page, path)
    except Error as error:
        mail.problems.append(f"The browser could not show it ({way}): {error.message.splitlines()[0]}")
