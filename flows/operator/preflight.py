"""`python -m flows.operator.preflight`: is all there that the next mail needs? A table with remedies; exit 1."""

from __future__ import annotations

import argparse
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prefect.exceptions import ObjectNotFound

from flows.campaigns import payloads
from flows.campaigns.model import CampaignError, sequences
from flows.campaigns.values import MAX_LIST, MAX_NAME, MAX_PROSE, MAX_TEXT
from flows.operator import deployments as at_prefect
from flows.operator import notion_fit, register, server
from flows.sending import mail, template_store
from flows.sending.templates import UnusableTemplateError, render
from flows.sending.templates import variables as template_variables
from flows.services import notion_schema as schema
from flows.services.clients import notion_client, resend_client
from flows.services.errors import NotionError, ResendFailedError
from flows.services.notion_mapping import FILE, MappingError
from flows.services.notion_mapping import VARIABLE as MAPPING
from flows.services.prefect_api import NOTION_LIMIT, RESEND_LIMIT, NotRegisteredError, Prefect
from flows.services.settings import BLOCKS, DEFAULTS, SEVEN, BadSettingError, MissingSettingError
from flows.services.words import env_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flows.campaigns.model import Sequence
    from flows.services.notion_gateway import NotionGateway
    from flows.services.settings import Settings

NEEDED = ("HUBLAB_SENDER", "HUBLAB_PUBLIC_URL", "unsubscribe-secret", "webhook-secret")
# A value of each kind of field, to render a template with.
SAMPLES = {
    "instant": "2025-12-01T10:00:00Z",
    "date": "2025-12-01",
    "link": "https://example.com/call",
    "systems": 1,
    "percent": 50,
    "amount": 1000,
    "flag": True,
    "true": True,
    "texts": ["one", "two"],
}


@dataclass(frozen=True)
class Row:
    """One check: what, whether it holds, and the remedy where it does not; `lines` are to be pasted."""

    area: str
    what: str
    problem: str = ""
    lines: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problem


# The longest of each kind, in characters that HTML writes longer still.
LONGEST = {
    "name": "&" * MAX_NAME,
    "text": "&" * MAX_TEXT,
    "link": "https://example.com/" + "&" * (MAX_TEXT - 20),
    "prose": "&" * MAX_PROSE,
    "texts": ["&" * MAX_TEXT] * MAX_LIST,
}


def sample(
    sequence: Sequence, settings: Settings, *, required: bool = False, longest: bool = False
) -> dict[str, object]:
    """Values for every variable that a sequence supplies, or only for those that every enrolment has.

    `longest`: the longest that the payload's model accepts.

    Raises:
        MissingSettingError: where the recipient could unsubscribe is not set.
    """
    found: dict[str, object] = dict(sequence.defaults)
    for name, kind in sequence.fields.items():
        if not required or kind.endswith("!"):
            known = SAMPLES | (LONGEST if longest else {})
            found[name] = known.get(kind.removesuffix("!"), f"({name})")
    found |= {"segment": "OPTIMIZE", "email": "somebody@example.com"}
    return found | dict(mail.links(settings, "somebody@example.com", "sample" if sequence.confirm else None))


def secrets(settings: Settings) -> Iterator[Row]:
    """Every setting that a mail needs."""
    for name in dict.fromkeys((*SEVEN, *NEEDED)):
        try:
            settings.get(name)
            yield Row("setting", name)
        except MissingSettingError as error:
            yield Row("setting", name, str(error))
    for name in (
        *(n for n in DEFAULTS if n.endswith(("SECONDS", "HOURS", "MINUTE", "MINUTES", "SECOND"))),
        "testing-mode",
        "HUBLAB_TIMEZONE",
    ):
        try:
            if name == "HUBLAB_TIMEZONE":
                _ = settings.zone
            else:
                _ = settings.testing if name in BLOCKS else settings.number(name)
        except BadSettingError as error:
            yield Row("setting", name, str(error))


def properties(notion: NotionGateway) -> Iterator[Row]:
    """Every property of the five databases, as the mapping has it; the mapping for what nearly fits."""
    options, compared = notion_fit.chosen(sequences().values()), dict[str, list[notion_fit.Fit]]()
    for block, title in schema.TITLES.items():
        try:
            there = notion.database(block)["properties"]
        except (NotionError, MissingSettingError) as error:
            yield Row("Notion", title, str(error))
            continue
        compared[block] = notion_fit.compared(block, there, notion.mapping, options[block])
        problems = [fit.problem for fit in compared[block] if fit.problem]
        yield Row("Notion", f"{title}: {len(schema.SCHEMA[block])} properties", "; ".join(problems))
    if lines := notion_fit.pasted(compared, notion.mapping):
        remedy = f"put the lines below into {FILE}, then `./hublab campaign secrets`"
        yield Row("Notion", "properties that nearly fit", remedy, ("", f"# {FILE}", *lines))


