"""The unit of one worker, line by line: what is locked in and what the worker is told."""

from __future__ import annotations

import re

from tests.deploy.units import RELEASE, directives, environment, render

# The whole unit, literally: whoever adds, drops or loosens a line says so here as well.
EXPECTED = [
    ("[Unit]", ""),
    ("Description", f"Prefect worker hublab-1-1 ({RELEASE})"),
    ("Documentation", "https://docs.prefect.io/v3/concepts/workers"),
    ("Wants", "network-online.target"),
    ("After", "network-online.target"),
    ("StartLimitIntervalSec", "0"),
    ("[Service]", ""),
    ("Type", "notify"),
    ("NotifyAccess", "main"),
    ("ExecStart", f"/opt/hublab/releases/{RELEASE}/venv/bin/python -P -s -m worker"),
    ("WorkingDirectory", f"/opt/hublab/releases/{RELEASE}"),
    ("User", "hublab-worker-1"),
    ("Group", "hublab"),
    ("Restart", "always"),
    ("RestartSec", "5"),
    ("RestartPreventExitStatus", "78"),
    ("TimeoutStartSec", "120"),
    ("WatchdogSec", "60"),
    ("KillMode", "process"),
    ("TimeoutStopSec", "960"),
    ("OOMPolicy", "continue"),
    ("LoadCredential", "profiles.toml:/etc/hublab/profiles.toml"),
    ("LoadCredential", "environment.json:/etc/hublab/environment.json"),
    ("StateDirectory", "hublab/worker-1/tmp hublab/worker-1/prefect"),
    ("StateDirectoryMode", "0700"),
    ("UMask", "0077"),
    ("NoNewPrivileges", "yes"),
    ("CapabilityBoundingSet", ""),
    ("AmbientCapabilities", ""),
    ("PrivateUsers", "yes"),
    ("PrivateTmp", "yes"),
    ("PrivateDevices", "yes"),
    ("PrivateIPC", "yes"),
    ("PrivateMounts", "yes"),
    ("DevicePolicy", "closed"),
    ("ProtectSystem", "strict"),
    ("ProtectHome", "yes"),
    ("ProtectProc", "invisible"),
    ("ProcSubset", "pid"),
    ("ProtectClock", "yes"),
    ("ProtectHostname", "yes"),
    ("ProtectKernelLogs", "yes"),
    ("ProtectKernelModules", "yes"),
    ("ProtectKernelTunables", "yes"),
    ("ProtectControlGroups", "yes"),
    ("LockPersonality", "yes"),
    ("MemoryDenyWriteExecute", "yes"),
    ("RestrictRealtime", "yes"),
    ("RestrictSUIDSGID", "yes"),
    ("RestrictNamespaces", "yes"),
    ("RemoveIPC", "yes"),
    ("KeyringMode", "private"),
    ("SystemCallArchitectures", "native"),
    ("SystemCallFilter", "@system-service landlock_create_ruleset landlock_add_rule landlock_restrict_self"),
    (
        "SystemCallFilter",
        "~@privileged @resources @keyring memfd_create io_uring_setup io_uring_enter io_uring_register",
    ),
    ("SystemCallFilter", "~process_vm_readv process_vm_writev kcmp userfaultfd"),
    ("SystemCallErrorNumber", "EPERM"),
    ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
    ("RootDirectory", "/opt/hublab/root"),
    ("MountAPIVFS", "yes"),
    (
        "BindReadOnlyPaths",
        (
            f"/opt/hublab/releases/{RELEASE} /opt/python3.12 /usr -/bin -/lib -/lib64 -/etc/ld.so.cache -/etc/hosts"
            " -/etc/resolv.conf -/etc/nsswitch.conf -/etc/host.conf -/etc/gai.conf -/etc/passwd -/etc/group"
            " -/etc/localtime -/etc/ssl -/etc/ca-certificates /run/systemd/notify"
        ),
    ),
    ("BindPaths", "/var/lib/hublab/worker-1/tmp /var/lib/hublab/worker-1/prefect"),
    ("InaccessiblePaths", "-+/run/systemd/journal"),
    ("TemporaryFileSystem", "/dev/shm:mode=1777,nosuid,nodev,noexec"),
    (
        "NoExecPaths",
        "+/ +/tmp +/var/tmp -+/dev/hugepages +/var/lib/hublab/worker-1/tmp +/var/lib/hublab/worker-1/prefect",
    ),
    (
        "ExecPaths",
        (
            f"-+/opt/hublab/releases/{RELEASE}/venv -+/opt/python3.12 -+/usr/bin -+/bin -+/usr/lib -+/lib -+/lib64"
            " -+/usr/lib64 -+/usr/local/bin -+/usr/local/lib"
        ),
    ),
    (
        "ReadOnlyPaths",
        (
            f"+/run -+/opt/hublab/releases/{RELEASE}/venv -+/opt/python3.12 -+/usr/bin -+/bin -+/usr/lib -+/lib"
            " -+/lib64 -+/usr/lib64 -+/usr/local/bin -+/usr/local/lib"
        ),
    ),
    (
        "IPAddressDeny",
        (
            "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 168.63.129.16/32 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24"
            " 192.168.0.0/16 198.18.0.0/15 224.0.0.0/3 ::/127 64:ff9b:1::/48 fc00::/7 fe80::/10 fec0::/10 ff00::/8"
            " 64:ff9b::/104 64:ff9b::a00:0/104 64:ff9b::6440:0/106 64:ff9b::7f00:0/104 64:ff9b::a83f:8110/128"
            " 64:ff9b::a9fe:0/112 64:ff9b::ac10:0/108 64:ff9b::c000:0/120 64:ff9b::c0a8:0/112 64:ff9b::c612:0/111"
            " 64:ff9b::e000:0/99"
        ),
    ),
    ("SocketBindDeny", "any"),
    ("MemoryMax", "4G"),
    ("TasksMax", "1152"),
    ("LimitCORE", "0"),
    ("LimitNOFILE", "4096"),
    ("[Install]", ""),
    ("WantedBy", "multi-user.target"),
]


def test_unit_has_these_lines_and_no_others() -> None:
    assert directives(render()) == EXPECTED


def test_what_the_worker_is_told() -> None:
    found = environment(render())
    assert re.fullmatch(r"[0-9a-f]{12}", found.pop("HUBLAB_UNIT"))
    assert found == {
        "HUBLAB_RELEASE": RELEASE,
        "HUBLAB_WORKER_NAME": "hublab-1-1",
        "HUBLAB_WORK_POOL": "default",
        "HUBLAB_WORK_QUEUES": "default",
        "HUBLAB_CONCURRENCY": "4",
        "HUBLAB_DRAIN_SECONDS": "900",
        "PREFECT_API_URL": "https://prefect.example.com/api",
        "PREFECT_HOME": f"/opt/hublab/releases/{RELEASE}",
        "PREFECT_LOCAL_STORAGE_PATH": "/var/lib/hublab/worker-1/prefect/storage",
        "HUBLAB_WRITE_PATHS": "",
        "HUBLAB_PRELOAD": "flows.preload",
        "HUBLAB_ALLOW_LISTEN": "no",
        "HUBLAB_ENVIRONMENT": "%d/environment.json",
        "HOME": "/var/lib/hublab/worker-1/tmp",
        "PYTHONNOUSERSITE": "1",
        "TMPDIR": "/var/lib/hublab/worker-1/tmp",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "HUBLAB_PLACE": "%m",
        "PREFECT_PROFILES_PATH": "%d/profiles.toml",
    }
