"""`python -m flows.operator.cutover`: the production that was there is taken over. Alone it plans, and changes nothing.

Exit status 1: something is in the way, or needs somebody.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter

import httpx

from flows.campaigns.model import normalised
from flows.operator import server
from flows.operator.cutover import going_back, plan, taking, words
from flows.operator.cutover.facts import BlockedError
from flows.operator.cutover.lock import LostError
from flows.operator.cutover.taking import Outcome
from flows.recipients.contact import UnreadableRecordError
from flows.services.errors import NotionError, ResendFailedError


@server.needed
def main(arguments: list[str] | None = None) -> int:
    """Show the plan, or do it and show what is left."""
    parser = argparse.ArgumentParser(prog="./hublab campaign cutover", description=__doc__)
    parser.add_argument("--pool", help="the work pool to take the deployments and runs to (HUBLAB_WORK_POOL)")
    parser.add_argument("--person", default="", help="one address, with every mail and every write")
    parser.add_argument("--json", action="store_true", help="for programs")
    ways = parser.add_mutually_exclusive_group()
    ways.add_argument("--apply", action="store_true", help="do it")
    ways.add_argument("--back", action="store_true", help="give everything back to the production before")
    asked = parser.parse_args(arguments)
    changes = asked.apply or asked.back
    if changes and asked.person:
        parser.error("--person shows one person; what is applied is applied to all")
    outcome = Outcome(Counter())
    try:
        if changes:
            outcome = taking.apply(asked.pool) if asked.apply else going_back.back()
        found = plan.now(asked.pool)
    except BlockedError as problem:
        sys.stderr.write(f"nothing was changed:\n{problem}\n")
        return 1
    except (NotionError, ResendFailedError, UnreadableRecordError, LookupError, LostError, httpx.HTTPError) as problem:
        again = "; what was written stays, run it again" if changes else ""
        sys.stderr.write(f"it could not be done: {problem}{again}\n")
        return 1
    if changes and not asked.json:
        sys.stdout.write(words.outcome(outcome.done, outcome.busy))
    person = normalised(asked.person)
    sys.stdout.write(words.document(found, person) if asked.json else words.report(found, person))
    return 1 if outcome.busy or (found.stage.blockers and not changes) else 0


if __name__ == "__main__":
    sys.exit(main())
