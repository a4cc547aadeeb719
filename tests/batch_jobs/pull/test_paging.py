"""Every row once, in order, wherever pages end; and what late commits need."""

import json
import threading
from decimal import Context, Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch_jobs.pull.cursors import CURSORS
from freshet.cli.context import Place
from freshet.errors import InputError
from freshet.redshift.data_api import Warehouse
from tests.batch_jobs.pull.conftest import Yard
from tests.faults.control import inject

# Few cursor values and awkward keys, so that most pages end between rows of one cursor value.
ROWS = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.integers(-2, 2),
        st.sampled_from(["", "a", "A", "é", "a'b", 'a"b', "a\\b", ":k0", "\u2028", "\n", "ab"]),
    ),
    max_size=40,
    unique_by=lambda row: row[1:],
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, size=st.integers(1, 7))
def test_every_row_is_given_once_whatever_the_page(yard: Yard, rows: list[tuple[int, int, str]], size: int) -> None:
    """All rows, none twice, no page above its size, in the order of (cursor, key)."""
    yard.run(
        "drop table if exists YARD.t", "create table YARD.t (c int not null, a int not null, b varchar(9) not null)"
    )
    if rows:
        yard.run(f"insert into YARD.t values {', '.join(map(_sql, rows))}")
    answers, _ = yard.drain(yard.definition(size, t={"cursor": "c", "keys": ["a", "b"], "overlap": 0}))
    pages = [answer["insert"].get("t", []) for answer in answers]
    given_rows = [(row["c"], row["a"], row["b"]) for page in pages for row in page]
    assert sorted(rows) == sorted(given_rows)
    assert [row[:2] for row in sorted(rows, key=lambda row: row[:2])] == [row[:2] for row in given_rows]
    assert size >= max(map(len, pages))


def _sql(row: tuple[int, int, str]) -> str:
    text = row[2].replace("\\", "\\\\").replace("'", "''")
    return f"({row[0]}, {row[1]}, '{text}')"


CHANGES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 5), st.integers(0, 2)),  # key, how late its cursor is
        st.tuples(st.just("page"), st.just(0), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES, size=st.integers(1, 3))
def test_a_copy_that_follows_changes_is_the_table_in_the_end(yard: Yard, changes: list[Any], size: int) -> None:
    """Rows are written between pages, with cursors up to two numbers late; with an overlap of two the copy is the table."""
    yard.run("drop table if exists YARD.t", "create table YARD.t (c int not null, k int not null, v int not null)")
    definition = yard.definition(size, t={"cursor": "c", "keys": ["k"], "overlap": 2})
    table: dict[int, tuple[int, int]] = {}
    copy: dict[int, tuple[int, int]] = {}
    state: Any = {}

    def page() -> bool:
        nonlocal state
        answer = yard.respond(definition, state)
        state = json.loads(json.dumps(answer["state"]))
        copy.update({row["k"]: (row["c"], row["v"]) for row in answer["insert"].get("t", [])})
        return bool(answer["hasMore"])

    for number, (what, key, late) in enumerate(changes, 10):
        if what == "page":
            page()
        else:
            table[key] = (number - late, number)
            yard.run(
                f"delete from YARD.t where k = {key}", f"insert into YARD.t values ({number - late}, {key}, {number})"
            )
    while page():
        pass
    while page():  # a round that began before the last change has ended now; one more sees all of it
        pass
    assert table == copy


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("timestamp", ["2026-01-01 00:00:00", "2026-01-01 00:00:00.000001", "2026-01-02 23:59:59.999999"]),
        ("timestamptz", ["2026-01-01 00:00:00+02", "2026-01-01 00:00:00+00", "2026-06-01 00:00:00-05"]),
        ("date", ["2026-01-01", "2026-01-02", "2027-12-31"]),
        ("smallint", ["-32768", "0", "32767"]),
        ("bigint", ["-9223372036854775808", "0", "9223372036854775807"]),
        ("decimal(38,18)", ["-0.000000000000000001", "0", "12345678901234567890.123456789012345678"]),
    ],
)
@pytest.mark.parametrize("key", ["int", "char(3)", "date", "time", "timestamptz", "decimal(20,2)"])
def test_cursors_and_keys_of_each_type(yard: Yard, kind: str, values: list[str], key: str) -> None:
    """Three cursor values, four rows of each: given once each, also when the next round begins at the last."""
    keys = {
        "int": ["1", "-2", "3", "0"], "char(3)": ["'a'", "''", "'abc'", "'B'"],
        "date": [f"date '2026-01-0{day}'" for day in range(1, 5)], "time": [f"'0{hour}:00:00.5'" for hour in range(4)],
        "timestamptz": [f"'2026-01-01 00:00:0{second}.1+03'" for second in range(4)],
        "decimal(20,2)": ["1.10", "-1.1", "0", "100000000000000000.01"],
    }[key]  # fmt: skip
    yard.run(
        f"create table YARD.t (c {kind} not null, k {key} not null)",
        f"insert into YARD.t values {', '.join(f'({chr(39)}{value}{chr(39)}, {each})' for value in values for each in keys)}",
    )
    definition = yard.definition(5, t={"cursor": "c", "keys": ["k"], "overlap": 0})
    answers, state = yard.drain(definition)
    found = [tuple(map(str, row.values())) for answer in answers for row in answer["insert"].get("t", [])]
    assert (12, 12) == (len(found), len(set(found)))
    again, _ = yard.drain(definition, state)
    repeated = [tuple(map(str, row.values())) for answer in again for row in answer["insert"].get("t", [])]
    assert set(found[8:]) <= set(repeated)


