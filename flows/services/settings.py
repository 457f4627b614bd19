"""What the flows are told: Secret blocks first, then the environment. One look-up for all of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flows.services.words import env_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SEVEN = (
    "notion-token",
    "resend-api-key",
    "notion-email-templates-db-id",
    "notion-email-sequence-db-id",
    "notion-businessx-db-id",
    "notion-customer-projects-db-id",
    "notion-email-analytics-db-id",
)
# Beside the seven: what else is a secret, or is kept where the secrets are.
MORE = (
    "testing-mode",
    "webhook-secret",
    "calendly-signing-key",
    "calcom-signing-key",
    "resend-webhook-secret",
    "unsubscribe-secret",
    "alert-urls",
    "heartbeat-url",
)
# Of the webhook app alone, and so in no Secret block, which every flow can read: WEBHOOK_SECRET_<ROUTE> and the like.
WEBHOOKS = "webhook-"
BLOCKS = SEVEN + MORE
# Not secret; the Prefect variable `hublab_settings` holds them for all hosts.
VARIABLE = "hublab_settings"
# There while no mail is to go out, in whatever queue its run waits.
PAUSED = "hublab-paused"
PLAIN = (
    "HUBLAB_SENDER",
    "HUBLAB_REPLY_TO",
    "HUBLAB_PUBLIC_URL",
    "HUBLAB_CALENDLY_LINK",
    "HUBLAB_PORTAL_URL",
    "HUBLAB_NOTION_URL",
    "HUBLAB_RESEND_URL",
    "HUBLAB_NOTION_LAG_SECONDS",
    "HUBLAB_RETRY_SECONDS",
    "HUBLAB_TEMPLATE_SECONDS",
    "HUBLAB_RESEND_WINDOW_HOURS",
    "HUBLAB_WORK_POOL",
    "HUBLAB_CAMPAIGN_QUEUE",
    "HUBLAB_NOTION_PER_MINUTE",
    "HUBLAB_RESEND_PER_SECOND",
    "HUBLAB_TESTING_MINUTE_SECONDS",
    "TESTING_ADDRESS",
    "HUBLAB_TIMEZONE",
    "HUBLAB_ALERT_MINUTES",
)
DEFAULTS = {
    "HUBLAB_REPLY_TO": "",
    "HUBLAB_CALENDLY_LINK": "",
    "HUBLAB_PORTAL_URL": "",
    "HUBLAB_NOTION_URL": "https://api.notion.com",
    "HUBLAB_RESEND_URL": "https://api.resend.com",
    "HUBLAB_NOTION_LAG_SECONDS": "35",  # reported: queries lag behind writes by 0.5 to 30 s
    "HUBLAB_RETRY_SECONDS": "60",
    "HUBLAB_TEMPLATE_SECONDS": "300",
    "HUBLAB_RESEND_WINDOW_HOURS": "23",  # Resend keeps an idempotency key 24 h
    "HUBLAB_WORK_POOL": "default",
    "HUBLAB_CAMPAIGN_QUEUE": "campaign",
    "HUBLAB_NOTION_PER_MINUTE": "180",
    "HUBLAB_RESEND_PER_SECOND": "10",
    "HUBLAB_TESTING_MINUTE_SECONDS": "60",  # how long a minute of testing mode lasts
    "HUBLAB_TIMEZONE": "UTC",
    "HUBLAB_ALERT_MINUTES": "30",
    "testing-mode": "false",
    "webhook-proxies": "127.0.0.1",  # whose X-Forwarded-For is believed
    # Within an hour, at one host; a caller is a browser's address.
    "webhook-limit-mailbox": "5",
    "webhook-limit-domain": "200",
    "webhook-limit-caller": "30",
    "webhook-limit-hour": "10000",
}
SHORTEST = 8  # characters of a secret; "true" of testing mode is none
TRUE, FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off", ""})


class MissingSettingError(LookupError):
    """A setting that is nowhere; names it and the command that sets it."""

    def __init__(self, name: str) -> None:
        """`name` is the block's or the variable's."""
        variable = environment_name(name)
        where = f"neither the Prefect Secret block {name!r} nor" if name in BLOCKS else f"neither {VARIABLE!r} nor"
        super().__init__(
            f"{name}: {where} the environment variable {variable} is set; add {variable} to {env_file()}, "
            "`./hublab campaign secrets`"
        )


class BadSettingError(ValueError):
    """A setting with a value that cannot be used; names it, never shows a secret."""


def several(text: str) -> tuple[str, ...]:
    """A secret that is being replaced: the new one first, then those that are still good, separated by commas.

    The whole text is the last of them: a secret that has a comma in it was good before this was so.
    """
    parts = [part.strip() for part in text.split(",")]
    return tuple(dict.fromkeys(part for part in (*parts, text) if part))


def environment_name(name: str) -> str:
    """The environment variable of a block: `notion-token` → `NOTION_TOKEN`."""
    return name.upper().replace("-", "_")


class Settings:
    """All settings, read once. Prints as names only."""

    def __init__(self, values: Mapping[str, str], beside: Mapping[str, Any] | None = None) -> None:
        """`values` by block name or variable name; `beside`: what else was asked for, None where it is not there."""
        self._values = dict(values)
        self.beside = dict(beside or {})

    def __repr__(self) -> str:
        """The names alone: a traceback must not show a value."""
        return f"Settings({', '.join(sorted(self._values))})"

    def get(self, name: str) -> str:
        """A setting's value.

        Raises:
            MissingSettingError: it is nowhere.
        """
        value = self._values.get(name) or DEFAULTS.get(name)
        if value is None:
            raise MissingSettingError(name)
        return value

    def has(self, name: str) -> bool:
        """Whether a setting is given or has a default."""
        return bool(self._values.get(name) or DEFAULTS.get(name))

    def names(self, prefix: str) -> list[str]:
        """Which settings are given whose names begin so."""
        return sorted(name for name in self._values if name.startswith(prefix))

    def without_secrets(self, text: str) -> str:
        """A text with the name of a Secret block in the place of its value."""
        for name in BLOCKS:
            if len(value := self._values.get(name, "")) >= SHORTEST:
                text = text.replace(value, f"({name})")
        return text

    def number(self, name: str) -> float:
        """A setting that is a number, not negative.

        Raises:
            BadSettingError: it is not one.
        """
        text = self.get(name)
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not 0 <= value < float("inf"):
            raise BadSettingError(
                f"{name}: {text!r} is not a number from 0; correct it in {env_file()} and run "
                "`./hublab campaign secrets`"
            )
        return value

    @property
    def mails_queue(self) -> str:
        """The queue of the mails' runs: nobody else's, so that a pause of the campaign stops nothing else."""
        return self.get("HUBLAB_CAMPAIGN_QUEUE")

    @property
    def handlers_queue(self) -> str:
        """The queue of what must not wait behind mails that are due: enrolments, and the watch. The deploy knows it."""
        return f"{self.mails_queue}-handlers"

    @property
    def paused(self) -> bool:
        """Whether no mail is to go out now."""
        return PAUSED in self._values

    @property
    def zone(self) -> str:
        """The time zone of dates, quiet hours and hours of the day.

        Raises:
            BadSettingError: there is none of that name.
        """
        name = self.get("HUBLAB_TIMEZONE")
        try:
            return ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise BadSettingError(
                f"HUBLAB_TIMEZONE: {name!r} is no time zone; write one as America/Toronto in {env_file()}, "
                "`./hublab campaign secrets`"
            ) from None

    def tests(self, email: str) -> bool:
        """Whether an address's mails go out minutes apart: in testing mode, and for TESTING_ADDRESS alone.

        With a `+label` it is that address too: a visitor who comes during a test is none. Raises BadSettingError.
        """
        local, _, domain = email.lower().rpartition("@")
        wanted = {one.strip().lower() for one in self._values.get("TESTING_ADDRESS", "").split(",")}
        return self.testing and bool({email.lower(), f"{local.partition('+')[0]}@{domain}"} & wanted)

    @property
    def testing(self) -> bool:
        """Whether testing mode is on.

        Raises:
            BadSettingError: neither true nor false: a wrong guess would send a campaign in ten minutes.
        """
        text = self.get("testing-mode").strip().lower()
        if text not in TRUE | FALSE:
            raise BadSettingError(
                f"testing-mode: {text!r} is neither true nor false; set TESTING_MODE, `./hublab campaign secrets`"
            )
        return text in TRUE


def from_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The settings that an environment (or an `.env` file) has, by block or variable name."""
    names = {name: environment_name(name) for name in (*BLOCKS, *PLAIN)}
    prefix = environment_name(WEBHOOKS)
    names |= {key.lower().replace("_", "-"): key for key in environment if key.startswith(prefix)}
    return {name: environment[key] for name, key in names.items() if environment.get(key)}


def values(blocks: Iterable[dict[str, Any]]) -> dict[str, str]:
    """What Secret blocks hold, by name; one that holds nothing is as none, and no secret that reads `None`."""
    return {one["name"]: str(held) for one in blocks if (held := one["data"].get("value")) is not None}


def load(client: Any, *more: str) -> Settings:
    """The settings, from Prefect by a client of its, and from the environment what Prefect does not have.

    `more` are other variables, which come with the same answer and are beside the settings.
    """
    wanted = {"block_documents": {"name": {"any_": list(BLOCKS)}}, "include_secrets": True}
    answer = client.request("POST", "/block_documents/filter", json=wanted)
    blocks = values(answer.json())
    wanted = {"variables": {"name": {"any_": [VARIABLE, PAUSED, *more]}}}
    kept = {one["name"]: one["value"] for one in client.request("POST", "/variables/filter", json=wanted).json()}
    plain = kept.get(VARIABLE)
    shared = {key: str(value) for key, value in plain.items() if value is not None} if isinstance(plain, dict) else {}
    found = from_environment(os.environ) | shared | blocks | ({PAUSED: "true"} if PAUSED in kept else {})
    return Settings(found, {name: kept.get(name) for name in more})
