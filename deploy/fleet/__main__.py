"""`python -m deploy.fleet status | history | unlock | where | again | logs`."""

import sys

from deploy.fleet import again, history, logs, status, unlock, where

if __name__ == "__main__":
    programs = {
        "status": status.main,
        "history": history.main,
        "unlock": unlock.main,
        "where": where.main,
        "again": again.main,
        "logs": logs.main,
    }
    sys.exit(programs[sys.argv[1]]())
