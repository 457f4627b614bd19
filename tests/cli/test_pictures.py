"""What stands in a picture of a terminal is what a reader saw of it last."""

from __future__ import annotations

import re

from docs import pictures


def test_line_that_was_written_over_shows_what_it_said_last_and_colours_stay() -> None:
    page = pictures.terminal(
        "Script started\n    | {host}\r\x1b[K    [\x1b[1mhost\x1b[0m] \x1b[32mSuccess\x1b[0m\r\n<b>\r\n"
    )
    assert "{host}" not in page
    assert "Script" not in page
    assert re.sub(r"<[^>]+>", "", page.partition("<pre>")[2]).split("\n")[:2] == ["    [host] Success", "&lt;b&gt;"]
    assert re.search(r'<span class="r\d">Success</span>', page)
