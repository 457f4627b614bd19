"""`.env` as the operator writes it: what is right is read, what is wrong is refused by key, value and remedy."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.hosts_file import Target
from deploy.secret import Secret
from deploy.settings import CAMPAIGN_KEYS, SettingsError, parse
from flows.services.settings import BLOCKS, PLAIN, environment_name
from flows.services.settings import Settings as FlowsSettings

SOURCE = Path(".env")
GOOD = {"HUBLAB_HOSTS": "hublab.example.com", "PREFECT_API_URL": "https://prefect.example.com/api"}
SENTINEL = "sentinel-90ab"
EXAMPLE = [
    key
    for line in (Path(__file__).parents[2] / ".env.example").read_text().splitlines()
    if (key := line.lstrip("#").partition("=")[0]).startswith(("HUBLAB_", "PREFECT_"))
]
PATHS_AND_URLS = ("HUBLAB_SSH_KEY", "HUBLAB_SSH_KNOWN_HOSTS", "PREFECT_API_URL")


def refusal(**values: str) -> str:
    with pytest.raises(SettingsError) as caught:
        parse({**GOOD, **values}, SOURCE)
    return str(caught.value)


def test_two_keys_are_enough() -> None:
    found = parse(GOOD, SOURCE)
    assert found.hosts == (Target("hublab.example.com", "", 0),)
    assert (found.workers, found.work_pool, found.work_queues, found.concurrency) == (3, "default", ("default",), 4)
    assert (found.drain_seconds, found.gate_seconds, found.memory_max) == (900, 180, "4G")
    assert (found.python, found.read_paths, found.wheels) == ("auto", (), "push")
    assert (found.auth_string, found.api_key) == (None, None)
    assert (found.ssh_key, found.ssh_known_hosts) == (None, None), "as ssh_config says"


@pytest.mark.parametrize(
    ("key", "value", "name", "read"),
    [
        ("HUBLAB_WORKERS", "1", "workers", 1),
        ("HUBLAB_WORKERS", "64", "workers", 64),
        ("HUBLAB_WORKERS", " 5 ", "workers", 5),
        ("HUBLAB_WORKERS", "", "workers", 3),
        ("HUBLAB_WORK_POOL", "pool-1.b_c", "work_pool", "pool-1.b_c"),
        ("HUBLAB_WORK_QUEUES", "a, b,,a", "work_queues", ("a", "b")),
        ("HUBLAB_WORKERS", "1", "campaign_queues", ("campaign-handlers", "campaign")),
        ("HUBLAB_CAMPAIGN_QUEUE", "mails", "campaign_queues", ("mails-handlers", "mails")),
        ("HUBLAB_CONCURRENCY", "100", "concurrency", 100),
        ("HUBLAB_DRAIN_SECONDS", "86400", "drain_seconds", 86_400),
        ("HUBLAB_DRAIN_SECONDS", "1", "drain_seconds", 1),
        ("HUBLAB_GATE_SECONDS", "10", "gate_seconds", 10),
        ("HUBLAB_GATE_SECONDS", "3600", "gate_seconds", 3_600),
        ("HUBLAB_CANARY_SECONDS", "", "canary_seconds", 0),
        ("HUBLAB_CANARY_SECONDS", "86400", "canary_seconds", 86_400),
        ("HUBLAB_MEMORY_MAX", "512M", "memory_max", "512M"),
        ("HUBLAB_PYTHON", "3.13", "python", "3.13"),
        ("HUBLAB_PYTHON", "/opt/python/bin/python3", "python", "/opt/python/bin/python3"),
        ("HUBLAB_READ_PATHS", "/srv/flows, /var/lib/code", "read_paths", ("/srv/flows", "/var/lib/code")),
        ("HUBLAB_WRITE_PATHS", "/srv/out, /var/lib/out", "write_paths", ("/srv/out", "/var/lib/out")),
        ("HUBLAB_ALLOW_NETWORKS", "10.1.0.0/16, 192.168.7.5", "allow_networks", ("10.1.0.0/16", "192.168.7.5/32")),
        ("HUBLAB_ALLOW_NETWORKS", "fd00::/8,fd00::/8", "allow_networks", ("fd00::/8",)),
        ("HUBLAB_ALLOW_NETWORKS", "any", "allow_networks", ("any",)),
        ("HUBLAB_ALLOW_LISTEN", "yes", "allow_listen", True),
        ("HUBLAB_ALLOW_LISTEN", "no", "allow_listen", False),
        ("HUBLAB_ALLOW_NETWORKS", "any", "allow_listen", True),
        ("HUBLAB_ALLOW_NETWORKS", "10.1.0.0/16", "allow_listen", False),
        ("HUBLAB_WHEELS", "index", "wheels", "index"),
        ("TESTING_MODE", "", "testing", False),
        ("TESTING_MODE", "no", "testing", False),
        ("TESTING_MODE", "true", "testing", True),
        ("TESTING_MODE", "On", "testing", True),
        ("PREFECT_API_URL", "http://10.0.0.1:4200/api/", "api_url", "http://10.0.0.1:4200/api"),
        ("PREFECT_API_AUTH_STRING", "admin:a b:c", "auth_string", Secret("admin:a b:c")),
        ("PREFECT_API_KEY", "pnu_1", "api_key", Secret("pnu_1")),
    ],
)
def test_value_that_is_right_is_taken(key: str, value: str, name: str, read: object) -> None:
    assert getattr(parse({**GOOD, key: value}, SOURCE), name) == read


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("HUBLAB_WORKERS", "0", "from 1 to 64"),
        ("HUBLAB_ALLOW_LISTEN", "8080", "is neither yes nor no"),
        ("HUBLAB_WORKERS", "65", "from 1 to 64"),
        ("HUBLAB_WORKERS", "-1", "from 1 to 64"),
        ("HUBLAB_WORKERS", "3.0", "from 1 to 64"),
        ("HUBLAB_WORKERS", "²", "from 1 to 64"),
        ("HUBLAB_WORK_POOL", "a/b", "is not a name"),
        ("HUBLAB_WORK_POOL", "-a", "is not a name"),
        ("HUBLAB_WORK_POOL", "a\nb", "is not a name"),
        ("HUBLAB_WORK_POOL", "two words", "is not a name"),
        ("HUBLAB_WORK_POOL", "x" * 64, "is not a name"),
        ("HUBLAB_WORK_QUEUES", ",", "names nothing"),
        ("HUBLAB_HOSTS", "host:" + "9" * 5000, "is not [user@]host[:port]"),
        ("HUBLAB_WORKERS", "1" * 5000, "from 1 to 64"),
        ("HUBLAB_SSH_KEY", "~nosuchuser/key", "is not a file"),
        ("HUBLAB_SSH_KEY", "/" + "x" * 5000, "is not a file"),
        ("HUBLAB_READ_PATHS", "/var/../root", "is not a plain absolute path"),
        ("HUBLAB_READ_PATHS", "//root", "is not a plain absolute path"),
        ("HUBLAB_READ_PATHS", "/.", "is not a plain absolute path"),
        ("PREFECT_API_URL", "http://[::1/api", "ends in /api"),
        ("PREFECT_API_URL", "http://a b/api", "ends in /api"),
        ("PREFECT_API_URL", "http://host:99999/api", "ends in /api"),
        ("PREFECT_API_URL", "http://host/api\nEnvironment=X=1", "ends in /api"),
        ("HUBLAB_WORK_QUEUES", "a%b", "queue"),
        ("HUBLAB_CAMPAIGN_QUEUE", "a%b", "is not a name"),
        ("HUBLAB_CAMPAIGN_QUEUE", "probe-hublab-1-1", "is not a name"),
        ("HUBLAB_CAMPAIGN_QUEUE", "x" * 51, "is not a name"),
        ("HUBLAB_WORK_QUEUES", "probe-hublab-1-1", "probe-"),
        ("HUBLAB_CONCURRENCY", "0", "from 1 to 100"),
        ("HUBLAB_CONCURRENCY", "101", "from 1 to 100"),
        ("HUBLAB_DRAIN_SECONDS", "0", "from 1 to 86400"),
        ("HUBLAB_DRAIN_SECONDS", "86401", "from 1 to 86400"),
        ("HUBLAB_DRAIN_SECONDS", "15m", "from 1 to 86400"),
        ("HUBLAB_GATE_SECONDS", "9", "from 10 to 3600"),
        ("HUBLAB_GATE_SECONDS", "3601", "from 10 to 3600"),
        ("HUBLAB_CANARY_SECONDS", "86401", "from 0 to 86400"),
        ("HUBLAB_MEMORY_MAX", "4", "512M or 4G"),
        ("HUBLAB_MEMORY_MAX", "0G", "512M or 4G"),
        ("HUBLAB_MEMORY_MAX", "4GB", "512M or 4G"),
        ("HUBLAB_PYTHON", "3.11", "nor an absolute path"),
        ("HUBLAB_PYTHON", "python3.12", "nor an absolute path"),
        ("HUBLAB_READ_PATHS", "flows", "absolute path"),
        ("HUBLAB_READ_PATHS", "/root/flows", "outside /root"),
        ("HUBLAB_READ_PATHS", "/home/a", "outside /root, /home"),
        ("HUBLAB_READ_PATHS", "/etc/hublab", "/etc"),
        ("HUBLAB_READ_PATHS", "/srv/a b", "absolute path"),
        ("HUBLAB_READ_PATHS", "/srv/%h", "absolute path"),
        ("HUBLAB_WRITE_PATHS", "/usr/local/bin", "/usr"),
        ("HUBLAB_WRITE_PATHS", "/srv/a:b", "absolute path"),
        ("HUBLAB_WRITE_PATHS", "/opt/hublab/current", "outside"),
        ("HUBLAB_WRITE_PATHS", "/var/lib", "outside"),
        ("HUBLAB_ALLOW_NETWORKS", "10.1.2.3/16", "has host bits set"),
        ("HUBLAB_ALLOW_NETWORKS", "private", "10.1.0.0/16 nor `any`"),
        ("HUBLAB_ALLOW_NETWORKS", "example.com", "10.1.0.0/16 nor `any`"),
        ("HUBLAB_WHEELS", "auto", "neither push nor index"),
        ("HUBLAB_SSH_KEY", "/nowhere/id_ed25519", "not a file on this machine"),
        ("HUBLAB_SSH_KNOWN_HOSTS", "/nowhere/known_hosts", "not a file on this machine"),
        ("PREFECT_API_URL", "prefect.example.com/api", "ends in /api"),
        ("PREFECT_API_URL", "ftp://prefect.example.com/api", "ends in /api"),
        ("PREFECT_API_URL", "https://prefect.example.com", "ends in /api"),
        ("PREFECT_API_URL", "https:///api", "ends in /api"),
    ],
)
def test_bad_value_is_refused_by_key_value_and_remedy(key: str, value: str, remedy: str) -> None:
    message = refusal(**{key: value})
    assert message.startswith(f".env: {key}: {value[:80]!r} ")
    assert remedy in message
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("key", ["HUBLAB_HOSTS", "PREFECT_API_URL"])
@pytest.mark.parametrize("value", [None, "", "  "])
def test_what_has_no_default_must_be_given(key: str, value: str | None) -> None:
    values = {name: given for name, given in GOOD.items() if name != key} | ({} if value is None else {key: value})
    with pytest.raises(SettingsError, match=rf"^\.env: {key}: missing\. .+example|^\.env: {key}: missing\. Name"):
        parse(values, SOURCE)


def test_all_faults_at_once() -> None:
    message = refusal(HUBLAB_WORKERS="0", HUBLAB_MEMORY_MAX="lots", HUBLAB_HOSTS="a b", HUBLAB_WORKRES="3")
    assert len(message.splitlines()) == 4
    assert all(line.startswith(".env: HUBLAB_") for line in message.splitlines())


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("HUBLAB_WORKRES", "did you mean HUBLAB_WORKERS?"),
        ("HUBLAB_HOST", "did you mean HUBLAB_HOSTS?"),
        ("PREFECT_API_ULR", "did you mean PREFECT_API_URL?"),
        ("SOMETHING_ELSE", "remove it; .env.example lists the keys."),
    ],
)
def test_unknown_key_is_refused_with_the_nearest_one(key: str, hint: str) -> None:
    assert refusal(**{key: "3"}) == f".env: {key}: unknown key; {hint}"


@pytest.mark.parametrize("key", ["PREFECT_API_AUHT_STRING", "prefect_api_auth_string", "PASSWROD"])
def test_the_value_of_an_unknown_key_is_not_shown(key: str) -> None:
    """It may be a credential under a misspelt name."""
    assert "correct-horse" not in refusal(**{key: "user:correct-horse"})


def test_a_url_with_a_password_is_not_shown() -> None:
    message = refusal(PREFECT_API_URL="https://user:correct-horse@host/x")
    assert "correct-horse" not in message
    assert "carries a password" in message


@pytest.mark.parametrize("path", ["~nosuchuser/own", "own\0", "/" + "x" * 5000], ids=["no home", "NUL", "too long"])
@pytest.mark.parametrize("key", ["HUBLAB_CAMPAIGNS", "HUBLAB_EXTRA_REQUIREMENTS", "HUBLAB_ENVIRONMENT"])
def test_what_can_be_no_path_is_refused_by_its_key(key: str, path: str) -> None:
    (message,) = refusal(**{key: path}).splitlines()
    assert message.startswith(f".env: {key}: ")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"PREFECT_API_AUTH_STRING": "admin:x", "PREFECT_API_KEY": "pnu_1"},
            "PREFECT_API_KEY: set together with PREFECT_API_AUTH_STRING. Keep the one that the server asks for.",
        ),
        (
            {"PREFECT_API_AUTH_STRING": "admin"},
            "PREFECT_API_AUTH_STRING: has no colon. The server expects user:password.",
        ),
    ],
)
def test_credential_that_no_server_takes_is_refused(values: dict[str, str], said: str) -> None:
    assert refusal(**values) == f".env: {said}"


def test_what_this_file_leaves_out_is_asked_of_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checkout's own `.env`, where another file decides, has no say in it, and no fault of its own to be told."""
    monkeypatch.setattr("deploy.env_file.decide", lambda *_: pytest.fail("another file was looked for"))
    parse(GOOD, SOURCE)


