"""Drop-ins for our units: aside while a rollout goes on, back when it fails, kept elsewhere when it passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy import spec
from deploy.onhost import drop_ins

UNIT = "prefect-worker@1.service"
OURS = (f"etc/{UNIT}.d/a.conf", "run/prefect-worker@.service.d/b.conf")
OTHERS = ("etc/prefect-worker@2.service.d/c.conf", "etc/service.d/d.conf")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(drop_ins, "PLACES", (str(tmp_path / "etc"), str(tmp_path / "run")))
    for name in (*OURS, *OTHERS):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(name)
    return tmp_path


def there(host: Path) -> set[str]:
    return {name for name in (*OURS, *OTHERS) if (host / name).exists()}


def test_ours_go_aside_and_come_back(host: Path, capsys: pytest.CaptureFixture[str]) -> None:
    drop_ins.set_aside(UNIT, host / "before")
    assert there(host) == set(OTHERS)
    assert f"etc/{UNIT}.d is moved aside" in capsys.readouterr().out
    drop_ins.bring_back(UNIT, host / "before")
    assert there(host) == {*OURS, *OTHERS}
    assert (host / OURS[0]).read_text() == OURS[0]


def test_what_was_made_anew_meanwhile_stays(host: Path) -> None:
    drop_ins.set_aside(UNIT, host / "before")
    (host / OURS[0]).parent.mkdir()
    (host / OURS[0]).write_text("newer")
    drop_ins.bring_back(UNIT, host / "before")
    assert (host / OURS[0]).read_text() == "newer"


def test_after_a_rollout_that_passed_they_are_kept_where_nothing_reads_them(host: Path) -> None:
    drop_ins.set_aside(UNIT, host / "before")
    drop_ins.retire(host / "before", host / "retired/drop-ins")
    drop_ins.bring_back(UNIT, host / "before")
    assert there(host) == set(OTHERS)
    assert [path.read_text() for path in (host / "retired").rglob("a.conf")] == [OURS[0]]


def test_nothing_set_aside_is_nothing_to_retire(tmp_path: Path) -> None:
    drop_ins.retire(tmp_path / "before", tmp_path / "retired")
    assert not (tmp_path / "retired").exists()


@pytest.mark.parametrize("place", ["/usr/lib/systemd/system", "/usr/local/lib/systemd/system"])
def test_what_a_package_brings_goes_aside_too(place: str) -> None:
    """It counts as a change of the unit: left where it is, each deploy would restart the worker."""
    assert spec.owns_drop_in(f"{place}/{UNIT}.d/a.conf")
    assert Path(f"{place}/{UNIT}.d") in drop_ins.folders(UNIT)
