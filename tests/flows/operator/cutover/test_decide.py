"""Who is taken over, and how: the rules for what is clear and for what is doubtful. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.campaigns.model import sequence as find_sequence
from flows.operator.cutover import attribution, decide, kept, plan, read, words, writes
from flows.operator.cutover.facts import Contact, Facts, Mail, OldRun, OurRun, Record
from flows.operator.cutover.stage import Stage

NOW = datetime(2025, 11, 29, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ADA = "ada@salon.ca"
BOOKED, LEFT = Contact("c", "", "Booked"), Contact("c", "Unsubscribed", "")
SIGNUP = find_sequence("christmas", "signup")
KEY = SIGNUP.key(ADA)
STEP = {one.number: one for one in SIGNUP.steps}
SUBJECTS = {f"christmas_email_{n}": f"Letter {n} for {{{{first_name}}}}" for n in range(1, 8)}
SUBJECTS |= {
    "christmas_email_2a_critical": "{{first_name}}, it is critical",
    "noshow_recovery_email_1": "We missed you",
}
SCORES = {"gps_score": 40, "money_score": 30, "revenue_leak_total": 9000, "red_systems": 2, "orange_systems": 1}


def run(step: int, due: datetime, state: str = "SCHEDULED", name: str = "", **more: Any) -> OldRun:
    """A mail of theirs."""
    email = more.pop("email", ADA)
    given = {"email": email, "email_number": step, "first_name": "Ada", "segment": "CRITICAL", "assessment_score": 52}
    shown = name or state.title()
    since = more.pop("since", due)
    return OldRun(
        f"run-{step}-{due:%d%H%M}",
        email,
        ("christmas", "signup"),
        step,
        due,
        state,
        shown,
        since,
        given | SCORES | more,
    )


def record(started: datetime, sent: tuple[int, ...] = (), **more: Any) -> Record:
    marks = {n: started + STEP[n].delay for n in sent}
    found = Record(
        "page-1", ADA, "", "Christmas 2025", "", started, marks, {"first_name": "Ada", "red_systems": 2}, linked=False
    )
    return replace(found, **more)


def mail(step: int, at: datetime, subject: str = "") -> Mail:
    return Mail(f"mail-{step}", ADA, subject or f"Letter {step} for Ada", at)


def world(enrolled: datetime, out: int, **more: Any) -> Facts:
    """Somebody who was enrolled then: the first mails are out, by Notion and by Resend, the others are scheduled."""
    runs = [run(n, enrolled + STEP[n].delay, "COMPLETED" if n <= out else "SCHEDULED") for n in STEP]
    mails = tuple(mail(n, enrolled + STEP[n].delay) for n in STEP if n <= out)
    found = Facts(
        NOW,
        tuple(runs),
        (record(enrolled, tuple(range(1, out + 1))),),
        {ADA: (Contact("contact-1", "Nurture Sequence", ""),)},
        {ADA: mails},
        enrolled - 24 * HOUR,
        {},
        SUBJECTS,
    )
    return replace(found, **more)


def only(facts: Facts) -> decide.Case:
    (found,) = decide.cases(facts)
    return found


def kinds(facts: Facts) -> str:
    """One letter for each mail: o(ut), c(omes), w(ithheld); waits is W."""
    letters = {"out": "o", "comes": "c", "withheld": "w", "waits": "W"}
    return "".join(letters[one.kind] for one in only(facts).fates)


def without(facts: Facts, step: int, *more: OldRun) -> Facts:
    return replace(facts, runs=(*(one for one in facts.runs if one.step != step), *more))


START = NOW - 80 * HOUR  # mails 1 to 3 are due by now


def test_who_is_in_the_midst_goes_on_at_the_old_times_with_what_only_the_runs_know() -> None:
    facts = world(START, 3)
    case = only(facts)
    assert kinds(facts) == "ooocccc"
    assert (case.rule, case.doubts, case.key) == ("taken over", (), KEY)
    assert [one.due for one in case.fates[3:]] == [START + STEP[n].delay for n in (4, 5, 6, 7)]
    given = writes.enrolment(case)
    assert given["page"] == "page-1"
    assert {name: given["variables"][name] for name in SCORES} == SCORES
    assert given["variables"]["segment"] == "CRITICAL"
    assert [one["due"] for one in given["plan"]][3] == (START + STEP[4].delay).isoformat()


def test_the_key_comes_first_and_their_runs_are_cancelled_last() -> None:
    facts = world(START, 3)
    todo = [one.what for one in writes.of(only(facts), facts)]
    assert todo == ["claim", "page", *["create"] * 7, *["cancel"] * 4]
    page = writes.of(only(facts), facts)[1]
    assert page.values == {"Enrolment Key": KEY, "Contact": "contact-1"}
    made = [(one.step, one.name) for one in writes.of(only(facts), facts) if one.what == "create"]
    assert made == [(1, "SentBefore"), (2, "SentBefore"), (3, "SentBefore"), (4, ""), (5, ""), (6, ""), (7, "")]


def test_of_who_has_a_mail_in_a_workers_hands_nothing_is_written_but_the_key() -> None:
    """It may go out, or its run may end: with the others ours beside it, the record would not tell which."""
    facts = without(world(START, 3), 4, run(4, START + STEP[4].delay, "RUNNING", since=NOW - timedelta(minutes=1)))
    assert kinds(facts) == "oooWccc"
    assert [one.what for one in writes.of(only(facts), facts)] == ["claim"]
    later = replace(facts, now=NOW + HOUR)  # its worker is lost
    assert [one.what for one in writes.of(only(later), later)] == ["claim", "page", *["create"] * 7, *["cancel"] * 4]


def test_what_is_written_is_not_written_again() -> None:
    facts = world(START, 3)
    ours = {KEY: OurRun("claim", "COMPLETED", "TakenOver", NOW, NOW)}
    ours |= {
        f"{KEY}:{n}": OurRun(f"ours-{n}", "SCHEDULED" if n > 3 else "COMPLETED", "Scheduled", NOW, NOW) for n in STEP
    }
    done = tuple(replace(one, state="CANCELLED", state_name="TakenOver") if one.step > 3 else one for one in facts.runs)
    whole = replace(facts, ours=ours, runs=done, records=(replace(facts.records[0], key=KEY, linked=True),))
    assert kinds(whole) == "ooocccc"
    assert writes.of(only(whole), whole) == []


@pytest.mark.parametrize(
    ("change", "becomes", "says"),
    [
        # Sent at Resend and not recorded.
        (lambda f: replace(f, records=(record(START, (1, 2)),)), "ooocccc", "Resend has it and Notion no mark"),
        # Recorded, and Resend has none.
        (lambda f: replace(f, mails={ADA: (mail(1, START), mail(2, START + 24 * HOUR))}), "ooocccc", "lists no such"),
        # Crashed a little ago, and nowhere to be seen.
        (
            lambda f: replace(
                without(f, 3, run(3, START + 72 * HOUR, "CRASHED")),
                records=(record(START, (1, 2)),), mails={ADA: (mail(1, START), mail(2, START + 24 * HOUR))},
            ),
            "ooccccc",
            "ended as Crashed",
        ),
        # Its first one lost, the others out.
        (
            lambda f: replace(
                without(f, 1, run(1, START, "CRASHED")),
                records=(record(START, (2, 3)),),
                mails={ADA: (mail(2, START + 24 * HOUR), mail(3, START + 72 * HOUR))},
            ),
            "woocccc",
            "later mails are out",
        ),
        # Completed, which says nothing, and a mail that may be it.
        (
            lambda f: replace(
                without(f, 3, run(3, START + 72 * HOUR, "COMPLETED")),
                records=(record(START, (1, 2)),),
                mails={ADA: (mail(1, START), mail(2, START + 24 * HOUR), mail(9, START + 72 * HOUR, "Old words"))},
            ),
            "oowcccc",
            "may be this mail",
        ),
        # A worker of theirs has it in its hands; and one that is gone had.
        (
            lambda f: replace(
                without(f, 3, run(3, START + 72 * HOUR, "RUNNING", since=NOW)),
                records=(record(START, (1, 2)),), mails={ADA: (mail(1, START), mail(2, START + 24 * HOUR))},
            ),
            "ooWcccc",
            "in flight",
        ),
        (
            lambda f: replace(
                without(f, 3, run(3, START + 72 * HOUR, "RUNNING")),
                records=(record(START, (1, 2)),), mails={ADA: (mail(1, START), mail(2, START + 24 * HOUR))},
            ),
            "ooccccc",
            "ended as Running",
        ),
        (lambda f: without(f, 5, run(5, START + 168 * HOUR, "CANCELLED")), "ooocwcc", "cancelled by hand"),
        # The same, and its worker was gone already: nobody comes to end it.
        (
            lambda f: without(f, 5, run(5, START + 168 * HOUR, "CANCELLING", since=NOW - HOUR)),
            "ooocwcc",
            "cancelled by hand",
        ),
        # It had begun, waits for another try, and a mail may be it.
        (
            lambda f: replace(
                without(f, 3, replace(run(3, START + 72 * HOUR, name="AwaitingRetry"), begun=True)),
                records=(record(START, (1, 2)),),
                mails={ADA: (mail(1, START), mail(2, START + 24 * HOUR), mail(9, START + 72 * HOUR, "Old words"))},
            ),
            "oowcccc",
            "may be this mail",
        ),
        (lambda f: replace(f, runs=(*f.runs, run(6, START + 300 * HOUR))), "ooocccc", "more than once: mail 6"),
        (lambda f: replace(f, records=(*f.records, record(START - HOUR, (), page="page-2"))), "ooocccc", "2 records"),
        (lambda f: replace(f, records=(replace(f.records[0], campaign=""),)), "ooocccc", "no Campaign"),
        (lambda f: replace(f, records=(replace(f.records[0], email="Ada@Salon.ca"),)), "ooocccc", "written Ada@"),
        (lambda f: replace(f, contacts={}), "ooocccc", "no contact in Notion: 4 mails"),
        (lambda f: replace(f, contacts={ADA: (BOOKED,)}), "ooocccc", "Booked: 4 mails will be"),
        (lambda f: replace(f, contacts={ADA: (LEFT,)}), "ooocccc", "unsubscribed: 4 mails"),
        (
            lambda f: replace(f, contacts={ADA: (Contact("c", "VIP, unsubscribed ", ""),)}),
            "ooocccc",
            "unsubscribed: 4 mails",
        ),
        (lambda f: replace(f, contacts={ADA: (Contact("c", "", "Lead, booked "),)}), "ooocccc", "booked: 4 mails"),
        (
            lambda f: replace(f, contacts=f.contacts | {"ada+call@salon.ca": (BOOKED,)}),
            "ooocccc",
            "Booked (ada+call@salon.ca, of the same mailbox): 4 mails will be",
        ),
        (
            lambda f: replace(f, contacts=f.contacts | {"ada+x@salon.ca": (LEFT,)}),
            "ooocccc",
            "unsubscribed (ada+x@salon.ca, of the same mailbox): 4 mails",
        ),
        (
            lambda f: replace(f, records=(replace(f.records[0], stopped=True),)),
            "ooocccc",
            "cancelled or completed in Notion: 4 mails",
        ),
        (lambda f: replace(f, runs=f.runs[:3]), "ooowwww", "no run is there for it"),
    ],
)  # fmt: skip
def test_each_doubt_has_a_rule_and_is_named(change: Any, becomes: str, says: str) -> None:
    facts = change(world(START, 3))
    assert kinds(facts) == becomes
    assert says in " | ".join(only(facts).doubts)


def test_a_booking_of_before_a_no_show_on_another_page_keeps_nobody() -> None:
    """By the same rule as at each send: what has enrolled is a newer booking."""
    noshow = find_sequence("christmas", "noshow")
    since, key = NOW - HOUR, noshow.key(ADA, "uri")
    records = (record(since, type="No-Show Recovery", key=key),)
    for edited, said in ((since - HOUR, False), (since + HOUR, True)):
        there: dict[str, tuple[Contact, ...]] = {ADA: (Contact("c", "", "No-Show"),)}
        there |= {"ada+x@salon.ca": (replace(BOOKED, edited=edited),)}
        (case,) = decide.cases(Facts(NOW, (), records, there, {}, since - 24 * HOUR, {}, SUBJECTS))
        assert ("Booked (ada+x@salon.ca" in " | ".join(case.doubts)) is said
        assert "c, of the same" not in " | ".join(case.doubts)


@pytest.mark.parametrize(("hours", "becomes"), [(47, "ooccccc"), (49, "oowcccc")])
def test_a_mail_that_was_lost_is_sent_for_two_days_after_its_time_and_then_no_more(hours: int, becomes: str) -> None:
    start = NOW - (72 + hours) * HOUR
    seen: dict[str, tuple[Mail, ...]] = {ADA: (mail(1, start), mail(2, start + 24 * HOUR))}
    facts = replace(world(start, 3), records=(record(start, (1, 2)),), mails=seen)
    facts = without(facts, 3, run(3, start + 72 * HOUR, "CRASHED"))
    assert kinds(facts) == becomes
    assert ("it is not sent after so long" in " | ".join(only(facts).doubts)) is (hours > 48)


@pytest.mark.parametrize("hours", [-10, 84])
def test_of_several_runs_for_one_mail_the_first_that_waits_says_when(hours: int) -> None:
    facts, due = world(START, 3), START + STEP[6].delay
    facts = replace(facts, runs=(*facts.runs, run(6, due + hours * HOUR)))
    assert only(facts).fates[5].due == due + min(hours, 0) * HOUR
    assert [one.step for one in writes.of(only(facts), facts) if one.what == "create"].count(6) == 1


def test_a_mark_that_notion_lacks_is_written_when_resend_has_the_mail() -> None:
    facts = replace(world(START, 3), records=(record(START, (1, 2)),))
    (page,) = [one for one in writes.of(only(facts), facts) if one.what == "page"]
    assert page.values["Email 3 Sent"] == (START + 72 * HOUR).isoformat()


def test_two_records_what_either_shows_as_sent_counts_and_the_fuller_one_goes_on() -> None:
    other = record(START + HOUR, (4,), page="page-2")
    facts = replace(world(START, 3), records=(*world(START, 3).records, other))
    assert kinds(facts) == "ooooccc"
    assert only(facts).record == facts.records[0]


@pytest.mark.parametrize(
    "better",
    [
        {"sent": {1: START, 2: START}, "started": START + HOUR},  # the fuller one, also where it is the younger
        {"started": START - HOUR},  # of two that are as full, the older
        {"key": KEY, "sent": {}, "started": START + HOUR},  # the one that a go before this has begun with
    ],
)
def test_of_several_records_one_goes_on_and_it_is_the_same_at_each_go(better: dict[str, Any]) -> None:
    plain = record(START, (1,))
    wanted = replace(plain, page="page-2", **better)
    for records in ((plain, wanted), (wanted, plain)):
        found = only(replace(world(START, 1), records=records)).record
        assert found
        assert found.page == "page-2"


def test_of_what_the_runs_say_the_latest_holds_and_the_segment_is_the_one_that_was_told() -> None:
    facts = world(START, 3)
    told = tuple(replace(one, parameters=one.parameters | {"gps_score": one.step}) for one in facts.runs)
    urgent = tuple(replace(one, parameters=one.parameters | {"segment": "URGENT"}) for one in told)
    for runs, segment in ((told, "CRITICAL"), (urgent, "URGENT")):  # two red systems, which are critical today
        variables = only(replace(facts, runs=runs)).variables
        assert (variables["gps_score"], variables["segment"], variables["red_systems"]) == (7, segment, 2)


@pytest.mark.parametrize(("days", "becomes"), [(-300, "ooocccc"), (3, "ooooccc")])
def test_what_another_campaigns_record_shows_counts_where_it_is_of_this_time(days: int, becomes: str) -> None:
    """Theirs marked the first page of an address, whatever its campaign; last year's campaign is another matter."""
    marks = {4: START + days * 24 * HOUR}
    other = replace(record(START, campaign="Winter", page="page-2"), sent=marks)
    assert kinds(replace(world(START, 3), records=(*world(START, 3).records, other))) == becomes


