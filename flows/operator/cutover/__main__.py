"""`python -m flows.operator.cutover`: the production that was there is taken over. Alone it plans, and changes nothing.

Exit status 1: something is in the way, or needs somebody.
"""

from __future__ import annotations

import argparse
import sys

from flows.campaigns.model import normalised
from flows.operator.cutover import plan, words
from flows.services.errors import NotionError, ResendFailedError
from flows.services.settings import MissingSettingError


def main(arguments: list[str] | None = None) -> int:
    """Show the plan, or do it."""
    parser = argparse.ArgumentParser(prog="python -m flows.operator.cutover", description=__doc__)
    parser.add_argument("--pool", help="the work pool to take the deployments and runs to (HUBLAB_WORK_POOL)")
    parser.add_argument("--person", default="", help="one address, with every mail and every write")
    parser.add_argument("--json", action="store_true", help="for programs")
    asked = parser.parse_args(arguments)
    try:
        found = plan.now(asked.pool)
    except (NotionError, ResendFailedError, MissingSettingError) as problem:
        sys.stderr.write(f"no plan can be made: {problem}\n")
        return 1
    person = normalised(asked.person)
    sys.stdout.write(words.document(found, person) if asked.json else words.report(found, person))
    return 1 if found.stage.blockers else 0


if __name__ == "__main__":
    sys.exit(main())
