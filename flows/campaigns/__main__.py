"""`python -m flows.campaigns`: says why the campaign files cannot be used; 0 where they can."""

from __future__ import annotations

import sys

from flows.campaigns.model import CampaignError, sequences
from flows.campaigns.payloads import model


def main() -> int:
    """Read every file as each flow does."""
    try:
        for sequence in sequences().values():
            model(sequence)
    except CampaignError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
