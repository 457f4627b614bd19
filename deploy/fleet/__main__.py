"""`python -m deploy.fleet status | history | unlock | where | again`."""

import sys

from deploy.fleet import again, history, status, unlock, where

if __name__ == "__main__":
    programs = {
        "status": status.main,
        "history": history.main,
        "unlock": unlock.main,
        "where": where.main,
        "again": again.main,
    }
    sys.exit(programs[sys.argv[1]]())
