"""`python -m flows.webhooks.healthy [PORT]`: the health check of the webhooks' container. Exit status 0: they serve.

A program of its own, since Coolify takes neither quotes nor brackets in a command, and its check by HTTP wants curl or
wget in the image.
"""

from __future__ import annotations

import sys
import urllib.request

TIMEOUT_SECONDS = 4.0


def main(arguments: list[str]) -> int:
    """Ask once; prints one line."""
    url = f"http://127.0.0.1:{int(arguments[0]) if arguments else 8080}/health"
    # Not by way of a proxy, whatever the container's environment says.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=TIMEOUT_SECONDS) as answer:
            sys.stdout.write(f"healthy: {url} answers {answer.status}\n")
    except OSError as error:
        sys.stdout.write(f"not healthy: {url}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