@pytest.mark.parametrize(("hours", "kind"), [(-240, "comes"), (1, "out")])
def test_the_mails_of_an_earlier_no_show_are_not_those_of_this_one(hours: int, kind: str) -> None:
    since = NOW - 2 * HOUR
    there = (record(since, type="No-Show Recovery", key=find_sequence("christmas", "noshow").key(ADA, "second")),)
    mails: dict[str, tuple[Mail, ...]] = {ADA: (mail(1, since + hours * HOUR, "We missed you"),)}
    (case,) = decide.cases(Facts(NOW, (), there, {}, mails, since - 300 * HOUR, {}, SUBJECTS))
    assert case.fates[0].kind == kind


@pytest.mark.parametrize(("subject", "becomes"), [("We missed you", "ooccccc"), ("Old words", "oowcccc")])
def test_a_mail_of_another_sequence_is_not_taken_for_one_of_this(subject: str, becomes: str) -> None:
    due = START + STEP[3].delay
    mails: dict[str, tuple[Mail, ...]] = {ADA: (mail(1, START), mail(2, START + 24 * HOUR), mail(9, due, subject))}
    facts = replace(world(START, 3), records=(record(START, (1, 2)),), mails=mails)
    assert kinds(without(facts, 3, run(3, due, "COMPLETED"))) == becomes


