"""HUBLAB_ENVIRONMENT: a file like `.env` becomes the environment of flow runs, and steers nothing else."""

from __future__ import annotations

import json
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from deploy import spec, variables
from deploy.onhost import inspect_host
from deploy.plan import make, towards
from deploy.secret import Secret
from deploy.settings import Settings, SettingsError, parse
from tests.deploy.factories import bare, converged, finished, release_name, running, wanted
from tests.deploy.test_settings import GOOD
from tests.deploy.units import render

SENTINEL = "sentinel-c0de"
FILE = "environment.json"
THEIRS = (("TOKEN", Secret(SENTINEL)), ("ZONE", Secret("eu")))


def parsed(file: Path, tables: str = "", **more: str) -> Settings:
    return parse({**GOOD, "HUBLAB_ENVIRONMENT": str(file), **more}, Path(".env"), tomllib.loads(tables))


def refused(folder: Path, content: str | bytes) -> str:
    file = folder / "flows.env"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(SettingsError) as caught:
        parsed(file)
    assert SENTINEL not in str(caught.value)
    return str(caught.value)


def test_file_of_variables_is_read_as_env_is(tmp_path: Path) -> None:
    (tmp_path / "flows.env").write_text(
        '# theirs\nPLAIN=1 # one\nexport QUOTED=\'a "b" # c $HOME\'\nLINES="one\ntwo"\nEMPTY=\nWORD=grün\n'
    )
    found = parsed(tmp_path / "flows.env").environment
    assert {name: value.reveal() for name, value in found} == {
        "PLAIN": "1",
        "QUOTED": 'a "b" # c $HOME',
        "LINES": "one\ntwo",
        "EMPTY": "",
        "WORD": "grün",
    }
    assert json.loads(variables.document(found)) == {name: value.reveal() for name, value in found}


@pytest.mark.parametrize(
    "name",
    [
        *("PREFECT_API_URL", "prefect_api_url", "PREFECT__FLOW_RUN_ID", "HUBLAB_WORK_POOL", "PYTHONPATH", "LD_PRELOAD"),
        *("SSL_CERT_FILE", "SSLKEYLOGFILE", "OPENSSL_CONF", "GLIBC_TUNABLES", "PATH", "Path", "HOME", "TMPDIR"),
        *("BASH_ENV", "ENV", "CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "INVOCATION_ID", "STATE_DIRECTORY"),
    ],
)
def test_name_that_steers_something_else_is_refused(tmp_path: Path, name: str) -> None:
    told = refused(tmp_path, f"FINE=1\n{name}={SENTINEL}\n")
    assert told.startswith(f".env: HUBLAB_ENVIRONMENT: flows.env: {name}: is one that the worker, Prefect, Python")
    assert told.endswith("take it out")
    assert "FINE" not in told


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (f"A={SENTINEL}\nA=2\n", "A: stands there twice, on lines 1, 2. Keep one of them."),
        (f"A='{SENTINEL}\n", "line 1: is not KEY=value"),
        (f"A {SENTINEL}\n", "line 1: is not KEY=value"),
        ("A\n", "A: a line without a value. Write A=value, or remove it."),
        (f"A-B={SENTINEL}\n", "A-B: is not a variable's name"),
        (f"1A={SENTINEL}\n", "1A: is not a variable's name"),
        (b"A=\xff\n", "It must be a text file in UTF-8."),
        (f"A={SENTINEL}\0\n", "A: has a NUL in it"),
        (f"A={SENTINEL * 6000}\n", "A: has a NUL in it, or is longer than 65536 bytes"),
    ],
)
def test_what_cannot_be_used_is_said_by_key_and_remedy_and_not_shown(
    tmp_path: Path, content: str | bytes, told: str
) -> None:
    found = refused(tmp_path, content)
    assert found.startswith(".env: HUBLAB_ENVIRONMENT: ")
    assert told in found


def test_missing_file_of_variables_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.env", tmp_path):
        with pytest.raises(SettingsError, match=r"^\.env: HUBLAB_ENVIRONMENT: .* cannot be read"):
            parsed(path)


def test_file_that_others_can_write_is_refused_and_one_that_they_can_read_is_warned_of(tmp_path: Path) -> None:
    file, own = tmp_path / "flows.env", tmp_path / "own.env"
    for each in (file, own):
        each.write_text(f"TOKEN={SENTINEL}\n")
        each.chmod(0o644)
    table = f'["hublab.example.com"]\nenvironment = "{own}"\n'
    who = "mode 0644: others on this machine can read it, and the secrets in it"
    said = tuple(f"HUBLAB_ENVIRONMENT: {each}: {who} -> chmod 600 {each}" for each in (file, own))
    assert parsed(file, table).exposed == said
    file.chmod(0o600)
    assert parsed(file, table).exposed == said[1:]
    own.chmod(0o620)
    with pytest.raises(SettingsError) as caught:
        parsed(file, table)
    assert str(caught.value) == (
        f"hosts.toml: hublab.example.com: environment: {own}: mode 0620: its group or everybody can write to it, "
        f"and so decide what is done to the hosts -> chmod 600 {own}"
    )


