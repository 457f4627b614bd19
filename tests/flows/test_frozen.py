"""One mail is kept for a step, and can be let go of, whichever try is interrupted by which; in memory."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from flows.operator import operate, server
from flows.sending import frozen
from tests.flows.in_memory import Services, Try, installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.flows import in_memory

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
    left = prefect.artifacts([NAME])[NAME]
    return frozen.freeze(prefect, KEY, STEP, {"subject": subject}, None, left)  # type: ignore[arg-type]


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