def test_minute_spaced_mails_are_left_over_from_a_test_and_days_apart_are_not() -> None:
    minutes = tuple(run(n, NOW + timedelta(minutes=n)) for n in STEP)
    facts = replace(world(START, 0), runs=minutes)
    assert kinds(facts) == "wwwwwww"
    assert [one.what for one in writes.of(only(facts), facts)].count("cancel") == 7
    late = replace(world(NOW - 20 * HOUR, 0), runs=(run(1, NOW - 20 * HOUR), run(2, NOW + 4 * HOUR)))
    assert kinds(late).startswith("cc")


def test_a_late_mail_is_sent_and_one_that_has_waited_for_weeks_is_not() -> None:
    late = world(NOW - 125 * HOUR, 3)  # mail 4 was due five hours ago
    assert kinds(late) == "ooocccc"
    assert not only(late).doubts
    weeks = world(NOW - 500 * HOUR, 3)
    assert kinds(weeks) == "ooowwww"
    assert "waited since: it is not sent" in " ".join(only(weeks).doubts)


def test_a_young_enrolment_whose_handler_died_is_scheduled_whole_and_an_old_one_is_not() -> None:
    young = replace(world(NOW - HOUR, 0), runs=(run(1, NOW - HOUR),))
    assert kinds(young) == "ccccccc"
    assert "the enrolment is young" in " ".join(only(young).doubts)
    assert kinds(replace(world(START, 0), runs=())) == "wwwwwww"