def mapping_kept(prefect: Prefect, path: Path) -> Iterator[Row]:
    """Whether Prefect has `notion.toml` as it is here."""
    if not path.is_file():
        return
    try:
        same = tomllib.loads(path.read_text("utf-8")) == (prefect.variable(MAPPING) or {})
    except tomllib.TOMLDecodeError as error:
        yield Row("Notion", FILE, f"not TOML: {error}; correct it")
        return
    yield Row("Notion", FILE, "" if same else "Prefect has another: `./hublab campaign secrets`")


def templates(notion: NotionGateway, settings: Settings) -> Iterator[Row]:
    """Every template of every sequence: there, and rendered with the least and the most that an enrolment brings."""
    for sequence in sequences().values():
        names = list(sequence.templates)
        try:
            found = template_store.read(notion, names)
            samples = sample(sequence, settings, required=True), sample(sequence, settings, longest=True)
        except (NotionError, MissingSettingError, UnusableTemplateError) as error:
            yield Row("template", f"{sequence.campaign}/{sequence.name}", str(error))
            continue
        for name in names:
            problem = "" if name in found else f"{name!r} is not in the database 'Email Templates': create it in Notion"
            if not problem:
                try:
                    for values in samples:
                        render(found[name], values, sequence.variables, zone=settings.zone)
                except UnusableTemplateError as error:
                    problem = str(error)
            if not problem and sequence.confirm and name in sequence.steps[0].templates:
                there = "confirm_url" in template_variables(found[name])
                problem = "" if there else f"{name!r} is to be confirmed and does not name {{{{confirm_url}}}}"
            yield Row("template", name, problem)


def testing(settings: Settings) -> Row:
    """Testing mode: for whom, where it is on."""
    if not settings.testing:
        return Row("mode", "production: delays as the campaign's file has them")
    what = "testing mode: minutes apart, for TESTING_ADDRESS alone"
    there = settings.has("TESTING_ADDRESS")
    remedy = f"set it in {env_file()}, or take TESTING_MODE out there, then `./hublab campaign secrets`"
    return Row("mode", what, "" if there else f"TESTING_ADDRESS is not set, so that it is for nobody: {remedy}")


# The kinds of field that a property of a kind takes; one that is not named here takes any.
FITS = {
    "number": frozenset({"percent", "systems", "amount"}),
    "checkbox": frozenset({"flag", "true"}),
    "date": frozenset({"instant", "date"}),
    "email": frozenset({"address"}),
}


def mapped(sequence: Sequence) -> Iterator[str]:
    """What every enrolment would fail of: a field of no type, a property that is not there or takes something else."""
    try:
        payloads.model(sequence)
    except CampaignError as error:
        yield str(error)
    tables = (
        (schema.SEQUENCE, sequence.record),
        (schema.CONTACTS, sequence.contact),
        (schema.PROJECTS, sequence.project),
    )
    for block, table in tables:
        for name, source in sorted(table.items()):
            yield from _misfit(block, name, source, sequence)
    if schema.SCHEMA[schema.SEQUENCE].get(sequence.started) != "date":
        yield f"started: {sequence.started!r} is no date property of {schema.TITLES[schema.SEQUENCE]!r}"


def _misfit(block: str, name: str, source: str, sequence: Sequence) -> Iterator[str]:
    where, kind = schema.TITLES[block], schema.SCHEMA[block].get(name)
    if kind is None or name in schema.OPTIONAL.get(block, ()):
        yield f"{name!r} is no property of {where!r} that is written: correct it in the campaign's file"
        return
    takes = FITS.get(kind)
    ticked = kind == "checkbox" and source == "=yes"
    if takes and not ticked and sequence.fields.get(source, "").removesuffix("!") not in takes:
        what = ", ".join(sorted(takes))
        yield f"{name!r} of {where!r} is a {kind}: it takes a field of the type {what}, not {source!r}"


def sender(prefect: Prefect, settings: Settings) -> Row:
    """The sender's domain at Resend."""
    try:
        domain = settings.get("HUBLAB_SENDER").rpartition("@")[2].strip("> ").lower()
        status = resend_client(prefect, settings).domains().get(domain, "not there")
    except (ResendFailedError, MissingSettingError) as error:
        return Row("Resend", "sender's domain", str(error))
    problem = "" if status == "verified" else f"domain {domain!r} is {status}, not verified: verify it at Resend"
    return Row("Resend", f"domain {domain}", problem)


