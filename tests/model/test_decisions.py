"""Single decisions, where a run of the model says less than one look."""

from collections.abc import Callable, Generator
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given as holds_for
from hypothesis import strategies as st

from freshet.errors import EnvironmentFault
from freshet.ledger import pending as ledger_pending
from freshet.ledger.commit import Commit, Outcome, Remembered, Seen, outcome
from freshet.ledger.effect import Action
from freshet.ledger.keys import Key, as_warehouse, decoded, encoded
from freshet.ledger.pending import Entry, What
from freshet.ledger.positions import END, START, Kind, Position, advanced, least, of_new_pipeline
from streaming_job import changed_keys, group, pending, probe, rate_limiter, rows
from streaming_job import round as rounds
from streaming_job.changed_keys import ChangedKeys, Deletes, Join, Record, RecordOutcome, Shape
from streaming_job.pending import Quota
from streaming_job.questions import (
    Answer,
    Asked,
    FactKeys,
    Look,
    NoWait,
    Question,
    Referring,
    Rows,
    Sight,
    SkipLocked,
    StagedRows,
    Wait,
)
from streaming_job.round import Given, Round

SHAPE = Shape(
    "orders", {"buyer": Join("people"), "seller": Join("people"), "city": Join("cities", "buyer")}, Deletes.APPLY
)
SIGHT = Sight("server", False, (("orders", "1"),))
SEEN = Seen("server", (("orders", "1"),))
HEAD = Remembered("head", {"s": START}, {}, SEEN)


def answered(asking: Generator[Question, Any, Any], answer: Callable[[Question], Any]) -> Any:
    """Run a decision to its end with the answers of a function."""
    question = next(asking)
    while True:
        try:
            question = asking.send(answer(question))
        except StopIteration as ended:
            return ended.value


def a_round(
    remembered: Remembered, held: set[Key] | frozenset[Key] = frozenset(), back_off: Any = (), **given: Any
) -> tuple[Round, list[Key]]:
    """Run one round of a pipeline whose source has no rows; give what it decided, and the keys it read."""
    read: list[Key] = []

    def answer(question: Question) -> Answer:
        value: Any = ()
        match question:
            case Look():
                value = SIGHT
            case NoWait(_, keys):
                value = not held.isdisjoint(keys)
            case Rows(tasks):
                read.extend(asked.key for task in tasks for asked in task)
                value = StagedRows((), len(read))
        return Answer(value)

    begin = {"changed": ChangedKeys(), "through": remembered.positions, "commit_id": "new", "now": 10.0, "turn": 1}
    decided: Round = answered(
        rounds.one_round(Given(SHAPE, remembered, allowed=100, held=dict(back_off), **{**begin, **given})), answer
    )
    return decided, read


# ---- keys and records

VALUES = st.one_of(st.text(), st.integers(), st.decimals(allow_nan=False), st.dates(), st.datetimes(), st.binary())


@holds_for(st.lists(VALUES, min_size=1).map(tuple))
def test_a_key_comes_back_from_a_control_table_type_for_type(key: Key) -> None:
    """A number is not bound as text, nor a date as a time."""
    assert [(type(value), value) for value in key] == [(type(value), value) for value in decoded(encoded(key))]


def test_types_of_keys_that_look_alike_stay_apart() -> None:
    """5, '5' and 5.0 are three keys; a moment at midnight is not a day."""
    alike: list[Key] = [(5,), ("5",), (Decimal("5.0"),), (date(2024, 1, 1),), (datetime(2024, 1, 1),), (b"5",)]  # noqa: DTZ001
    assert len(alike) == len({encoded(key) for key in alike})


def test_a_moved_row_names_two_keys_and_a_control_record_none() -> None:
    """Each record has one outcome."""
    changed = ChangedKeys()
    records = [
        Record("orders", ("new",), ("old ",)),
        Record("orders", ("old",)),
        Record("orders", None),
        Record("", None),
    ]
    told = [changed_keys.note(SHAPE, record, changed) for record in records]
    assert {("new",): False, ("old",): True} == changed.facts
    K, I, Q = RecordOutcome.KEYED, RecordOutcome.IGNORED, RecordOutcome.QUARANTINED  # noqa: E741, N806
    assert [K, K, Q, I] == told


def test_a_delete_sent_again_does_not_remove_a_key_of_another_spelling() -> None:
    """DMS sends "delete 'a'" again after 'a ' was inserted: to the warehouse both are one key, which is there."""
    changed = ChangedKeys()
    for key in (("a",), ("a ",)):
        changed_keys.note(SHAPE, Record("orders", key), changed)
    assert [("a",)] == list(changed.facts)
    asked = Asked(*changed.facts, moved=False, forced=False)
    found = rows.is_row_of(asked.key, ("a ",))
    assert Action.WRITE == rows.action(asked, Deletes.APPLY, found=found, admitted=True, can_be_staged=True)