def test_hosts_that_are_only_a_comma_are_missing() -> None:
    assert "HUBLAB_HOSTS: missing" in refusal(HUBLAB_HOSTS=",")


def test_a_line_without_a_value_is_refused() -> None:
    with pytest.raises(SettingsError, match="HUBLAB_WORKERS: a line without a value"):
        parse({**GOOD, "HUBLAB_WORKERS": None}, SOURCE)


@pytest.mark.parametrize(
    "key",
    [
        *(key for key in CAMPAIGN_KEYS if key != "HUBLAB_CAMPAIGN_QUEUE"),
        *(environment_name(name) for name in BLOCKS),
        "NOTION_TOKEN",
        "RESEND_API_KEY",
        "TESTING_MODE",
        "WEBHOOK_PORT",
        "CALENDLY_URL",
        "CAMPAIGN_X",
        "FUNNEL_Y",
    ],
)
def test_the_campaigns_keys_are_its_own_affair(key: str) -> None:
    parse({**GOOD, key: "anything at all"}, SOURCE)


def test_every_setting_of_the_flows_may_stand_in_the_same_file() -> None:
    assert set(CAMPAIGN_KEYS) <= set(PLAIN)
    assert set(PLAIN) - set(CAMPAIGN_KEYS) == {"HUBLAB_WORK_POOL"}  # the deploy's own key: both ask for it


