"""What cannot be exported is refused by name, before anything is written, and without a value."""

from datetime import datetime
from typing import Any

import pytest

from batch_jobs.export_dynamodb.definition import load_definition
from batch_jobs.export_dynamodb.job import Refused
from batch_jobs.export_dynamodb.snapshot import check_columns
from freshet.errors import DefinitionError, InputError
from tests.batch_jobs.export.mart import Mart, some_rows

AT = datetime(2025, 1, 1)  # noqa: DTZ001
SECRET = "hidden-value"


def refused(mart: Mart, kind: type[Exception] = Refused, **changes: Any) -> str:
    """Export, which fails; give the message. The table is as it was, and nothing stays staged."""
    before = mart.items()
    with pytest.raises(kind) as caught:
        mart.export(**changes)
    assert SECRET not in str(caught.value)
    assert before == mart.items()
    assert (0, set()) == mart.leftovers()
    return str(caught.value)


def test_keys_that_cannot_be(mart: Mart) -> None:
    """NULL and empty keys are counted; the message holds a condition that finds them."""
    mart.make(some_rows(50, 20))
    mart.export()
    mart.add(
        [
            (None, 1, None, None, AT, None, SECRET),
            ("", 2, None, None, AT, None, SECRET),
            (None, 3, None, None, AT, None, None),
        ]
    )
    told = refused(mart)
    assert "2 rows whose key is NULL" in told
    assert "1 item with an empty key" in told
    condition = told.partition(" where ")[2].partition("; leave them out")[0]
    found = mart.place.warehouse.query(f"select n from {mart.source} where {condition} order by n")
    assert [1, 2, 3] == [row["n"] for row in found]


def test_an_item_over_400_kb(mart: Mart) -> None:
    """One heavy user is named by a hash, with the bytes; all the others are not written either."""
    mart.make(some_rows(50, 20), order=["n"])
    mart.place.warehouse.run(
        [
            f"drop table {mart.source}",
            f"create table {mart.source} (user_id varchar(64), n integer, note varchar(9000))",
        ]
    )
    values = ", ".join(f"('{SECRET}', {n}, repeat('x', 9000))" for n in range(46))
    mart.place.warehouse.run([f"insert into {mart.source} values {values}, ('small', 1, 'x')"])
    told = refused(mart)
    one_row = 1 + 3 + (1 + 1 + 2) + (1 + 4 + 9000)  # the numbers from 0 to 45 take 2 bytes, or 3 by our reckoning
    size = 7 + len(SECRET) + 5 + 3 + 46 * one_row
    assert "1 item over 400 KB (409,600 bytes)" in told
    heaviest = int(told.partition("the heaviest ")[2].partition(".")[0].replace(",", ""))
    assert size <= heaviest <= size + 46
    condition = told.partition(" where ")[2].partition("; leave them out")[0]
    found = mart.place.warehouse.query(f"select distinct user_id from {mart.source} where {condition}")
    assert [SECRET] == [row["user_id"] for row in found]
    mart.define(order=["n"], duplicates="first", same=["note"])
    assert 2 == mart.export().put


def test_numbers_and_dates_that_dynamodb_has_not(mart: Mart) -> None:
    """They are counted, with the column's name."""
    mart.make([], order=[])
    mart.place.warehouse.run(
        [f"drop table {mart.source}", f"create table {mart.source} (user_id varchar(9), far double precision)"]
    )
    mart.place.warehouse.run([f"insert into {mart.source} values ('a', 1e300), ('b', 1e-300), ('c', 1e100)"])
    assert "2 items with a number that DynamoDB cannot hold in column far" in refused(mart)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"source": "public.nothing_here"}, "there is no table public.nothing_here"),
        ({"table": "nothing-here"}, "there is no DynamoDB table nothing-here"),
        ({"key": "n", "order": []}, "partition key of DynamoDB table .* is user_id, but export .* says key: n"),
        ({"order": ["missing"]}, "order names missing"),
        ({"duplicates": "last", "same": ["nota"]}, "same names nota, .* did you mean note"),
    ],
)
def test_what_is_not_there(mart: Mart, entries: dict[str, Any], said: str) -> None:
    """A table, a column, a key that is another one's."""
    mart.make(some_rows(5, 3), **entries)
    with pytest.raises(InputError, match=said):
        mart.export()
    assert (0, set()) == mart.leftovers()