def test_a_key_of_another_case_is_another_row_of_the_warehouse() -> None:
    """MySQL finds 'A' for 'a'; the warehouse would keep both."""
    assert not rows.is_row_of(("a",), ("A",))
    assert as_warehouse(("a ", 1)) == ("a", 1)


# ---- probe


def test_a_gone_key_is_not_taken_for_held() -> None:
    """NOWAIT fails for a whole statement; halved down to single keys it names the held one."""
    keys: list[Key] = [(number,) for number in range(9)]

    def answer(question: Question) -> Any:
        return (
            frozenset() if isinstance(question, SkipLocked) else isinstance(question, NoWait) and (4,) in question.keys
        )

    assert {(4,)} == answered(probe.held_of("orders", keys), answer)


def test_held_keys_are_asked_for_once_more_a_moment_later() -> None:
    """Most transactions end at once; those keys need not wait for another round."""
    asked: list[Question] = []

    def answer(question: Question) -> Any:
        asked.append(question)
        return frozenset() if isinstance(question, SkipLocked) else not any(isinstance(q, Wait) for q in asked)

    assert {} == answered(probe.probe({"orders": {(1,)}}), answer)
    assert [SkipLocked, NoWait, Wait, SkipLocked, NoWait] == [type(question) for question in asked]


def test_back_off_doubles_to_thirty_seconds() -> None:
    """A transaction that is held for hours costs two statements a minute."""
    held, waits = None, []
    for _ in range(10):
        held = probe.held_again(held, 100.0)
        waits.append(held.due_at - 100.0)
    assert [0.2, 0.4, 0.8, 1.6] == [round(wait, 6) for wait in waits[:4]]
    assert 30.0 == waits[-1]


def test_a_round_with_nothing_but_held_keys_commits_nothing() -> None:
    """A prepared XA transaction left alone does not keep the warehouse awake."""
    first, read = a_round(HEAD, held={(7,)}, changed=ChangedKeys({(7,): True}), through={"s": Position(Kind.AFTER, 5)})
    assert first.commit is not None
    assert [(7,)] == read
    (row,) = first.commit.put.values()
    entry = Entry.from_row(row)
    assert (What.KEY, (7,), True) == (entry.what, entry.key, entry.moved)
    waits = Remembered("new", first.commit.positions, {entry.id: entry}, SEEN)
    later, read = a_round(waits, held={(7,)}, now=99.0, back_off=first.held)
    assert later.commit is None
    assert [] == read


def test_a_held_key_is_read_again_once_it_is_free() -> None:
    """It is read with what pending knows of it, and pending lets it go."""
    entry = ledger_pending.key_entry((7,), moved=True, since=1.0)
    waits = Remembered("head", HEAD.positions, {entry.id: entry}, SEEN)
    decided, read = a_round(waits)
    assert [(7,)] == read
    assert decided.commit is not None
    assert {entry.id} == decided.commit.drop


# ---- pending


def test_a_pass_ends_though_its_row_changes_every_round() -> None:
    """A change in mid-pass asks for another pass, and does not begin this one again."""
    keys: list[Key] = [(number,) for number in range(20)]
    entries: dict[str, Entry] = {}
    cursors: list[Key | None] = []

    def answer(question: Question) -> Any:
        assert isinstance(question, Referring)
        return [key for key in keys if question.after is None or key > question.after][: question.limit]

    for turn in range(12):
        pending.enter(entries, Entry(What.REFERRERS, "seller", (1,)))
        answered(pending.take(SHAPE, entries, 4, Quota(), turn), answer)
        cursors += [entry.cursor for entry in entries.values()]
    assert (19,) in cursors
    assert None in cursors[1:]


def test_a_change_in_mid_pass_asks_for_one_more_whole_pass() -> None:
    """However many changes came: one pass, from the start."""
    entries = {entry.id: entry for entry in [Entry(What.REFERRERS, "seller", (1,), cursor=(5,))]}
    for _ in range(3):
        ledger_pending.enter(entries, Entry(What.REFERRERS, "seller", (1,)))
    (entry,) = entries.values()
    assert entry.again
    following = ledger_pending.after_slice(entry, [], is_last=True)
    assert following == Entry(What.REFERRERS, "seller", (1,))
    assert ledger_pending.after_slice(following, [], is_last=True) is None


