"""What stands in the way of a deploy to one host. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy import pool, spec
from deploy.env_values import NAME
from deploy.onhost.unit_text import environment
from deploy.problem import Problem

if TYPE_CHECKING:
    from deploy.state import HostState

# A release takes 420 MB with its byte code, the wheels 45 MB once, and their archive as much again.
NEEDED_BYTES = 700 * 1024 * 1024
SPARE_BYTES = 50 * 1024 * 1024
OLDEST_SYSTEMD = 250  # %d in Environment= came with 250
HTTP_OK = 200
REFUSED = (401, 403)
MOST_SKEW = 60.0  # seconds; runs are due by the minute


def find(host: spec.WorkerHost, state: HostState) -> list[Problem]:
    """What stands in the way on a host, whatever the plan; the first questions first."""
    early = {
        "sudo": Problem(
            f"sudo is refused to user {state.found or '?'}",
            "give the user sudo without a password, or name root in HUBLAB_HOSTS",
        ),
        "python": Problem(
            f"HUBLAB_PYTHON: no Python {_wish(host)} on the host (found: {state.found or 'none'})",
            "`./hublab deploy` brings one"
            if state.brings
            else "install Python 3.12 or 3.13 there, or give the interpreter's absolute path in HUBLAB_PYTHON",
        ),
        "silent": Problem(
            "the host answered nothing to the first question",
            "see what it printed: .venv/bin/pyinfra -vvv --dry deploy/inventory.py deploy/workers.py",
        ),
    }
    if state.problem:
        return [early[state.problem]]
    found = []
    if not (state.python_fits or state.brings):
        found.append(
            Problem(
                f"HUBLAB_PYTHON: the host has no Python {_wish(host)} (found: {state.python_version}), "
                f"and none is known that could be brought ({state.machine}, {state.libc or 'an unknown C library'})",
                "install Python 3.12 or 3.13 there, or name one that is there in HUBLAB_PYTHON",
            )
        )
    if not state.booted or state.systemd < OLDEST_SYSTEMD:
        found.append(
            Problem(
                f"systemd {state.systemd} is not running as process 1, or older than {OLDEST_SYSTEMD}",
                "use Debian 12 or later",
            )
        )
    found += unseen(state)
    found += [
        Problem(
            words,
            "look at what it is, and remove it or give it to root alone; a deploy makes its own folders and accounts",
        )
        for words in state.doubts
    ]
    if abs(state.skew) > MOST_SKEW:
        way = "ahead of" if state.skew > 0 else "behind"
        found.append(
            Problem(
                f"its clock is {abs(state.skew):.0f} s {way} the clock of {host.api_url}",
                "set the clock that is wrong (timedatectl); runs would begin that much too early or too late",
            )
        )
    if state.python_prefix.startswith(spec.HIDDEN):
        found.append(
            Problem(
                f"HUBLAB_PYTHON: {state.python} lies in a home folder, which the workers' sandbox hides",
                "install Python under /usr/local or /opt",
            )
        )
    found += [
        Problem(f"{key}: there is no {path} on the host", "correct the path, or leave it out")
        for key, paths in (("HUBLAB_READ_PATHS", host.read_paths), ("HUBLAB_WRITE_PATHS", host.write_paths))
        for path in paths
        if state.files.get(path) is None
    ]
    if state.api_status != HTTP_OK or state.api_error:
        found.append(_api_problem(host, state))
    else:
        found += [*pool.server_problems(host, state), *pool.problems(host, state)]
    found += names(host, state)
    found += [
        Problem(
            f"{name} on the host goes by the name of a unit of this deploy; it is neither that nor a worker's own unit",
            f"remove it, or give it another name: systemctl cat {name}",
        )
        for name in state.strangers
        if name in {spec.unit_name(number) for number in range(1, host.workers + 1)}
    ]
    found += [disk(path, free, SPARE_BYTES) for path, free in state.free.items() if free < SPARE_BYTES]
    return found


def names(host: spec.WorkerHost, state: HostState) -> list[Problem]:
    """Workers' names that Prefect or the worker itself would not take, or that a worker of another host has."""
    if "hostname" in state.faults:
        return []
    wanted = {number: spec.worker_name(state.hostname, number) for number in range(1, host.workers + 1)}
    last = wanted[host.workers]
    if not NAME.fullmatch(last):
        what = f"its hostname {state.hostname!r} makes no worker's name ({last})"
        return [
            Problem(
                f"{what}: letters, digits, '.', '_', '-', at most 63",
                "give it another hostname: hostnamectl set-hostname NAME",
            )
        ]
    own = {
        environment(worker.unit_text).get("HUBLAB_WORKER_NAME", wanted.get(number, ""))
        for number, worker in state.workers.items()
    }
    own |= {item.name for item in state.legacy} | {name for line in state.deploys for name in line.workers}
    # Prefect takes a worker that is just gone for ONLINE: on a host that was deployed to it may have been its own.
    known = state.current or state.deploys
    others = [
        name for number, name in wanted.items() if name in state.online - own and (number in state.workers or not known)
    ]
    if not others:
        return []
    return [
        Problem(
            f"{', '.join(others)} {'are' if others[1:] else 'is'} ONLINE in the pool {host.work_pool} at "
            f"{host.api_url}, and not of this host",
            f"another host calls itself {state.hostname}: give each a hostname of its own (hostnamectl set-hostname "
            "NAME); where this one was just installed anew, Prefect forgets its workers of before within two minutes, "
            "and the next deploy goes on",
        )
    ]


