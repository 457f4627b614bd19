"""One mail is kept for a step, and can be let go of, whichever try is interrupted by which; in memory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from flows.operator import operate, server
from flows.sending import frozen
from tests.flows import in_memory
from tests.flows.in_memory import Services, Try, installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY, STEP = "winter-hello-0123", 2
NAME = frozen.place(KEY, STEP)


@pytest.fixture
def services() -> Services:
    return Services()


@pytest.fixture
def prefect(services: Services) -> Iterator[Any]:
    with installed(services) as found:
        yield found


def freeze(prefect: in_memory.Prefect, subject: str = "ours") -> frozen.FrozenMail:
    since = prefect.now()
    left = prefect.artifacts([NAME])[NAME]
    return frozen.freeze(prefect, KEY, STEP, {"subject": subject}, None, left, since)  # type: ignore[arg-type]


def thaw(prefect: in_memory.Prefect) -> frozen.FrozenMail | None:
    return frozen.thaw(prefect, KEY, STEP)  # type: ignore[arg-type]


def refused(prefect: in_memory.Prefect) -> None:
    """A whole try of the same mail: frozen, refused by Resend for certain, and let go of."""
    freeze(prefect, "theirs").drop(prefect)  # type: ignore[arg-type]


@contextlib.contextmanager
def meanwhile(services: Services, after: str | int, act: Callable[[], None]) -> Iterator[None]:
    """After a call of the try that is at work, another try takes place in whole."""

    def whole() -> None:
        saved, services.tries = services.tries, []
        act()
        services.tries = saved

    services.tries = [Try({(after, "after"): [whole]})]
    yield
    assert not services.tries[-1].plan, "it did not happen"
    services.tries = []


def test_what_killed_tries_have_left_is_nobodys_mail_and_goes_with_the_mails_own_content(
    services: Services, prefect: in_memory.Prefect
) -> None:
    for number in range(2):
        left = {"frozen_at": services.clock.now().isoformat(), "payload": {"subject": f"left {number}"}}
        prefect.keep(NAME, frozen.KIND, left | {frozen.BY_NAME: True})
    kept = freeze(prefect)
    assert (kept.payload, kept.mine) == ({"subject": "ours"}, True)
    found = thaw(prefect)  # by a try after this one, which reads no key
    assert found == kept
    assert len(services.artifacts) == 3
    found.record(prefect, "re_1", services.clock.now())  # type: ignore[arg-type]
    assert services.artifacts == {}


def test_a_mail_that_an_earlier_release_has_kept_is_sent_as_it_was_and_is_made_anew_once_it_is_let_go_of(
    services: Services, prefect: in_memory.Prefect
) -> None:
    """The artifact alone was the mail then: a try that was killed may have sent it."""
    before = services.clock.now()
    earlier = {"frozen_at": before.isoformat(), "payload": {"subject": "earlier"}}
    prefect.keep(NAME, frozen.KIND, earlier)
    services.clock.advance(3_600)
    kept = freeze(prefect)
    assert (kept.payload, kept.mine, kept.frozen_at) == ({"subject": "earlier"}, False, before)
    assert thaw(prefect) == kept
    kept.drop(prefect)  # type: ignore[arg-type]
    assert services.artifacts == {}
    assert (freeze(prefect).payload, thaw(prefect) is None) == ({"subject": "ours"}, False)


def test_a_mail_of_an_earlier_release_that_resend_has_stays_accepted(
    services: Services, prefect: in_memory.Prefect
) -> None:
    at = services.clock.now().isoformat()
    prefect.keep(NAME, frozen.KIND, {"frozen_at": at, "accepted": "re_0", "accepted_at": at})
    for kept in (freeze(prefect), thaw(prefect)):
        assert kept is not None
        assert kept.accepted == "re_0"


@pytest.mark.parametrize("call", ["artifacts", "keep"])
def test_a_mail_that_another_try_lets_go_of_is_kept_all_the_same(
    services: Services, prefect: in_memory.Prefect, call: str
) -> None:
    with meanwhile(services, call, lambda: refused(prefect)):
        kept = freeze(prefect)
    assert thaw(prefect) == kept
    kept.follow(prefect.variable(NAME), sending=False)


def test_a_mail_that_another_try_lets_go_of_once_it_is_kept_is_not_sent_by_this_one(
    services: Services, prefect: in_memory.Prefect
) -> None:
    """Nobody else would know of it. While it is being sent it is too late for that."""
    with meanwhile(services, "claim", lambda: refused(prefect)):
        kept = freeze(prefect)
    with pytest.raises(frozen.LetGoError, match=f"{NAME}: another try has let go"):
        kept.follow(prefect.variable(NAME), sending=False)
    kept.follow(prefect.variable(NAME), sending=True)
    freeze(prefect, "of another")
    with pytest.raises(frozen.LetGoError):
        kept.follow(prefect.variable(NAME), sending=False)


def test_the_answer_to_a_claim_that_is_lost_costs_nothing(services: Services, prefect: in_memory.Prefect) -> None:
    claim = prefect.claim
    with patch.object(prefect, "claim", lambda *args, **more: claim(*args, **more) and False):
        kept = freeze(prefect)
    assert not kept.mine
    assert thaw(prefect) == kept
    assert len(services.artifacts) == 1


def test_content_that_is_gone_is_an_error_until_the_operator_forgets_the_mail(
    services: Services, prefect: in_memory.Prefect, capsys: pytest.CaptureFixture[str]
) -> None:
    """As after somebody has deleted the artifact at Prefect."""
    freeze(prefect)
    services.artifacts.clear()
    with pytest.raises(LookupError, match=f"content is not at Prefect any more.*campaign forget {KEY}:{STEP}"):
        thaw(prefect)
    with patch.object(operate, "Prefect", lambda: prefect), patch.object(server, "check"):
        assert operate.main(["forget", f"{KEY}:{STEP}"]) == 0
        assert f"forgotten: {KEY}:{STEP}" in capsys.readouterr().out
        assert thaw(prefect) is None
        assert operate.main(["forget", f"{KEY}:{STEP}"]) == 1


def accepted(services: Services, prefect: in_memory.Prefect, hours: float = 2, name: str = "re_1") -> None:
    """A whole try of the mail, which Resend takes, so many hours ago."""
    freeze(prefect, "theirs").record(prefect, name, services.clock.now())  # type: ignore[arg-type]
    services.clock.advance(hours * 3600)


def archive(services: Services, prefect: in_memory.Prefect, *ends: Callable[[], bool]) -> int:
    return frozen.archive(prefect, services.clock.now(), *ends)  # type: ignore[arg-type]


def test_a_mail_that_went_out_an_hour_ago_is_known_without_a_variable(
    services: Services, prefect: in_memory.Prefect, capsys: pytest.CaptureFixture[str]
) -> None:
    accepted(services, prefect)
    known = thaw(prefect)
    assert archive(services, prefect) == 1
    assert services.kept == {}
    assert thaw(prefect) == freeze(prefect) == known
    assert archive(services, prefect) == 0
    assert len(services.artifacts) == 1
    with patch.object(operate, "Prefect", lambda: prefect), patch.object(server, "check"):
        assert operate.main(["forget", f"{KEY}:{STEP}"]) == 1
    assert "Resend has accepted this mail (re_1)" in capsys.readouterr().err


def test_a_mail_that_is_young_or_has_not_gone_out_keeps_its_variable(
    services: Services, prefect: in_memory.Prefect
) -> None:
    freeze(prefect)
    services.clock.advance(100 * 3600)
    assert archive(services, prefect) == 0
    services.kept.clear()
    services.artifacts.clear()
    accepted(services, prefect, 0.9)
    assert archive(services, prefect) == 0
    assert NAME in services.kept


def test_of_many_mails_those_that_went_out_are_archived_until_it_is_told_to_end(
    services: Services, prefect: in_memory.Prefect
) -> None:
    at = services.clock.now().isoformat()
    for number in range(130):
        gone = {"accepted": f"re_{number}", "accepted_at": at} if number >= 5 else {"artifact": "x"}
        prefect.claim(f"mail-{number:03}-1", {"frozen_at": at} | gone, tags=(frozen.KIND,))
    prefect.claim("another", {"accepted": "yes", "accepted_at": at})
    services.clock.advance(7200)
    ends = iter((False, True))
    assert archive(services, prefect, lambda: next(ends)) == 100
    assert list(ends) == []
    assert archive(services, prefect, lambda: pytest.fail("one batch is left, and nothing to wait for")) == 25
    assert sorted(services.kept) == ["another", *(f"mail-{number:03}-1" for number in range(5))]
    found = frozen.archived(prefect, [f"mail-{number:03}-1" for number in range(130)])  # type: ignore[arg-type]
    assert [one.accepted for one in found.values()] == [f"re_{number}" for number in range(5, 130)]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", range(1, 6))
def test_archiving_that_is_stopped_loses_nothing_and_comes_to_its_end(
    services: Services, prefect: in_memory.Prefect, call: int, when: str
) -> None:
    def kill() -> None:
        raise in_memory.Killed

    accepted(services, prefect)
    known = thaw(prefect)
    services.tries = [Try({(call, when): [kill]})]
    with pytest.raises(in_memory.Killed):
        archive(services, prefect)
    services.tries = []
    assert thaw(prefect) == known
    archive(services, prefect)
    assert services.kept == {}
    assert len(services.artifacts) == 1
    assert thaw(prefect) == known


@pytest.mark.parametrize("call", range(1, 6))
def test_of_two_that_archive_at_once_none_loses_what_the_other_keeps(
    services: Services, prefect: in_memory.Prefect, call: int
) -> None:
    accepted(services, prefect)
    known = thaw(prefect)

    def other() -> None:
        archive(services, prefect)

    with meanwhile(services, call, other):
        archive(services, prefect)
    assert services.kept == {}
    assert thaw(prefect) == known


@pytest.mark.parametrize("call", ["artifacts", "keep"])
def test_a_try_that_was_asleep_while_another_sent_the_mail_and_it_was_archived_sends_nothing(
    services: Services, prefect: in_memory.Prefect, call: str
) -> None:
    def sent_and_archived() -> None:
        accepted(services, prefect)
        archive(services, prefect)

    with meanwhile(services, call, sent_and_archived):
        kept = freeze(prefect)
    found = thaw(prefect)
    assert found is not None
    assert kept.accepted == found.accepted == "re_1"
    assert len(services.artifacts) == 1  # its own content is gone


def test_what_was_accepted_counts_before_what_an_earlier_release_has_kept(
    services: Services, prefect: in_memory.Prefect
) -> None:
    at = services.clock.now().isoformat()
    prefect.keep(NAME, frozen.KIND, {"frozen_at": at, "payload": {"subject": "earlier"}})
    prefect.keep(NAME, frozen.KIND, {"frozen_at": at, "accepted": "re_0", "accepted_at": at})
    assert freeze(prefect).accepted == "re_0"
