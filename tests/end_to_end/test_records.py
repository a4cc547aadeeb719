"""Records that are late, doubled, foreign, incomplete or rubbish: the table stays right, and the rest flows."""

import json
from collections.abc import Callable

import pytest

from freshet.errors import MissingSetting
from tests.river import River


@pytest.fixture
def filled(own_stream: River) -> River:
    """A pipeline after its first sweep: what it learns from now on, it learns from records."""
    own_stream.sell([9], 9)
    own_stream.drain()
    return own_stream


def test_an_older_change_that_is_sent_again_changes_nothing(filled: River) -> None:
    """DMS re-sends; a record's values, its order and its time are believed by nobody."""
    old, new = filled.sale(1, 5), filled.sale(1, 6)
    filled.sell_in_source([1], 6)
    filled.put(new, old)
    filled.drain()
    before = filled.target()
    filled.put(old, new, old, filled.sale(1, 5, operation="delete"), filled.sale(1, 5, operation="load"))
    filled.drain()
    assert [6, 9] == [row["purchased_by"] for row in before]
    assert before == filled.target()


def test_a_poison_record_goes_to_quarantine_and_the_rest_flows(filled: River) -> None:
    """Position, reason and column are kept; the body is not."""
    poison = filled.record({"ticket_id": "3.5", "purchased_by": 1, "created_at": "x", "updated_at": "y"})
    filled.sell_in_source([1, 2], 5)
    filled.put(filled.sale(1, 5), b"not json at all", poison, filled.sale(2, 6))
    filled.drain()
    assert filled.expected() == filled.actual()
    quarantined = filled.quarantine()
    assert [(row["reason"], row["column_name"], row["key"]) for row in quarantined] == [
        ("not_json", None, None),
        ("not_an_integer", "ticket_id", None),
    ]
    iterator = filled.kinesis.get_shard_iterator(
        StreamName=filled.stream,
        ShardId=quarantined[0]["shard"],
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=quarantined[0]["sequence"],
    )["ShardIterator"]
    assert filled.kinesis.get_records(ShardIterator=iterator, Limit=1)["Records"][0]["Data"] == b"not json at all"


def test_only_poison_is_a_batch_too(filled: River) -> None:
    """A batch of nothing but rubbish is committed, and not read again."""
    filled.put(b"", b"{}", b"[]")
    filled.drain()
    ledger = filled.ledger()
    assert (4, 3) == (ledger["received"], ledger["quarantined"])


def test_the_same_table_of_another_database_is_ignored(filled: River) -> None:
    """A stream may carry staging and production of one schema: only ours is looked at."""
    foreign = filled.sale(2, 6, schema_name="another_shop")
    control = json.dumps({"control": {}, "metadata": {"record-type": "control", "operation": "create-table"}}).encode()
    filled.sell_in_source([1, 2], 5)
    filled.put(filled.sale(1, 5), foreign, control)
    filled.drain()
    assert [1, 9] == [row[0] for row in filled.actual()]
    ledger = filled.ledger()
    assert (4, 2, 0) == (ledger["received"], ledger["ignored"], ledger["quarantined"])


def test_an_update_without_its_before_image_stops_the_job_and_names_the_setting(filled: River) -> None:
    """A moved row's old key would be lost; nothing of the batch is written, also after a restart."""
    filled.sell_in_source([1, 2], 5)
    filled.put(filled.sale(1, 5), filled.sale(2, 5, operation="update"))
    for _ in range(2):
        with pytest.raises(MissingSetting, match="BeforeImageSettings"):
            filled.drain()
    assert [9] == [row[0] for row in filled.actual()]


def test_a_before_image_that_only_repeats_the_key_moves_nothing(filled: River) -> None:
    """DMS writes it for every update, whatever has changed; numbers may come as text."""
    filled.sell_in_source([1], 5)
    filled.put(
        filled.sale(1, 5, old={"ticket_id": 1}), filled.sale(1, 5, old={"ticket_id": "1"}), filled.sale(1, 5, old={})
    )
    filled.drain()
    assert filled.expected() == filled.actual()
    assert 0 == filled.ledger()["quarantined"]


NOTES = """
select n.id, n.big, n.price, n.weight, n.done, n.day, n.at, n.seen,
       try_cast(n.body as varchar(12)) as body, -- at most 12 bytes
       a.label
from note as n
left join author as a on a.id = n.author_id
"""
TABLES = (
    "create table author (id smallint unsigned not null primary key, label varchar(10) null) character set utf8mb4",
    "create table note (id int not null primary key, author_id smallint unsigned null, big bigint unsigned null, "
    "price decimal(30,10) null, weight double null, done boolean null, day date null, at datetime(6) null, "
    "seen timestamp(3) null, body text null, key by_author (author_id)) character set utf8mb4",
)


@pytest.mark.parametrize("by_the_sweep", [False, True], ids=["by the stream", "by the first sweep"])
def test_another_schema_with_every_type_is_exact_up_to_the_last_byte(
    empty_river: Callable[[], River], by_the_sweep: bool
) -> None:
    """Unicode, limits of every type, and a column one byte too long, whose key is quarantined until it is shortened."""
    river = empty_river()
    river.run_sql(*TABLES)
    river.define(NOTES, {"keys": ["id"], "deletes": "ignore", "freshness": "30s"})
    if not by_the_sweep:
        river.drain()
    with river.mysql() as mysql, mysql.cursor() as cursor:
        cursor.execute("insert into author values (65535, '😀é\"''\\\\x')")
        rows = [
            (1, 65535, 18446744073709551615, "12345678901234567890.0123456789", 1.7976931348623157e308, True,
             "9999-12-31", "9999-12-31 23:59:59.999999", "2024-02-29 12:00:00.123", "😀😀😀"),
            (-2147483648, None, 0, "-0.0000000001", 5e-324, False, "1000-01-01", "1000-01-01 00:00:00", None, ""),
            (2, 7, None, None, None, None, None, None, None, None),
            (3, 65535, 1, "0", 0.1, True, "2024-02-29", "2024-02-29 00:00:00.5", None, "😀😀😀x"),
        ]  # fmt: skip
        for row in rows:
            cursor.execute(f"insert into note values ({', '.join(['%s'] * len(row))})", row)
    river.wait_for_dms()
    river.drain()
    assert exact() == seen(river)
    quarantined = river.quarantine()
    assert [("too_many_bytes", "body", None)] == [
        (row["reason"], row["column_name"], row["sequence"]) for row in quarantined
    ]
    river.run_sql("update note set body = 'x' where id = 3")
    river.wait_for_dms()
    river.drain()
    assert 4 == len(seen(river))
    assert [] == river.quarantine()


def seen(river: River) -> list[tuple[object, ...]]:
    rows = river.warehouse_rows(
        f'select id, big::text, price::text, weight, done, "day"::text, "at"::text, seen::text, body, label '
        f"from public.{river.name} order by id"
    )
    return [tuple(row.values()) for row in rows]


def exact() -> list[tuple[object, ...]]:
    return [
        (-2147483648, "0", "-0.0000000001", 5e-324, False, "1000-01-01", "1000-01-01 00:00:00", None, "", None),
        (1, "18446744073709551615", "12345678901234567890.0123456789", 1.7976931348623157e308, True,
         "9999-12-31", "9999-12-31 23:59:59.999999", "2024-02-29 12:00:00.123", "😀😀😀", "😀é\"'\\x"),
        (2, None, None, None, None, None, None, None, None, None),
    ]  # fmt: skip
