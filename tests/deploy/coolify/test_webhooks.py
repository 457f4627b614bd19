"""The webhooks as an application of Coolify's: what is wanted of it, and its way there and back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from deploy.coolify.errors import RolloutError, UnclearError
from deploy.coolify.fleet import judge
from deploy.onhost.report_host import Queue
from deploy.secret import Secret
from deploy.settings import Settings, SettingsError, parse, worker_host
from deploy.webhooks import Webhooks
from tests.deploy.coolify.script import TOKEN
from tests.deploy.coolify.theatre import ACCESS, NEW, OLD, RELEASES, STAYS, Coolify, Theatre
from tests.deploy.factories import SENTINEL

if TYPE_CHECKING:
    from collections.abc import Callable

DOMAIN = "https://hooks.example.com"
SECRETS = {name: Secret(SENTINEL) for name in ("webhook-secret", "resend-webhook-secret", "unsubscribe-secret")}
WEBHOOKS = Webhooks("", 8080, SECRETS, DOMAIN)
PATH = "/var/lib/hublab/webhooks"
WORKER, HOOKS = "coolify:app1app1", "coolify:hookhook"
ENV = {
    "HUBLAB_HOSTS": f"a.example.com,{WORKER}",
    "HUBLAB_COOLIFY_URL": "https://coolify.example.com",
    "HUBLAB_COOLIFY_TOKEN": TOKEN,
    "PREFECT_API_URL": "https://prefect.example.com/api",
    "HUBLAB_WEBHOOKS": HOOKS,
    "HUBLAB_PUBLIC_URL": f"{DOMAIN}/",
    "WEBHOOK_SECRET": SENTINEL,
    "RESEND_WEBHOOK_SECRET": "whsec_dGVzdA==",
    "UNSUBSCRIBE_SECRET": SENTINEL,
}


class Serving(Coolify):
    """Its container says at its start who it is; no worker of it is at Prefect."""

    said: str | None = None

    def serve(self, release: str) -> None:
        if release == STAYS:
            return
        self.served += 1
        self.app["status"] = "running:healthy" if release else "exited:unhealthy"
        self.said = f"INFO\nwebhooks {self.uuid}-{self.served}: release {release}\nINFO\n" if release else None

    def log(self) -> str | None:
        return self.said


class Stage(Theatre):
    """One who deploys the webhooks alone."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(webhooks=WEBHOOKS, **changes)
        self.coolify = Serving(self.prefect)
        self.mover = self.operator()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_first_deploy_sets_what_an_operator_would_have_to_and_then_all_is_as_planned(stage: Stage) -> None:
    plan = stage.plan()
    assert f"no volume is at {PATH}" in plan.reasons
    told = "/webhook/onboarding-start stays closed (401) until .env has WEBHOOK_SECRET_ONBOARDING_START"
    assert told in plan.warnings
    stage.deploy(plan)
    app = stage.coolify.app
    there = {key: app[key] for key in ("dockerfile_location", "dockerfile_target_build", "ports_exposes", "fqdn")}
    assert there == {
        "dockerfile_location": "/deploy/container/Dockerfile",
        "dockerfile_target_build": "webhooks",
        "ports_exposes": "8080",
        "fqdn": DOMAIN,
    }
    assert app["health_check_enabled"]
    assert (app["health_check_type"], app["health_check_command"]) == ("cmd", "python -m flows.webhooks.healthy")
    assert app["settings"]["stop_grace_period"] == 45
    assert [(item["type"], item["mount_path"]) for item in stage.coolify.storages] == [("persistent", PATH)]
    assert stage.plan().reasons == ()
    assert not stage.plan().changes
    assert stage.look().release == RELEASES[NEW]
    found = judge(stage.wanted, stage.plan(), stage.look(), Queue(0, 0), ())
    assert found.as_planned
    assert found.workers[0][1] == f"serves, release {RELEASES[NEW]}"


