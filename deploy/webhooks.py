"""The webhooks' settings: on which host or application, where, and what their callers are checked with. Pure."""

from __future__ import annotations

import ipaddress
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.env_values import APPLICATION, HIGHEST_PORT, HOST

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from deploy.env_values import Reader
    from deploy.secret import Secret

LOWEST_PORT = 1024  # below it, a port takes a privilege that the unit does not have
CONTAINER_PORT = 8080
DOMAIN = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d{1,5})?")
# Environment variable → what it is.
NEEDED = {
    "WEBHOOK_SECRET": "what the callers of the webhooks know; for example the output of `openssl rand -hex 32`",
    "RESEND_WEBHOOK_SECRET": "what Resend shows of the webhook there (whsec_…)",
    "UNSUBSCRIBE_SECRET": "what unsubscribe links are signed with; for example the output of `openssl rand -hex 32`",
}
OPTIONAL = ("CALENDLY_SIGNING_KEY", "CALCOM_SIGNING_KEY")
# What else the webhook app is told: a secret for each route (WEBHOOK_SECRET_<ROUTE>), origins, the challenge, limits.
# Which routes there are, it knows by itself: it does not start with one that is not there.
MORE = "WEBHOOK_"
# What says that somebody has paid is opened by a secret of its own alone: variable → route.
OF_THEIR_OWN = {"WEBHOOK_SECRET_ONBOARDING_START": "/webhook/onboarding-start"}
SVIX = re.compile(r"whsec_(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")


@dataclass(frozen=True)
class Webhooks:
    """The webhooks of one host: `bind` is an address of that host, `secrets` go by the names of their Secret blocks.

    `domain`: of an application of Coolify's, at which its proxy takes their calls; its container listens at all of its
    addresses.
    """

    bind: str
    port: int
    secrets: Mapping[str, Secret]
    domain: str = ""

    @property
    def closed(self) -> dict[str, str]:
        """The routes that nobody can call: the variable that is missing → the route."""
        return {key: route for key, route in OF_THEIR_OWN.items() if block(key) not in self.secrets}

    @property
    def variables(self) -> dict[str, Secret]:
        """The secrets by the names of their variables."""
        return {name.upper().replace("-", "_"): secret for name, secret in sorted(self.secrets.items())}

    def document(self) -> str:
        """The secrets as the file that becomes a credential of the unit."""
        return json.dumps({name: secret.reveal() for name, secret in sorted(self.secrets.items())}) + "\n"


def read(reader: Reader, hosts: Collection[str]) -> dict[str, Webhooks]:
    """The webhooks by the address of their host or application; what cannot be used is among the reader's faults.

    Args:
        reader: of the `.env`.
        hosts: the addresses in HUBLAB_HOSTS.
    """
    bind = _bind(reader)
    if not reader.raw("HUBLAB_WEBHOOKS"):
        return {}
    secrets = _secrets(reader)
    return {
        address: Webhooks(bind, port, secrets) if port else Webhooks("", CONTAINER_PORT, secrets, _domain(reader))
        for address, port in _places(reader, hosts).items()
    }


def _places(reader: Reader, hosts: Collection[str]) -> dict[str, int]:
    key, found = "HUBLAB_WEBHOOKS", dict[str, int]()
    for part in filter(None, (part.strip() for part in reader.raw(key).split(","))):
        if APPLICATION.fullmatch(part):
            if part in {*hosts, *found}:
                reader.fault(key, part, "is named twice; an application is a worker or the webhooks")
            found[part] = 0
            continue
        match = HOST.fullmatch(part)
        address, port = (match["host"].strip("[]"), int(match["port"] or 0)) if match else ("", 0)
        if not match or match["user"] or not LOWEST_PORT <= port <= HIGHEST_PORT:
            remedy = f"is not host:port, with a port from {LOWEST_PORT} to {HIGHEST_PORT}, nor coolify:<uuid>"
            reader.fault(key, part, remedy)
        elif address not in hosts:
            reader.fault(key, part, f"names a host that HUBLAB_HOSTS does not ({', '.join(hosts)})")
        elif address in found:
            reader.fault(key, part, "is named twice")
        else:
            found[address] = port
    return found


def _domain(reader: Reader) -> str:
    value = reader.raw("HUBLAB_PUBLIC_URL").rstrip("/").lower()  # as Coolify writes it
    if not DOMAIN.fullmatch(value):
        remedy = "is not an address such as https://hooks.example.com, at which Coolify's proxy is to take webhooks"
        reader.fault("HUBLAB_PUBLIC_URL", value, remedy)
    return value


def _bind(reader: Reader) -> str:
    value = reader.raw("HUBLAB_WEBHOOKS_BIND") or "127.0.0.1"
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        remedy = "is not an IP address of the host; 127.0.0.1 where a proxy on it ends TLS, 0.0.0.0 for all"
        reader.fault("HUBLAB_WEBHOOKS_BIND", value, remedy)
        return value


def _secrets(reader: Reader) -> dict[str, Secret]:
    more = [key for key in reader.values if key.startswith(MORE) and key not in NEEDED]
    found = {key: reader.secret(key) for key in (*NEEDED, *OPTIONAL, *more)}
    for key, what in NEEDED.items():
        if found[key] is None:
            reader.faults.append(f"{key}: missing, and HUBLAB_WEBHOOKS asks for it. Give {what}.")
    resend = found["RESEND_WEBHOOK_SECRET"]
    if resend and not all(SVIX.fullmatch(one.strip()) for one in resend.reveal().split(",")):
        reader.faults.append("RESEND_WEBHOOK_SECRET: is not what Resend shows. Copy it whole: whsec_ and base64.")
    return {block(key): secret for key, secret in found.items() if secret}


def block(key: str) -> str:
    """The name of a variable's Secret block."""
    return key.lower().replace("_", "-")
