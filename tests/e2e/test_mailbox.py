"""What a real mail server took by SMTP is read back by IMAP, and what is wrong with it there is said."""

from __future__ import annotations

import asyncio
import imaplib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import pytest

from e2e import judge, notice, target
from e2e.errors import AwayError, RefusedError
from e2e.letter import authenticated, received
from e2e.outside.mailbox import Mailbox, place
from e2e.record import Enrolment, Mail, Record
from sandbox.layout import layout
from sandbox.mail import start
from sandbox.standins.delivery import Delivery, fate, handed
from sandbox.standins.resend_store import ResendStore
from sandbox.waiting import wait_for
from tests.e2e.letters import TEMPLATE, TERMS, letter
from tests.e2e.post import TREES, mail_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sandbox.mail import MailServer

BOX = "you@example.com"
TO = "you+e2e-1-signup@example.com"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    with mail_server(tmp_path_factory.mktemp("own") / "sandbox", BOX) as running:
        yield running


@pytest.fixture
def mailbox(server: MailServer) -> Iterator[Mailbox]:
    opened = Mailbox(server.imap)
    yield opened
    opened.close()


def accepted(to: str, subject: str = "letter for Ada") -> dict[str, Any]:
    """A mail as the stand-in for Resend has accepted it."""
    made = letter(to, subject, datetime.now(UTC), "mail-1")
    assert made.headers is not None
    headers = {"List-Unsubscribe": made.headers["list-unsubscribe"][0],
               "List-Unsubscribe-Post": made.headers["list-unsubscribe-post"][0]}  # fmt: skip
    payload = {"from": made.sender, "to": [to], "subject": subject, "html": made.html, "text": made.text,
               "headers": headers}  # fmt: skip
    return {"id": "mail-1", "payload": payload, "to": [to], "created": datetime.now(UTC),
            "last_event": "sent", "told": [], "suppressed": False}  # fmt: skip


def sent(server: MailServer, mail: dict[str, Any]) -> None:
    host, port = server.smtp.split(":")
    handed(mail, (host, int(port)))


def record_of(mailbox: Mailbox, to: str, tag: str, copies: int = 1) -> Record:
    """One mail that Resend has accepted, and what the mailbox holds of it."""
    began = datetime.now(UTC) - timedelta(minutes=1)
    mail = Mail("signup", 1, "x", to, wanted_subject="letter for Ada", accepted=datetime.now(UTC), event="delivered",
                state="Completed", arrivals=0)  # fmt: skip
    mail.letter = replace(letter(to, "letter for Ada", datetime.now(UTC), "mail-1"),
                          message_id="<mail-1@standin.hublab.test>", headers=None)  # fmt: skip
    record = Record("sandbox", began, mailbox=str(mailbox.place))
    record.enrolments = [Enrolment("signup", to, "form", mails=[mail])]
    wait_for(lambda: len(mailbox.since(began, tag)) == copies, f"the mailbox holds {copies} mails of {tag}")
    notice.arrived(record.enrolments, mailbox.since(began, tag))
    judge.judge(record, {"x": TEMPLATE}, TERMS)
    return record


def test_mail_comes_out_as_it_went_in(server: MailServer, mailbox: Mailbox) -> None:
    to = "you+well-1-signup@example.com"
    sent(server, accepted(to))
    record = record_of(mailbox, to, "well-1")
    assert record.mails[0].problems == []
    assert record.verdict == "1 of 1 mails in the mailbox, each once: all as it should be"
    assert record.mails[0].arrived is not None
    assert abs(record.mails[0].arrived - datetime.now(UTC)) < timedelta(minutes=1)
    assert BOX in record.mailbox
    assert "you%40" not in record.mailbox
    assert str(urlsplit(server.imap).password) not in f"{mailbox.place!r} {record.mailbox} {server!r}"


def spoilt(mail: dict[str, Any], old: str, new: str) -> dict[str, Any]:
    payload = mail["payload"]
    assert old in payload["html"]
    return {**mail, "payload": {**payload, "html": payload["html"].replace(old, new)}}


