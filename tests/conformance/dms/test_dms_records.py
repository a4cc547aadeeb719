"""The sandbox's DMS writes what the DMS user guide says, from a real binlog.

Documents: DMS user guide, "Using Amazon Kinesis Data Streams as a target", "Source data types for MySQL", "Before image
task settings"; where they are silent, `sandbox/README.md` names the reading that is tested here.
"""

import re
import subprocess
import sys
from typing import Any

import pytest

from sandbox import control
from sandbox.state import State
from tests.conformance.dms.box import Box, Sent

EVERY_TYPE = """
create table everything (
    id int unsigned not null, big bigint unsigned not null, exact decimal(30,10), day date, moment datetime,
    micro datetime(6), milli datetime(3), stamp timestamp(6) null, clock time(6), hours time, y year, f float,
    d double, fixed char(10), varied varchar(300), words mediumtext, doc json, choice enum('x','y \u00e9'),
    choices set('p','q','r'), flag bit(1), bits bit(12), padded binary(4), bytes varbinary(10), lump blob,
    truth tinyint(1), mid mediumint, low bigint, made int generated always as (mid + 1) stored,
    unseen int invisible default 3, west varchar(10) character set latin1, tiny_neg decimal(5,4),
    primary key (big, id)
) character set utf8mb4
"""
ROW = {
    "id": 4000000000, "big": 18446744073709551615, "exact": "-12345678901234567890.0123456789", "day": "2024-02-29",
    "moment": "2024-01-02 03:04:05", "micro": "1999-12-31 23:59:59.123456", "milli": "2001-02-03 04:05:06.700",
    "stamp": "2024-05-06 07:08:09.5", "clock": "-12:34:56.000001", "hours": "-838:59:59", "y": 2024, "f": 0.5,
    "d": 1e100, "fixed": "ab  ", "varied": "cut\0here", "words": "\U0001d11e\u00fc", "doc": '{"a": 1}',
    "choice": "y \u00e9", "choices": "p,r", "flag": 1, "bits": 0b101010101010, "padded": b"\x01\x00",
    "bytes": b"\xff\x00", "lump": b"blob", "truth": 1, "mid": -8388608, "low": -(2**63), "west": "\u00e9",
    "tiny_neg": "-0.0005",
}  # fmt: skip
SENT = {
    "id": 4000000000, "big": "18446744073709551615", "exact": "-12345678901234567890.0123456789", "day": "2024-02-29",
    "moment": "2024-01-02T03:04:05Z", "micro": "1999-12-31T23:59:59.123456Z", "milli": "2001-02-03T04:05:06.700000Z",
    "stamp": "2024-05-06T07:08:09.500000Z", "clock": "-12:34:56.000001", "hours": "-838:59:59", "y": 2024, "f": 0.5,
    "d": 1e100, "fixed": "ab", "varied": "cut", "words": "\U0001d11e\u00fc", "doc": '{"a": 1}', "choice": "y \u00e9",
    "choices": "p,r", "flag": 1, "bits": "0x0aaa", "padded": "0x01000000", "bytes": "0xff00", "lump": "0x626c6f62",
    "truth": 1, "mid": -8388608, "low": "-9223372036854775808", "west": "\u00e9", "tiny_neg": "-0.0005",
}  # fmt: skip


@pytest.fixture(scope="module")
def everything(box: Box) -> list[Sent]:
    box.sql("set time_zone = '+00:00'", EVERY_TYPE)
    with box.connect() as link, link.cursor() as cursor:
        names = ", ".join(ROW)
        cursor.execute("set time_zone = '+00:00'")
        cursor.execute(
            f"insert into everything ({names}) values ({', '.join(['%s'] * len(ROW))})",
            list(ROW.values()),
        )
        cursor.execute("insert into everything (id, big, words, choices) values (1, 2, '', '')")
    return box.changes("everything")


def test_every_type_has_its_form(everything: list[Sent]) -> None:
    """Numbers exact, text cut at NUL, dates with T and Z, bytes in hex ("Source data types for MySQL")."""
    (first,) = [sent for sent in everything if sent.message["data"]["id"] == 4000000000]
    assert first.message["data"] == SENT


def test_null_and_empty_are_there(everything: list[Sent]) -> None:
    """IncludeNullAndEmpty: a NULL is null, an empty text is "", and no column is missing (Kinesis settings)."""
    (second,) = [sent for sent in everything if sent.message["data"]["id"] == 1]
    assert SENT.keys() == second.message["data"].keys()
    assert ("", "", None) == tuple(second.message["data"][name] for name in ("words", "choices", "exact"))


