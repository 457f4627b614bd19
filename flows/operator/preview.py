"""`python -m flows.operator.preview TEMPLATE`: the mail as HTML, text and PNG; with `--to ADDRESS` one is sent."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.campaigns.model import normalised, sequences
from flows.operator import server
from flows.operator.preflight import sample
from flows.sending import mail, template_store
from flows.sending.templates import UnusableTemplateError
from flows.services.clients import notion_client, resend_client
from flows.services.prefect_api import Prefect

if TYPE_CHECKING:
    from flows.campaigns.model import Sequence

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SHOT_SECONDS = 60


def sequence_of(template: str) -> tuple[Sequence, int]:
    """The sequence and the step that a template belongs to.

    Raises:
        UnusableTemplateError: none does.
    """
    for sequence in sequences().values():
        for step in sequence.steps:
            if template in step.templates:
                return sequence, step.number
    raise UnusableTemplateError(template, "no sequence has it", "Name one that a campaign file names")


def payload(prefect: Prefect, template: str, to: str) -> dict[str, Any]:
    """What would be sent to an address, with sample values, from the template as it is in Notion now.

    Raises:
        UnusableTemplateError, NotionError, MissingSettingError: as at a real send.
    """
    settings = prefect.settings()
    sequence, step = sequence_of(template)
    with notion_client(prefect, settings) as notion:
        found = template_store.read(notion, [template])
    if template not in found:
        raise UnusableTemplateError(template, "there is none of that name", "Create it in Notion")
    enrolment = {"email": normalised(to), "key": "preview", "variables": sample(sequence, settings)}
    made = mail.compose(settings, sequence, step, enrolment, found[template])
    # Not a mail of the campaign's: whatever becomes of it says nothing of a contact.
    return made | {"tags": [{"name": "hublab", "value": "test"}]}


def write(content: dict[str, Any], template: str, folder: Path) -> list[Path]:
    """The mail's files; the PNG only where a browser is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    page, text = folder / f"{template}.html", folder / f"{template}.txt"
    page.write_text(content["html"], "utf-8")
    text.write_text(f"Subject: {content['subject']}\n\n{content['text']}\n", "utf-8")
    return [page, text, *shot(page)]


def shot(page: Path) -> list[Path]:
    """A screenshot of a page, by the first browser found; an empty list without one."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.stderr.write(f"no PNG: none of {', '.join(BROWSERS)} is installed\n")
        return []
    image = page.with_suffix(".png")
    size = ["--window-size=700,1400", f"--screenshot={image}", page.absolute().as_uri()]
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", *size]
    subprocess.run(command, check=True, timeout=SHOT_SECONDS, capture_output=True)
    return [image]


@server.needed
def main(arguments: list[str] | None = None) -> int:
    """Write the files, or send one; 1 when the template cannot become a mail."""
    parser = argparse.ArgumentParser(prog="python -m flows.operator.preview", description=__doc__)
    parser.add_argument("template")
    parser.add_argument("--to", help="send one to this address")
    parser.add_argument("--folder", type=Path, default=Path(".hublab/preview"))
    asked = parser.parse_args(arguments)
    try:
        with Prefect() as prefect:
            content = payload(prefect, asked.template, asked.to or "somebody@example.com")
            if asked.to:
                identity = resend_client(prefect, prefect.settings()).send(content, f"test-{uuid.uuid4()}")
                sys.stdout.write(f"sent {asked.template} to {asked.to}: {identity}\n")
                return 0
    except UnusableTemplateError as problem:
        sys.stderr.write(f"{problem}\n")
        return 1
    for path in write(content, asked.template, asked.folder):
        sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