def test_without_a_record_nothing_is_sent_and_nobody_is_kept_from_signing_up() -> None:
    facts = replace(world(START, 3), records=())
    case = only(facts)
    assert case.rule == "left out"
    assert {one.what for one in writes.of(case, facts)} == {"cancel"}
    assert "restore it" in " ".join(case.doubts)


def test_a_record_of_another_campaign_is_named_where_there_is_no_other() -> None:
    """It is there, and not in the trash: a person renamed the option, or chose another."""
    facts = replace(world(START, 3), records=(record(START, (1, 2, 3), campaign="Christmas Campaign"),))
    case = only(facts)
    assert case.rule == "left out"
    assert "'Christmas Campaign'" in case.why
    assert "choose 'Christmas 2025'" in case.why
    assert "trash" not in case.why


@pytest.mark.parametrize("email", ["qa@salon.ca", "qa+3@salon.ca", "sarah@example.com", "x@sub.test"])
def test_test_addresses_are_left_out(email: str) -> None:
    runs = tuple(replace(one, email=email) for one in world(START, 3).runs)
    facts = replace(
        world(START, 3), runs=runs, records=(record(START, email=email),), testers=frozenset({"qa@salon.ca"})
    )
    assert only(facts).rule == "left out"
    assert {one.what for one in writes.of(only(facts), facts)} == {"cancel"}