def test_a_cursor_in_the_future_hides_no_later_row(yard: Yard) -> None:
    """The next round begins at the warehouse's clock at the latest."""
    yard.run(
        "create table YARD.t (c timestamp not null, k int not null)", "insert into YARD.t values ('2999-01-01', 1)"
    )
    definition = yard.definition(t={"cursor": "c", "keys": ["k"], "overlap": "1m"})
    _, state = yard.drain(definition)
    yard.run("insert into YARD.t values (sysdate, 2)")
    answers, _ = yard.drain(definition, state)
    assert [2, 1] == [row["k"] for answer in answers for row in answer["insert"]["t"]]


@pytest.mark.parametrize(("overlap", "expected"), [("1h", [2, 1]), ("0s", [1])])
def test_a_row_that_commits_late_is_caught_by_the_overlap(
    yard: Yard, place: Place, overlap: str, expected: list[int]
) -> None:
    """A transaction that took its cursor value before the pull and commits after it; without an overlap it is lost."""
    yard.run("create table YARD.t (c timestamp not null, k int not null)")
    definition = yard.definition(t={"cursor": "c", "keys": ["k"], "overlap": overlap})
    endpoint = place.endpoints["redshift"]["endpoint_url"]
    inject(endpoint, operation="BatchExecuteStatement", fault="delay_s", value=2, times=1)
    late = f"insert into {yard.schema}.t values (dateadd(second, -9, sysdate), 2)"
    slow = threading.Thread(target=lambda: _own(place).run([late]))
    slow.start()
    while not yard.rows("select 1 from pg_locks where relation = to_regclass('YARD.t') and mode = 'RowExclusiveLock'"):
        pass
    place.warehouse.run([f"insert into {yard.schema}.t values (sysdate, 1)"])
    answers, state = yard.drain(definition)
    assert [1] == [row["k"] for answer in answers for row in answer["insert"]["t"]]
    slow.join()
    answers, _ = yard.drain(definition, state)
    assert expected == [row["k"] for answer in answers for row in answer["insert"]["t"]]


def _own(place: Place) -> Warehouse:
    return Warehouse(place._new_client("redshift-data"), place.warehouse.workgroup, place.warehouse.database)


@given(st.datetimes(), st.integers(0, 10**9))
def test_an_overlap_never_moves_forward(moment: Any, overlap: int) -> None:
    """Set back by any overlap, a value is not later, and stays a value of its type."""
    cursor = CURSORS["timestamp without time zone"]
    text = moment.isoformat(sep=" ")
    back = cursor.set_back(text, overlap)
    assert text == cursor.greater(back, text)
    day = CURSORS["date"].set_back(text[:10], overlap)
    assert text[:10] == CURSORS["date"].greater(day, text[:10])


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**20), max_value=10**20),
    st.integers(0, 10**9),
)
def test_an_overlap_of_numbers_is_exact(number: Decimal, overlap: int) -> None:
    """38 digits stay 38 digits; only at the end of BIGINT it goes back less."""
    back = CURSORS["numeric"].set_back(f"{number:f}", overlap)
    expected = Context(prec=100).subtract(number, overlap)
    assert back == f"{max(expected, min(number, Decimal(-(2**63)))):f}"


@pytest.mark.parametrize("null", ["(null, 1)", "(1, null)"])
def test_a_null_in_cursor_or_key_is_refused(yard: Yard, null: str) -> None:
    """It has no place in the order; the error counts such rows."""
    yard.run("create table YARD.t (c int, k int)", f"insert into YARD.t values (1, 1), {null}")
    definition = yard.definition(t={"cursor": "c", "keys": ["k"], "overlap": 0})
    with pytest.raises(InputError, match=r"1 rows of .* have NULL in c, or NULL in the key \(k\)"):
        yard.respond(definition)


def test_a_key_that_stands_twice_is_refused(yard: Yard) -> None:
    """Such rows cannot be told apart, and one of them would be lost."""
    yard.run("create table YARD.t (c int, k int)", "insert into YARD.t values (1, 1), (1, 1)")
    definition = yard.definition(1, t={"cursor": "c", "keys": ["k"], "overlap": 0})
    with pytest.raises(InputError, match="no key: it stands in several rows"):
        yard.respond(definition, setup_test=True)
    with pytest.raises(InputError, match="no key: it stands in several rows"):
        yard.respond(yard.definition(t={"cursor": "c", "keys": ["k"], "overlap": 0}))
