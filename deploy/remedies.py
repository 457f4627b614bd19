"""What the operator can do about a failed connection, told by pyinfra's words or by OpenSSH's."""

from __future__ import annotations

import logging
import re

from deploy.env_values import COOLIFY

REMEDIES = {
    r"(?:No host key|host key is known) for (\S+)": (
        "The host's key is not in the known_hosts file. Compare its fingerprint with the one on the host's console, "
        "then add it: ssh-keyscan {0} >> KNOWN_HOSTS_FILE"
    ),
    r"Host key for (\S+) (?:does not match|has changed)": (
        "The host answers with another key than the one on record. If it was reinstalled, remove the old key "
        "(ssh-keygen -R {0}) and add the new one; if it was not, somebody is in between: stop."
    ),
    r"Authentication error|Permission denied": (
        "The host refuses the login. Check the user in HUBLAB_HOSTS and the key in HUBLAB_SSH_KEY; "
        "`ssh -i KEY USER@HOST true` must work."
    ),
    r"ChannelException": (
        "The host's sshd refuses another session over the same connection, and the deploy needs several: see to "
        "MaxSessions in its sshd_config; sshd's own default, 10, is enough."
    ),
    r"SSH protocol banner|kex_exchange_identification|banner exchange|No existing session": (
        "What answers there closes the connection, or keeps silent, before it says that it is an sshd. "
        "Check the port in HUBLAB_HOSTS; an sshd does so when its host is overloaded, and to whom fail2ban or its "
        "MaxStartups turns away: `ssh -v USER@HOST` a minute later says more."
    ),
    r"Could not resolve hostname": (
        "The name in HUBLAB_HOSTS is known neither to DNS nor to /etc/hosts. "
        "An application of Coolify's is written coolify:<uuid>."
    ),
    r"Could not connect|timed out|Connection refused|No route to host": (
        "Is the host up, is its address in HUBLAB_HOSTS right, is its SSH port open? "
        "`./hublab deploy --limit` with the names of the others leaves it out."
    ),
}


def remedy_for(message: str) -> str | None:
    """What to do about an error's text, or None when nothing is known."""
    for pattern, remedy in REMEDIES.items():
        if match := re.search(pattern, message):
            return remedy.format(*match.groups())
    return None


class ConnectRemedies(logging.Filter):
    """Appends the remedy to records that report a failed connection; one that has its own remedy stays as it is."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Changes the record in place and lets it through."""
        text = record.getMessage()
        if COOLIFY in text:
            return True  # no SSH leads to an application: Coolify or Prefect did not answer
        if record.levelno >= logging.ERROR and "\n    -> " not in text and (remedy := remedy_for(text)):
            record.msg, record.args = f"{text}\n    -> {remedy}", None
        return True
