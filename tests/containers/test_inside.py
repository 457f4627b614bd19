"""A container of a worker's, seen from within: by testinfra's Docker backend, and by a flow run that it runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import testinfra

from sandbox.local.server import Api
from tests.containers.container import INSIDE, RELEASE, SHARED
from tests.infra import test_release as infra

if TYPE_CHECKING:
    from collections.abc import Callable

    from testinfra.host import Host

    from sandbox.coolify.daemon import Daemon
    from tests.containers.container import Container

# What `tests/infra` proves of a host's release and is as true of an image's.
OF_A_RELEASE = (
    infra.test_interpreter_is_one_the_lock_is_made_for,
    infra.test_packages_equal_the_lock,
    infra.test_prefect_and_uvicorn_are_no_older_than_the_cure,
    infra.test_uvloop_cannot_be_imported,
    infra.test_uvloop_has_no_file_in_the_release,
    infra.test_the_release_is_what_it_was_when_it_was_finished,
)


@pytest.fixture
def host(worker: Container, daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> Host:
    for name, value in daemon.environment.items():
        monkeypatch.setenv(name, value)
    worker.healthy()
    return testinfra.get_host(f"docker://{worker.name}")


@pytest.mark.parametrize("check", OF_A_RELEASE, ids=lambda check: check.__name__.removeprefix("test_"))
def test_release_is_as_on_a_host(host: Host, check: Callable[[Host, str], None]) -> None:
    check(host, RELEASE)


def test_worker_has_not_loaded_uvloop_and_carries_the_release_of_the_image(host: Host, worker: Container) -> None:
    label = worker.is_('index .Config.Labels "org.opencontainers.image.version"')
    assert json.loads(host.file(f"{RELEASE}/REVISION").content_string)["id"] == label
    maps = worker.maps()
    assert "/site-packages/pydantic_core/" in maps, "the worker is among them"
    assert "uvloop" not in maps


def test_nothing_is_writable_but_the_state_and_what_docker_makes(host: Host) -> None:
    """The root is not read-only there; its files' owners are what keeps it."""
    assert host.check_output("find %s -not -type l \\( -perm /0022 -o -not -user root \\) -print -quit", RELEASE) == ""
    found = host.run("find / -xdev -writable -not -type l -not -path '/proc/*' -print").stdout.split()
    beyond = [path for path in found if not path.startswith(("/var/lib/hublab/", "/dev/"))]
    assert sorted(beyond) == ["/run/lock", "/tmp", "/var/tmp"]


def test_no_file_gains_a_privilege(host: Host) -> None:
    # What cannot be looked into by the worker's user is said, and is no file of the image's that it could run.
    assert host.run("find / -xdev -type f -perm /6000 -print").stdout == ""


def test_run_reads_no_other_process(worker: Container, api: Api) -> None:
    """Docker's init, process 1, has the worker's whole environment; nothing but Landlock stands before it."""
    worker.healthy()
    run = Api(api.port, INSIDE).start("looks_around", worker.queue, out=f"{SHARED}/around")
    assert api.wait_state(run, "COMPLETED", "FAILED", "CRASHED") == "COMPLETED"
    found = json.loads(worker.run("cat", f"{SHARED}/around").stdout)
    assert found["child"] == ["environ", "mem"], "what it has started, it reads"
    assert len(found["others"]) >= 3, "Docker's init, the entry point, the worker"
    assert {pid: opened for pid, opened in found["others"].items() if opened} == {}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"PREFECT_API_URL": ""}, "PREFECT_API_URL: not set; give the API's address"),
        ({"HUBLAB_CONCURRENCY": "many"}, "HUBLAB_CONCURRENCY: 'many' is not 1..256"),
        ({"HUBLAB_WORK_POOL": ""}, "HUBLAB_WORK_POOL: not set"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_setting_that_cannot_be_used_is_named_in_its_log(
    start: Callable[..., Container], setting: dict[str, str], words: str
) -> None:
    """Coolify shows the log, and the health check says the same, which is what a failed deployment ends with."""
    container = start(**setting)
    container.says(words)
    assert container.is_(".State.ExitCode") in {"78", "0"}
    assert container.is_(".State.Health.Status") != "healthy"
