"""The operator's commands: secrets, preflight, preview, test-send, pause, the added properties."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from prefect.client.schemas.actions import WorkPoolCreate

from flows.operator import notion_setup, operate, preflight, preview, register, secret_blocks
from flows.operator.campaign_status import read, remedies
from flows.services import notion_schema as schema
from flows.services.errors import NotionError
from flows.services.notion_gateway import NotionGateway
from flows.services.prefect_api import NOTION_LIMIT, RESEND_LIMIT, Prefect
from flows.services.settings import BadSettingError, MissingSettingError, Settings
from tests.flows.world import faults_of, settings_at_prefect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sandbox.standins.notion_store import Source
    from tests.flows.world import World


@pytest.fixture
def blocks(server: None) -> Iterator[None]:
    """Leaves no Secret block behind, and the shared settings as they were."""
    with settings_at_prefect():
        yield


def test_secrets_are_made_rotated_and_left_alone_and_never_printed(
    world: World, blocks: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    env = tmp_path / ".env"

    def run() -> str:
        env.write_text("".join(f"{name}={value!r}\n" for name, value in world.environment.items()))
        assert secret_blocks.main(["--env", str(env)]) == 0
        return capsys.readouterr().out

    first = run()
    assert "created   notion-token" in first
    assert "created   testing-mode" in first
    assert "created" not in (second := run())
    assert "unchanged notion-token" in second
    world.environment["NOTION_TOKEN"] = "ntn_rotated"
    third = run()
    assert "rotated   notion-token" in third
    assert third.count("rotated") == 1
    for secret in ("ntn_standin_token", "ntn_rotated", "re_standin_key"):
        assert secret not in first + second + third
    with Prefect() as prefect:
        settings = prefect.settings()
    assert settings.get("notion-token") == "ntn_rotated"  # the block comes before the environment
    assert "ntn_rotated" not in repr(settings)


def test_after_secrets_notion_is_asked_within_its_limit_though_nothing_is_registered(
    world: World, blocks: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """So docs/cutover.md begins, which forbids to register before the take-over does."""
    (tmp_path / ".env").write_text("".join(f"{name}={value!r}\n" for name, value in world.environment.items()))
    with Prefect() as prefect:
        for limit in (NOTION_LIMIT, RESEND_LIMIT):
            prefect.client.delete_global_concurrency_limit_by_name(limit)
    assert notion_setup.main(["--dry-run"]) == 1
    assert "rate limit 'notion'" in capsys.readouterr().err
    assert secret_blocks.main(["--env", str(tmp_path / ".env")]) == 0
    capsys.readouterr()
    assert notion_setup.main(["--dry-run"]) == 0
    assert capsys.readouterr().out == "nothing to add: every property is there\n"


def test_what_is_taken_out_of_the_file_is_taken_out_at_prefect_and_preflight_shows_the_mode(
    world: World, blocks: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = {"testing-mode": "true", "notion-token": "ntn", "TESTING_ADDRESS": "me@hublab.test"}
    monkeypatch.delenv("TESTING_MODE")
    monkeypatch.delenv("TESTING_ADDRESS")
    secret_blocks.write(wanted)
    with Prefect() as prefect:
        assert "for TESTING_ADDRESS alone" in preflight.testing(prefect.settings()).what
    assert secret_blocks.write({"testing-mode": "true"})["TESTING_ADDRESS"] == "removed"
    with Prefect() as prefect:
        assert "TESTING_ADDRESS is not set" in preflight.testing(prefect.settings()).problem
    assert secret_blocks.write({})["testing-mode"] == "removed"
    with Prefect() as prefect:
        settings = prefect.settings()
    assert settings.get("notion-token") == "ntn"  # a credential is never removed
    assert "production" in preflight.testing(settings).what


def test_secrets_says_what_is_missing(
    world: World, blocks: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert secret_blocks.main(["--env", str(tmp_path / "none")]) == 1
    monkeypatch.delenv("RESEND_API_KEY")
    (tmp_path / ".env").write_text("")
    assert secret_blocks.main(["--env", str(tmp_path / ".env")]) == 1
    assert "resend-api-key: add RESEND_API_KEY" in capsys.readouterr().err


def test_a_missing_or_wrong_setting_is_named_with_the_command_that_sets_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBLAB_ENV_FILE", ".sandbox/campaign.env")
    with pytest.raises(MissingSettingError, match=r"NOTION_TOKEN to \.sandbox/campaign\.env, `./hublab campaign sec"):
        Settings({}).get("notion-token")
    monkeypatch.delenv("HUBLAB_ENV_FILE")
    with pytest.raises(MissingSettingError, match=r"notion-token.*NOTION_TOKEN to \.env, `./hublab campaign secrets`"):
        Settings({}).get("notion-token")
    with pytest.raises(BadSettingError, match="testing-mode: 'maybe' is neither true nor false"):
        _ = Settings({"testing-mode": "maybe"}).testing
    for wrong in ("soon", "-1", "inf"):
        with pytest.raises(BadSettingError, match="HUBLAB_RETRY_SECONDS"):
            Settings({"HUBLAB_RETRY_SECONDS": wrong}).number("HUBLAB_RETRY_SECONDS")


@pytest.mark.parametrize(
    ("email", "wanted", "tests"),
    [
        ("you@example.com", "you@example.com", True),
        ("YOU+signup-1@Example.COM", "You@example.com", True),
        ("you@example.com", " other@example.com , YOU@EXAMPLE.COM ", True),
        ("y.ou@example.com", "you@example.com", False),
        ("you@example.com.test", "you@example.com", False),
        ("me+you@example.com", "you@example.com", False),
        ("visitor@example.com", "you@example.com", False),
        ("visitor@example.com", "", False),
        ("you@example.com", "you+one@example.com", False),
    ],
)
def test_a_visitor_during_a_production_test_has_productions_times(email: str, wanted: str, tests: bool) -> None:
    on = Settings({"testing-mode": "true", "TESTING_ADDRESS": wanted})
    assert on.tests(email) is tests
    assert Settings({"testing-mode": "false", "TESTING_ADDRESS": wanted}).tests(email) is False
    assert Settings({"TESTING_ADDRESS": wanted}).tests(email) is False


def problems(capsys: pytest.CaptureFixture[str]) -> str:
    assert preflight.main([]) == 1
    lines = capsys.readouterr().out.splitlines()
    return "\n".join(line for line in lines if line.startswith("FAIL"))


def test_preflight_is_content_with_a_workspace_that_has_everything(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert faults_of(preflight.rows("default")) == []


@pytest.mark.parametrize(
    ("online", "polled", "advice"),
    [
        ([], None, "never polled, and no worker of the pool is online: `./hublab status` says what became of them"),
        ([], "2025-12-01T10:00:00Z", "not polled since 2025-12-01 10:00 UTC, and no worker of the pool is online"),
        (["w-1", "w-2"], None, "never polled by w-1, w-2: `./hublab deploy` has the workers poll it"),
        (["w-1"], "2025-12-01T10:00:00Z", "`./hublab status` says whether their slots are all taken, and what their"),
    ],
)
def test_preflight_tells_a_queue_that_nobody_has_from_workers_with_their_hands_full(
    world: World, online: list[str], polled: str | None, advice: str
) -> None:
    pool = f"pool-{time.time_ns()}"
    with Prefect() as prefect:
        prefect.client.create_work_pool(WorkPoolCreate(name=pool, type="process"))
        for name in online:
            beat = {"name": name, "heartbeat_interval_seconds": 30}
            prefect.client.request("POST", f"/work_pools/{pool}/workers/heartbeat", json=beat)
        assert advice in preflight.unpolled(prefect, pool, "mails", polled)
        prefect.client.create_work_queue("mails", work_pool_name=pool)
        assert not preflight.queue(prefect, pool, "mails").ok


def test_preflight_names_every_fault_with_its_remedy(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    store = world.services.notion.store
    source = store.database(world.services.databases[schema.SEQUENCE])
    kept = dict(source.schema)
    try:
        del source.schema["Cancelled"]
        source.schema["Segment"] = {"number": {}}
        world.edit(schema.TEMPLATES, world.template("christmas_email_4"), Email_Body_HTML="{{frist_name}}")
        store.update_page(world.template("noshow_recovery_email_1")["id"], {"in_trash": True})
        world.services.resend.store.domains["hublab.test"] = "pending"
        found = problems(capsys)
    finally:
        source.schema.clear()
        source.schema.update(kept)
        world.services.resend.store.domains["hublab.test"] = "verified"
    for part in (
        "property 'Cancelled' (checkbox) is missing: `./hublab campaign notion-setup` would add it",
        "property 'Segment' is number, not select: change its type in Notion, or name another in notion.toml",
        "christmas_email_4",
        "{{frist_name}}",
        "'noshow_recovery_email_1' is not in the database 'Email Templates': create it in Notion",
        "domain 'hublab.test' is pending, not verified",
    ):
        assert part in found


def test_preflight_without_settings_or_with_a_stranger_at_notion(
    world: World, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    world.services.notion.token = "another"
    found = problems(capsys)
    assert "401 unauthorized" in found
    world.services.notion.token = "ntn_standin_token"
    monkeypatch.setenv("NOTION_EMAIL_SEQUENCE_DB_ID", "0123456789abcdef0123456789abcdef?v=1")
    found = problems(capsys)
    assert "NOTION_EMAIL_SEQUENCE_DB_ID: not an id; write the 32 digits" in found
    assert "that the address of the database 'Email Sequence' has before its ?v=" in found
    monkeypatch.delenv("NOTION_TOKEN")
    monkeypatch.setenv("HUBLAB_RETRY_SECONDS", "soon")
    found = problems(capsys)
    assert "add NOTION_TOKEN to .env" in found
    assert "HUBLAB_RETRY_SECONDS: 'soon' is not a number" in found


def test_preflight_at_a_server_where_nothing_is_registered_says_so_in_its_table(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        with Prefect() as prefect:
            prefect.client.delete_global_concurrency_limit_by_name("notion")
            name = register.flow_of(register.ENTRYPOINTS[0]).name
            prefect.client.delete_deployment(prefect.deployment(f"{name}/{name}"))
        assert preflight.main(["--pool", "nowhere"]) == 1
        found = capsys.readouterr().out
    finally:
        register.register("default")
    assert "not looked at: the rate limit 'notion' is not at Prefect" in found
    assert "rate limit notion" in found
    assert "not there: run `./hublab campaign register`" in found
    assert f"the deployment '{name}/{name}' is not at Prefect" in found
    assert "no such pool: a worker of it creates it: `./hublab deploy`" in found


@pytest.fixture
def sequence(world: World) -> Iterator[Source]:
    """The database of records, as it was at the end."""
    source = world.services.notion.store.database(world.services.databases[schema.SEQUENCE])
    kept = dict(source.schema)
    yield source
    source.schema = kept


def test_notion_setup_says_what_it_adds_before_it_does_and_adds_that_and_nothing_twice(
    world: World, sequence: Source, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = sequence.kinds()
    for name in (*schema.ADDED[schema.SEQUENCE], "Template Type", "Email 7 Sent"):
        del sequence.schema[name]
    lacking = sequence.kinds()
    assert notion_setup.main(["--dry-run"]) == 0
    said = capsys.readouterr().out
    assert sequence.kinds() == lacking
    named = re.findall(r"^would add '(.+?)' \((.+?)\) to Email Sequence", said, re.MULTILINE)
    assert len(said.splitlines()) == len(named)
    words = {"rich_text": "text"}
    assert dict(named) == {name: words.get(kind, kind) for name, kind in kept.items() if name not in lacking}

    def refuse(*_: object) -> None:
        told.append(capsys.readouterr().out)
        raise NotionError("refused")

    told = list[str]()
    with monkeypatch.context() as patch:
        patch.setattr(NotionGateway, "alter", refuse)
        assert notion_setup.main([]) == 1
    assert told == [said.replace("would add", "adds")], "all of it, before the first is done"
    assert sequence.kinds() == lacking
    assert notion_setup.main([]) == 0
    assert capsys.readouterr().out == told[0]
    assert sequence.kinds() == kept
    assert notion_setup.main([]) == 0
    assert "nothing to add" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (
            {"template type": "select", "Template-Type": "select"},
            "'Template Type' could be any of 'Template-Type', ",
        ),
        ({"Template Type": "number"}, "property 'Template Type' is number, not select: change its type in Notion"),
        ({"template_type": "select"}, "property 'Template Type' nearly fits 'template_type' (select)"),
    ],
)
def test_notion_setup_adds_nothing_while_something_is_to_be_settled(
    world: World, sequence: Source, capsys: pytest.CaptureFixture[str], there: dict[str, str], said: str
) -> None:
    for name in ("Template Type", "Cancelled"):
        del sequence.schema[name]
    sequence.schema |= {name: {kind: {}} for name, kind in there.items()}
    lacking = sequence.kinds()
    for arguments in (["--dry-run"], []):
        assert notion_setup.main(arguments) == 1
        assert said in capsys.readouterr().err
        assert sequence.kinds() == lacking


def test_preview_writes_the_mail_and_test_send_sends_one(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert preview.main(["christmas_email_2", "--folder", str(tmp_path)]) == 0
    assert "(first_name)" in (tmp_path / "christmas_email_2.html").read_text()
    assert (tmp_path / "christmas_email_2.txt").read_text().startswith("Subject: christmas_email_2")
    to = world.address()
    for _ in range(2):  # each is a mail of its own
        assert preview.main(["christmas_email_2", "--to", to]) == 0
    assert len(world.accepted(to)) == 2
    assert preview.main(["no_such_template"]) == 1
    assert "no_such_template" in capsys.readouterr().err


def test_pause_names_who_else_is_in_a_queue_that_is_not_the_campaigns_own(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.setenv("HUBLAB_CAMPAIGN_QUEUE", "default")
    with Prefect() as prefect:
        flow = prefect.client.create_flow_from_name("of-somebody-else")
        body = {"name": "of-somebody-else", "flow_id": str(flow), "work_pool_name": "default", "entrypoint": "x.py:x"}
        made = prefect.client.request("POST", "/deployments/", json=body | {"work_queue_name": "default"}).json()
        try:
            assert operate.main(["pause"]) == 0
            told = capsys.readouterr().out
        finally:
            assert operate.main(["resume"]) == 0
            prefect.client.delete_deployment(made["id"])
    assert "with it of-somebody-else, not the campaign's: a queue of the campaign's own (HUBLAB_CAMPAIGN_QUEUE" in told
    assert operate.main(["resume"]) == 0
    assert "not the campaign's" not in capsys.readouterr().out.splitlines()[-1]


def test_pause_stops_the_campaigns_mails_alone_and_resume_continues_them(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    def paused() -> set[str]:
        with Prefect() as prefect:
            found = prefect.client.request("POST", "/work_pools/default/queues/filter", json={}).json()
        return {one["name"] for one in found if one["is_paused"]}

    try:
        assert operate.main(["pause"]) == 0
        assert paused() == {"campaign"}
        with Prefect() as prefect:
            assert not preflight.queue(prefect, "default", "campaign").ok
            told = [row.problem for row in preflight.deployments(prefect, prefect.settings(), "default")]
        assert any(one.startswith("paused: `./hublab campaign resume` when it is to go on; opening") for one in told)
        assert "the campaign is paused: mails wait until `./hublab campaign resume`" in remedies(
            read(datetime.now(UTC))
        )
        # Who signs up is enrolled. A mail whose run waits in another queue, as all did once, waits as well.
        email, mails = world.enrolled("noshow")
        state = world.run(mails[0])
        assert (state.name, state.message) == (
            "AwaitingRetry",
            "waits: the campaign is paused; `./hublab campaign resume`",
        )
        assert world.accepted(email) == []
    finally:
        assert operate.main(["resume"]) == 0
    assert paused() == set()
    assert world.run(mails[0]).is_completed()
    assert len(world.accepted(email)) == 1
    assert operate.main(["--pool", "none", "pause"]) == 1
    world.setenv("HUBLAB_CAMPAIGN_QUEUE", "never-registered")
    assert operate.main(["pause"]) == 1
    assert "has no queue 'never-registered': `./hublab campaign register`" in capsys.readouterr().err


def test_handlers_have_a_queue_of_their_own_that_goes_before_all_others(world: World) -> None:
    with Prefect() as prefect:
        prefect.client.create_work_queue("of-others", work_pool_name="default", priority=1)
        try:
            register.register("default")
            found = prefect.client.request("POST", "/work_pools/default/queues/filter", json={}).json()
            places = {one["name"]: one["priority"] for one in found}
            assert min(places, key=lambda name: places[name]) == "campaign-handlers"
            asked = {"deployments": {"name": {"any_": [register.flow_of(one).name for one in register.ENTRYPOINTS]}}}
            each = prefect.client.request("POST", "/deployments/filter", json=asked).json()
            queues = {one["name"]: one["work_queue_name"] for one in each}
            assert queues.pop("christmas-send-email") == "campaign"
            assert set(queues.values()) == {"campaign-handlers"}
        finally:
            prefect.client.request("DELETE", "/work_pools/default/queues/of-others")


def test_register_is_repeatable_and_names_a_pool_that_is_not_there(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert register.main(["--pool", "none"]) == 1
    assert "work pool 'none' is not at Prefect" in capsys.readouterr().err
    for _ in range(2):
        assert register.main([]) == 0
    assert "registered christmas-send-email/christmas-send-email" in capsys.readouterr().out


@pytest.mark.parametrize(("name", "window", "most"), [("notion", 60, 180), ("resend", 1, 10)])
def test_no_window_of_a_service_sees_more_calls_than_it_allows(name: str, window: int, most: int) -> None:
    limits = {one: (burst, refill) for one, burst, refill in register.rates(Settings({}))}
    burst, refill = limits[name]
    assert burst + refill * window <= most
    assert burst + refill * window >= most * 0.9
