"""The production of before: what it has left at Prefect, and a website that goes on posting as it did."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prefect.exceptions import ParameterTypeError
from prefect.filesystems import LocalFileSystem
from prefect.utilities.schema_tools.validation import validate

from flows.campaigns.model import sequence as find_sequence
from flows.enrolment.enrol import enrol
from flows.operator import deployments, preflight
from flows.operator.register import register
from flows.services import notion_schema as schema
from flows.services.prefect_api import Prefect
from flows.signup_handler import handle
from sandbox.past import campaign as before
from tests.flows.test_real_engine import engine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prefect.client.schemas.objects import FlowRun

    from tests.flows.world import World

SEND = "christmas-send-email"
SIGNUP = "christmas-signup-handler"


@pytest.fixture
def api(world: World) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=os.environ["PREFECT_API_URL"], timeout=60) as client:
        yield client


@pytest.fixture
def ids(api: httpx.Client) -> Iterator[dict[str, str]]:
    """The deployments of before, by name; ours again at the end."""
    yield before.deploy(api)
    register("default")


def read(api: httpx.Client, identity: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/deployments/{identity}").json()
    return found


def run_of(identity: str) -> FlowRun:
    with Prefect() as prefect:
        found: FlowRun = prefect.client.read_flow_run(identity)
        return found


def visitor(world: World, **more: Any) -> dict[str, Any]:
    return {"email": world.address(), "first_name": "Ada", "business_name": "Salon", "assessment_score": 52} | more


def test_register_owns_every_part_of_what_it_registers(world: World, api: httpx.Client, ids: dict[str, str]) -> None:
    for identity in ids.values():
        assert read(api, identity)["pull_steps"] == before.PULL_STEPS
    register("default")
    for name, identity in ids.items():
        there = read(api, identity)  # the id that the website knows
        assert there["name"] == name
        assert not there["pull_steps"]
        assert there["path"] is None
        assert there["entrypoint"].startswith("flows.")
        assert there["job_variables"] == {}
        assert there["enforce_parameter_schema"] is False
        assert there["tags"] == ["run-again"]
        assert there["global_concurrency_limit"] is None
        queue = "campaign" if name == "christmas-send-email" else "campaign-handlers"
        assert (there["work_pool_name"], there["work_queue_name"]) == ("default", queue)


def test_a_handler_shows_the_parameters_that_the_one_before_had(
    world: World, api: httpx.Client, ids: dict[str, str]
) -> None:
    register("default")
    for name, identity in ids.items():
        if name == SEND:
            continue
        properties, required, _, _ = before.FLOWS[name]
        shown = read(api, identity)["parameter_openapi_schema"]
        assert set(properties) <= set(shown["properties"]), name
        assert set(shown["required"]) <= set(required), name
        assert {"payload", "received_at"} <= set(shown["properties"])


# What theirs took at Prefect, over and above what is required.
GIVEN: dict[str, Any] = {
    "email": "ada@salon.example",
    "first_name": "Ada",
    "business_name": "Salon",
    "assessment_score": 52,
    "calendly_event_uri": "https://calendly.example/events/1",
    "scheduled_time": "2025-12-01T10:00:00Z",
    "call_date": "2025-12-01T10:00:00Z",
    "payment_confirmed": True,
    "payment_amount": 2997.5,
    "payment_date": "2025-12-01",
    "objections": ["price"],
    "observation_dates": ["2025-12-08"],
    "docusign_completed": True,
    "follow_up_priority": "High",
}


@pytest.mark.parametrize("name", sorted(set(before.FLOWS) - {SEND}))
def test_what_theirs_took_fits_the_schema_that_ours_shows(
    world: World, api: httpx.Client, ids: dict[str, str], name: str
) -> None:
    register("default")
    shown, properties = read(api, ids[name])["parameter_openapi_schema"], before.FLOWS[name][0]
    samples = {"string": "word", "integer": 1, "boolean": False, "number": 1.5, "array": ["word"]}
    kinds = {field: (kind.get("anyOf") or [kind])[0]["type"] for field, kind in properties.items()}
    given = {field: GIVEN.get(field, samples[kind]) for field, kind in kinds.items()}
    assert set(given) == set(shown["properties"]) - {"payload", "received_at"}
    assert validate(given, shown) == []
    assert validate(given | {"utm_source": "ad"}, shown) == []
    assert len(validate(given | {"first_name": 3}, shown)) == 1


PARTS: dict[str, Any] = {
    "pull_steps": before.PULL_STEPS,
    "path": "campaign",
    "entrypoint": "send_email_flow.py:send_email_flow",
    "job_variables": {"command": "python -m somebody.elses"},
    "parameters": {"step": 1},
    "parameter_openapi_schema": {"type": "object", "properties": {}},
    "enforce_parameter_schema": True,
    "tags": ["christmas"],
    "concurrency_limit": 3,
    "concurrency_options": {"collision_strategy": "CANCEL_NEW"},
    "paused": True,
    "work_queue_name": "of-before",
    "work_pool_name": "of-before",
    "storage_document_id": None,
    "infrastructure_document_id": None,
    "schedules": [{"schedule": {"interval": 60.0}, "slug": "of-before"}],
}
QUICK = {"pull_steps", "job_variables", "schedules"}


@pytest.fixture
def elsewhere(api: httpx.Client) -> Iterator[str]:
    """A pool of theirs, and the id of a block that says where their code is."""
    api.post("/work_pools/", json={"name": "of-before", "type": "process"}).raise_for_status()
    yield str(LocalFileSystem(basepath="/srv/of-before").save("of-before", overwrite=True))
    api.delete("/work_pools/of-before").raise_for_status()


@pytest.mark.parametrize(
    "part", [pytest.param(part, marks=[] if part in QUICK else pytest.mark.long) for part in PARTS]
)
def test_preflight_says_in_what_a_deployment_differs_and_register_puts_it_right(
    world: World, api: httpx.Client, elsewhere: str, part: str
) -> None:
    with Prefect() as prefect:
        flow = prefect.client.create_flow_from_name(SEND)
    value = elsewhere if part.endswith("_document_id") else PARTS[part]
    body = {"name": SEND, "flow_id": str(flow), "work_pool_name": "default", part: value}
    needed = {"concurrency_limit": 3} if part == "concurrency_options" else {}
    try:
        api.post("/deployments/", json=body | needed).raise_for_status()
        problem = mails(preflight.rows("default"))
        assert problem.startswith(part if not needed else "concurrency_limit")
        assert f"{part}:" in problem or f"{part} is" in problem
        assert "run `./hublab campaign register`" in problem
    finally:
        register("default")
    assert mails(preflight.rows("default")) == ""


def test_a_limit_that_lets_no_mail_through_is_named_and_taken_away(world: World, api: httpx.Client) -> None:
    with Prefect() as prefect:
        identity = prefect.deployment(f"{SEND}/{SEND}")
    try:
        api.patch(f"/deployments/{identity}", json={"concurrency_limit": 1}).raise_for_status()
        limit = read(api, str(identity))["global_concurrency_limit"]["id"]
        api.patch(f"/v2/concurrency_limits/{limit}", json={"limit": 0}).raise_for_status()
        assert "concurrency_limit is 0, not None" in mails(preflight.rows("default"))
    finally:
        register("default")
    assert read(api, str(identity))["global_concurrency_limit"] is None


def at_prefect(api: httpx.Client) -> list[Any]:
    """All that `register` makes, as Prefect shows it."""
    found: list[Any] = [api.get(f"/deployments/name/{one}/{one}").json() for one in (*before.FLOWS, "campaign-watch")]
    for place in ("work_pools/default/queues", "v2/concurrency_limits"):
        found += api.post(f"/{place}/filter", json={}).json()
    # What time brings: nothing that anybody sets.
    return [{key: value for key, value in one.items() if key not in {"last_polled", "active_slots"}} for one in found]


def test_a_second_register_changes_nothing(world: World, api: httpx.Client) -> None:
    world.setenv("ALERT_URLS", "json://localhost")
    try:
        register("default")
        there = at_prefect(api)
        register("default")
        assert at_prefect(api) == there
    finally:
        world.setenv("ALERT_URLS", "")
        register("default")


@pytest.mark.parametrize(
    "change",
    [{"active": False}, {"schedule": {"interval": 86400.0}}, {"schedule": {"cron": "0 9 * * 1", "timezone": "UTC"}}],
)
def test_a_schedule_that_somebody_has_changed_is_named_and_put_right(
    world: World, api: httpx.Client, change: dict[str, Any]
) -> None:
    world.setenv("ALERT_URLS", "json://localhost")
    try:
        register("default")
        there = api.get("/deployments/name/campaign-watch/campaign-watch").json()
        slug = "summary" if "cron" in change.get("schedule", {}) else "watch"
        (schedule,) = (one["id"] for one in there["schedules"] if one["slug"] == slug)
        api.patch(f"/deployments/{there['id']}/schedules/{schedule}", json=change).raise_for_status()
        assert f"schedules: {slug} is not what this release registers" in watches()
        register("default")
        assert watches() == ""
    finally:
        world.setenv("ALERT_URLS", "")
        register("default")


def watches() -> str:
    rows = preflight.rows("default")
    return next(row.problem for row in rows if row.what == "campaign-watch/campaign-watch")


def test_what_others_have_set_is_named_and_its_values_are_not_shown(world: World, api: httpx.Client) -> None:
    with Prefect() as prefect:
        flow = prefect.client.create_flow_from_name(SEND)
    token = "ghp_0123456789"
    steps = [{"prefect.deployments.steps.git_clone": {"repository": f"https://{token}@git.hublab.test/campaign.git"}}]
    body = {"name": SEND, "flow_id": str(flow), "work_pool_name": "default", "pull_steps": steps}
    try:
        api.post("/deployments/", json=body | {"job_variables": {"env": {"KEY": token}}}).raise_for_status()
        problem = mails(preflight.rows("default"))
    finally:
        register("default")
    assert "pull_steps" in problem
    assert "job_variables" in problem
    assert token not in problem


def mails(rows: list[preflight.Row]) -> str:
    return next(row.problem for row in rows if row.what == f"{SEND}/{SEND}")


def test_what_prefect_shows_otherwise_than_it_was_registered_is_said(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    real, labels = deployments.wanted, {"of": "somebody"}
    with monkeypatch.context() as patch:
        patch.setattr(deployments, "wanted", lambda *given: real(*given) | {"labels": labels})
        with pytest.raises(
            LookupError, match=r"christmas-signup-handler: Prefect shows something else.*labels is not what"
        ):
            register("default")
    register("default")


def test_deployments_of_others_in_the_pool_are_listed_and_left_alone(world: World, api: httpx.Client) -> None:
    flow = api.post("/flows/", json={"name": "newsletter"}).json()["id"]
    body = {"name": "weekly", "flow_id": flow, "entrypoint": "letter.py:send", "pull_steps": before.PULL_STEPS}
    identity = api.post("/deployments/", json=body | {"work_pool_name": "default"}).json()["id"]
    try:
        there = read(api, identity)
        register("default")
        rows = [row for row in preflight.rows("default") if row.what.startswith("weekly is not ours")]
        assert [row.ok for row in rows] == [True]
        assert "git_clone, pip_install_requirements" in rows[0].what
        assert "letter.py:send" in rows[0].what
        assert read(api, identity) == there
    finally:
        api.delete(f"/deployments/{identity}")


@pytest.mark.parametrize("paused", ["", "campaign", "campaign-handlers"])
def test_a_worker_of_somebody_else_in_the_pool_is_named_also_while_the_campaign_is_paused(
    world: World, api: httpx.Client, paused: str
) -> None:
    pool = f"pool-{world.address().partition('@')[0].rpartition('-')[2]}"
    api.post("/work_pools/", json={"name": pool, "type": "process"}).raise_for_status()
    for worker in ("hublab-1", "laptop"):
        api.post(f"/work_pools/{pool}/workers/heartbeat", json={"name": worker}).raise_for_status()
    polled = ["campaign", "campaign-handlers"]
    for queue in (*polled, "probe-hublab-1"):
        body = {"name": queue, "is_paused": queue == paused}
        api.post(f"/work_pools/{pool}/queues", json=body).raise_for_status()
    api.post(f"/work_pools/{pool}/get_scheduled_flow_runs", json={"work_queue_names": polled}).raise_for_status()
    with Prefect() as prefect:
        rows = list(preflight.deployments(prefect, prefect.settings(), pool))
    workers = {row.what: row.problem for row in rows if row.what.startswith("worker ")}
    assert list(workers) == ["worker laptop"]
    assert "stop it, or give the campaign a pool of its own (HUBLAB_WORK_POOL" in workers["worker laptop"]
    api.delete(f"/work_pools/{pool}")


def test_the_website_goes_on_unchanged(world: World, api: httpx.Client, ids: dict[str, str], tmp_path: Path) -> None:
    register("default")
    # Numbers as they come, an empty business, nulls, and a key that nobody here knows.
    fields = visitor(world, assessment_score=52.5, business_name="", gps_score=None, utm_source="ad", red_systems=2)
    identity = before.website_signup(api, ids[SIGNUP], fields)
    assert identity
    said = engine(run_of(identity), tmp_path)  # Prefect's own engine: it checks the parameters first
    assert said.startswith("Completed: enrolled by the run"), said
    key = find_sequence("christmas", "signup").key(fields["email"])
    with Prefect() as prefect:
        run = prefect.run_of(key)
    assert run is not None
    assert world.run(run).is_completed()
    assert len(world.mails(fields["email"])) == 7
    assert schema.read(world.record(fields["email"]), "Assessment Score") == 52.5


def test_two_signups_of_one_person_make_one_record_and_seven_mails(
    world: World, api: httpx.Client, ids: dict[str, str]
) -> None:
    register("default")
    fields = visitor(world)
    again = fields | {"email": f" {fields['email'].upper()} "}
    one, other = (before.website_signup(api, ids[SIGNUP], each) for each in (fields, again))
    by_webhook = world.enrol("signup", fields)
    world.services.notion.store.lag = 3600  # no query shows what another run has just written, as when both are at once
    for identity in (one, other):
        assert world.run(run_of(identity)).is_completed()
    assert world.run(by_webhook).is_completed()
    assert len(world.rows(schema.SEQUENCE, fields["email"])) == 1
    mails = world.mails(fields["email"])
    assert len(mails) == 7
    with Prefect() as prefect:
        keyed = prefect.run_of(find_sequence("christmas", "signup").key(fields["email"]))
    assert keyed is not None
    assert keyed.id == by_webhook.id


def test_the_time_of_a_signup_is_when_the_website_told_of_it_not_when_a_worker_came(
    world: World, api: httpx.Client, ids: dict[str, str]
) -> None:
    register("default")
    fields = visitor(world)
    run = run_of(before.website_signup(api, ids[SIGNUP], fields))
    assert run.expected_start_time is not None
    world.run(run)
    with Prefect() as prefect:
        keyed = prefect.run_of(find_sequence("christmas", "signup").key(fields["email"]))
    assert keyed is not None
    told = datetime.fromisoformat(keyed.parameters["received_at"])
    assert run.expected_start_time <= told <= datetime.now(UTC)


def test_a_signup_that_nobody_can_enrol_fails_by_name_and_takes_no_key(
    world: World, api: httpx.Client, ids: dict[str, str]
) -> None:
    register("default")
    fields = visitor(world, assessment_score=999)
    state = world.run(run_of(before.website_signup(api, ids[SIGNUP], fields)))
    assert state.is_failed()
    assert "assessment_score" in str(state.message)
    with Prefect() as prefect:
        assert prefect.run_of(find_sequence("christmas", "signup").key(fields["email"])) is None


@pytest.mark.parametrize("name", ["noshow", "postcall", "onboarding"])
def test_the_other_handlers_take_flat_parameters_too(
    world: World, api: httpx.Client, ids: dict[str, str], name: str
) -> None:
    register("default")
    payload, handler = world.payload(name), find_sequence("christmas", name).handler
    run = run_of(before.website_signup(api, ids[handler], payload | {"source": "crm"}))
    assert world.run(run).is_completed()
    with Prefect() as prefect:
        keyed = prefect.run_of(find_sequence("christmas", name).key_of(payload))
    assert keyed is not None
    assert world.run(keyed).is_completed()
    assert len(world.mails(payload["email"])) == 3


@pytest.mark.parametrize("payload", ["x", ["x"], 5])
def test_a_payload_that_is_no_object_is_named(payload: Any) -> None:
    with pytest.raises(ParameterTypeError, match="payload"):
        handle.validate_parameters({"payload": payload, "email": "a@b.ca"})


@pytest.mark.parametrize("when", ["yesterday", " ", "2025-13-01", "12"])
def test_a_time_of_receipt_that_is_none_is_named_with_what_to_do(when: str) -> None:
    fields: dict[str, Any] = {"email": "a@b.ca", "first_name": "Ada", "assessment_score": 5}
    with pytest.raises(ValueError, match=f"received_at: '{when}' is no ISO 8601 time; leave it out"):
        enrol("christmas", "signup", fields, when)


def test_a_mail_that_was_scheduled_before_is_neither_lost_nor_sent_on_a_guess(
    world: World, api: httpx.Client, ids: dict[str, str], tmp_path: Path
) -> None:
    fields: dict[str, Any] = {"email": world.address(), "email_number": 3, "first_name": "Ada", "red_systems": None}
    identity = before.scheduled_mail(api, ids[SEND], fields, datetime.now(UTC) - timedelta(minutes=1))
    register("default")
    said = engine(run_of(identity), tmp_path)
    assert said.startswith("AwaitingRetry: waits: scheduled by another production"), said
    assert run_of(identity).parameters == fields
    assert world.accepted(fields["email"]) == []
    api.delete(f"/flow_runs/{identity}").raise_for_status()