def deployments(prefect: Prefect, settings: Settings, pool: str) -> Iterator[Row]:
    """The deployments, the limits and the queue at Prefect."""
    ours: set[str] = set()
    for entrypoint in register.ENTRYPOINTS:
        flow = register.flow_of(entrypoint)
        ours.add(flow.name)
        what = f"{flow.name}/{flow.name}"
        found = at_prefect.found(prefect, flow.name)
        if found is None:
            yield Row("Prefect", what, str(NotRegisteredError(f"the deployment {what!r}")))
            continue
        parts = at_prefect.wanted(flow, entrypoint, pool, settings)
        problem = "; ".join(at_prefect.differences(found, parts))
        yield Row("Prefect", what, f"{problem}: run `./hublab campaign register`" if problem else "")
    for name, needs in at_prefect.foreign(prefect, pool, ours):
        yield Row("Prefect", f"{name} is not ours, left alone: {needs}")
    for limit in (NOTION_LIMIT, RESEND_LIMIT):
        try:
            prefect.client.read_global_concurrency_limit_by_name(limit)
            yield Row("Prefect", f"rate limit {limit}")
        except ObjectNotFound:
            yield Row("Prefect", f"rate limit {limit}", "not there: run `./hublab campaign register`")
    yield from (queue(prefect, pool, name) for name in (settings.handlers_queue, settings.mails_queue))
    if settings.paused:
        yield Row(
            "Prefect",
            "campaign",
            "paused: `./hublab campaign resume` when it is to go on; opening its queue is not enough",
        )
    for worker in at_prefect.strangers(prefect, pool):
        remedy = "it takes runs of the campaign and fails them: stop it, or give the campaign a pool of its own"
        yield Row("Prefect", f"worker {worker}", f"{remedy} (HUBLAB_WORK_POOL in {env_file()}, `./hublab deploy`)")


def queue(prefect: Prefect, pool: str, name: str) -> Row:
    """A queue of the campaign's: there, not paused, polled by a worker."""
    what = f"queue {name} of pool {pool}"
    found = at_prefect.queues(prefect, pool)
    if found is None:
        return Row("Prefect", what, "no such pool: a worker of it creates it: `./hublab deploy`")
    mine = next((one for one in found if one["name"] == name), None)
    if mine is None:
        return Row("Prefect", what, "not there: run `./hublab campaign register`")
    if mine["is_paused"]:
        return Row("Prefect", what, "paused: `./hublab campaign resume` when the campaign is to go on")
    if mine.get("status") == "NOT_READY":
        return Row("Prefect", what, unpolled(prefect, pool, name, mine.get("last_polled")))
    return Row("Prefect", what)


def unpolled(prefect: Prefect, pool: str, name: str, since: str | None) -> str:
    """Why no worker has asked a queue for a minute: there is none, none has it, or the slots of all are taken."""
    online = at_prefect.online(prefect, pool)
    asked = f"not polled since {since[:16].replace('T', ' ')} UTC" if since else "never polled"
    if not online:
        return f"{asked}, and no worker of the pool is online: `./hublab status` says what became of them"
    if since is None:
        return f"{asked} by {', '.join(online)}: `./hublab deploy` has the workers poll it"
    return (
        f"{asked}; online: {', '.join(online)}. `./hublab status` says whether their slots are "
        "all taken, and what their "
        f"runs wait for; if they poll other queues, `./hublab deploy` has them poll {name}"
    )


def rows(pool: str | None = None) -> list[Row]:
    """Every check; the work pool is HUBLAB_WORK_POOL when none is named."""
    with Prefect() as prefect:
        settings = prefect.settings()
        pool = pool or settings.get("HUBLAB_WORK_POOL")
        found = list(secrets(settings))
        try:
            found += [Row("campaign", "/".join(key), "; ".join(mapped(one))) for key, one in sequences().items()]
        except CampaignError as error:
            return [*found, Row("campaign", "files", str(error))]
        if all(row.ok for row in found):
            found += [testing(settings), *mapping_kept(prefect, Path(FILE))]
            try:
                with notion_client(prefect, settings) as notion:
                    found += [*properties(notion), *templates(notion, settings), sender(prefect, settings)]
            except NotRegisteredError as error:  # a service is not asked before its limit is there
                found.append(Row("Notion", "databases, templates", f"not looked at: {error}"))
            except MappingError as error:
                found.append(Row("Notion", FILE, str(error)))
        else:
            found.append(Row("Notion", "databases, templates", "not looked at: settings are missing, see above"))
        return [*found, *deployments(prefect, settings, pool)]


@server.needed
def main(arguments: list[str] | None = None) -> int:
    """Print the table; 1 when a row is not as it must be."""
    parser = argparse.ArgumentParser(prog="python -m flows.operator.preflight", description=__doc__)
    parser.add_argument("--pool", help="the work pool of the workers (HUBLAB_WORK_POOL)")
    found = rows(parser.parse_args(arguments).pool)
    width = max(len(row.what) for row in found)
    for row in found:
        sys.stdout.write(
            f"{'ok  ' if row.ok else 'FAIL'} {row.area:8} {row.what:{width}} {row.problem}\n".rstrip() + "\n"
        )
    sys.stdout.write("".join(f"{line}\n" for row in found for line in row.lines))
    bad = sum(not row.ok for row in found)
    sys.stdout.write(f"{len(found)} checks, {bad} to be put right\n" if bad else f"{len(found)} checks, all well\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
