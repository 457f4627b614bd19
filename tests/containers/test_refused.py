"""Coolify takes no question in the middle of a rollout: somebody has decided so, or it has too many."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from sandbox.waiting import wait_for
from tests.deploy.coolify.script import TOKEN
from tests.deploy.coolify.standin import ABILITIES, APP

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.operator import Result
    from tests.containers.stage import Stage

OTHER = "4|sentinel-c002"
TOO_MANY = {"message": "Too Many Attempts."}
NOT_BACK = "NOT all of it could be rolled back"


def test_api_off_then_token_revoked_each_is_said_and_the_next_deploy_ends_what_was_begun(serving: Stage) -> None:
    """The API is off once the settings are set; another deploy's token is revoked once the new container is up."""
    app, old, made = serving.app, serving.container(), len(serving.app.deployments)
    serving.desk.at(serving.second)

    off = deployed_until(serving, f"after PATCH /applications/{APP}", lambda: setattr(app, "api_is_on", False))
    assert "HUBLAB_COOLIFY_URL: its API is switched off" in off.text
    assert (serving.container(), len(app.deployments)) == (old, made)
    app.api_is_on = True

    revoked = deployed_until(serving, "up", app.tokens.clear)
    assert "HUBLAB_COOLIFY_TOKEN: Coolify does not take it (Unauthenticated.)" in revoked.text
    app.tokens = {OTHER: ABILITIES}
    wait_for(app.settled, lambda: str(app.deployments), every=0.5)
    assert serving.serves() == serving.releases[serving.second], "what was under way came to its end"

    last = serving.desk.hublab("deploy", "--yes", HUBLAB_COOLIFY_TOKEN=OTHER)
    assert last.status == 0, last.text
    assert len(app.deployments) == made + 1, "it is not made once more"
    assert serving.desk.hublab("plan", HUBLAB_COOLIFY_TOKEN=OTHER).status == 0
    assert serving.desk.hublab("unlock", HUBLAB_COOLIFY_TOKEN=OTHER).text.count("was not locked") == 1


def test_coolify_that_is_asked_too_much_is_waited_for_at_each_step(serving: Stage) -> None:
    """429 once to each question that changes something, and to some that do not; nothing is done twice."""
    app, made = serving.app, len(serving.app.deployments)
    serving.desk.at(serving.second)
    here = f"/applications/{APP}"
    asked = "GET /servers", f"GET {here}", f"POST {here}/envs", f"PATCH {here}", "POST /deploy"
    app.fails = {ask: [httpx.Response(429, headers={"Retry-After": "1"}, json=TOO_MANY)] for ask in asked}
    app.envs = [item for item in app.envs if item["key"] != "PREFECT_API_URL"]
    done = serving.desk.hublab("deploy", "--yes")
    assert done.status == 0, done.text
    assert not any(app.fails.values()), "each was asked"
    assert len(app.deployments) == made + 1
    assert serving.serves() == serving.releases[serving.second]


def deployed_until(serving: Stage, moment: str, then: Callable[[], object]) -> Result:
    """A deploy that fails at a moment of Coolify's."""

    def strike(now: str) -> None:
        if now == moment:
            then()

    serving.coolify.moment = strike
    done = serving.desk.hublab("deploy", "--yes")
    serving.coolify.moment = lambda _: None
    assert done.status == 1, done.text
    assert NOT_BACK in done.text
    assert TOKEN not in done.text
    return done
