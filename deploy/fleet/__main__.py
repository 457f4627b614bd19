"""`python -m deploy.fleet status | history | unlock`."""

import gevent.monkey

gevent.monkey.patch_all()

import sys  # noqa: E402 - sockets must be gevent's before anything of pyinfra is imported

from deploy.fleet import history, status, unlock  # noqa: E402

if __name__ == "__main__":
    sys.exit({"status": status.main, "history": history.main, "unlock": unlock.main}[sys.argv[1]]())
