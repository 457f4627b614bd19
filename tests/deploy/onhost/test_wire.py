"""What travels comes back as it was, and what is no such thing is told by its field and never by its value."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.onhost.lock import Held
from deploy.onhost.record import Line
from deploy.onhost.wire import WireError, decode, encode
from deploy.state import Claim, Deployment, FileFacts, HostState, LegacyUnit, Pool, PortFault, Starter, Step
from tests.deploy.factories import SENTINEL, converged, legacy, wanted

WHOLE = converged(
    wanted(),
    claims=(Claim(7, "eve", "x", "it is none", container=True),),
    legacy=(legacy(), legacy(unit=None)),
    legacy_units=(LegacyUnit("x.service"),),
    starters=(Starter("/etc/crontab", 3, ""),),
    webhooks_port=PortFault("", 9, None, "y"),
    pool=Pool(there=True, limit=3, template={"variables": [1, {"a": None}]}),
    deployments=(Deployment("d", "f.go", steps=(Step("s", ("a", "b")),), there=False),),
    deploys=(Line("ada", previous=None, workers=("h-1",), seconds=1.5), Line(seconds=2)),
    kept={"r": {"u": "text"}},
    skew=1,
)


def test_state_of_a_host_comes_back_as_it_was() -> None:
    assert decode(HostState, encode(WHOLE)) == WHOLE
    bare = replace(WHOLE, files={"/etc/hublab": None, "/x": FileFacts("0755", 0, 0, "")}, webhooks=None, pool=None)
    assert decode(HostState, encode(bare)) == bare


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ("[]", "HostState is list, not HostState"),
        ('{"systemd": "SECRET"}', "HostState.systemd is str, not int"),
        ('{"booted": 1}', "HostState.booted is int, not bool"),
        ('{"users": {}}', "HostState.users is dict, not frozenset"),
        ('{"workers": {"1": {"pids": "SECRET"}}}', "HostState.workers.1 has pids, which is not known"),
        ('{"workers": {"one": {}}}', "HostState.workers has a key that is not int"),
        ('{"workers": {"1": {"number": 1}}}', "HostState.workers.1: .* missing 1 required positional argument"),
        ('{"legacy": [{"pid": null}]}', "HostState.legacy.pid is NoneType, not int"),
    ],
)
def test_answer_of_another_shape_is_told_by_its_field(text: str, said: str) -> None:
    with pytest.raises(WireError, match=said) as told:
        decode(HostState, text.replace("SECRET", SENTINEL))
    assert SENTINEL not in str(told.value)


def test_lock_is_written_as_the_shell_looks_for_it() -> None:
    """`under_lock.py` greps for it, and hosts of other releases read it."""
    held = Held("ada", "deploy", "t", "now", 1.0, 2.0)
    assert encode(held) == (
        '{"who": "ada", "what": "deploy", "token": "t", "since": "now", "began": 1.0, "refreshed": 2.0}'
    )
