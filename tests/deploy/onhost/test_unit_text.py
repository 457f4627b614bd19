"""A unit is judged by its own text: what the deploy renders into it is what the host reads out of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.onhost import unit_text
from deploy.onhost.common import HostError
from deploy.service import unit
from tests.deploy.factories import wanted

NAMES = st.text(
    st.characters(categories=("L", "N", "P", "S", "Zs"), exclude_characters="\x85"), min_size=1, max_size=30
)


def rendered(**changes: object) -> str:
    return unit.render(wanted(**changes), hostname="h", number=2, release="r1", python_prefix="/usr")


@given(pool=NAMES)
def test_pool_of_any_name_is_read_back_from_the_unit(pool: str) -> None:
    assert unit_text.told(rendered(work_pool=pool), "HUBLAB_WORK_POOL") == pool


@pytest.mark.parametrize("url", ["https://prefect.example.com/api", "http://[fd00::1]:4200/api", "http://h/a%20b/api"])
def test_address_of_the_api_is_read_back_from_the_unit(url: str) -> None:
    assert unit_text.told(rendered(api_url=url), "PREFECT_API_URL") == url


def test_all_that_a_gate_needs_is_read_back_from_the_unit() -> None:
    text = rendered(drain_seconds=77)
    assert unit_text.told(text, "HUBLAB_WORKER_NAME") == "h-2"
    assert unit_text.directive(text, "User") == "hublab-worker-2"
    assert unit_text.stop_seconds(text) == 137
    assert unit_text.release_folder(text) == "/opt/hublab/releases/r1"
    assert unit_text.credentials(text) == {
        name: f"/etc/hublab/{name}" for name in ("profiles.toml", "environment.json")
    }


def test_unit_of_somebody_else_is_told_from_ours() -> None:
    with pytest.raises(HostError, match="sets no HUBLAB_WORK_POOL: no deploy has written it"):
        unit_text.told("[Service]\nExecStart=/srv/venv/bin/prefect worker start\n", "HUBLAB_WORK_POOL")
    assert unit_text.stop_seconds("TimeoutStopSec=infinity\n") == 90
    assert unit_text.release_folder("") == ""
