"""Which answers of MySQL are believed: a task reads its keys, and each key gets one row."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from freshet.errors import EnvironmentFault
from freshet.ledger.keys import Key
from freshet.mysql import rows as mysql_rows
from freshet.mysql.asking import CutOff
from freshet.mysql.rows import UNFIT, Read, RowStatement
from freshet.pipeline.model import Column, Dimension, JoinTerm, Output, Pipeline, Table
from freshet.pipeline.types import column_type
from streaming_job.followed import Followed
from streaming_job.questions import Asked
from streaming_job.rows import FORCED, FOUND, KEYS_PER_STATEMENT, MOVED, NotTheWriter, read_task, schema

SERVER = frozenset({("server-1", False)})
ID, NAME = Column("id", column_type("int(11)"), False), Column("name", column_type("varchar(9)"), True)
CODE = Column("code", column_type("varchar(9)"), False)
FOLLOWED = Followed(
    Pipeline(
        name="orders",
        folder=Path("orders"),
        database="shop",
        target_schema="public",
        target_table="orders_wide",
        keys=("code",),
        key_columns=("code",),
        fact=Table("o", "orders", (CODE, Column("customer", ID.type, True)), ("code",)),
        dimensions=(Dimension("c", "customer", (ID, NAME), ("id",), on=(JoinTerm("id", "o", "customer"),)),),
        outputs=(Output("code", None, "string", "varchar(36)", "`o.code`", ("orders.code",), None),),
        deletes="ignore",
        readers=(),
        freshness_s=30,
        distkey=None,
        sortkey=(),
    )
)
Answer = Callable[[Sequence[Key]], Read]


def read(*rows: tuple[Any, ...], servers: frozenset[tuple[str, bool]] = SERVER) -> Read:
    """An answer of MySQL: code, customer, id and name a row."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * 4
    fields = FOLLOWED.statement.schema
    arrays = [pa.array(column, kind.type) for column, kind in zip([*columns, [None] * len(rows)], fields, strict=True)]
    return Read(pa.RecordBatch.from_arrays(arrays, schema=fields), [(row[0],) for row in rows], servers)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], list[list[str]]]:
    """Let a function be MySQL; gives the keys of the statements that it was asked."""

    def play(answer: Answer) -> list[list[str]]:
        asked: list[list[str]] = []

        def read_rows(_: object, statement: RowStatement, keys: Sequence[Key]) -> Read:
            assert FOLLOWED.statement == statement
            asked.append([str(code) for (code,) in keys])
            return answer(keys)

        monkeypatch.setattr(mysql_rows, "read_rows", read_rows)
        return asked

    return play


def task(*codes: str, moved: bool = False, forced: bool = False) -> list[Asked]:
    return [Asked((code,), moved, forced) for code in codes]


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    names = ("o.code", "o.customer", "c.id", "c.name", FOUND)
    return [tuple(row[name] for name in names) for row in table.to_pylist()]


def test_each_key_gets_one_row(answers: Callable[[Answer], list[list[str]]]) -> None:
    """A row with all its joined values; a key that is gone has its key and nothing else."""
    answers(lambda _: read(("b", 1, 1, "Kim"), ("a", 7, None, None)))
    table = read_task(None, FOLLOWED, task("a", "b", "c"), "server-1")  # type: ignore[arg-type]
    assert schema(FOLLOWED) == table.schema
    assert [("a", 7, None, None, True), ("b", 1, 1, "Kim", True), ("c", None, None, None, False)] == sorted(
        rows_of(table), key=str
    )
    assert {None} == set(table[UNFIT].to_pylist())


def test_a_row_under_another_spelling_is_nobodys(answers: Callable[[Answer], list[list[str]]]) -> None:
    """MySQL's collation says that A is a; the warehouse says that they are two keys, and of the one asked for there is no row."""
    answers(lambda _: read(("A", 1, 1, "Kim"), ("b ", 2, None, None)))
    table = read_task(None, FOLLOWED, task("a", "b"), "server-1")  # type: ignore[arg-type]
    assert [("a", None, None, None, False), ("b ", 2, None, None, True)] == sorted(rows_of(table), key=str)


def test_two_spellings_of_one_key_are_one_row(answers: Callable[[Answer], list[list[str]]]) -> None:
    """A collation without padding has both rows; the warehouse can hold one, and a key written twice would fail the commit."""
    answers(lambda _: read(("a", 1, None, None), ("a ", 2, None, None)))
    table = read_task(None, FOLLOWED, task("a"), "server-1")  # type: ignore[arg-type]
    assert 1 == table.num_rows


def test_what_is_known_of_a_key_stays_with_it(answers: Callable[[Answer], list[list[str]]]) -> None:
    """In whatever order MySQL answers."""
    answers(lambda _: read(("b", 1, None, None), ("a", 1, None, None)))
    asked = [*task("a"), *task("b", moved=True), *task("c", forced=True), *task("d", moved=True)]
    table = read_task(None, FOLLOWED, asked, "server-1")  # type: ignore[arg-type]
    flags = {row["o.code"]: (row[FOUND], row[MOVED], row[FORCED]) for row in table.to_pylist()}
    expected = {
        "a": (True, False, False),
        "b": (True, True, False),
        "c": (False, False, True),
        "d": (False, True, False),
    }
    assert expected == flags


def test_a_statement_that_is_cut_off_is_halved(answers: Callable[[Answer], list[list[str]]]) -> None:
    """Until it comes in time; each key is read once."""

    def slow(keys: Sequence[Key]) -> Read:
        if len(keys) > 2:
            raise CutOff
        return read(*((code, 1, None, None) for (code,) in keys))

    asked = answers(slow)
    table = read_task(None, FOLLOWED, task(*"abcde"), "server-1")  # type: ignore[arg-type]
    assert [list("abcde"), list("ab"), list("cde"), ["c"], list("de")] == asked
    assert list("abcde") == table["o.code"].to_pylist()


def test_one_row_that_never_comes_ends_the_round(answers: Callable[[Answer], list[list[str]]]) -> None:
    """There is nothing less to ask for; the message holds no key."""

    def never(_: Sequence[Key]) -> Read:
        raise CutOff

    answers(never)
    with pytest.raises(EnvironmentFault, match="one row of orders by its key within 2 s") as told:
        read_task(None, FOLLOWED, task("secret-a", "secret-b"), "server-1")  # type: ignore[arg-type]
    assert "secret" not in str(told.value)


def test_a_statement_has_a_limit_of_keys(answers: Callable[[Answer], list[list[str]]]) -> None:
    """A longer list takes MySQL's optimizer longer than the rows."""
    asked = answers(lambda _: read())
    codes = [f"{number:05}" for number in range(KEYS_PER_STATEMENT + 1)]
    assert len(codes) == read_task(None, FOLLOWED, task(*codes), "server-1").num_rows  # type: ignore[arg-type]
    assert [codes[:-1], codes[-1:]] == asked


@pytest.mark.parametrize(
    "servers",
    [
        frozenset({("server-2", False)}),
        frozenset({("server-1", True)}),
        frozenset({("server-1", False), ("server-2", False)}),
    ],
)
def test_an_answer_of_another_server_is_not_believed(
    answers: Callable[[Answer], list[list[str]]], servers: frozenset[tuple[str, bool]]
) -> None:
    """A replica that lags, a server that takes no writes, a proxy that hands statements to both: also where no row is found."""
    answers(lambda _: read(servers=servers))
    with pytest.raises(NotTheWriter):
        read_task(None, FOLLOWED, task("a"), "server-1")  # type: ignore[arg-type]
