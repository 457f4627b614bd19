"""What a sandbox could leave behind on the operator's machine."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox.layout import Layout


@dataclass(frozen=True)
class Traces:
    processes: frozenset[str]
    mounts: frozenset[str]
    interfaces: frozenset[str]
    routes: frozenset[str]
    cgroups: frozenset[str]
    files: frozenset[str]


def of(layout: Layout) -> Traces:
    """Find by means that the sandbox does not use itself whatever bears its name or lives in its folder."""
    links = json.loads(subprocess.run(["ip", "-j", "link"], capture_output=True, text=True, check=True).stdout)
    routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout.splitlines()
    return Traces(
        processes=frozenset(_processes(layout)),
        mounts=frozenset(
            line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(layout.root) in line
        ),
        interfaces=frozenset(link["ifname"] for link in links if layout.tag in link["ifname"]),
        routes=frozenset(line for line in routes if layout.bridge in line),
        cgroups=frozenset(path for path, _, _ in os.walk("/sys/fs/cgroup") if layout.cgroup in path),
        files=frozenset(entry.name for entry in layout.root.parent.iterdir()),
    )


def _processes(layout: Layout) -> list[str]:
    """Processes that name its folder, or see it as a part of their file system."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            words = (process / "cmdline").read_bytes() + (process / "mountinfo").read_bytes()
        except OSError:  # it ended while we looked
            continue
        if os.fsencode(layout.root) in words:
            found.append(process.name)
    return found