def test_a_full_load_writes_values_as_changes_have_them(box: Box, everything: list[Sent]) -> None:
    """`load` records hold the same data, and no transaction (full load; record samples)."""
    control.stop_service(box.state, "dms")
    State(box.state).dms.unlink()
    loader = [sys.executable, "-m", "sandbox.dms", "--state", str(box.state), "--full-load"]
    with subprocess.Popen(loader) as process:
        box.drain()
        process.terminate()
    control.start_service(box.state, "dms")
    loaded = [sent for sent in box.sent("everything") if sent.metadata["operation"] == "load"]
    assert [sent.message["data"] for sent in sorted(everything, key=row_id)] == [
        sent.message["data"] for sent in sorted(loaded, key=row_id)
    ]
    assert not [name for sent in loaded for name in sent.metadata if "transaction" in name or "commit" in name]


def test_a_task_without_a_place_goes_on_from_now(box: Box) -> None:
    """The deployed task loads no rows: what was there before comes by no record (migration type `cdc`)."""
    box.sql("create table from_now (id int primary key)", "insert into from_now values (1)")
    assert [1] == [sent.message["data"]["id"] for sent in box.changes("from_now")]
    control.stop_service(box.state, "dms")
    State(box.state).dms.unlink()
    control.start_service(box.state, "dms")
    box.sql("insert into from_now values (2)")
    assert [1, 2] == [
        sent.message["data"]["id"] for sent in box.sent("from_now") if sent.metadata["record-type"] == "data"
    ]


def row_id(sent: Sent) -> int:
    return int(sent.message["data"]["id"])


def test_zero_dates_are_null(box: Box) -> None:
    """A date that no calendar has comes as null (our reading; unconfirmed in the sheet)."""
    box.sql(
        "create table zero (id int primary key, a date, b datetime(6), c timestamp null)",
        "set sql_mode = ''",
        "insert into zero values (1, '0000-00-00', '2024-00-10', '0000-00-00')",
    )
    (sent,) = box.changes("zero")
    assert sent.message["data"] == {"id": 1, "a": None, "b": None, "c": None}


def test_the_envelope_of_a_change(box: Box) -> None:
    """IncludePartitionValue fills the metadata; of its transaction a record has the id alone ("Kinesis record format")."""
    box.sql("create table envelope (id int primary key)", "insert into envelope values (5)")
    (sent,) = box.changes("envelope")
    stamp = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
    metadata = dict(sent.metadata)
    assert re.fullmatch(stamp, metadata.pop("timestamp"))
    file, position = control.dms_position(box.state)
    place = metadata.pop("transaction-id")
    assert int(file.rpartition(".")[2]) == place >> 32
    assert 0 < place & 0xFFFFFFFF < position
    assert metadata == {
        "record-type": "data",
        "operation": "insert",
        "partition-key-type": "primary-key",
        "partition-key-value": "sports.envelope.5",
        "schema-name": "sports",
        "table-name": "envelope",
    }
    assert sent.key == "sports.envelope.5"


def test_images_of_updates_and_deletes(box: Box) -> None:
    """The after-image is whole, the before-image has the old key when it changed, a delete has the whole row."""
    box.sql(
        "create table images (id int, part varchar(9), text varchar(9), primary key (id, part))",
        "insert into images values (1, 'a', 'one')",
        "update images set text = 'two'",
        "update images set id = 2",
        "delete from images",
    )
    sent = sorted(box.changes("images"), key=lambda sent: sent.metadata["transaction-id"])
    bodies = [{name: part for name, part in s.message.items() if name != "metadata"} for s in sent]
    assert bodies == [
        {"data": {"id": 1, "part": "a", "text": "one"}},
        {"data": {"id": 1, "part": "a", "text": "two"}, "before-image": {}},
        {"data": {"id": 2, "part": "a", "text": "two"}, "before-image": {"id": 1, "part": "a"}},
        {"data": {"id": 2, "part": "a", "text": "two"}},
    ]
    assert [s.metadata["operation"] for s in sent] == ["insert", "update", "update", "delete"]
    assert sent[2].key == "sports.images.2.a"


