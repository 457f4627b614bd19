"""`confirm = true`: after the first mail nothing goes to who has not confirmed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from flows import campaign_handler
from flows.campaigns.model import sequence as find_sequence
from flows.operator import preflight
from flows.recipients import confirmation, unsubscribe
from flows.services.clients import notion_client
from flows.services.prefect_api import Prefect
from sandbox.standins.workspace import put_template
from tests.flows.webhooks.test_routes import eventually, opened

if TYPE_CHECKING:
    from pathlib import Path

    from tests.flows.world import World

ASKING = """
campaign = "asking"
label = "Asking"
[sequences.hello]
webhook = "asking-hello"
confirm = true
steps = [
  { template = "asking_1", after = "0h" },
  { template = "asking_2", after = "0h" },
  { template = "asking_3", after = "0h" },
]
[sequences.hello.fields]
email = "address!"
first_name = "name!"
[sequences.hello.record]
"First Name" = "first_name"
[sequences.hello.contact]
"First Name" = "first_name"
"""


def furnished(world: World, folder: Path, first: str) -> None:
    (folder / "asking.toml").write_text(ASKING)
    world.setenv("HUBLAB_CAMPAIGNS", str(folder))
    store = world.services.notion.store
    source = store.database(world.services.databases["notion-email-templates-db-id"])
    for number, body in enumerate((first, "<p>Two</p>", "<p>Three</p>"), 1):
        put_template(store, source, f"asking_{number}", f"Number {number}", body)


def test_who_has_not_confirmed_gets_the_first_mail_alone(world: World, tmp_path: Path) -> None:
    furnished(world, tmp_path, '<p><a href="{{confirm_url}}">Yes, {{first_name}}</a></p>')
    email = world.address()
    campaign_handler.handle.fn("asking", "hello", {"email": email, "first_name": "Ada"})
    key = find_sequence("asking", "hello").key(email)
    with Prefect() as prefect:
        run = prefect.run_of(f"{key}:1")
    assert run is not None
    enrolment = run.parameters["enrolment"] | {"testing": True}  # no gap is kept between the mails
    assert world.send(enrolment, 1).name == "Completed"
    assert "not confirmed" in str(world.send(enrolment, 2).message)
    (mail,) = world.accepted(email)
    token = re.search(r"hooks\.hublab\.test/confirm/([\w-]+)", mail["payload"]["html"])
    assert token
    with opened(world, tmp_path / "spool") as client:
        page = client.get(f"/confirm/{token[1]}")
        assert (page.status_code, "method=post" in page.text) == (200, True)
        assert "not confirmed" in str(world.send(enrolment, 2).message), "a link that is followed confirms nothing"
        # Neither does a link for unsubscribing, nor one that is made up.
        assert client.post(f"/confirm/{unsubscribe.token('unsubscribe-test', key)}").status_code == 404
        assert client.post(f"/unsubscribe/{token[1]}").status_code == 404
        for _ in range(2):
            assert client.post(f"/confirm/{token[1]}").status_code == 202

        def kept() -> bool:
            with Prefect() as prefect:
                return confirmation.confirmed(prefect, key)

        eventually(kept)
    assert world.send(enrolment, 3).name == "Completed"
    other = enrolment | {"key": f"{key}x"}
    assert "not confirmed" in str(world.send(other, 3).message)


def test_preflight_names_a_first_template_by_which_nobody_could_confirm(world: World, tmp_path: Path) -> None:
    furnished(world, tmp_path, "<p>Hello</p>")
    with Prefect() as prefect, notion_client(prefect, prefect.settings()) as notion:
        rows = {row.what: row.problem for row in preflight.templates(notion, prefect.settings())}
    assert "does not name {{confirm_url}}" in rows["asking_1"]
    assert rows["asking_2"] == ""
