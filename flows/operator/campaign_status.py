"""`python -m flows.operator.campaign_status`: how the campaign stands, per sequence and step, and what needs somebody.

Exit status 1: a mail or an enrolment failed, was lost or is late, or Notion could not be asked.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from flows.campaigns.model import MAX_STEPS, sequences
from flows.operator import alerting, deployments, figures, server
from flows.operator.retry_failed import DAYS, cause, failed
from flows.recipients import edits
from flows.recipients.suppression import TAG
from flows.services import notion_schema as schema
from flows.services.clients import notion_client
from flows.services.errors import NotionError
from flows.services.prefect_api import MAIL_FLOW, Prefect
from flows.services.words import counted, env_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flows.services.notion_gateway import NotionGateway

SILENCE = timedelta(hours=1)  # the watch runs every ten minutes
RETRY = "./hublab campaign retry-failed"


@dataclass(frozen=True)
class Trouble:
    """A run that ended badly: its state's name (`Failed`, `GaveUp`, `Lost` …), its own name, and the cause."""

    state: str
    run: str
    cause: str


@dataclass
class Status:
    """How the campaign stands at `at`. `untold`: why Notion could not be asked, `foreign`: runs of another system.

    `alerts`: why the operator might not hear of something; `unread`: since when nobody has read what people edit in
    Notion; `testing`: whether testing mode is on; `paused`: whether mails wait for `./hublab campaign resume`;
    `exposed`: that Prefect's API answers anybody.
    """

    at: datetime
    steps: list[figures.Step]
    troubles: list[Trouble] = field(default_factory=list)
    late: int = 0
    foreign: int = 0
    untold: str = ""
    alerts: str = ""
    unread: str = ""
    testing: bool = False
    paused: bool = False
    exposed: bool = False

    @property
    def needs_somebody(self) -> bool:
        """Whether an operator has to do something."""
        return bool(self.troubles or self.late or self.untold or self.alerts or self.unread)


def rows(notion: NotionGateway) -> Iterator[dict[str, str]]:
    """Email Analytics of every campaign, step by step. Raises NotionError."""
    names = {"email": "Email", "template": "Template ID", "status": "Status", "id": "Resend Email ID"}
    for label in sorted({one.label for one in sequences().values()}):
        for number in range(1, MAX_STEPS + 1):  # a step that the file has no more may have mails
            wanted = [
                {"property": "Campaign", "select": {"equals": label}},
                {"property": "Email Number", "number": {"equals": number}},
            ]
            for page in notion.find(schema.ANALYTICS, {"and": wanted}):
                yield {key: str(schema.read(page, name) or "") for key, name in names.items()}


def read(now: datetime) -> Status:
    """The state as it is now, from Prefect and Notion. Raises httpx.HTTPError when Prefect cannot be asked."""
    with Prefect() as prefect:
        flow = {"flows": {"name": {"any_": [MAIL_FLOW]}}, "sort": "ID_DESC"}
        found = [figures.mail(run) for run in prefect.pages("/flow_runs/filter", flow)]
        mails = [one for one in found if one is not None]
        tagged = {"variables": {"tags": {"all_": [TAG]}}, "sort": "NAME_ASC"}
        left = {one["name"]: one["value"] for one in prefect.pages("/variables/filter", tagged)}
        settings = prefect.settings()
        told, untold = None, ""
        try:
            with notion_client(prefect, settings) as notion:
                told = list(rows(notion)) if mails else []
        except (NotionError, LookupError) as error:
            untold = str(error)
        steps = figures.counted(mails, told, left)
        return Status(
            now,
            steps,
            troubles(prefect),
            figures.late(mails, now),
            len(found) - len(mails),
            untold,
            alerting.trouble(prefect, settings, now, SILENCE),
            edits.not_since(prefect, now) if any(one.counts["due"] for one in steps) else "",
            settings.testing,
            settings.paused,
            exposed=deployments.answers_anybody(),
        )


def troubles(prefect: Prefect) -> list[Trouble]:
    """The mails and enrolments that ended badly, of thirty days."""
    return [Trouble(run.state_name or "", run.name, cause(run)) for run in failed(prefect, DAYS)]


def remedies(status: Status) -> list[str]:
    """What to do, a sentence for each kind of trouble."""
    found = []
    if status.troubles:
        found.append(f"{len(status.troubles)} ended badly; once the cause is mended, `{RETRY}` runs them again")
    if status.late:
        late = counted(status.late, "mail is", "mails are")
        found.append(f"{late} late: `./hublab campaign preflight` says whether a worker takes them")
    if status.untold:
        found.append(f"delivered, opened and bounced are not known: {status.untold}")
    if status.alerts:
        found.append(status.alerts)
    if status.unread:
        found.append(
            f"what people change in Notion was not read since {status.unread}, and in doubt no mail goes out: "
            "`./hublab campaign preflight` says why"
        )
    if status.paused:
        found.append("the campaign is paused: mails wait until `./hublab campaign resume`")
    if status.testing:
        found.append(
            f"testing mode is on, for TESTING_ADDRESS alone; take TESTING_MODE out of {env_file()}, "
            "`./hublab campaign secrets`"
        )
    if status.exposed:
        found.append(deployments.ANSWERS_ANYBODY)
    return found


def document(status: Status) -> str:
    """As JSON: times in UTC, counts as numbers, null for what Notion did not tell."""
    steps = [
        {
            **dict(zip(("campaign", "sequence", "step"), one.where, strict=True)),
            "templates": sorted(one.templates),
            **{name: number_of(status, one, name) for name in figures.COUNTS},
        }
        for one in status.steps
    ]
    whole = {
        "at": status.at.isoformat(timespec="seconds"),
        "well": not status.needs_somebody,
        "steps": steps,
        "troubles": [vars(one) | {"again": RETRY} for one in status.troubles],
        "late": status.late,
        "other_systems_runs": status.foreign,
        "testing": status.testing,
        "paused": status.paused,
        "remedies": remedies(status),
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def number_of(status: Status, step: figures.Step, name: str) -> int | None:
    """A count; None where it comes from Notion, which did not tell."""
    return None if status.untold and name in figures.FROM_NOTION else step.counts[name]


@server.needed
def main(arguments: list[str] | None = None) -> int:
    """Show it; 1 when it needs somebody."""
    from flows.operator import campaign_views  # noqa: PLC0415 - rich takes time, and JSON does without

    parser = argparse.ArgumentParser(prog="python -m flows.operator.campaign_status", description=__doc__)
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--html", type=Path, help="write a page with a chart")
    asked = parser.parse_args(arguments)
    status = read(datetime.now(UTC))
    if asked.html:
        asked.html.write_text(campaign_views.page(status), "utf-8")
    if asked.json:
        sys.stdout.write(document(status))
    else:
        campaign_views.table(status)
        if asked.html:
            sys.stdout.write(f"written: {asked.html}\n")
    return 1 if status.needs_somebody else 0


if __name__ == "__main__":
    sys.exit(main())