def test_host_may_have_variables_of_its_own_or_none(tmp_path: Path) -> None:
    (tmp_path / "all.env").write_text("A=1\n")
    (tmp_path / "one.env").write_text("B=2\n")
    hosts = f'["h1"]\nenvironment = "{tmp_path}/one.env"\n["h2"]\nenvironment = ""\nallow = ["ca", "jit"]\n'
    found = parsed(tmp_path / "all.env", hosts, HUBLAB_HOSTS="h1,h2,h3")
    had = {target.address: [name for name, _ in found.of(target).environment] for target in found.hosts}
    assert had == {"h1": ["B"], "h2": [], "h3": ["A"]}
    assert [found.of(target).allow for target in found.hosts] == [(), ("jit", "ca"), ()]
    (tmp_path / "one.env").write_text("PATH=/x\n")
    with pytest.raises(SettingsError, match=r"hosts\.toml: h1: environment: one\.env: PATH: is one that the worker"):
        parsed(tmp_path / "all.env", hosts, HUBLAB_HOSTS="h1,h2,h3")


def test_values_are_in_the_credential_and_nowhere_else() -> None:
    host = wanted(environment=THEIRS)
    plan = make(host, bare())
    assert SENTINEL in host.secret_files()["/etc/hublab/environment.json"]
    assert SENTINEL not in repr(host)
    assert SENTINEL not in repr(plan)
    assert render(environment=THEIRS) == render(), "no unit tells, not even whether there are any"


def test_plan_names_what_comes_changes_and_goes_and_restarts_each_worker() -> None:
    host = wanted(environment=THEIRS)
    had = wanted(environment=(("GONE", Secret("x")), ("TOKEN", Secret("old"))))
    plan = make(host, converged(had))
    assert plan.words[-3:] == (
        "variables of flow runs (HUBLAB_ENVIRONMENT), new: ZONE",
        "variables of flow runs (HUBLAB_ENVIRONMENT), changed: TOKEN",
        "variables of flow runs (HUBLAB_ENVIRONMENT), taken away: GONE",
    )
    assert [step.reasons for step in plan.workers] == [("HUBLAB_ENVIRONMENT changed",)] * 3
    assert plan.secrets == (spec.ENVIRONMENT,)
    assert not make(host, converged(host)).changes


def test_worker_that_was_started_before_it_changed_is_restarted_though_the_file_is_right() -> None:
    host = wanted(environment=THEIRS)
    stale = running(host, 2, credentials=running(wanted(), 2).credentials)
    state = converged(host)
    plan = make(host, replace(state, workers=state.workers | {2: stale}))
    assert {step.number: step.reasons for step in plan.restarts} == {2: ("HUBLAB_ENVIRONMENT changed",)}


def test_worker_that_is_restarted_for_another_reason_is_told_of_the_variables_too() -> None:
    host = wanted(environment=THEIRS)
    stale = running(host, 2, credentials=running(wanted(), 2).credentials, release="old")
    state = converged(host)
    plan = make(host, replace(state, workers=state.workers | {2: stale}))
    assert plan.restarts[0].reasons == ("runs release old", "HUBLAB_ENVIRONMENT changed")


def test_worker_of_a_release_that_knows_no_variables_is_not_restarted_for_them() -> None:
    """After a roll-back its unit loads none: it would be drained at each deploy, for nothing."""
    host, name = wanted(workers=1), release_name()
    old = render().replace("LoadCredential=environment.json:/etc/hublab/environment.json\n", "")
    state = converged(host)
    worker = replace(state.workers[1], unit_text=old, credentials={"profiles.toml": "x"})
    kept = {name: {"prefect-worker@1.service": old}}
    back = towards(host, replace(state, workers={1: worker}, kept=kept, releases={name: finished(name)}), name)
    assert "HUBLAB_ENVIRONMENT changed" not in back.workers[0].reasons


@pytest.mark.parametrize("text", ["", "{", "[]", '{"A": 1}'])
def test_file_that_somebody_edited_on_the_host_is_written_anew(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert inspect_host.variables(tmp_path / FILE) == {}
    assert inspect_host.variables(tmp_path / "none") == {}
    (tmp_path / FILE).write_text(variables.document(THEIRS))
    assert variables.moves(THEIRS, inspect_host.variables(tmp_path / FILE)) == ()
