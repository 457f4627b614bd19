"""`./hublab`: Hublab's commands."""

import sys
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parent.parent)

from cli.app import main  # noqa: E402 - the checkout is to be found first

if __name__ == "__main__":
    main()
