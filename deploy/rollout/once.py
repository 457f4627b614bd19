"""What one greenlet does for all: whoever comes first does it, the others wait for what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from gevent.event import AsyncResult
from gevent.pool import Pool
from pyinfra.api import DeployError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Once[T]:
    """One piece of work with one outcome, however many ask for it."""

    def __init__(self) -> None:
        self._result: AsyncResult | None = None

    def __call__(self, work: Callable[[], T]) -> T:
        """What `work` returns, done by the first who asks.

        Raises:
            DeployError: it was ended by something else than an error; an error of its own is raised to everybody.
        """
        if self._result is None:
            self._result = AsyncResult()
            try:
                self._result.set(work())
            except Exception as error:
                self._result.set_exception(error)
                raise
            except BaseException:
                # Whatever ends this greenlet is for it alone; the others must not take it for their own end.
                self._result.set_exception(
                    DeployError("the host that acted for all was interrupted -> run ./hublab status, then deploy again")
                )
                raise
        return cast("T", self._result.get())


def side_by_side[Item](work: Callable[[Item], None], machines: Iterable[Item]) -> None:
    """All at once; an error is raised when all have ended."""
    pool = Pool()
    tasks = [pool.spawn(work, machine) for machine in machines]
    pool.join()
    for task in tasks:
        task.get()
