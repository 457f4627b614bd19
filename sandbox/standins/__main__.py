"""`python -m sandbox.standins`: both stand-ins in the foreground, until SIGTERM.

Prints one JSON object: the environment which points `flows` at them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys

from sandbox.standins.serve import bound, built, server


async def _serve(arguments: argparse.Namespace) -> None:
    listeners = bound(arguments.address, arguments.notion_port), bound(arguments.address, arguments.resend_port)
    both = built(listeners, domain=arguments.domain, per_minute=arguments.notion_per_minute)
    print(json.dumps(both.environment()), flush=True)
    apps = both.notion.app(), both.resend.app()
    servers = [server(app).serve(sockets=[listener]) for app, listener in zip(apps, listeners, strict=True)]
    await asyncio.gather(*servers)


def main() -> int:
    """Run until told to stop; 2 for an address that is not private."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.standins", description=__doc__)
    parser.add_argument("--address", default="127.0.0.1", help="loopback or the sandbox's own network")
    parser.add_argument("--notion-port", type=int, default=0, help="0: any free port")
    parser.add_argument("--resend-port", type=int, default=0, help="0: any free port")
    parser.add_argument("--domain", default="hublab.test", help="the verified sending domain")
    parser.add_argument("--notion-per-minute", type=int, default=180, help="Notion's limit for this connection")
    try:
        asyncio.run(_serve(parser.parse_args()))
    except ValueError as problem:
        print(problem, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
