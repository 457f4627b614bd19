"""The image's text, as far as it can be judged without Docker; tests/containers builds and runs it."""

from __future__ import annotations

import json
import re

import pytest

from deploy.container import image
from deploy.coolify.wanted import DOCKERFILE, kind
from deploy.env_file import ROOT
from deploy.release import identity
from tests.deploy import factories

TEXT = image.DOCKERFILE.read_text()


def test_it_is_where_coolify_is_told_to_look() -> None:
    assert ROOT / DOCKERFILE.lstrip("/") == image.DOCKERFILE


def test_base_is_named_by_its_digest() -> None:
    assert re.fullmatch(r"docker\.io/library/python:3\.1[23]-slim-\w+@sha256:[0-9a-f]{64}", image.default_base())
    assert re.findall(r"^FROM (\S+)", TEXT, re.MULTILINE) == ["${BASE}", "packages", "${BASE}", "image", "image"]


def test_health_command_is_one_that_coolify_takes_and_needs_no_shell() -> None:
    """Anything else is 422; without health check Coolify takes the new container at once."""
    assert f"CMD {json.dumps(kind(factories.wanted()).health_command.split())}" in TEXT.splitlines()[-1]
    checks = [json.loads(found) for found in re.findall(r"^HEALTHCHECK.* CMD (.+)$", TEXT, re.MULTILINE)]
    assert len(checks) == 2, "the worker's, and the webhooks'"
    for check in checks:
        assert re.fullmatch(r"[a-zA-Z0-9 \-_./:=@,+]{1,1000}", " ".join(check))


def test_every_command_of_the_container_is_in_exec_form() -> None:
    """A shell as process 1 keeps SIGTERM to itself, and no run is drained."""
    commands = re.findall(r"^ *(?:ENTRYPOINT|CMD|HEALTHCHECK.* CMD) (.+)$", TEXT, re.MULTILINE)
    assert len(commands) == 4
    assert all(isinstance(json.loads(command), list) for command in commands)


def test_build_is_given_what_a_release_is_made_of_and_nothing_else() -> None:
    """`.env` lies in the checkout: a build that is given it may keep it in a layer."""
    given = {
        line[1:]
        for line in image.DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    assert given == {"requirements.lock", "requirements-dev.lock", "deploy", *identity.SHIPPED}


def test_target_that_is_none_of_ours_is_refused_before_docker_is_asked() -> None:
    with pytest.raises(image.ImageError, match="--target: 'x' is none of worker, webhooks"):
        image.build("base", "x", environ={"PATH": "/nowhere"})


def test_without_docker_the_remedy_is_named() -> None:
    with pytest.raises(image.ImageError, match=r"docker is not installed \(Debian's package is docker.io\)"):
        image.build("base", "worker", environ={"PATH": "/nowhere"})