def test_changes_of_one_transaction_have_its_id(box: Box) -> None:
    """One id over all tables, and another one for the next transaction (record samples)."""
    box.sql("create table one (id int primary key)", "create table two (id int primary key)")
    box.sql("begin", "insert into one values (1), (2)", "insert into two values (1)", "update two set id = 3", "commit")
    box.sql("insert into two values (4)")
    sent = box.changes("one") + box.changes("two")
    ids = {s.metadata["transaction-id"] for s in sent if s.message["data"]["id"] != 4}
    (next_id,) = {s.metadata["transaction-id"] for s in sent if s.message["data"]["id"] == 4}
    assert (5, 1) == (len(sent), len(ids))
    assert max(ids) < next_id


def test_transaction_ids_follow_the_commits(box: Box) -> None:
    """A transaction that began earlier and committed later has the higher id, whatever its clock said (correctness R1)."""
    box.sql("create table waits (id int primary key, who varchar(9))", "insert into waits values (1, ''), (2, '')")
    with box.connect() as early, box.connect() as late, early.cursor() as first, late.cursor() as second:
        first.execute("set timestamp = unix_timestamp() - 3600")
        first.execute("begin")
        first.execute("update waits set who = 'early' where id = 1")
        second.execute("update waits set who = 'late' where id = 2")
        first.execute("update waits set who = 'early' where id = 2")
        first.execute("commit")
    ids: dict[str, Any] = {s.message["data"]["who"]: s.metadata for s in box.changes("waits")}
    assert ids["late"]["transaction-id"] < ids["early"]["transaction-id"]


def test_rolled_back_changes_are_not_sent(box: Box) -> None:
    """Only what is committed is in the binlog (record samples)."""
    box.sql("create table undone (id int primary key)")
    box.sql("begin", "insert into undone values (1)", "rollback")
    box.sql(
        "begin",
        "insert into undone values (2)",
        "savepoint s",
        "insert into undone values (3)",
        "rollback to s",
        "commit",
    )
    assert [s.message["data"] for s in box.changes("undone")] == [{"id": 2}]


def test_each_table_is_announced_once(box: Box) -> None:
    """A create-table control record for DMS's own table and for each selected one; its key is the task ("Control records")."""
    box.sql("create table announced (id int primary key)", "insert into announced values (1), (2)")
    announcement, *_ = [s for s in box.sent("announced") if s.metadata["record-type"] == "control"]
    assert (announcement.metadata["operation"], announcement.metadata["partition-key-type"]) == (
        "create-table",
        "task-id",
    )
    assert "data" not in announcement.message
    assert box.sent("awsdms_apply_exceptions", schema="")


def test_other_schemas_and_tables_without_a_key(box: Box) -> None:
    """Every schema but the system's is selected; without a primary key the partition key is the table."""
    box.sql("create database if not exists other", "create table other.plain (text varchar(9))")
    box.sql("insert into other.plain values ('x')")
    data = [s for s in box.sent("plain", schema="other") if s.metadata["record-type"] == "data"]
    assert [(s.key, s.metadata["partition-key-type"]) for s in data] == [("other.plain", "schema-table")]


def test_a_table_that_changes_its_shape(box: Box) -> None:
    """Rows before and after an ALTER have the columns of their moment ("Supported DDL")."""
    box.sql(
        "create table shape (id int primary key)",
        "insert into shape values (1)",
        "alter table shape add column more int default 7",
        "insert into shape values (2, 8)",
    )
    rows = sorted((s.message["data"] for s in box.changes("shape")), key=lambda row: row["id"])
    assert rows == [{"id": 1}, {"id": 2, "more": 8}]


def test_statements_that_are_transactions_of_their_own(box: Box) -> None:
    """CREATE ... SELECT, a table without transactions and XA have ids as others have (our reading)."""
    box.sql(
        "create table made as select 1 as id union select 2",
        "create table simple (id int primary key) engine=myisam",
        "insert into simple values (1), (2)",
        "create table agreed (id int primary key)",
        "xa start 'x'",
        "insert into agreed values (1)",
        "xa end 'x'",
        "xa prepare 'x'",
        "xa commit 'x'",
        "insert into agreed values (2)",
    )
    transactions = {
        table: (len(sent), len({s.metadata["transaction-id"] for s in sent}))
        for table, sent in ((table, box.changes(table)) for table in ("made", "simple", "agreed"))
    }
    assert transactions == {"made": (2, 1), "simple": (2, 1), "agreed": (2, 2)}
    assert control.dms_position(box.state) == control.binlog_position(box.state)
