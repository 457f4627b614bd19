"""The webhooks as a service: what they are told, what they tell systemd, and that they start while Prefect is away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
import uvicorn
from prefect.settings import PREFECT_API_URL, PREFECT_CLIENT_MAX_RETRIES, temporary_settings
from starlette.testclient import TestClient

from flows.webhooks import healthy
from flows.webhooks.app import build
from flows.webhooks.forwarding import Forwarder
from flows.webhooks.http import options
from flows.webhooks.service import EX_CONFIG, Service, main, read_secrets
from sandbox.local.processes import Systemd, free_port
from sandbox.standins.serve import bound
from worker.systemd import Notifier

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.flows.world import World

ROOT = Path(__file__).parents[3]
SECRETS = {
    "webhook-secret": "webhook-test",
    "resend-webhook-secret": "whsec_dGVzdC10ZXN0LXRlc3QtdGVzdA==",
    "unsubscribe-secret": "unsubscribe-test",
}
PAYLOAD = {"email": "delivered+service@resend.dev", "first_name": "Ada", "assessment_score": 50}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """A credential file as the deploy writes it."""
    path = tmp_path / "webhooks.json"
    path.write_text(json.dumps(SECRETS))
    return path


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    """What systemd would hear."""
    heard = Systemd(tmp_path)
    yield heard
    heard.close()


def test_it_serves_and_keeps_what_comes_in_while_prefect_is_away(
    secrets: Path, systemd: Systemd, tmp_path: Path
) -> None:
    port = free_port()
    away = {
        "PREFECT_API_URL": "http://127.0.0.1:9/api",
        "PREFECT_HOME": str(tmp_path),
        "NOTIFY_SOCKET": systemd.address,
        "WATCHDOG_USEC": "60000000",
    }
    spool = tmp_path / "spool"
    where = ["--port", str(port), "--spool", str(spool), "--secrets", str(secrets)]
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.webhooks.service", *where], cwd=ROOT, env=os.environ | away
    )
    try:
        assert "STATUS=serving, waiting: 0 enrolments, 0 suppressions, 0 events" in systemd.wait("READY=1")
        url = f"http://127.0.0.1:{port}"
        answer = httpx.post(
            f"{url}/webhook/christmas-signup",
            json=PAYLOAD,
            headers={"x-webhook-secret": "webhook-test"},
            trust_env=False,
        )
        assert answer.status_code == 202
        assert len(list((spool / "enrolments").glob("*.json"))) == 1
        assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
        assert healthy.main([str(port)]) == 0
        assert "1 enrolments" in systemd.wait("waiting: 1")
        process.send_signal(signal.SIGTERM)
        assert process.wait(180) in {0, -signal.SIGTERM}
    finally:
        process.kill()
        process.wait(180)
    assert len(list((spool / "enrolments").glob("*.json"))) == 1
    assert healthy.main([str(port)]) == 1


async def test_it_beats_for_as_long_as_the_loop_moves(world: World, systemd: Systemd, tmp_path: Path) -> None:
    app = build(world.settings, tmp_path / "spool")
    config = uvicorn.Config(app, loop="asyncio", log_level="critical")
    service = Service(config, Notifier(systemd.address), app.state.describe)
    listener = bound("127.0.0.1")
    config.load()
    service.lifespan = config.lifespan_class(config)
    await service.startup([listener])
    assert "READY=1" in systemd.wait("READY")
    assert await service.on_tick(50) is False
    assert "WATCHDOG=1" in systemd.wait("WATCHDOG")
    await service.shutdown([listener])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "not a JSON object of strings"),
        ('{"a": 1}', "not a JSON object of strings"),
        ("{}", "WEBHOOK_SECRET"),
        (json.dumps(SECRETS | {"resend-webhook-secret": "x"}), "resend-webhook-secret"),
    ],
)
def test_secrets_that_cannot_be_used_end_it_for_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    path = tmp_path / "webhooks.json"
    if text is not None:
        path.write_text(text)
    assert main(["--secrets", str(path), "--spool", str(tmp_path / "spool")]) == EX_CONFIG
    told = capsys.readouterr().err
    assert said in told
    assert "webhook-test" not in told


def test_without_a_server_and_a_file_the_webhooks_end_for_good(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        assert main(["--spool", str(tmp_path / "spool")]) == EX_CONFIG
    assert capsys.readouterr().err.startswith("webhooks: PREFECT_API_URL: is not set")


def test_the_files_secrets_are_the_settings(secrets: Path) -> None:
    found = read_secrets(secrets)
    assert {name: found.get(name) for name in SECRETS} == SECRETS


def test_without_a_file_the_secrets_are_prefects(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Any] = []
    monkeypatch.setattr(Service, "run", lambda self: served.append(self.config))
    assert main(["--spool", str(tmp_path / "spool"), "--port", "1"]) == 0
    (config,) = served
    assert (config.port, config.loop) == (1, "asyncio")
    assert config.forwarded_allow_ips == "127.0.0.1"
    assert {name: getattr(config, name) for name in options()} == dict(options())


def test_what_forwards_does_not_sleep_in_prefects_client_when_prefect_is_back(
    secrets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the very thread that forwards: who has left is to be on record before the next mail is on its way."""
    seen: list[int] = []

    def serve(service: Service) -> None:
        with TestClient(cast("Any", service.config.app)):
            pass

    def forward(_: Forwarder) -> int:
        seen.append(PREFECT_CLIENT_MAX_RETRIES.value())
        return 0

    monkeypatch.setattr(Service, "run", serve)
    monkeypatch.setattr(Forwarder, "once", forward)
    assert main(["--spool", str(tmp_path / "spool"), "--secrets", str(secrets)]) == 0
    assert set(seen) == {0}