def test_mixed_case_is_one_person() -> None:
    runs = tuple(replace(one, email="ADA@salon.ca ") if one.step % 2 else one for one in world(START, 3).runs)
    assert kinds(replace(world(START, 3), runs=runs)) == "ooocccc"
    assert only(replace(world(START, 3), runs=runs)).email == ADA


def test_a_run_that_we_cancelled_tells_what_it_was_when_the_rest_was_not_written() -> None:
    facts = world(START, 3)
    taken = tuple(
        replace(one, state="CANCELLED", state_name="TakenOver") if one.step > 3 else one for one in facts.runs
    )
    assert kinds(replace(facts, runs=taken)) == "ooocccc"


def test_who_was_enrolled_anew_by_this_release_does_not_get_what_is_out() -> None:
    facts = world(START, 3)
    ours = {KEY: OurRun("handler", "COMPLETED", "Completed", NOW, NOW)}
    ours |= {f"{KEY}:{n}": OurRun(f"ours-{n}", "SCHEDULED", "Scheduled", NOW, NOW) for n in STEP}
    anew = replace(facts, ours=ours, records=(*facts.records, record(NOW, (), page="page-2", key=KEY, linked=True)))
    todo = writes.of(only(anew), anew)
    assert [(one.what, one.at) for one in todo if one.what == "settle"] == [("settle", f"ours-{n}") for n in (1, 2, 3)]
    assert [one.what for one in todo].count("cancel") == 4


