"""What can be proven of the webhooks in a container of Coolify's: by its API, and by what the container says itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.coolify import revision
from tests.infra.application import seen

if TYPE_CHECKING:
    from deploy.coolify.answers import Application
    from deploy.coolify.state import ApplicationState
    from deploy.spec import WorkerHost

OPEN = {"WEBHOOK_PROXIES", "PREFECT_API_URL"}


@pytest.fixture
def there(serving: WorkerHost) -> ApplicationState:
    return seen(serving)


def test_it_is_gated_by_its_own_answer_over_http(app: Application) -> None:
    assert app.health_check_enabled
    assert (app.health_check_type, app.health_check_command) == ("cmd", "python -m flows.webhooks.healthy")


def test_what_was_accepted_outlives_a_container(there: ApplicationState) -> None:
    assert "/var/lib/hublab/webhooks" in there.volumes


def test_callers_reach_it_by_its_domain(serving: WorkerHost, app: Application) -> None:
    assert serving.webhooks is not None
    assert (app.fqdn, app.ports_exposes, app.ports_mappings) == (serving.webhooks.domain, "8080", "")


def test_requests_have_time_to_end_and_the_old_container_stays_until_then(app: Application) -> None:
    assert app.settings.stop_grace_period > 15
    assert not app.settings.is_consistent_container_name_enabled
    assert app.additional_servers_count == 0


def test_container_has_no_capability(app: Application) -> None:
    assert app.custom_docker_run_options.split() == ["--cap-drop=ALL", "--init"]
    assert app.limits_memory not in ("", "0")


def test_secrets_are_shown_to_nobody_and_no_part_of_an_image(there: ApplicationState) -> None:
    keys = {"WEBHOOK_SECRET", "RESEND_WEBHOOK_SECRET", "UNSUBSCRIBE_SECRET"}
    assert keys <= {item.key for item in there.variables}
    for item in there.variables:
        if item.key.startswith("WEBHOOK_") or item.key in keys | {"PREFECT_API_AUTH_STRING", "PREFECT_API_KEY"}:
            assert item.is_shown_once or item.key in OPEN, f"{item.key} can be read in Coolify"
            assert not item.is_buildtime, f"{item.key} is an argument of the build, and so in the image's history"


def test_release_of_this_checkout_serves(there: ApplicationState) -> None:
    assert there.release in revision.releases()
