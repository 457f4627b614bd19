"""What the fork server has imported of the release's own flows, which no other run gets to see.

The code of a release is the same for all its runs, so it is imported once. An engine keeps it where its deployment
names a module of that package and nothing else, and where it would import the very same; every other engine forgets it
before it reads anything of its run's: a run may bring a package of the same name, by its folder or a `git clone`.
"""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import ItemsView, Iterator, Mapping

    from prefect.settings import Settings

VARIABLE = "HUBLAB_PRELOAD"
"""The environment variable with the name of a module that imports what the release's flows import; none if empty."""


@contextmanager
def watched() -> Iterator[set[str]]:
    """The environment variables that are looked at meanwhile, by name."""
    seen: set[str] = set()

    class Watched(os._Environ[str]):  # noqa: SLF001 - the class of os.environ has no public name
        def __getitem__(self, key: str) -> str:
            if sys._getframe(1).f_globals["__name__"] != "fsspec.config":  # noqa: SLF001 - as in `items`
                seen.add(key)
            return super().__getitem__(key)

        def items(self) -> ItemsView[str, str]:
            # Whoever goes through all of them looks for names of its own: Prefect's settings, which each engine reads
            # anew, and fsspec's (`worker.forking` knows those). A test names everybody who does.
            return {key: super(Watched, self).__getitem__(key) for key in self}.items()

    plain, os.environ.__class__ = os.environ.__class__, Watched
    try:
        yield seen
    finally:
        os.environ.__class__ = plain


@dataclass(frozen=True)
class Preloaded:
    """Modules of the release's flows, and what they import beside.

    `package` holds the flows; `looked_at` are the environment variables on which the modules depend. `environment` is
    what everything was imported in, all of Prefect's settings among it; `settings` are those that a flow keeps.
    """

    environment: Mapping[str, str]
    settings: Any
    package: str = ""
    modules: frozenset[str] = frozenset()
    looked_at: frozenset[str] = frozenset()

    def suits(self, entrypoint: str, environment: Mapping[str, str]) -> bool:
        """Whether a run would import the very same.

        Args:
            entrypoint: the module and the flow that the run's deployment names, where it names nothing else.
            environment: the run's.
        """
        if not self.package or entrypoint.partition(".")[0] != self.package:
            return False
        found = PathFinder.find_spec(self.package)
        if found is None or found.origin is None or found.origin != sys.modules[self.package].__file__:
            return False
        same = all(self.environment.get(name) == environment.get(name) for name in self.looked_at)
        return same and self.settings == _of_flows(_settings())

    def forget(self) -> None:
        """Let whoever imports one of the modules from now on get it anew, from where it finds it."""
        for name in self.modules & sys.modules.keys():
            del sys.modules[name]


def preload(environ: Mapping[str, str]) -> Preloaded:
    """Import what the variable names; nothing, where it cannot be imported: then each run hears of it by itself."""
    name = environ.get(VARIABLE, "")
    before = set(sys.modules)
    with watched() as seen:
        try:
            if name:
                importlib.import_module(name)
        except Exception:  # noqa: BLE001 - whatever it raises, runs of others must be started
            traceback.print_exc()
            sys.stderr.write(f"worker.fork_server: {VARIABLE}: {name} cannot be imported; each run imports by itself\n")
            name = ""
    settings, modules = _settings(), frozenset(set(sys.modules) - before)
    imported_in = {**environ, **settings.to_environment_variables(exclude_unset=True)}
    found = Preloaded(imported_in, _of_flows(settings), name.partition(".")[0], modules, frozenset(seen))
    if not name:
        found.forget()
    return found


def _of_flows(settings: Settings) -> Any:
    """What a flow takes of them when it is made, which is when its module is imported."""
    return settings.flows, settings.tasks, settings.results


def _settings() -> Settings:
    from prefect.settings import get_current_settings  # noqa: PLC0415 - the fork server watches its import

    return get_current_settings()