def test_more_than_a_thousand_keys_of_one_alias_become_one_sweep() -> None:
    """Pending stays small, and "UPDATE all customers" costs one pass."""
    entries = {e.id: e for e in (Entry(What.REFERRERS, "seller", (number,), since=3.0) for number in range(1_000))}
    ledger_pending.coalesce(entries, 1_000)
    assert 1_000 == len(entries)
    ledger_pending.enter(entries, Entry(What.REFERRERS, "seller", (1_000,), since=2.0))
    ledger_pending.coalesce(entries, 1_000)
    assert [Entry(What.FACTS, since=2.0)] == list(entries.values())


def test_a_hop_reaches_the_fact_through_the_table_between() -> None:
    """A changed city makes its people look changed, and they their orders."""
    entries: dict[str, Entry] = {}
    pending.owe_walks(SHAPE, entries, "cities", (3,), 0.0)
    told = {"city": [(11,), (12,)], "buyer": [(101,)]}
    taken = answered(pending.take(SHAPE, entries, 10, Quota(), 0), lambda question: told[question.alias])
    assert set() == taken.facts
    assert {(11,), (12,)} == {entry.key for entry in entries.values()}
    taken = answered(pending.take(SHAPE, entries, 10, Quota(), 0), lambda question: told[question.alias])
    assert {(101,)} == taken.facts
    assert {} == entries


def test_keys_whose_referrers_do_not_fit_are_halved_and_one_alone_gets_a_cursor() -> None:
    """Many changed rows cost one statement; one with a million facts costs the others nothing."""
    entries: dict[str, Entry] = {}
    for number in range(4):
        pending.enter(entries, Entry(What.REFERRERS, "seller", (number,)))
    referrers = {(0,): [(1,)], (1,): [(2,)], (2,): [(n,) for n in range(10, 90)], (3,): [(3,)]}

    def answer(question: Question) -> Any:
        assert isinstance(question, Referring)
        return sorted(row for key in question.keys for row in referrers[key])[: question.limit]

    taken = answered(pending.take(SHAPE, entries, 20, Quota(), 0), answer)
    assert {(1,), (2,)} <= taken.facts
    assert 20 >= taken.rows
    assert (2,) in {entry.key for entry in entries.values() if entry.cursor is not None}


def test_pending_gets_a_fifth_while_fresh_facts_abound() -> None:
    """A stream that never pauses does not starve a sweep; what does not fit becomes pending."""
    facts = {(number,): number == 99 for number in range(100)}
    now, later = pending.fresh_now(facts, 50)
    assert (40, 60) == (len(now), len(later))
    assert 10 == pending.pending_rows(len(now), 50, allowed=1_000)
    assert 45 == pending.pending_rows(5, 50, allowed=1_000)
    assert 3 == pending.pending_rows(5, 50, allowed=3)
    decided, read = a_round(HEAD, changed=ChangedKeys(facts), quota=Quota(rows_max=50))
    assert decided.commit is not None
    assert 50 == len(read)
    owed = {entry.key: entry.moved for entry in map(Entry.from_row, decided.commit.put.values())}
    assert facts == {**dict.fromkeys(read, False), (99,): True, **owed}


def test_a_long_pass_keeps_no_other_waiting() -> None:
    """Each pending pass gets its share, whichever is first."""
    entries = {entry.id: entry for entry in [Entry(What.FACTS), Entry(What.REFERRERS, "seller", (1,), cursor=(0,))]}
    kinds: set[type] = set()

    def answer(question: Question) -> Any:
        kinds.add(type(question))
        assert isinstance(question, FactKeys | Referring)
        return [(number,) for number in range(question.limit)]

    answered(pending.take(SHAPE, entries, 10, Quota(), 0), answer)
    assert {FactKeys, Referring} == kinds


def test_the_rate_limiter_gives_no_more_than_its_rate() -> None:
    """After a pause it gives ten seconds' rows at most, and one second's when asked all the time."""
    limiter = rate_limiter.RateLimiter(100.0, 0.0, 0.0)
    assert 50 == limiter.at_time(0.5).allowed
    assert 1000 == limiter.at_time(60.0).allowed
    assert 100 == limiter.at_time(60.0).at_time(60.5).allowed
    assert 0 == limiter.at_time(60.0).after_taking(1030).at_time(60.2).allowed


# ---- what becomes of a key


