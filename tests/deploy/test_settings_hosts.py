"""HUBLAB_HOSTS, and which file decides."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.hosts_file import Target
from deploy.secret import Secret
from deploy.settings import ROOT, Settings, SettingsError, coolify_of, find_env_file, load, parse, worker_host
from deploy.ssh import connection
from deploy.words import mode

URL = "https://prefect.example.com/api"


def hosts(text: str) -> tuple[Target, ...]:
    return parse({"HUBLAB_HOSTS": text, "PREFECT_API_URL": URL}, Path(".env")).hosts


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("hublab", [Target("hublab", "", 0)]),
        ("deploy@hublab.example.com:2222", [Target("hublab.example.com", "deploy", 2222)]),
        ("10.0.0.1:65535", [Target("10.0.0.1", "", 65_535)]),
        (" a , b@c ,", [Target("a", "", 0), Target("c", "b", 0)]),
        (
            "john.doe@web_1, A@_gateway, 2nd@b",
            [Target("web_1", "john.doe"), Target("_gateway", "A"), Target("b", "2nd")],
        ),
        ("root@[fd00::1]:2222, [fd00::2]", [Target("fd00::1", "root", 2222), Target("fd00::2", "", 0)]),
    ],
)
def test_forms_in_which_a_host_may_be_written(text: str, read: list[Target]) -> None:
    assert list(hosts(text)) == read


@pytest.mark.parametrize(
    "text",
    [
        "a b",
        "a:0",
        "a:65536",
        "a:ssh",
        "@a",
        "a@",
        "-a@b",
        ".a@b",
        "a$b@c",
        "a@.b",
        "a'b@c",
        "a@b@c",
        "-oProxyCommand=x",
        "a;b",
        "$(a)",
        "fd00::1",
        "[fd00::1",
        "a:",
    ],
)
def test_what_is_no_host_is_named(text: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        hosts(f"good,{text}")
    assert str(refusal.value) == f".env: HUBLAB_HOSTS: {text!r} is not [user@]host[:port]"


def test_a_host_named_twice_is_refused() -> None:
    with pytest.raises(SettingsError, match="HUBLAB_HOSTS: 'deploy@a' is named twice"):
        hosts("a,b,deploy@a")


LABEL = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9.-]{0,20}", fullmatch=True).filter(str.isascii)
ADDRESS = LABEL | st.ip_addresses(v=6).map(str)
TARGET = st.builds(Target, ADDRESS, st.from_regex(r"[a-z_][a-z0-9_-]{0,10}", fullmatch=True), st.integers(1, 65_535))


@settings(max_examples=50, deadline=None)
@given(st.lists(TARGET, min_size=1, max_size=5, unique_by=lambda item: item.address))
def test_hosts_round_trip(targets: list[Target]) -> None:
    written = [
        f"{item.user}@{f'[{item.address}]' if ':' in item.address else item.address}:{item.port}" for item in targets
    ]
    assert list(hosts(", ".join(written))) == targets


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_file_that_the_environment_names_comes_first(tmp_path: Path) -> None:
    write(tmp_path / ".env", "HUBLAB_HOSTS=a\n")
    write(tmp_path / ".sandbox/env", "HUBLAB_HOSTS=b\n")
    named = write(tmp_path / "other", "HUBLAB_HOSTS=c\n")
    assert find_env_file(tmp_path, {"HUBLAB_ENV_FILE": str(named)}) == named


def test_named_file_must_be_there(tmp_path: Path) -> None:
    write(tmp_path / ".env", "HUBLAB_HOSTS=a\n")
    with pytest.raises(SettingsError, match=r"^HUBLAB_ENV_FILE: /nowhere/env is not a file\. Unset it"):
        find_env_file(tmp_path, {"HUBLAB_ENV_FILE": "/nowhere/env"})


def test_env_comes_before_the_sandbox(tmp_path: Path) -> None:
    env = write(tmp_path / ".env", "HUBLAB_HOSTS=a\n")
    write(tmp_path / ".sandbox/env", "HUBLAB_HOSTS=b\n")
    assert find_env_file(tmp_path, {}) == env


def test_env_that_speaks_of_the_campaign_alone_leaves_it_to_the_sandbox(tmp_path: Path) -> None:
    write(tmp_path / ".env", "NOTION_TOKEN=x\n# HUBLAB_HOSTS=a\n")
    sandbox = write(tmp_path / ".sandbox/env", "HUBLAB_HOSTS=b\n")
    assert find_env_file(tmp_path, {}) == sandbox


def test_campaign_of_the_sandbox_decides_as_it_was_deployed_by_it(tmp_path: Path) -> None:
    """Else `./hublab status` compares with what the hosts had before it, and a deploy takes its webhooks away."""
    write(tmp_path / ".sandbox/env", "HUBLAB_HOSTS=b\n")
    campaign = write(tmp_path / ".sandbox/campaign.env", "HUBLAB_HOSTS=b\nHUBLAB_WORKERS=2\n")
    assert find_env_file(tmp_path, {}) == campaign


def test_nothing_to_deploy_to_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as refusal:
        find_env_file(tmp_path, {})
    assert str(refusal.value) == (
        "No host to deploy to: .env names none and no sandbox is up. "
        "Copy .env.example to .env and fill in HUBLAB_HOSTS, or run `./hublab deploy`, which boots a sandbox."
    )


def test_environment_changes_nothing_of_what_the_file_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the environment nor an interpolation of it decides anything."""
    monkeypatch.setenv("HUBLAB_WORKERS", "9")
    monkeypatch.setenv("USER", "somebody")
    env = write(
        tmp_path / "env",
        f"# comment\nHUBLAB_HOSTS=a,b\nPREFECT_API_URL={URL}\nPREFECT_API_AUTH_STRING='admin:${{USER}}'\n",
    )
    found = load(env)
    assert found.workers == 3
    assert found.auth_string is not None
    assert found.auth_string.reveal() == "admin:${USER}"
    assert found.source == env