def test_a_key_of_another_type(mart: Mart) -> None:
    """The table's key is a number, the column is text."""
    mart.make(some_rows(5, 3), key_type="N")
    assert "is a number, but column user_id of" in refused(mart, InputError)


def test_a_table_with_a_sort_key(mart: Mart) -> None:
    """One item a key needs a table without one."""
    mart.make([])
    mart.place.client("dynamodb").delete_table(TableName=mart.table)
    both = [("user_id", "HASH", "S"), ("n", "RANGE", "N")]
    mart.make_items(
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, _, kind in both],
        KeySchema=[{"AttributeName": name, "KeyType": kind} for name, kind, _ in both],
    )
    with pytest.raises(InputError, match="has a sort key, n"):
        mart.export()


def test_a_query_that_redshift_refuses(mart: Mart) -> None:
    """Its reason is told, and so is a second statement's that somebody hid in the file."""
    mart.make(some_rows(5, 3))
    (mart.folder / "export.yaml").unlink()
    for select in (
        "select user_id from public.nothing_here",
        f"select user_id from {mart.source}) as s; drop table {mart.source}; --",
    ):
        mart.define(select, order=[])
        assert "Redshift refused to read the result of select.sql" in refused(mart, InputError)
    assert 5 == mart.place.warehouse.query(f"select count(*) as n from {mart.source}")[0]["n"]


@pytest.mark.parametrize(
    "kind", ["geometry", "geography", "binary varying", "time without time zone", "interval day to second", "hllsketch"]
)
def test_types_that_are_not_exported(mart: Mart, kind: str) -> None:
    """The column and its type are named."""
    mart.define()
    definition = load_definition(mart.folder)
    rows = [("user_id", "character varying"), ("at", "date"), ("n", "bigint"), ("odd", kind)]
    found = [{"column_name": name, "data_type": told, "numeric_scale": None} for name, told in rows]
    with pytest.raises(InputError, match=f"column odd has type {kind}, which is not exported"):
        check_columns(definition, found)


@pytest.mark.parametrize(
    ("kind", "scale"), [("date", None), ("boolean", None), ("numeric", 2), ("double precision", None), ("super", None)]
)
def test_types_that_are_no_keys(mart: Mart, kind: str, scale: int | None) -> None:
    """A key is text or a whole number."""
    mart.define(order=[])
    found = [{"column_name": "user_id", "data_type": kind, "numeric_scale": scale}]
    with pytest.raises(InputError, match=f"key user_id has type {kind}: a key is text or a whole number"):
        check_columns(load_definition(mart.folder), found)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"source": 'public.t"; drop table x'}, "source is schema.table"),
        ({"source": "t"}, "source is schema.table"),
        ({"key": 'a" or 1=1'}, "a column's name has"),
        ({"key": "_freshet_commit"}, "Freshet's own column"),
        ({"order": ["n desc, 1"]}, "order is a column with asc or desc"),
        ({"order": ["user_id"]}, "order them by another column"),
        ({"table": "a/b"}, "a DynamoDB table's name"),
        ({"list": "user_id"}, "both named user_id"),
        ({"duplicates": "last"}, "`same` names the columns"),
        ({"same": ["n"]}, "`same` names the columns"),
        ({"duplicates": "some"}, "write `duplicates: keep, distinct, first or last`"),
        ({"parts": 0}, "parts is from 1 to 1000"),
        ({"write_units_per_s": 0}, "write_units_per_s is from 1"),
        ({"write_units_per_s": "100"}, "write `write_units_per_s: 100`"),
        ({"lists": "x"}, "did you mean list"),
    ],
)
def test_entries_that_are_wrong(mart: Mart, entries: dict[str, Any], said: str) -> None:
    """Each is told with its place, before anything is asked."""
    mart.define(**entries)
    with pytest.raises(DefinitionError, match=said):
        load_definition(mart.folder)


@pytest.mark.parametrize("text", ["", "- a", "key: [", "a: &a [*a]", "key: 1\nkey: 2", "key: \x00"])
def test_files_that_are_no_yaml(mart: Mart, text: str) -> None:
    """One error, no stack."""
    mart.define()
    (mart.folder / "export.yaml").write_text(text)
    with pytest.raises(DefinitionError):
        load_definition(mart.folder)


def test_the_example_is_right() -> None:
    """What stands in sql/exports/ can be read."""
    from freshet.cli.context import ROOT

    folders = list((ROOT / "sql" / "exports").iterdir())
    assert folders
    for folder in folders:
        assert folder.name == load_definition(folder).name
