"""Each call that docs/callers.md shows is typed as it stands there, by a shell, against the real app."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import flows
from flows.services.settings import Settings
from flows.webhooks.app import build
from sandbox.standins.challenge import Challenge
from sandbox.standins.serve import bound, serving
from tests.flows.webhooks.test_callers import GIVEN

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (Path(str(flows.__file__)).parent.parent / "docs" / "callers.md").read_text("utf-8")
CALLS = [
    call
    for block in re.findall(r"^```\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    for call in re.split(r"\n\n", block)
    if "curl " in call
]
TOKEN = "0.AbC…"  # what the page writes for a visitor's answer
# The two programs that the lines need, of which nothing but what they use here: no machine of the tests must have them.
CURL = """
    import sys, urllib.error, urllib.request
    headers, body, address, given = {}, None, "", sys.argv[1:]
    while given:
        word = given.pop(0)
        if word == "-H":
            name, _, value = given.pop(0).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = given.pop(0).encode()
        else:
            address = word.replace("https://hooks.example.com", "{url}")
    try:
        answer = urllib.request.urlopen(urllib.request.Request(address, body, headers))
    except urllib.error.HTTPError as error:
        answer = error
    print(answer.status, answer.read().decode())
"""
OPENSSL = """
    import hashlib, hmac, sys
    dgst, kind, option, key, form = sys.argv[1:]
    assert (dgst, kind, option, form) == ("dgst", "-sha256", "-hmac", "-r"), sys.argv
    print(hmac.new(key.encode(), sys.stdin.buffer.read(), hashlib.sha256).hexdigest(), "*stdin")
"""


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """A shell's, in which the page's address is that of the app, and its secrets are the app's."""
    there, maker, listener = Challenge("site"), bound("127.0.0.1"), bound("127.0.0.1")
    settings = {
        "webhook-origins": "https://example.com",
        "webhook-challenge": "turnstile",
        "webhook-challenge-secret": "site",
        "webhook-challenge-url": "http://{}:{}/turnstile/v0/siteverify".format(*maker.getsockname()),
    }
    url = "http://{}:{}".format(*listener.getsockname())
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("curl", CURL.replace("{url}", url)), ("openssl", OPENSSL)):
        (programs / name).write_text(f"#!{sys.executable}\n{textwrap.dedent(text)}")
        (programs / name).chmod(0o755)
    # Its parts are spools that nobody empties: Prefect is not asked.
    with serving(there.app(), maker), serving(build(Settings(GIVEN | settings), tmp_path / "spool"), listener):
        yield {
            "PATH": f"{programs}:{os.environ['PATH']}",
            "WEBHOOK_SECRET": GIVEN["webhook-secret"],
            "WEBHOOK_SECRET_ONBOARDING_START": GIVEN["webhook-secret-onboarding-start"],
            "CALCOM_SIGNING_KEY": GIVEN["calcom-signing-key"],
            "TOKEN": there.solve("example.com"),
        }


@pytest.mark.parametrize("call", CALLS, ids=lambda call: re.findall(r"/webhook/([\w-]+)", call)[0])
def test_what_the_page_types_is_accepted(environment: dict[str, str], call: str) -> None:
    script = call.replace(TOKEN, environment["TOKEN"])
    done = subprocess.run(["/bin/sh", "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("202 "), done.stdout + done.stderr
    assert '"status":"accepted"' in done.stdout


def test_the_page_has_a_line_for_each_caller() -> None:
    routes = {route for call in CALLS for route in re.findall(r"/webhook/([\w-]+)", call)}
    assert routes == {"christmas-signup", "calendly-noshow", "postcall-maybe", "onboarding-start", "calcom-booking"}
    assert sum("/webhook/christmas-signup" in call for call in CALLS) == 2, "by the site's server, and by a browser"