def test_keys_on_this_machine_are_kept_as_written(tmp_path: Path) -> None:
    key = write(tmp_path / "id", "")
    read = {"HUBLAB_HOSTS": "a", "PREFECT_API_URL": URL, "HUBLAB_SSH_KEY": str(key), "HUBLAB_SSH_KNOWN_HOSTS": str(key)}
    found = parse(read, Path(".env"))
    assert (found.ssh_key, found.ssh_known_hosts) == (str(key), str(key))


def test_each_host_gets_its_part() -> None:
    found = parse({"HUBLAB_HOSTS": "a,b", "PREFECT_API_URL": URL, "HUBLAB_WORKERS": "2"}, Path(".env"))
    parts = [worker_host(found, target) for target in found.hosts]
    assert [(part.address, part.workers, part.api_url) for part in parts] == [("a", 2, URL), ("b", 2, URL)]


@pytest.mark.parametrize(
    ("key", "value", "name", "given"),
    [
        ("HUBLAB_WHEELS", "index", "wheels", "index"),
        ("PREFECT_API_AUTH_STRING", "admin:a", "auth_string", Secret("admin:a")),
        ("PREFECT_API_KEY", "pnu_1", "api_key", Secret("pnu_1")),
        ("HUBLAB_CANARY_SECONDS", "60", "canary_seconds", 60),
        ("TESTING_MODE", "true", "testing", True),
    ],
)
def test_what_is_said_for_all_is_every_hosts(key: str, value: str, name: str, given: object) -> None:
    found = parse({"HUBLAB_HOSTS": "a,b", "PREFECT_API_URL": URL, key: value}, Path(".env"))
    assert [getattr(worker_host(found, target), name) for target in found.hosts] == [given, given]


@pytest.mark.parametrize("file", [".env", ".sandbox/campaign.env"])
def test_remedies_name_the_file_that_the_settings_were_read_from(file: str) -> None:
    values = {"HUBLAB_HOSTS": "a", "PREFECT_API_URL": URL, "TESTING_MODE": "true"}
    found = parse(values, ROOT / file)
    (told,) = mode(worker_host(found, found.hosts[0]), on=True)
    assert f"take TESTING_MODE out of {file} and run" in told


COOLIFY = {"HUBLAB_COOLIFY_URL": "https://coolify.example.com/api/v1/", "HUBLAB_COOLIFY_TOKEN": "3|secret-c001"}
UUID = "gd3kivrdbflldxblwb2scqxn"


def mixed(**changes: str) -> Settings:
    values = {"HUBLAB_HOSTS": f"deploy@h1:2222,coolify:{UUID}", "PREFECT_API_URL": URL, **COOLIFY, **changes}
    return parse({key: value for key, value in values.items() if value}, Path(".env"))


