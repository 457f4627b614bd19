"""`python -m deploy.fleet status | history | unlock`."""

import sys

from deploy.fleet import history, status, unlock

if __name__ == "__main__":
    sys.exit({"status": status.main, "history": history.main, "unlock": unlock.main}[sys.argv[1]]())
