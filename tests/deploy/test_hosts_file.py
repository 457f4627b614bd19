"""`hosts.toml`: what one host has otherwise than all others, in `.env`'s words; what cannot be meant is named."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from deploy import hosts_file
from deploy.hosts_file import Target
from deploy.limit import limited
from deploy.settings import Settings, SettingsError, load, parse, worker_host
from deploy.ssh import config

if TYPE_CHECKING:
    from deploy.spec import WorkerHost

ENV = {
    "HUBLAB_HOSTS": "h1,ops@h2:2222,[fd00::1],coolify:h4sk0gcs8w0kk4go4o8scwcg",
    "PREFECT_API_URL": "https://prefect.example.com/api",
    "HUBLAB_COOLIFY_URL": "https://coolify.example.com",
    "HUBLAB_COOLIFY_TOKEN": "1|abc",
    "HUBLAB_WORKERS": "2",
    "HUBLAB_READ_PATHS": "/srv/all",
    "HUBLAB_WORK_QUEUES": "default,mails",
}


def read(text: str, **more: str) -> Settings:
    return parse(ENV | more, Path(".env"), tomllib.loads(text))


def wanted(found: Settings) -> dict[str, WorkerHost]:
    return {target.address: worker_host(found, target) for target in found.hosts}


@pytest.mark.parametrize("line", ['allow = ["jit"]', 'environment = ""'])
def test_application_is_not_promised_what_only_a_host_gets(line: str) -> None:
    key = line.partition(" ")[0]
    with pytest.raises(
        SettingsError, match=rf"^hosts\.toml: coolify:h4sk\w+: {key}: does nothing for an application of Coo"
    ):
        read(f'["coolify:h4sk0gcs8w0kk4go4o8scwcg"]\n{line}\n')
    read(f'["h1"]\n{line}\n')


def test_host_has_its_own_and_the_others_what_env_says() -> None:
    found = wanted(
        read("""