def test_environment_is_what_the_webhooks_are_told_and_no_secret_of_it_can_be_read(stage: Stage) -> None:
    stage.deploy()
    mine = {item["key"]: item for item in stage.coolify.envs if not item["is_preview"]}
    assert {key: item["value"] for key, item in mine.items()} == {
        "WEBHOOK_PROXIES": "127.0.0.1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16",
        "WEBHOOK_SECRET": SENTINEL,
        "RESEND_WEBHOOK_SECRET": SENTINEL,
        "UNSUBSCRIBE_SECRET": SENTINEL,
        "PREFECT_API_URL": "https://prefect.example.com/api",
        "PREFECT_API_AUTH_STRING": f"admin:{SENTINEL}",
    }
    assert {key for key, item in mine.items() if not item["is_shown_once"]} == {"WEBHOOK_PROXIES", "PREFECT_API_URL"}
    assert all(item["is_literal"] and not item["is_buildtime"] for item in mine.values())
    twins = [item for item in stage.coolify.envs if item["is_preview"] and mine[item["key"]]["is_shown_once"]]
    assert {item["value"] for item in twins} == {"not-for-previews"}
    assert SENTINEL not in repr(stage.plan()) + "".join(stage.said)


def test_image_application_runs_the_image_beside_the_workers() -> None:
    stage = Stage(coolify=replace(ACCESS, image=("registry.example.com/hublab/worker", RELEASES[NEW])))
    stage.coolify.app |= {"build_pack": "dockerimage", "docker_registry_image_name": "?"}
    stage.deploy()
    app = stage.coolify.app
    assert (app["docker_registry_image_name"], app["docker_registry_image_tag"]) == (
        "registry.example.com/hublab/webhooks",
        RELEASES[NEW],
    )
    assert stage.plan().reasons == ()


def test_answer_that_was_lost_makes_no_second_volume(stage: Stage) -> None:
    """Docker starts no container with two volumes at one path."""
    route = stage.coolify._storage

    def lost(body: dict[str, Any]) -> Any:
        stage.coolify._storage = route  # type: ignore[method-assign]
        route(body)
        raise ConnectionResetError

    stage.coolify._storage = lost  # type: ignore[method-assign]
    asked = stage.mover.coolify.change

    def change(*words: Any, **more: Any) -> Any:
        try:
            return asked(*words, **more)
        except ConnectionResetError:
            raise UnclearError("sent, and no answer came") from None

    stage.mover.coolify.change = change  # type: ignore[method-assign]
    stage.deploy()
    assert len(stage.coolify.storages) == 1


def test_volume_that_somebody_made_is_taken(stage: Stage) -> None:
    stage.coolify.storages = [{"uuid": "v", "name": "by-hand", "mount_path": PATH}]
    stage.deploy()
    assert [item["name"] for item in stage.coolify.storages] == ["by-hand"]


def test_folder_of_the_host_that_somebody_mounts_there_is_taken(stage: Stage) -> None:
    """Coolify keeps it in another list; Docker starts no container with both."""
    stage.coolify.folders = [{"uuid": "f", "fs_path": "/srv/hooks", "mount_path": PATH, "is_directory": True}]
    stage.deploy()
    assert stage.coolify.storages == []


def failed(stage: Stage) -> str:
    stage.coolify.ends = ["failed"]
    return "is failed; what served before serves on"


def lied(stage: Stage) -> str:
    stage.coolify.lies = [RELEASES[OLD]]
    return f"runs release {RELEASES[OLD]}"


def silent(stage: Stage) -> str:
    stage.coolify.lies = [STAYS]
    return "the new one does not run"


@pytest.mark.parametrize("fault", [failed, lied, silent])
def test_bad_release_goes_back_with_its_settings(stage: Stage, fault: Callable[[Stage], str]) -> None:
    stage.served(OLD)
    there = dict(stage.coolify.app)
    words = fault(stage)
    with pytest.raises(RolloutError, match=words):
        stage.deploy()
    stage.mover.undo()
    assert stage.coolify.app == there
    assert stage.look().release == RELEASES[OLD]
    assert stage.mover.ledger.before() is None


def test_way_back_leads_to_the_release_before(stage: Stage) -> None:
    stage.served(OLD)
    stage.deploy()
    stage.deploy(stage.back())
    assert (stage.look().release, stage.coolify.app["git_commit_sha"]) == (RELEASES[OLD], OLD)


def test_one_that_does_not_run_or_is_unhealthy_is_trouble(stage: Stage) -> None:
    stage.deploy()
    stage.coolify.app["status"] = "running:unhealthy"
    trouble = judge(stage.wanted, stage.plan(), stage.look(), Queue(0, 0), ()).trouble
    assert trouble == ("its health check fails -> ./hublab logs shows what it says",)
    stage.coolify.serve("")
    found = judge(stage.wanted, stage.plan(), stage.look(), Queue(0, 0), ())
    assert found.trouble == ("it does not run",)
    assert stage.plan().reasons == ("does not run",)