def unseen(state: HostState) -> list[Problem]:
    """What could not be looked at: nothing is known of it."""
    return [
        Problem(
            f"the host's {name} could not be looked at: {error}",
            "mend that on the host; where nothing is wrong there, it is a fault of the deploy's: report this line",
        )
        for name, error in state.faults.items()
    ]


def _wish(host: spec.WorkerHost) -> str:
    return " or ".join(spec.PYTHONS) if host.python == spec.AUTO else host.python


def credential(host: spec.WorkerHost, status: int) -> Problem:
    """One that Prefect's server refuses, or that it was not given."""
    key = "PREFECT_API_AUTH_STRING" if host.auth_string or not host.api_key else "PREFECT_API_KEY"
    return Problem(
        f"{key}: {host.api_url} refuses it ({status})",
        f"put the credential that the server was started with into {host.env_file}",
    )


def _api_problem(host: spec.WorkerHost, state: HostState) -> Problem:
    if state.api_status in REFUSED:
        return credential(host, state.api_status)
    if state.api_status:
        seen = state.api_error or f"answered {state.api_status}"
    else:
        seen = f"could not be reached from the host ({state.api_error})"
    end = "" if host.api_url.endswith("/api") else ", which usually ends in /api"
    return Problem(
        f"PREFECT_API_URL: {host.api_url} {seen}", f"check the URL{end}, the server, and the way from the host to it"
    )


def webhooks_port(host: spec.WorkerHost, state: HostState) -> list[Problem]:
    """Where the webhooks cannot listen as HUBLAB_WEBHOOKS says, who is in their way."""
    fault = state.webhooks_port
    if host.webhooks is None or fault is None:
        return []
    place = f"{host.webhooks.bind}, port {host.webhooks.port}"
    if fault.error:
        return [
            Problem(
                f"HUBLAB_WEBHOOKS, HUBLAB_WEBHOOKS_BIND: nobody can listen at {place}: {fault.error}",
                "give an address that this host has; left out, it is 127.0.0.1, for a proxy on the host",
            )
        ]
    if old := next((item for item in state.legacy if item.pid == fault.pid), None):
        return [
            Problem(
                f"HUBLAB_WEBHOOKS: at {place} the legacy worker {old.name or old.pid} (pid {fault.pid}) serves its "
                "health check until it is retired",
                "deploy once without HUBLAB_WEBHOOKS, which retires it after its runs, or name another port",
            )
        ]
    who = f"{fault.command} (pid {fault.pid}{f', unit {fault.unit}' if fault.unit else ''})"
    return [
        Problem(
            f"HUBLAB_WEBHOOKS: at {place} listens {who if fault.pid else 'a process that is not seen from here'}",
            "name another port, or end what listens there",
        )
    ]


def disk(path: str, free: int, needed: int) -> Problem:
    """Too little room at a path; sizes in bytes."""
    mib = 1024 * 1024
    return Problem(
        f"{path}: {free // mib} MiB free, {needed // mib} MiB are needed",
        "make room there, or give the file system more space",
    )