[h1]
workers = 6
work_pool = "gpu"
work_queues = ["fast", "slow"]
concurrency = 1
memory_max = "12G"
python = "3.13"
drain_seconds = 60
gate_seconds = 90
read_paths = ["/srv/flows"]
write_paths = ["/srv/out", "/srv/more"]
allow_networks = ["10.1.0.0/16"]
allow_listen = true
["fd00::1"]
workers = 1
read_paths = []
["coolify:h4sk0gcs8w0kk4go4o8scwcg"]
work_pool = "boxes"
""")
    )
    one = found["h1"]
    assert (one.workers, one.work_pool, one.work_queues, one.concurrency) == (6, "gpu", ("fast", "slow"), 1)
    assert (one.memory_max, one.python, one.drain_seconds, one.gate_seconds) == ("12G", "3.13", 60, 90)
    assert (one.read_paths, one.write_paths) == (("/srv/flows",), ("/srv/out", "/srv/more"))
    assert (one.allow_networks, one.allow_listen) == (("10.1.0.0/16",), True)
    assert (found["h2"].workers, found["h2"].work_pool, found["h2"].allow_listen) == (2, "default", False)
    assert (found["fd00::1"].read_paths, found["h2"].read_paths) == ((), ("/srv/all",))
    assert (found["fd00::1"].workers, found["fd00::1"].work_queues) == (1, ("default", "mails"))
    assert found["coolify:h4sk0gcs8w0kk4go4o8scwcg"].work_pool == "boxes"


def test_host_is_reached_by_its_own_user_port_and_key() -> None:
    key = str(Path(__file__))
    found = read(f'[h1]\nuser = "deploy"\nport = 2022\nssh_key = "{key}"\n[h2]\nuser = "other"\nport = 1\n')
    assert found.hosts[:2] == (Target("h1", "deploy", 2022, key), Target("h2", "ops", 2222)), (
        "HUBLAB_HOSTS counts first"
    )
    text = config(found)
    assert f'Host h1\nIdentityFile "{key}"\nIdentitiesOnly yes\n' in text
    assert text.count("IdentityFile") == 1
    both = config(read(f'[h1]\nssh_key = "{key}"', HUBLAB_SSH_KEY=__file__))
    assert both.count("IdentityFile") == 3  # each host that SSH reaches has one


def test_tables_are_the_hosts_where_env_names_none() -> None:
    found = read('["fd00::1"]\n[web-1]\nuser = "ops"\n["coolify:h4sk0gcs8w0kk4go4o8scwcg"]\n', HUBLAB_HOSTS="")
    assert found.hosts == (Target("fd00::1"), Target("web-1", "ops"), Target("coolify:h4sk0gcs8w0kk4go4o8scwcg"))
    with pytest.raises(SettingsError, match=r"HUBLAB_HOSTS: missing"):
        read("", HUBLAB_HOSTS="")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[h11]\nworkers = 1", "hosts.toml: 'h11' is no host of HUBLAB_HOSTS; did you mean h1?"),
        ("[h1]\nworker = 1", "hosts.toml: h1: worker: unknown key; did you mean workers?"),
        ("[h1]\nHUBLAB_WORKERS = 1", "hosts.toml: h1: HUBLAB_WORKERS: unknown key; did you mean workers?"),
        ("[h1]\nauth_string = 'a:b'", "hosts.toml: h1: auth_string: unknown key; there are: workers, "),
        ("[h1]\nworkers = 65", "hosts.toml: h1: workers: '65' is not a whole number from 1 to 64"),
        ("[h1]\nworkers = 1.5", "hosts.toml: h1: workers: '1.5' is neither a text, a number"),
        ("[h1]\nworkers = true", "hosts.toml: h1: workers: 'yes' is not a whole number"),
        ("[h1]\nwork_queues = []", "hosts.toml: h1: work_queues: '' is empty; leave it out"),
        ("[h1]\nwork_pool = ''", "hosts.toml: h1: work_pool: '' is empty; leave it out"),
        ("[h1]\nwork_queues = [{}]", "hosts.toml: h1: work_queues: '[{}]' is neither a text"),
        ("[h1]\nmemory_max = '4GB'", "hosts.toml: h1: memory_max: '4GB' is not a size"),
        ("[h1]\nwrite_paths = ['/etc/x']", "hosts.toml: h1: write_paths: '/etc/x' is not a plain absolute path"),
        ("[h1]\nport = 70000", "hosts.toml: h1: port: '70000' is not a whole number"),
        ("[h1]\nuser = 'a;b'", "hosts.toml: h1: user: 'a;b' is no user's name"),
        ("[h1]\nuser = '-oProxyCommand=x'", "hosts.toml: h1: user: '-oProxyCommand=x' is no user's name"),
        (
            "[h1]\nssh_key = '/none'",
            "hosts.toml: h1: ssh_key: '/none' is not a file on this machine; correct the path, or leave it out",
        ),
    ],
)
def test_line_that_cannot_be_meant_is_named_with_its_remedy(text: str, said: str) -> None:
    with pytest.raises(SettingsError) as refusal:
        read(text)
    (line,) = str(refusal.value).splitlines()
    assert line.startswith(said)


def test_fault_of_env_is_said_once_however_many_hosts_there_are() -> None:
    with pytest.raises(SettingsError) as refusal:
        read("[h1]\nworkers = 1\n[h2]\nconcurrency = 2", HUBLAB_WORKERS="0")
    assert str(refusal.value) == ".env: HUBLAB_WORKERS: '0' is not a whole number from 1 to 64"


def test_file_lies_beside_the_one_that_decides(tmp_path: Path) -> None:
    env = tmp_path / "env"
    env.write_text("HUBLAB_HOSTS=h1\nPREFECT_API_URL=http://p/api\n")
    assert load(env).own == {}
    (tmp_path / hosts_file.NAME).write_text("[h1]\nworkers = 7\n")
    found = limited(load(env), {"LIMIT": "h1"})
    assert worker_host(found, found.hosts[0]).workers == 7
    refused = {
        "workers = 7": "stands before the first host",
        "[h1": "is not TOML",
        "[h1.example.com]\nworkers = 7": r'in quotes: \["h1\.example\.com"\]',
        "[10.0.0.1]": r'in quotes: \["10\.0\.0\.1"\]',
    }
    for text, said in refused.items():
        (tmp_path / hosts_file.NAME).write_text(text)
        with pytest.raises(SettingsError, match=rf"hosts\.toml: .*{said}"):
            load(env)
    (tmp_path / hosts_file.NAME).write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="cannot be read"):
        load(env)


def test_one_that_others_can_write_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("".join(f"{key}={value}\n" for key, value in ENV.items()))
    tables = tmp_path / "hosts.toml"
    tables.write_text('["h1"]\nworkers = 7\n')
    tables.chmod(0o664)
    with pytest.raises(SettingsError, match=rf"^{tables}: mode 0664: its group or .* -> chmod 600 {tables}$"):
        load(tmp_path / ".env")


def test_preflight_and_the_campaigns_queues_are_about_the_pool_that_env_names() -> None:
    found = wanted(read("[h1]\nwork_pool = 'gpu'", HUBLAB_PREFLIGHT="required"))
    assert (found["h1"].preflight, found["h2"].preflight) == (False, True)
    assert not found["h1"].campaign_queues
    assert found["h2"].campaign_queues
