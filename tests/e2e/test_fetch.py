"""A link that leads nowhere and a picture that is none are found, whichever mail has them."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from e2e import fetch
from e2e.record import Enrolment, Mail, Record
from sandbox.standins.serve import serving
from tests.e2e.letters import TERMS, letter

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

TO = "you+e2e-1-signup@example.com"
asked: Counter[str] = Counter()


@pytest.fixture
def site() -> Iterator[str]:
    """A site with a page, a picture, a page for guests alone, and nothing else."""
    asked.clear()

    async def answer(request: Request) -> Response:
        asked[request.url.path] += 1
        kind = {"/a.png": "image/png", "/page": "text/html"}.get(request.url.path)
        status = {"/members": 403, "/broken": 500}.get(request.url.path, 200 if kind else 404)
        return Response(b"x", status, media_type=kind)

    routes = [Route("/moved", lambda _: RedirectResponse("/gone")), Route("/{path:path}", answer)]
    with serving(Starlette(routes=routes)) as url:
        yield url


def problems(html: str, text: str = "", *, received: bool = False) -> list[list[str]]:
    """What is wrong with each of two mails that have the same body."""
    made = letter(TO, "x", datetime.now(UTC), html=html, text=text)
    mails = [Mail("signup", step, "x", TO, letter=made, received=made if received else None) for step in (1, 2)]
    record = Record("sandbox", datetime.now(UTC), enrolments=[Enrolment("signup", TO, "form", mails=mails)])
    fetch.fetch(record, replace(TERMS, hosts=frozenset({"127.0.0.1"})))
    return [mail.problems for mail in mails]


def test_what_is_there_is_fetched_once_and_well(site: str) -> None:
    html = (
        f'<a href="{site}/page">a</a><a href="{site}/members">b</a><img src="{site}/a.png"><a href="mailto:a@b.c">c</a>'
    )
    assert problems(html, f"[a]({site}/page)", received=True) == [[], []]
    assert asked == {"/page": 1, "/members": 1, "/a.png": 1}


@pytest.mark.parametrize(
    ("html", "text", "said"),
    [
        ('<a href="{site}/gone">a</a>', "", "Its link {site}/gone answers 404."),
        ('<a href="{site}/moved">a</a>', "", "Its link {site}/moved answers 404."),
        ("", "[a]({site}/broken)", "Its link {site}/broken answers 500."),
        ('<img src="{site}/b.png">', "", "Its picture {site}/b.png answers 404."),
        ('<p style="background: url({site}/page)">a</p>', "", "Its picture {site}/page is no picture but text/html"),
        ('<a href="http://127.0.0.1:1/">a</a>', "", "Its link http://127.0.0.1:1/ is not reached (ConnectError)."),
    ],
)
def test_what_leads_nowhere_is_a_problem_of_each_mail(site: str, html: str, text: str, said: str) -> None:
    for found in problems(html.replace("{site}", site), text.replace("{site}", site)):
        (one,) = found
        assert one.startswith(said.replace("{site}", site))


def test_host_that_is_not_on_the_list_is_not_asked(site: str) -> None:
    other = site.replace("127.0.0.1", "localhost")
    assert problems(f'<a href="{other}/page">a</a><img src="{other}/b.png">') == [[], []]
    assert not asked
