"""The addresses that a worker cannot do without, as a host resolves them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.onhost.addresses import reach

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def resolv_conf(tmp_path: Path) -> str:
    path = tmp_path / "resolv.conf"
    lines = ["# nameserver 9.9.9.9", "search example.com", "nameserver 10.0.0.2", " nameserver 8.8.8.8"]
    path.write_text("\n".join([*lines, "nameserver fe80::1%eth0", ""]))
    return str(path)


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("http://10.1.2.3:4200/api", ["10.1.2.3"]),
        ("http://[fd00::7]:4200/api", ["fd00::7"]),
        ("https://no-such-host.invalid/api", []),
        ("https://" + 70 * "x" + ".example.com/api", []),
    ],
)
def test_the_apis_and_the_name_servers(resolv_conf: str, url: str, addresses: list[str]) -> None:
    assert reach(url, resolv_conf) == sorted(["10.0.0.2", "fe80::1", *addresses])


def test_a_name_has_all_its_addresses(resolv_conf: str) -> None:
    assert "127.0.0.1" in reach("http://localhost:4200/api", resolv_conf)


def test_no_resolver_at_all(tmp_path: Path) -> None:
    assert reach("http://10.1.2.3/api", str(tmp_path / "none")) == ["10.1.2.3"]