def test_applications_of_coolify_stand_beside_hosts() -> None:
    found = mixed()
    assert [(target.address, target.application) for target in found.hosts] == [
        ("h1", ""),
        (f"coolify:{UUID}", UUID),
    ]
    assert found.ssh_hosts == (Target("h1", "deploy", 2222),)
    host, application = (worker_host(found, target) for target in found.hosts)
    assert (host.application, host.coolify) == ("", None)
    assert application.application == UUID
    assert application.coolify is not None
    assert application.coolify.url == "https://coolify.example.com"
    assert "secret-c001" not in repr(found) + repr(application)
    assert connection(found, found.hosts[1]) == {}


def test_host_that_is_called_coolify_is_a_host() -> None:
    assert hosts("coolify:2222") == (Target("coolify", "", 2222),)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"HUBLAB_COOLIFY_URL": ""}, "HUBLAB_COOLIFY_URL: missing. Give Coolify's address"),
        ({"HUBLAB_COOLIFY_TOKEN": ""}, "HUBLAB_COOLIFY_TOKEN: missing. Make one in Coolify"),
        ({"HUBLAB_COOLIFY_URL": "https://3|secret-c001@c.example.com"}, "HUBLAB_COOLIFY_URL: carries a credential"),
        ({"HUBLAB_COOLIFY_URL": "coolify.example.com"}, "'coolify.example.com' is not an address such as https://"),
        (
            {"HUBLAB_HOSTS": "coolify:Worker_1"},
            "'coolify:Worker_1' is not coolify:<uuid>, as `./hublab coolify list` shows it",
        ),
        ({"HUBLAB_HOSTS": f"coolify:{UUID},coolify:{UUID}"}, "is named twice"),
    ],
)
def test_coolify_that_is_half_named_is_refused_without_showing_the_token(changes: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        mixed(**changes)
    assert words in str(refusal.value)
    assert "secret-c001" not in str(refusal.value)


def test_application_asks_for_coolifys_address_and_token() -> None:
    with pytest.raises(SettingsError) as refusal:
        mixed(HUBLAB_COOLIFY_URL="", HUBLAB_COOLIFY_TOKEN="")
    keys = [line.split(": ")[1] for line in str(refusal.value).splitlines()]
    assert keys == ["HUBLAB_COOLIFY_URL", "HUBLAB_COOLIFY_TOKEN"]


def test_coolify_is_asked_by_a_file_that_names_no_host_yet(tmp_path: Path) -> None:
    lines = "".join(f"{key}={value}\n" for key, value in COOLIFY.items())
    found = coolify_of(write(tmp_path / "later.env", f"{lines}HUBLAB_HOSTS\nHUBLAB_COOLIFY_IMAGE\n"))
    assert (found.url, found.token.reveal()) == ("https://coolify.example.com", "3|secret-c001")


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", ["URL: missing. Give", "TOKEN: missing. Make"]),
        ("HUBLAB_COOLIFY_URL\nHUBLAB_COOLIFY_TOKEN\n", ["URL: missing. Give", "TOKEN: missing. Make"]),
        ("HUBLAB_COOLIFY_URL=https://coolify.example.com\n", ["TOKEN: missing. Make"]),
        (
            "HUBLAB_COOLIFY_URL=https://c.example.com\nHUBLAB_COOLIFY_TOKEN=3|secret-c001\nHUBLAB_COOLIFY_IMAGE=x\n",
            ["IMAGE: 'x' is not registry/name:tag"],
        ),
    ],
)
def test_what_such_a_file_does_not_say_of_coolify_is_told_a_line_for_each(
    tmp_path: Path, text: str, keys: list[str]
) -> None:
    with pytest.raises(SettingsError) as refusal:
        coolify_of(write(tmp_path / "later.env", text))
    lines = str(refusal.value).splitlines()
    assert len(lines) == len(keys)
    for line, key in zip(lines, keys, strict=True):
        assert line.startswith(f"later.env: HUBLAB_COOLIFY_{key}")


def test_without_any_file_env_is_where_coolify_is_to_be_named() -> None:
    with pytest.raises(SettingsError, match=r"^\.env: HUBLAB_COOLIFY_URL: missing\."):
        coolify_of(None)
