"""The funnel's form, filled in as a visitor would; where its fields are stands in `form.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from playwright.sync_api import Error
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from playwright.sync_api import Browser, Page

    from e2e.browser import Album

FILE = Path(__file__).with_name("form.toml")
_FIND_SECONDS = 15.0  # one field, on a page that is there
_WORDS_MOST = 300


@dataclass
class Visit:
    """What came of it: when the answers were sent, when they were taken, or what the page said instead."""

    posted: datetime | None = None
    answered: datetime | None = None
    refusal: str = ""


def visit(browser: Browser, url: str, answers: Mapping[str, Any], album: Album, file: Path = FILE) -> Visit:
    """Fill in the form and send it.

    Args:
        browser: In a profile of its own, so that nothing is remembered from another visit.
        url: The page.
        answers: What `form.toml` may name.
        album: Gets pictures of each page before it is sent, and of the last.
        file: Where the fields are.
    """
    data = tomllib.loads(file.read_text("utf-8"))
    context = browser.new_context(viewport={"width": 820, "height": 800}, locale="en-GB")
    seen = Visit()
    page = context.new_page()
    page.set_default_timeout(min(_FIND_SECONDS, data["seconds"]) * 1000)
    page.set_default_navigation_timeout(data["seconds"] * 1000)
    try:
        _fill(page, url, data, answers, album, seen)
        _answer(page, data, seen)
        if seen.answered:
            album.take(page, "answered")
    except PlaywrightTimeoutError as error:
        seen.refusal = seen.refusal or f"{_first_line(error)}; correct e2e/{file.name}, or look at {url}"
    except Error as error:
        seen.refusal = f"{url}: {_first_line(error)}"
    finally:
        try:
            if seen.refusal:
                album.take(page, "as it ended")
        finally:
            context.close()
    return seen


def _fill(  # noqa: PLR0913 - what a visit consists of
    page: Page,
    url: str,
    data: dict[str, Any],
    answers: Mapping[str, Any],
    album: Album,
    seen: Visit,
) -> None:
    page.goto(url, wait_until="domcontentloaded")
    page.wait_for_selector(data["ready"])
    for action in data["actions"]:
        if action.get("optional") and not page.locator(action["selector"]).count():
            continue
        if action["do"] == "click":
            album.take(page, "filled in")
            seen.posted = datetime.now(UTC)
        _do(page, action, answers)


def _do(page: Page, action: dict[str, Any], answers: Mapping[str, Any]) -> None:
    found = page.locator(action["selector"]).first
    value = str(action.get("value", "")).format_map(answers)
    match action["do"]:
        case "fill":
            found.fill(value)
        case "choose":
            found.select_option(value)
        case "check":
            found.check()
        case "click":
            found.click()
        case other:
            raise ValueError(f"form.toml: do: {other!r} is none of fill, choose, check, click; correct it")


def _answer(page: Page, data: dict[str, Any], seen: Visit) -> None:
    done, refused = page.locator(data["done"]).first, page.locator(data["refused"]).first
    try:
        done.or_(refused).first.wait_for(timeout=data["seconds"] * 1000)
    except PlaywrightTimeoutError:
        seen.refusal = f"the page shows neither {data['done']!r} nor {data['refused']!r} after the answers were sent"
        raise
    if done.is_visible():
        seen.answered = datetime.now(UTC)
    else:
        said = " / ".join(
            dict.fromkeys(" ".join(text.split()) for text in page.locator(data["refused"]).all_inner_texts())
        )
        seen.refusal = f"the page says: {said[:_WORDS_MOST].rstrip('.')}"


def _first_line(error: Error) -> str:
    lines = [line.strip() for line in error.message.splitlines() if line.strip()]
    waiting = [line.removeprefix("- ") for line in lines if "waiting for" in line]
    return f"{lines[0]} ({waiting[0]})" if waiting else lines[0]
