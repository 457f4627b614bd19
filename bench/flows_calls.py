"""What a signup of seven mails costs: `python -m bench.flows_calls [--signups 5]`.

Calls to Notion and Resend as shares of their limits, CPU seconds of this process per mail (without the engine that
Prefect starts for each run). Prefect's own test server, the stand-ins, the real SDKs.
"""

from __future__ import annotations

import argparse
import os
import resource
import time

from bench import results
from bench.boxes import UNLIMITED

MAILS = 7


def measure(signups: int, name: str) -> dict[str, float]:
    """Enrol and send, with addresses of this name; totals."""
    from flows.campaigns.model import sequence  # noqa: PLC0415 - after the harness has set Prefect up
    from flows.enrolment.enrol import enrol  # noqa: PLC0415
    from flows.send_email_flow import send_email  # noqa: PLC0415
    from flows.services.prefect_api import Prefect  # noqa: PLC0415
    from sandbox.campaign.contacts import PAYLOADS, address  # noqa: PLC0415

    scheduling, began, cpu = 0.0, time.monotonic(), resource.getrusage(resource.RUSAGE_SELF)
    for number in range(signups):
        email = address(f"{name}{number}")
        start = time.monotonic()
        enrol("christmas", "signup", PAYLOADS["signup"] | {"email": email}, None)
        scheduling += time.monotonic() - start
        with Prefect() as prefect:
            run = prefect.run_of(f"{sequence('christmas', 'signup').key(email)}:1")
        assert run is not None
        for step in range(1, MAILS + 1):
            assert send_email.fn(run.parameters["enrolment"], step).name == "Completed"
    after = resource.getrusage(resource.RUSAGE_SELF)
    spent = after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime
    return {"scheduling": scheduling / signups, "wall": time.monotonic() - began, "cpu": spent}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signups", type=int, default=5)
    signups = parser.parse_args().signups
    os.environ.setdefault("PREFECT_LOGGING_LEVEL", "ERROR")
    from prefect.client.schemas.actions import WorkPoolCreate  # noqa: PLC0415 - after the level is set
    from prefect.testing.utilities import prefect_test_harness  # noqa: PLC0415

    from flows.operator import notion_setup, register  # noqa: PLC0415
    from flows.services.prefect_api import Prefect  # noqa: PLC0415
    from sandbox.standins.serve import stand_ins  # noqa: PLC0415

    with prefect_test_harness(server_startup_timeout=120), stand_ins(per_minute=1_000_000) as both:
        both.resend.per_second = 1_000_000
        os.environ.update(both.environment() | UNLIMITED)
        with Prefect() as prefect:
            prefect.client.create_work_pool(WorkPoolCreate(name="default", type="process"))
        register.register("default")
        notion_setup.main([])
        for book in (both.notion.book, both.resend.book):
            book.calls.clear()
        measure(1, "first")  # which data source a database has is looked up once for all
        first = len(both.notion.book.calls)
        for book in (both.notion.book, both.resend.book):
            book.calls.clear()
        found = measure(signups, "bench")
        notion, resend = len(both.notion.book.calls) / signups, len(both.resend.book.calls) / signups
        accepted = len(both.resend.store.mails)
    assert accepted == (signups + 1) * MAILS, accepted
    mails = signups * MAILS
    rows = [
        ["calls to Notion, a signup of seven", f"{notion:.0f}, and {first} the very first of a workspace"],
        ["calls to Resend, a mail", f"{resend / MAILS:.2f}"],
        ["CPU seconds a mail, one process without an engine", f"{found['cpu'] / mails:.2f}"],
    ]
    raw = {"notion": notion, "first": first, "resend": resend, "signups": signups, **found}
    results.write("flows_calls", results.Table(["what", "found"], rows), raw)


if __name__ == "__main__":
    main()