@pytest.mark.parametrize(
    ("deletes", "gone", "moved"),
    [
        (Deletes.IGNORE, Action.KEEP, Action.DELETE),
        (Deletes.APPLY, Action.DELETE, Action.DELETE),
        (Deletes.MARK, Action.MARK, Action.DELETE),
    ],
)
def test_what_becomes_of_a_key(deletes: Deletes, gone: Action, moved: Action) -> None:
    """A mode of deletes decides about rows that are gone, and about nothing else."""

    def action(*, moved: bool = False, found: bool = True, admitted: bool = True, can_be_staged: bool = True) -> Action:
        asked = Asked((1,), moved, forced=False)
        return rows.action(asked, deletes, found=found, admitted=admitted, can_be_staged=can_be_staged)

    assert gone == action(found=False)
    assert moved == action(found=False, moved=True)
    assert Action.DELETE == action(admitted=False)
    assert Action.QUARANTINE == action(can_be_staged=False)
    assert Action.WRITE == action(moved=True)


def test_a_round_that_a_replica_answers_writes_nothing() -> None:
    """Not the rows' statement alone: a replica's walk would miss rows."""

    def answer(question: Question) -> Answer:
        if isinstance(question, Look):
            return Answer(SIGHT, frozenset({("server", False)}))
        if isinstance(question, Rows):
            return Answer(StagedRows((), 1), frozenset({("server", False)}))
        return Answer((), frozenset({("server", True)}))

    given = Given(SHAPE, HEAD, ChangedKeys({(1,): False}), {}, "new", 1.0, 1, 10)
    with pytest.raises(EnvironmentFault, match="read-only"):
        answered(rounds.one_round(given), answer)


# ---- positions, outcome, several pipelines


def test_the_reader_starts_at_the_one_furthest_behind() -> None:
    """A time and a sequence number are told apart by the arrival of the last record."""
    early, late = Position(Kind.AFTER, 5, at=10.0), Position(Kind.AFTER, 9, at=30.0)
    at = Position(Kind.AT, at=20.0)
    assert {"s": early} == least([{"s": late}, {"s": early}])
    assert {"s": early} == least([{"s": at}, {"s": early}])
    assert {"s": at} == least([{"s": at}, {"s": late}])
    assert {"s": late} == least([{"s": END}, {"s": late}])
    assert {"s": START} == least([{"s": END}, {}])


def test_a_position_only_moves_on() -> None:
    """A pipeline is shown records again, and keeps its place."""
    five, nine = Position(Kind.AFTER, 5), Position(Kind.AFTER, 9)
    assert {"a": nine, "b": nine, "c": END} == advanced(
        {"a": nine, "b": five, "c": END}, {"a": five, "b": nine, "c": five}
    )


def test_a_new_pipeline_looks_back_an_hour() -> None:
    """A transaction that the group has read may still be invisible to the new pipeline's sweep."""
    assert {"s": Position(Kind.AT, at=6_400.0)} == of_new_pipeline(["s"], 10_000.0)


def test_the_ledger_knows_what_became_of_a_commit() -> None:
    """FINISHED is success; else the id, else the head."""
    commit = Commit("id", "head", {}, None)
    assert Outcome.COMMITTED == outcome(commit, finished=True, head="any", found=False)
    assert Outcome.COMMITTED == outcome(commit, finished=False, head="later", found=True)
    assert Outcome.SEND_AGAIN == outcome(commit, finished=False, head="head", found=False)
    assert Outcome.STALE == outcome(commit, finished=False, head="other", found=False)


def test_a_pipeline_that_cannot_commit_keeps_what_no_sweep_replaces() -> None:
    """Old keys of moved rows, and keys that a transaction holds."""
    changed = ChangedKeys({(1,): False, (2,): True, (3,): False}, {("people", (4,)): None, ("people", (5,)): None})
    assert group.Full.COMMIT_NOW == group.when_full(changed, 4, failing=False)
    assert group.Full.FORGET_FREE == group.when_full(changed, 4, failing=True)

    def answer(question: Question) -> Any:
        held = {"orders": (3,), "people": (5,)}
        return (
            frozenset()
            if isinstance(question, SkipLocked)
            else isinstance(question, NoWait) and held[question.table] in question.keys
        )

    kept = answered(group.forget(SHAPE, changed, 4), answer)
    assert ChangedKeys({(2,): True, (3,): False}, {("people", (5,)): None}, overflowed=True) == kept
    assert answered(group.forget(SHAPE, changed, 2), answer) is None


def test_equal_numbers_have_one_form_wherever_they_came_from() -> None:
    """A BIGINT UNSIGNED is an int in a record and a Decimal in Arrow: the same work must be pending once."""
    forms = [(5,), (Decimal(5),), (Decimal("5.00"),), (Decimal("0.5E1"),)]
    assert {encoded((5,))} == {encoded(as_warehouse(key)) for key in forms}
    assert encoded(as_warehouse((Decimal("1.5"),))) == encoded(as_warehouse((Decimal("1.50"),)))
    assert (2**64 - 1,) == as_warehouse((Decimal(2**64 - 1),))
