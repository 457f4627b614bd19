"""`WEBHOOK_SECRET=… python -m sandbox.funnel --webhook URL`: the page in the foreground, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from sandbox.funnel.app import PATH, Funnel
from sandbox.standins.serve import address_of, bound, server


def main() -> int:
    """Run until told to stop; 2 for an address that is not private or a secret that is not set."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.funnel", description=__doc__)
    parser.add_argument("--webhook", required=True, help="where christmas-signup is reached")
    parser.add_argument("--address", default="127.0.0.1", help="loopback or the sandbox's own network")
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    asked = parser.parse_args()
    secret = os.environ.get("WEBHOOK_SECRET", "")
    if not secret:
        print("WEBHOOK_SECRET: not set; it is what the webhook's callers authenticate with", file=sys.stderr)
        return 2
    try:
        listener = bound(asked.address, asked.port)
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    print(f"{address_of(listener)}{PATH}", flush=True)
    asyncio.run(server(Funnel(asked.webhook, secret).app()).serve(sockets=[listener]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
