"""Two tries of one mail at once, stopped at every point: accepted once, recorded once, both Completed."""

from __future__ import annotations

import itertools
import os
import random
from typing import TYPE_CHECKING, Any

import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.services import notion_schema as schema
from flows.services.notion_mapping import NotionMapping
from tests.flows.zygote import DONE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.flows.killing import Tries
    from tests.flows.world import World

PAIRS = int(os.environ.get("HUBLAB_PROPERTY_PAIRS", "12"))


@pytest.fixture
def both(world: World, zygotes: Callable[[World, int], list[Tries]]) -> tuple[Tries, Tries]:
    """Two zygotes, each with proxies of its own."""
    one, other = zygotes(world, 2)
    return one, other


class Mail:
    """One mail of an address of its own, whose template is edited between any two tries."""

    def __init__(self, world: World) -> None:
        self.world, self._edits = world, 0
        self._enrolment = world.quickly("signup")

    def fresh(self) -> list[Any]:
        email, store = self.world.address(), self.world.services.notion.store
        record = store.page(self._enrolment["page"])
        link = {"Contact": record["values"]["Contact"][0]["id"]}
        written = NotionMapping().written(schema.SEQUENCE, {"Email": email} | link)
        page = store.create_page(store.sources[record["source"]], written)["id"]
        key = find_sequence("christmas", "signup").key(email)
        return [self._enrolment | {"key": key, "email": email, "page": page}, 2]

    def edit(self) -> None:
        self._edits += 1
        page = self.world.template("christmas_email_2")
        self.world.edit(schema.TEMPLATES, page, Subject_Line=f"Subject, edit {self._edits}")

    def once(self, email: str, where: str) -> None:
        assert len(self.world.accepted(email)) == 1, where
        assert schema.read(self.world.record(email), "Email 2 Sent"), where


@pytest.mark.long
def test_a_try_that_is_stopped_anywhere_while_another_sends_completes_as_well(
    world: World, both: tuple[Tries, Tries]
) -> None:
    one, other = both
    mail = Mail(world)
    assert one.once("send", mail.fresh(), 1) == DONE  # what is learnt once and kept for all is learnt here
    for at in itertools.count(1):
        arguments = mail.fresh()
        one.killer.stop(at)
        one.begin("send", arguments, 1)
        if not one.stopped():
            assert one.end() == DONE
            assert at > 10, f"only {at - 1} calls were seen: {one.killer.calls}"
            break
        mail.edit()
        other.killer.stop(0)
        second = other.once("send", arguments, 2)
        where = f"stopped after {at} of {one.killer.calls}"
        assert (one.end(), second) == (DONE, DONE), where
        mail.once(arguments[0]["email"], where)


@pytest.mark.parametrize("pairs", [3, pytest.param(PAIRS, marks=pytest.mark.long)])
def test_two_tries_that_are_both_stopped_and_go_on_in_either_order(
    world: World, both: tuple[Tries, Tries], pairs: int
) -> None:
    one, other = both
    mail = Mail(world)
    one.killer.stop(0)
    assert one.once("send", mail.fresh(), 1) == DONE
    calls = len(one.killer.calls)
    chosen = list(itertools.product(range(1, calls + 1), range(1, calls + 1), (True, False)))
    if len(chosen) > pairs:
        chosen = random.Random(14).sample(chosen, pairs)  # noqa: S311 - the same pairs each time
    for at, at_other, first in chosen:
        arguments = mail.fresh()
        for who, point in ((one, at), (other, at_other)):
            who.killer.stop(point)
            who.begin("send", arguments, 1)
            who.stopped()
            mail.edit()
        order = (one, other) if first else (other, one)
        where = f"stopped after {at} and {at_other}, first: {first}: {one.killer.calls} {other.killer.calls}"
        assert [who.end() for who in order] == [DONE, DONE], where
        mail.once(arguments[0]["email"], where)