FAULTS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], str]] = {
    "another text": (lambda mail: spoilt(mail, "Hello Ada", "Hello None"), "Its HTML reads 'None'"),
    "another link": (lambda mail: spoilt(mail, "calendly.com", "evil.test"), "leads to evil.test"),
    "no one-click": (
        lambda mail: {**mail, "payload": {**mail["payload"], "headers": {}}},
        "It has 0 headers 'list-unsubscribe'",
    ),
    "another number": (lambda mail: {**mail, "id": "mail-2"}, "Its Message-ID is '<mail-2@standin.hublab.test>'"),
    "another sender": (
        lambda mail: {**mail, "payload": {**mail["payload"], "from": "Eve <eve@hublab.test>"}},
        "It is from 'Eve <eve@hublab.test>'",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_was_changed_on_the_way_is_seen_in_the_mailbox(server: MailServer, mailbox: Mailbox, fault: str) -> None:
    spoil, said = FAULTS[fault]
    tag = f"fault-{list(FAULTS).index(fault)}"
    to = f"you+{tag}-signup@example.com"
    sent(server, spoil(accepted(to)))
    problems = record_of(mailbox, to, tag).mails[0].problems
    assert any(said in one for one in problems), problems
    assert all(one.startswith("In the mailbox: ") for one in problems)


def test_mail_that_is_there_twice_or_among_the_spam_is_not_well(server: MailServer, mailbox: Mailbox) -> None:
    to = "you+twice-1-signup@example.com"
    sent(server, accepted(to))
    sent(server, accepted(to))
    assert record_of(mailbox, to, "twice-1", 2).mails[0].problems == ["In the mailbox: It is there 2 times."]
    parts = urlsplit(server.imap)
    original = b"To: you+junk-1-signup@example.com\r\nSubject: letter for Ada\r\n\r\nx"
    original = b"Authentication-Results: mx.example.com; dkim=fail; spf=pass\r\n" + original
    with imaplib.IMAP4("127.0.0.1", parts.port or 0) as imap:
        imap.login(unquote(parts.username or ""), parts.password or "")
        imap.append("Junk", "", imaplib.Time2Internaldate(datetime.now(UTC)), original)
    found = record_of(mailbox, "you+junk-1-signup@example.com", "junk-1").mails[0]
    assert {f"In the mailbox: {one}" for one in ("It lies in Junk, for spam.", "Its DKIM failed.")} <= set(
        found.problems
    )
    with imaplib.IMAP4("127.0.0.1", parts.port or 0) as imap:  # whoever owns the mailbox has not read it yet
        imap.login(unquote(parts.username or ""), parts.password or "")
        imap.select("Junk", readonly=True)
        assert imap.search(None, "SEEN") == ("OK", [b""])


def test_mail_that_no_mailbox_holds_is_not_delivered(server: MailServer, mailbox: Mailbox) -> None:
    sent(server, accepted("else+gone-1-signup@example.com"))  # into another's box
    record = record_of(mailbox, "you+gone-1-signup@example.com", "gone-1", 0)
    assert (record.delivered, record.passed) == (0, False)
    assert record.verdict.startswith("0 of 1 mails in the mailbox")
    record.mails[0].arrivals = None
    record.mailbox = ""
    assert record.verdict.startswith("1 of 1 mails delivered by Resend's word")


def test_stand_in_has_delivered_what_the_server_took(server: MailServer, mailbox: Mailbox) -> None:
    store = ResendStore(domains={"hublab.test": "verified"}, delivery=0)
    delivery = Delivery(store)
    delivery.relay("127.0.0.1:1")  # nobody is there
    mail = accepted("you+relay-1-signup@example.com")
    store.mails.append(mail)

    async def moved() -> None:
        await delivery._hand_over()
        delivery.step()

    asyncio.run(moved())
    assert mail["last_event"] == "sent"
    delivery.relay(server.smtp)
    mail["again"] = datetime.now(UTC)
    asyncio.run(moved())
    assert mail["last_event"] == "delivered"
    record_of(mailbox, "you+relay-1-signup@example.com", "relay-1")
    mail["handed"], mail["told"], mail["refused"] = False, ["sent"], True
    assert fate(mail) == ["sent", "bounced"]


def test_server_that_is_away_or_says_no_is_told_without_the_password(server: MailServer) -> None:
    parts = urlsplit(server.imap)
    for address in (server.imap.replace(str(parts.port), "1"), "imap://you:wrong-word@127.0.0.1:" + str(parts.port)):
        with pytest.raises(AwayError, match="the mailbox INBOX of you") as refused:
            Mailbox(address).ping()
        assert "wrong-word" not in str(refused.value)
        assert str(parts.password) not in str(refused.value)


@pytest.mark.parametrize(
    ("address", "said"),
    [("https://x", "it is not imaps"), ("imaps://imap.example.com", "not imaps"), ("imap://a:b@example.com", "clear")],
)
def test_address_that_is_none_is_named(address: str, said: str, tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text(f"TESTING_MAILBOX={address}\n")
    with pytest.raises(RefusedError) as refused:
        target.load(file, "production")
    (reason,) = [one for one in refused.value.reasons if one.startswith("TESTING_MAILBOX")]
    assert said in reason
    assert "a:b" not in reason


def test_address_of_a_mailbox_is_read() -> None:
    found = place("imaps://you%40example.com:p%2Fw@imap.example.com/Proof")
    assert (found.host, found.port, found.user, found.folder) == ("imap.example.com", 993, "you@example.com", "Proof")
    assert found.password == "p/w"


def test_what_the_servers_found_of_the_sender_is_read_of_the_topmost_alone() -> None:
    lines = (
        b"Authentication-Results: mx.example.com;\r\n dkim=pass header.d=example.com;\r\n spf=softfail; dmarc=fail\r\n"
        b"Authentication-Results: mx.evil.test; dmarc=pass\r\nSubject: x\r\n\r\n"
    )
    assert authenticated(received(lines).headers or {}) == {"dkim": "pass", "spf": "softfail", "dmarc": "fail"}
    assert authenticated(received(b"Subject: x\r\n\r\n").headers or {}) == {}


def test_server_starts_anew_whatever_runs_under_the_number_of_its_last_one(tmp_path: Path) -> None:
    root = tmp_path / "sandbox"
    with mail_server(root, BOX):
        (root / "mail/dovecot/master.pid").write_text("1\n")
        Mailbox(start(layout(root, TREES), BOX).imap).close()
