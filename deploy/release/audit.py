"""`./hublab audit`: is a vulnerability known in what the lock names? By pip-audit, against the service of osv.dev."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

from deploy.onhost.common import counted
from deploy.release.requirements import LOCK

CLEAN, FOUND, NOT_ASKED = 0, 1, 3
OSV = "https://api.osv.dev/v1/query"
TIMEOUT_SECONDS = "15"


def verdict(found: dict[str, Any]) -> tuple[int, list[str]]:
    """The exit status and what to say, for what pip-audit found. Pure."""
    items = found["dependencies"]
    lines = [
        f"{item['name']} {item['version']}: {flaw['id']}" + (f", mended in {fixed}" if fixed else ", not mended yet")
        for item in items
        for flaw in item.get("vulns", ())
        for fixed in [", ".join(flaw["fix_versions"])]
    ]
    skipped = [item["name"] for item in items if "skip_reason" in item]
    if skipped:
        lines.append(f"NOT looked at: {len(skipped)} of {len(items)} packages ({', '.join(skipped[:3])}, …)")
    if not items or skipped:
        return NOT_ASKED, [*lines, "The audit is NOT complete: its service did not know them, or nothing was asked."]
    if lines:
        known = counted(len(lines), "known vulnerability", "known vulnerabilities")
        return FOUND, [*lines, f"{known}. Raise the versions in pyproject.toml, `make lock`."]
    return CLEAN, [f"no vulnerability is known in the {len(items)} packages of {LOCK.name}"]


def main(arguments: list[str] | None = None) -> int:
    """0: none is known; 1: some are; 3: the service could not be asked, or not about all of it."""
    parser = argparse.ArgumentParser(prog="python -m deploy.release.audit", description=__doc__)
    parser.add_argument("--osv-url", default=OSV, help=f"the service (default {OSV})")
    url = parser.parse_args(arguments).osv_url
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(LOCK), "--require-hashes", "--disable-pip",
               "--vulnerability-service", "osv", "--osv-url", url, "--format", "json", "--progress-spinner", "off",
               "--timeout", TIMEOUT_SECONDS]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        status, lines = verdict(json.loads(done.stdout))
    except (ValueError, KeyError, TypeError):
        reason = (done.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        status, lines = NOT_ASKED, [f"The audit did NOT happen: {url} could not be asked.", reason[:300]]
    sys.stdout.write("\n".join(lines) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