def test_a_no_show_is_a_sequence_of_its_own_and_its_occasion_counts() -> None:
    uri = "https://api.calendly.com/scheduled_events/1"
    given = {"email": ADA, "email_number": 1, "template_id": "noshow_recovery_email_1", "calendly_event_uri": uri}
    more = {"first_name": "Ada", "business_name": "Salon", "scheduled_time": "2025-12-01T10:00:00Z"}
    theirs = OldRun("n", ADA, ("christmas", "noshow"), 1, NOW + HOUR, "SCHEDULED", "Scheduled", NOW, given | more)
    page = Record(
        "page-n", ADA, "", "Christmas 2025", "No-Show Recovery", NOW, {}, {"calendly_event_uri": uri}, linked=False
    )
    base = world(START, 3)
    facts = replace(base, runs=(*base.runs, theirs), records=(*base.records, page))
    found = {one.sequence.name: one for one in decide.cases(facts)}
    assert set(found) == {"signup", "noshow"}
    assert found["noshow"].key == find_sequence("christmas", "noshow").key(ADA, uri)
    assert [one.kind for one in found["noshow"].fates] == ["comes", "comes", "comes"]
    assert found["noshow"].variables["scheduled_time"] == "2025-12-01T10:00:00Z"


def test_a_signup_that_nobody_came_to_is_enrolled_and_one_lost_long_ago_is_named() -> None:
    fields = {"email": "Bo@salon.ca", "first_name": "Bo", "assessment_score": 40}
    waits = OldRun("h", "Bo@salon.ca", ("christmas", "signup"), 0, NOW - HOUR, "SCHEDULED", "Late", NOW, fields)
    _, (signup,), todo, _ = plan.decided(Facts(NOW, (waits,)))
    assert [one.what for one in todo[SIGNUP.key("bo@salon.ca")]] == ["enrol", "cancel"]
    assert not signup.known
    crashed = replace(waits, state="CRASHED", state_name="Crashed")
    assert [one.what for one in plan.decided(Facts(NOW, (crashed,)))[2][SIGNUP.key("bo@salon.ca")]] == ["enrol"]
    old = replace(crashed, due=NOW - 100 * HOUR)
    _, (lost,), todo, _ = plan.decided(Facts(NOW, (old,)))
    assert "too long ago" in lost.doubt
    assert todo[lost.key] == []
    assert (
        plan.decided(
            replace(world(START, 3), runs=(*world(START, 3).runs, replace(crashed, email=ADA, parameters={})))
        )[1]
        == ()
    )


@pytest.mark.parametrize(
    ("state", "name", "hours", "begins"),
    [
        ("SCHEDULED", "Late", 100, True),
        ("SCHEDULED", "Late", 200, False),  # a week and more: the mails of who waits so long are not sent either
        ("RUNNING", "Running", 47, True),
        ("RUNNING", "Running", 49, False),  # its worker is gone as if it had crashed
        ("PENDING", "Pending", 49, False),
    ],
)
def test_a_signup_of_long_ago_begins_nothing_however_its_run_stands(
    state: str, name: str, hours: int, begins: bool
) -> None:
    fields, due = {"email": "bo@salon.ca", "first_name": "Bo", "assessment_score": 40}, NOW - hours * HOUR
    call = OldRun("h", "bo@salon.ca", ("christmas", "signup"), 0, due, state, name, due, fields)
    _, (signup,), todo, _ = plan.decided(Facts(NOW, (call,)))
    assert [one.what for one in todo[signup.key]] == (["enrol", "cancel"] if begins else ["cancel"])
    assert ("too long ago" in signup.doubt) is not begins
    assert f"a signup of {due:%Y-%m-%d %H:%M} UTC" in words._signup(signup)


def test_a_signup_whose_run_a_person_has_cancelled_begins_nothing_though_nobody_was_there_to_end_it() -> None:
    fields = {"email": "bo@salon.ca", "first_name": "Bo", "assessment_score": 40}
    since = NOW - HOUR
    call = OldRun("h", "bo@salon.ca", ("christmas", "signup"), 0, since, "CANCELLING", "Cancelling", since, fields)
    assert plan.decided(Facts(NOW, (call,)))[1] == ()


