"""In a unit, as a run: enters a run's domain, and has Chromium say what a page has become and picture it.

Its arguments are Chromium's; the folder that is the run's own is TMPDIR's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from worker.domain import Domain, enter

PAGE = "data:text/html,<h1 id=a>no script</h1><script>a.textContent='six times seven is '+6*7</script>"
SECONDS = 110  # less than the unit's time to start


def main() -> None:
    """Print what was found."""
    state = Path(os.environ["TMPDIR"]).resolve()
    own = state / "own"
    own.mkdir()
    os.environ |= {"TMPDIR": str(own), "HOME": str(own)}
    os.chdir(own)
    enter(Domain(writable=[str(own)], readable=[str(own)], hidden=str(state), listen=False))
    command = [
        "/usr/lib/chromium/chromium",
        "--headless",
        "--disable-gpu",
        "--screenshot=page.png",
        *sys.argv[1:],
        PAGE,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    picture = own / "page.png"
    drawn = picture.exists() and picture.read_bytes().startswith(b"\x89PNG")
    found: dict[str, object] = {"status": done.returncode, "picture": drawn}
    if done.returncode:
        found["said"] = done.stderr[-1000:]
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
