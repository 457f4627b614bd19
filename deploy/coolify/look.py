"""Looks at one application: Coolify, Prefect and the checkout are asked; nothing is changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.coolify import revision, running
from deploy.coolify.client import Client
from deploy.coolify.errors import CoolifyError, NotFoundError
from deploy.coolify.ledger import Ledger
from deploy.coolify.state import ApplicationState
from deploy.coolify.wanted import kind
from deploy.onhost.prefect_api import ApiError
from deploy.onhost.untrusted import printable
from deploy.problems import REFUSED, credential

if TYPE_CHECKING:
    from deploy.coolify.prefect import Prefect
    from deploy.spec import WorkerHost


def client(wanted: WorkerHost) -> Client:
    """Coolify, by the settings.

    Raises:
        CoolifyError: the settings name none.
    """
    if wanted.coolify is None:
        raise CoolifyError("HUBLAB_COOLIFY_URL: missing -> give Coolify's address and HUBLAB_COOLIFY_TOKEN in .env")
    return Client(wanted.coolify.url, wanted.coolify.token)


def look(wanted: WorkerHost, coolify: Client, prefect: Prefect) -> ApplicationState:
    """All of it; what could not be asked is the state's problem, with its remedy."""
    try:
        return _look(wanted, coolify, prefect)
    except NotFoundError as error:
        return ApplicationState(problem=f"{'HUBLAB_WEBHOOKS' if wanted.webhooks else 'HUBLAB_HOSTS'}: {error}")
    except CoolifyError as error:
        return ApplicationState(problem=str(error))
    except ApiError as error:
        if error.status in REFUSED:
            return ApplicationState(problem=str(credential(wanted, error.status)))
        remedy = f"is the address in {wanted.env_file} right, and is the server well?"
        return ApplicationState(problem=f"PREFECT_API_URL: {wanted.api_url} {error} -> {remedy}")
    except (OSError, ValueError) as error:
        reason = printable(str(error) or type(error).__name__)
        return ApplicationState(
            problem=f"PREFECT_API_URL: {wanted.api_url} does not answer ({reason}) -> is the address right, is the "
            "server up, and may this machine reach it?"
        )


def _look(wanted: WorkerHost, coolify: Client, prefect: Prefect) -> ApplicationState:
    said = coolify.version()
    app = coolify.application(wanted.application)
    where = app.destination.server.uuid
    prefect.version()  # whatever it is: what says none is none of Prefect's
    books = Ledger(prefect, wanted.application)
    lock = books.lock()
    return ApplicationState(
        version=said,
        app=app,
        server=next((server for server in coolify.servers() if server.uuid == where), None),
        variables=tuple(coolify.variables(app.uuid)),
        deployments=tuple(coolify.deployments_of(app.uuid)),
        volumes=coolify.volumes(app.uuid) if kind(wanted).volume else frozenset(),
        running=running.of(wanted, prefect, coolify),
        before=books.before(),
        kept=books.kept(),
        deploys=books.history(),
        lock=lock.words if lock else "",
        lock_orphaned=bool(lock and lock.orphaned),
        revision=revision.revision(),
        releases=revision.releases(),
        api_open=prefect.is_open(),
        others=frozenset() if wanted.webhooks else running.others(prefect, wanted.work_pool, app.uuid),
    )