def test_a_signup_that_the_way_back_did_not_hand_over_is_enrolled_when_all_is_taken_over_again() -> None:
    fields = {"email": "bo@salon.ca", "first_name": "Bo", "assessment_score": 40}
    call = OldRun("h", "bo@salon.ca", ("christmas", "signup"), 0, NOW - HOUR, "CANCELLED", "HandedBack", NOW, fields)
    call, key = replace(call, message="not handed back: the enrolment is not confirmed"), SIGNUP.key("bo@salon.ca")
    assert [one.what for one in plan.decided(Facts(NOW, (call,)))[2][key]] == ["enrol"]
    assert kept.of(Facts(NOW, (call,)))[0].why == "the enrolment is not confirmed"
    there = Facts(NOW, (call,), ours={key: OurRun("claim", "SCHEDULED", "Scheduled", NOW, NOW)})
    assert plan.decided(there)[1] == ()
    assert kept.of(there) == []  # it goes on here
    handed = replace(call, message=f"back:{call.id}")
    assert plan.decided(Facts(NOW, (handed,)))[1] == ()  # theirs has it
    (old,) = plan.decided(Facts(NOW + 100 * HOUR, (call,)))[1]
    assert "too long ago" in old.doubt


def test_a_handler_of_ours_that_was_not_handed_over_is_scheduled_again_for_a_week() -> None:
    given = {"payload": {"email": "bo@salon.ca"}}
    why = "not handed back: the enrolment is not confirmed"
    run = OurRun("handler", "CANCELLED", "HandedBack", NOW, NOW, NOW, given, why)
    facts = Facts(NOW, ours={SIGNUP.key("bo@salon.ca"): run})
    assert [(one.what, one.at) for one in plan.decided(facts)[2][""]] == [("revive", "handler")]
    assert plan.decided(replace(facts, now=NOW + 200 * HOUR))[2][""] == []
    assert plan.decided(replace(facts, ours={SIGNUP.key("bo@salon.ca"): replace(run, message="back:x")}))[2][""] == []


def test_whom_theirs_has_sent_the_first_mail_was_never_asked_to_confirm() -> None:
    asks = replace(SIGNUP, confirm=True)
    for out, asked in ((3, False), (0, True)):
        case = only(world(NOW + HOUR if not out else START, out))
        assert writes.enrolment(replace(case, sequence=asks))["confirm"] is asked
        assert writes.enrolment(case)["confirm"] is False


@pytest.mark.parametrize(
    ("subject", "step"),
    [
        ("Letter 2 for Ada", 2),
        ("  letter 2  for Ada ", 2),
        ("Ada, it is critical", 2),
        ("Letter 22 for Ada", None),
        ("Something else", None),
    ],
)
def test_a_mail_is_told_by_its_subject(subject: str, step: int | None) -> None:
    known, unknown = attribution.attributed([mail(0, NOW, subject)], attribution.steps(SIGNUP, SUBJECTS))
    assert list(known) == ([step] if step else [])
    assert len(unknown) == (step is None)


def test_a_subject_that_is_nothing_but_a_variable_tells_nothing() -> None:
    subjects = {"christmas_email_1": "{{first_name}}", "christmas_email_2": "Same", "christmas_email_3": "Same"}
    known, unknown = attribution.attributed(
        [mail(0, NOW, "Same"), mail(0, NOW, "Ada")], attribution.steps(SIGNUP, subjects)
    )
    assert (known, len(unknown)) == ({}, 2)


def test_what_others_wrote_cannot_write_on_the_operators_terminal() -> None:
    evil = "ada@salon.ca\x1b[2J\x9b31m\nto do: nothing"
    runs = tuple(replace(one, email=evil) for one in world(START, 3).runs)
    facts = replace(world(START, 3), runs=runs, records=(record(START, email=evil),))
    standing = Stage("", None, {}, "default", (), (), ())
    shown = words.report(plan.Plan(standing, *plan.decided(facts)))
    assert "ada@salon.ca?[2J?31m?to do: nothing" in shown
    assert "\x1b" not in shown
    assert "\nto do: nothing" not in shown