# -- .env ------------------------------------------------------------------------------------------------------


def settings(**changes: str) -> Settings:
    return parse(ENV | changes, Path(".env"))


def test_it_stands_behind_the_workers_and_is_none() -> None:
    found = settings()
    assert [host.address for host in found.hosts] == ["a.example.com", WORKER, HOOKS]
    _, worker, hooks = (worker_host(found, host) for host in found.hosts)
    assert worker.webhooks is None
    assert hooks.webhooks is not None
    assert (hooks.webhooks.domain, hooks.webhooks.port) == (DOMAIN, 8080)
    assert hooks.coolify is not None


def test_domain_is_written_as_coolify_writes_it() -> None:
    """Else it would be another after each deploy, and the webhooks be deployed again."""
    found = settings(HUBLAB_PUBLIC_URL="HTTPS://Hooks.Example.com")
    assert found.webhooks[HOOKS].domain == DOMAIN


def test_a_host_and_an_application_may_serve_them() -> None:
    found = settings(HUBLAB_WEBHOOKS=f"a.example.com:8081,{HOOKS}")
    assert {address: item.port for address, item in found.webhooks.items()} == {"a.example.com": 8081, HOOKS: 8080}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"HUBLAB_WEBHOOKS": WORKER}, "is named twice; an application is a worker or the webhooks"),
        ({"HUBLAB_WEBHOOKS": f"{HOOKS},{HOOKS}"}, "is named twice"),
        ({"HUBLAB_WEBHOOKS": "coolify:Hooks"}, "nor coolify:<uuid>"),
        ({"HUBLAB_WEBHOOKS": f"{WORKER}:8080"}, "nor coolify:<uuid>"),
        ({"HUBLAB_PUBLIC_URL": ""}, "HUBLAB_PUBLIC_URL: '' is not an address such as https://"),
        ({"HUBLAB_PUBLIC_URL": f"{DOMAIN}/hooks"}, "is not an address such as https://"),
        ({"HUBLAB_COOLIFY_TOKEN": "", "HUBLAB_HOSTS": "a.example.com"}, "HUBLAB_COOLIFY_TOKEN"),
        ({"WEBHOOK_SECRET": ""}, "WEBHOOK_SECRET: missing, and HUBLAB_WEBHOOKS asks for it"),
    ],
)
def test_what_cannot_be_used_is_named(change: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings(**change)
    assert said in str(refusal.value)
    assert SENTINEL not in str(refusal.value)


def test_secret_that_env_has_no_more_is_taken_from_the_container(stage: Stage) -> None:
    """A route whose secret is taken away is closed; the plan said so, and the container still had it."""
    paid = {**SECRETS, "webhook-secret-onboarding-start": Secret(SENTINEL)}
    stage.wanted = stage.mover.wanted = replace(stage.wanted, webhooks=replace(WEBHOOKS, secrets=paid))
    stage.served(NEW)
    stage.coolify.envs.append({"key": "TZ", "is_preview": False, "comment": None, "uuid": "by-hand"})
    assert stage.plan().reasons == ()
    stage.wanted = stage.mover.wanted = replace(stage.wanted, webhooks=WEBHOOKS)
    plan = stage.plan()
    assert plan.reasons == ("WEBHOOK_SECRET_ONBOARDING_START is not in .env any more",)
    stage.deploy(plan)
    keys = {item["key"] for item in stage.coolify.envs}
    assert "WEBHOOK_SECRET_ONBOARDING_START" not in keys
    assert {"TZ", "WEBHOOK_SECRET"} <= keys
    assert stage.coolify.journal.count("POST /deploy") == 1
    assert not stage.plan().changes


def test_variable_whose_removal_got_no_answer_is_not_asked_for_again(stage: Stage) -> None:
    stage.served(NEW)
    stage.coolify.envs += [
        {"key": "GONE", "is_preview": preview, "comment": "hublab:salt:digest", "uuid": f"gone{preview}"}
        for preview in (False, True)
    ]
    forget = stage.coolify._forget

    def lost(name: str) -> Any:
        stage.coolify._forget = forget  # type: ignore[method-assign]
        forget(name)
        raise httpx.ReadTimeout("slow")

    stage.coolify._forget = lost  # type: ignore[method-assign]
    stage.deploy()
    assert "GONE" not in {item["key"] for item in stage.coolify.envs}
    assert not stage.plan().changes