def test_the_example_names_exactly_the_keys_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing else set: a key that is asked for only beside another would be unknown without that one."""
    asked = set[str]()
    monkeypatch.setattr("deploy.settings._refuse_unknown", lambda read: asked.update(read.asked))
    parse(GOOD, SOURCE)
    ours = {key for key in asked if key.startswith(("HUBLAB_", "PREFECT_"))} - {"HUBLAB_CAMPAIGN_QUEUE"}
    assert set(EXAMPLE) == ours | {
        "HUBLAB_SENDER",
        "HUBLAB_PUBLIC_URL",
        "HUBLAB_REPLY_TO",
        "HUBLAB_CALENDLY_LINK",
        "HUBLAB_PORTAL_URL",
        "HUBLAB_TIMEZONE",
        "HUBLAB_ALERT_MINUTES",
    }


@pytest.mark.parametrize(
    "values",
    [
        {"PREFECT_API_AUTH_STRING": SENTINEL},
        {"PREFECT_API_AUTH_STRING": f"a:{SENTINEL}", "PREFECT_API_KEY": SENTINEL},
        {"PREFECT_API_KEY": f"{SENTINEL}\n{SENTINEL}"},
        {"PREFECT_API_KEY": SENTINEL * 400},
        {"PREFECT_API_AUTHSTRING": f"a:{SENTINEL}"},
        {"PREFECT_APIKEY": SENTINEL},
        {"HUBLAB_TOKEN": SENTINEL},
        {"PREFECT_API_URL": f"https://admin:{SENTINEL}@prefect.example.com/api"},
    ],
)
def test_no_error_shows_a_secret(values: dict[str, str]) -> None:
    message = refusal(**values)
    assert any(key in message for key in values)
    assert SENTINEL not in message


def test_nothing_that_shows_settings_shows_a_secret() -> None:
    found = parse({**GOOD, "PREFECT_API_AUTH_STRING": f"admin:{SENTINEL}"}, SOURCE)
    secret = found.auth_string
    assert secret is not None
    assert secret.reveal() == f"admin:{SENTINEL}"
    assert SENTINEL not in f"{found!r} {found} {secret} {secret!r} {[secret]}"


@settings(max_examples=80, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([key for key in EXAMPLE if key not in PATHS_AND_URLS]) | st.text(max_size=8),
        st.text(max_size=20) | st.sampled_from(["a:b", "3", "/srv", "~", "1M", "a@b:1", "[::1]", "[::1", "a,b", "٣"]),
    )
)
def test_parse_raises_its_own_error_only(values: dict[str, str]) -> None:
    """Whatever is in the file; paths of this machine and the URL have cases of their own above."""
    with contextlib.suppress(SettingsError):
        parse({**GOOD, **values}, SOURCE)


def test_workers_poll_the_campaigns_queues_by_the_names_under_which_the_flows_register() -> None:
    for named in ({}, {"HUBLAB_CAMPAIGN_QUEUE": "mails"}):
        flows = FlowsSettings(named)
        assert parse({**GOOD, **named}, SOURCE).campaign_queues == (flows.handlers_queue, flows.mails_queue)