@pytest.mark.parametrize(
    ("given", "step"), [(3, 3), ("3", 3), ("²", 0), ("9" * 5000, 0), (3.0, 3), ("", 0), (None, 0), (-1, 0), (1.5, 0)]
)
def test_number_of_a_mail_is_one_or_none(given: object, step: int) -> None:
    assert read._number(given) == step


def run_there(**parameters: Any) -> dict[str, Any]:
    """A run of theirs as Prefect shows it."""
    state = {"type": "SCHEDULED", "timestamp": NOW.isoformat()}
    times = {"expected_start_time": NOW.isoformat(), "next_scheduled_start_time": NOW.isoformat()}
    given = {"email": ADA, "email_number": 3} | parameters
    return {"id": "r", "state_type": "SCHEDULED", "state_name": "Late", "state": state, "parameters": given} | times


@pytest.mark.parametrize("name", ["AwaitingRetry", "AwaitingConcurrencySlot"])
def test_mails_that_wait_together_after_an_outage_are_no_test(name: str) -> None:
    """Prefect moves a run that waits for another try, or for a place, to a moment from now."""
    moved = {"state_name": name, "next_scheduled_start_time": NOW.isoformat()}
    times = {1: NOW - 80 * HOUR, 2: NOW - 56 * HOUR, 3: NOW - 8 * HOUR}
    shown = [run_there(email_number=n) | moved | {"expected_start_time": at.isoformat()} for n, at in times.items()]
    runs = tuple(read._old_run(one, "", None) for one in shown)
    facts = replace(world(NOW - 80 * HOUR, 0), runs=runs)
    assert [one.due for one in only(facts).fates[:3]] == list(times.values())
    assert kinds(facts)[:3] == "ccc"


def test_whether_a_run_has_begun_once_is_read() -> None:
    assert [read._old_run(run_there() | {"run_count": n}, "", None).begun for n in (0, 1)] == [False, True]


@pytest.mark.parametrize(
    ("parameters", "readable"),
    [
        ({}, True),
        ({"email_number": 8}, False),  # the sequence has seven
        ({"email_number": 4, "template_type": "No-Show Recovery"}, False),  # and this one three
        ({"email_number": 3, "template_type": "No-Show Recovery"}, True),
        ({"email_number": [3]}, False),
        ({"email_number": None}, False),
        ({"email": None}, False),
        ({"email": ""}, False),
        ({"template_type": "Newsletter"}, False),
        ({"segment": ["CRITICAL"], "red_systems": {"a": 1}, "first_name": 7, "extra": None}, True),
    ],
)
def test_a_run_with_odd_parameters_is_a_persons_or_counted_and_stops_nothing(
    parameters: dict[str, Any], readable: bool
) -> None:
    found = read._old_run(run_there(**parameters), "", None)
    cases, _, todo, unreadable = plan.decided(Facts(NOW, (found,), (record(START),), subjects=SUBJECTS))
    assert unreadable == (not readable)
    (signup,) = (one for one in cases if one.sequence.name == "signup")
    assert signup.variables["segment"] in {"CRITICAL", "URGENT", "OPTIMIZE"}
    cancelled = [one.at for those in todo.values() for one in those if one.what == "cancel"]
    assert cancelled == (["r"] if readable else [])  # what names nobody is left alone


def page(**texts: str) -> dict[str, Any]:
    """A record of a workspace that keeps times as text."""
    shown = {
        name.replace("_", " "): {"type": "rich_text", "rich_text": [{"plain_text": t}]} for name, t in texts.items()
    }
    return {"id": "p", "created_time": NOW.isoformat(), "properties": shown}


def test_a_mark_that_no_clock_reads_is_a_mark_and_a_start_is_when_the_page_was_made() -> None:
    found = read._record(page(Email=ADA, Signup_Date="last Monday", Email_1_Sent="yes", Email_2_Sent="2025-11-20"))
    assert found.started == NOW
    assert found.sent == {1: NOW, 2: datetime(2025, 11, 20, tzinfo=UTC)}


def test_a_record_of_ours_is_told_by_its_key_where_the_workspace_has_no_types() -> None:
    """Prefect has forgotten the runs of a no-show of ours: it is no signup of theirs."""
    key = find_sequence("christmas", "noshow").key(ADA, "https://calendly.com/1")
    ours = record(NOW - HOUR, key=key, linked=True)
    (case,) = decide.cases(Facts(NOW, (), (ours,), subjects=SUBJECTS))
    assert case.sequence.name == "noshow"
    assert len(case.fates) == 3
