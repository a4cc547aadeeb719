"""Records that are late, doubled, foreign, incomplete or rubbish: the table stays right, and the rest flows."""

import json
from collections.abc import Callable

import pytest

from freshet.errors import MissingSetting, Renumbered, ShardsChanged
from tests.river import River


def test_an_older_change_that_is_sent_again_loses(own_stream: River) -> None:
    """DMS re-sends with new sequence numbers; the place in the binlog decides."""
    old, new = own_stream.sale(1, 5), own_stream.sale(1, 6)
    own_stream.put(old, new)
    own_stream.drain()
    before = own_stream.target()
    own_stream.put(old, new, old)
    own_stream.drain()
    assert [row["purchased_by"] for row in before] == [6]
    assert before == own_stream.target()
    assert own_stream.ledger()["superseded"] == 4


def test_a_poison_record_goes_to_quarantine_and_the_rest_flows(own_stream: River) -> None:
    """Position, reason and column are kept; the body is not."""
    poison = own_stream.record({"ticket_id": "3.5", "purchased_by": 1, "created_at": "x", "updated_at": "y"})
    own_stream.put(own_stream.sale(1, 5), b"not json at all", poison, own_stream.sale(2, 6))
    own_stream.drain()
    assert [row[0] for row in own_stream.actual()] == [1, 2]
    aside = own_stream.quarantine()
    assert [(row["reason"], row["column_name"]) for row in aside] == [
        ("not_json", None),
        ("not_an_integer", "ticket_id"),
    ]
    iterator = own_stream.kinesis.get_shard_iterator(
        StreamName=own_stream.stream,
        ShardId=aside[0]["shard"],
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=aside[0]["sequence"],
    )["ShardIterator"]
    assert own_stream.kinesis.get_records(ShardIterator=iterator, Limit=1)["Records"][0]["Data"] == b"not json at all"


def test_only_poison_is_a_batch_too(own_stream: River) -> None:
    """A batch of nothing but rubbish is committed, and not read again."""
    own_stream.put(b"", b"{}", b"[]")
    own_stream.drain()
    ledger = own_stream.ledger()
    assert (ledger["received"], ledger["quarantined"], ledger["merged"]) == (3, 3, 0)


def test_a_fact_whose_dimension_is_missing_is_there_with_nulls(own_stream: River) -> None:
    """A left join keeps it: ticket and customer are unknown, the sale is not."""
    own_stream.put(own_stream.sale(999_999, 888_888), own_stream.sale(1, None))
    own_stream.drain()
    rows = {row[0]: row for row in own_stream.actual()}
    assert (rows[999_999][1], rows[999_999][5], rows[999_999][10]) == (None, None, None)
    assert rows[999_999][8] == 888_888
    assert rows[1][1] is not None
    assert (rows[1][9], rows[1][10]) == (None, None)


def test_the_same_table_of_another_database_is_ignored(own_stream: River) -> None:
    """A stream may carry staging and production of one schema: only ours is written."""
    foreign = own_stream.sale(2, 6, schema_name="another_shop")
    control = json.dumps({"control": {}, "metadata": {"record-type": "control", "operation": "create-table"}}).encode()
    own_stream.put(own_stream.sale(1, 5), foreign, control, own_stream.sale(3, 5, operation="delete"))
    own_stream.drain()
    assert [row[0] for row in own_stream.actual()] == [1]
    ledger = own_stream.ledger()
    assert (ledger["ignored"], ledger["deletes_ignored"], ledger["merged"]) == (3, 1, 1)


def test_a_change_without_transaction_ids_stops_the_job_and_names_the_setting(own_stream: River) -> None:
    """Without them changes cannot be ordered; nothing of the batch is written."""
    own_stream.put(own_stream.sale(1, 5), own_stream.sale(2, 5, transaction_record_id=None))
    with pytest.raises(MissingSetting, match="IncludeTransactionDetails"):
        own_stream.drain()
    assert own_stream.actual() == []


def test_transaction_ids_that_start_again_stop_the_job(own_stream: River) -> None:
    """After a restore of the source every change would look old, and the table would freeze in silence."""
    own_stream.put(own_stream.sale(1, 5, commit_timestamp="2024-07-29T12:00:00.000000Z"))
    own_stream.drain()
    late = own_stream.sale(1, 6, transaction_id=7, commit_timestamp="2024-07-29T12:30:00.000000Z")
    own_stream.put(late)
    with pytest.raises(Renumbered):
        own_stream.drain()
    assert [row[8] for row in own_stream.actual()] == [5]


def test_a_split_stream_stops_the_job_before_anything_is_lost(own_stream: River) -> None:
    """This version does not follow children; it says so instead of reading only half."""
    own_stream.put(own_stream.sale(1, 5))
    own_stream.drain()
    shard = own_stream.kinesis.list_shards(StreamName=own_stream.stream)["Shards"][0]
    middle = (int(shard["HashKeyRange"]["StartingHashKey"]) + int(shard["HashKeyRange"]["EndingHashKey"])) // 2
    own_stream.kinesis.split_shard(
        StreamName=own_stream.stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle)
    )
    with pytest.raises(ShardsChanged, match="split or merged"):
        own_stream.drain()


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


def test_another_schema_with_every_type_is_exact_up_to_the_last_byte(empty_river: Callable[[], River]) -> None:
    """Unicode, limits of every type, and a column one byte too long, which is set aside by name."""
    river = empty_river()
    river.run_sql(*TABLES)
    river.define(NOTES, {"keys": ["id"], "deletes": "ignore", "freshness": "30s"})
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
    seen = river.warehouse_rows(
        f'select id, big::text, price::text, weight, done, "day"::text, "at"::text, seen::text, body, label '
        f"from public.{river.name} order by id"
    )
    label = "😀é\"'\\x"
    assert [
        (-2147483648, "0", "-0.0000000001", 5e-324, False, "1000-01-01", "1000-01-01 00:00:00", None, "", None),
        (1, "18446744073709551615", "12345678901234567890.0123456789", 1.7976931348623157e308, True,
         "9999-12-31", "9999-12-31 23:59:59.999999", "2024-02-29 12:00:00.123", "😀😀😀", label),
        (2, None, None, None, None, None, None, None, None, None),
    ] == [tuple(row.values()) for row in seen]  # fmt: skip
    assert [(row["reason"], row["column_name"]) for row in river.quarantine()] == [("too_many_bytes", "body")]
