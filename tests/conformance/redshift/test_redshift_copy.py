"""COPY of Parquet as the Redshift Developer Guide describes it."""

import datetime as dt
import json
from decimal import Decimal

import pyarrow as pa
import pytest
from conftest import BUCKET, ROLE, copy, parquet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TYPES = [
    ("smallint", pa.int16(), -32768),
    ("integer", pa.int32(), 2**31 - 1),
    ("bigint", pa.int64(), -(2**63)),
    ("decimal(8,2)", pa.decimal128(8, 2), Decimal("-123456.78")),
    ("decimal(20,0)", pa.decimal128(20, 0), Decimal(2**64 - 1)),
    ("real", pa.float32(), 0.5),
    ("double precision", pa.float64(), 1e-300),
    ("boolean", pa.bool_(), False),
    ("date", pa.date32(), dt.date(1, 1, 1)),
    ("timestamp", pa.timestamp("us"), dt.datetime(9999, 12, 31, 23, 59, 59, 999999)),  # noqa: DTZ001
    ("varchar(12)", pa.string(), 'ü"\\\n,🎫'),
    ("char(3)", pa.string(), "abc"),
]
WRITTEN = [-32768, 2**31 - 1, -(2**63), "-123456.78", "18446744073709551615", 0.5, 1e-300, False, "0001-01-01"]
WRITTEN += ["9999-12-31 23:59:59.999999", 'ü"\\\n,🎫', "abc"]


def test_every_type_arrives_exactly(warehouse, table):
    """'COPY from columnar data formats': values and NULLs of every type, by position."""
    names = [f"c{number}" for number in range(len(TYPES))]
    warehouse.run(f"create table {table} ({', '.join(f'{n} {t[0]}' for n, t in zip(names, TYPES, strict=True))})")
    rows = pa.table({f"x{n}": pa.array([value, None], kind) for n, (_, kind, value) in zip(names, TYPES, strict=True)})
    warehouse.run(copy(table, warehouse.stage(rows)))
    assert [WRITTEN, [None] * len(TYPES)] == warehouse.rows(f"select * from {table} order by c0")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30), min_size=1))
def test_any_text_arrives_exactly(warehouse, texts):
    """'COPY from columnar data formats': text is data, whatever it looks like; empty is not NULL."""
    rows = pa.table({"n": pa.array(range(len(texts)), pa.int32()), "v": pa.array(texts, pa.string())})
    statement = warehouse.run(
        "create temp table staged (n int, v varchar(max))",
        copy("staged (n, v)", warehouse.stage(rows)),
        "select v from staged order by n",
    )
    records = warehouse.data_api.get_statement_result(Id=f"{statement}:3")["Records"]
    assert texts == [None if field.get("isNull") else field["stringValue"] for (field,) in records]


def test_what_looks_like_the_end_of_data_is_data(warehouse, table):
    """'COPY from columnar data formats': no text ends a file."""
    texts = ["\\.", "a\n\\.\nb", "", '"', "NULL", "\\N"]
    warehouse.run(f"create table {table} (v varchar(20))")
    warehouse.run(copy(table, warehouse.stage(pa.table({"v": texts}))))
    assert sorted([text] for text in texts) == sorted(warehouse.rows(f"select v from {table}"))


def test_copy_appends_every_file_and_takes_a_column_list(warehouse, table):
    """'COPY': appends; a column list maps by its own order, and what it leaves out is the default."""
    warehouse.run(f"create table {table} (a int default 9, b int, c varchar(5))")
    first = pa.table({"whatever": ["x"], "other": pa.array([1], pa.int32())})
    second = pa.table({"whatever": ["y"], "other": pa.array([2], pa.int32())})
    command = copy(f'{table} ("C", b)', warehouse.stage(first, second))
    warehouse.run(command)
    warehouse.run(command)
    assert [[9, 1, "x"], [9, 1, "x"], [9, 2, "y"], [9, 2, "y"]] == warehouse.rows(f"select * from {table} order by b")


@pytest.mark.parametrize(
    "options",
    [
        f"iam_role '{ROLE}' format as parquet manifest",
        f"manifest statupdate on format parquet iam_role '{ROLE}'",
        "parquet iam_role default statupdate off manifest;",
    ],
)
def test_options_come_in_any_order(warehouse, table, options):
    """'COPY': parameters follow FROM in any order."""
    manifest = warehouse.stage(pa.table({"a": pa.array([1], pa.int32())}))
    warehouse.run(f"create table {table} (a int)", f"COPY {table} FROM '{manifest}' {options}")
    assert [[1]] == warehouse.rows(f"select a from {table}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("format as parquet manifest", "needs IAM_ROLE"),
        ("iam_role 'x' format as parquet manifest", "no role's ARN"),
        (f"iam_role '{ROLE}' format as orc manifest", "does not know FORMAT AS ORC"),
        (f"iam_role '{ROLE}' format as parquet manifest acceptinvchars", "does not know FILLRECORD and ACCEPTINVCHARS"),
        (f"iam_role '{ROLE}' format as parquet gzip", "GZIP is not supported"),
        (f"iam_role '{ROLE}' format as parquet null as ''", "NULL is not supported"),
        (f"iam_role '{ROLE}' format as parquet manifest maxerror 5", "MAXERROR is not supported"),
        (f"iam_role '{ROLE}' format as parquet manifest truncatecolumns", "TRUNCATECOLUMNS is not supported"),
        (f"iam_role '{ROLE}' format as parquet manifest manifest", "conflicting or redundant"),
        (f"iam_role '{ROLE}' format as parquet manifest quickly", 'syntax error at or near "quickly"'),
    ],
)
def test_options_that_parquet_does_not_take(warehouse, table, options, message):
    """'COPY from columnar data formats': only some parameters are supported."""
    warehouse.run(f"create table {table} (a int)")
    assert message in warehouse.refusal(f"copy {table} from 's3://{BUCKET}/m' {options}")


INT = pa.table({"a": pa.array([1], pa.int32())})


def test_a_missing_file_is_skipped_unless_mandatory(warehouse, table):
    """'Using a manifest': mandatory is false by default, and then a missing file is no error."""
    warehouse.run(f"create table {table} (a int)")
    there = json.loads(
        warehouse.s3.get_object(Bucket=BUCKET, Key=warehouse.stage(INT).rpartition("/")[2])["Body"].read()
    )
    missing = {"url": f"s3://{BUCKET}/missing.parquet", "meta": {"content_length": 10}}
    warehouse.run(copy(table, warehouse.put(json.dumps({"entries": [missing, *there["entries"]]}))))
    assert [[1]] == warehouse.rows(f"select a from {table}")
    manifest = warehouse.put(json.dumps({"entries": [*there["entries"], missing | {"mandatory": True}]}))
    assert "Error NoSuchKey" in warehouse.refusal(copy(table, manifest))
    assert [[1]] == warehouse.rows(f"select a from {table}")


def test_a_prefix_of_parquet_files(warehouse, table):
    """'COPY from columnar data formats': from a prefix too; every file below it must be one."""
    warehouse.run(f"create table {table} (a int)")
    for name in ("1.parquet", "2.parquet"):
        warehouse.s3.put_object(Bucket=BUCKET, Key=f"{table}/{name}", Body=parquet(INT))
    command = f"copy {table} from 's3://{BUCKET}/{table}/' iam_role '{ROLE}' format as parquet"
    warehouse.run(command)
    assert [[1], [1]] == warehouse.rows(f"select a from {table}")
    warehouse.s3.put_object(Bucket=BUCKET, Key=f"{table}/_SUCCESS", Body=b"")
    assert "not a Parquet file" in warehouse.refusal(command)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"meta": {}}, "needs meta.content_length"),
        ({"meta": {"content_length": 1}}, "content_length 1"),
        ({"meta": {"content_length": "12"}}, "needs meta.content_length"),
        ({"url": "file:///etc/passwd"}, "no valid url"),
        ({"mandatory": "yes"}, "no valid url or mandatory"),
        ({"url": "s3://no-such-bucket-here/x"}, "NoSuchBucket"),
    ],
)
def test_a_manifest_says_the_exact_size(warehouse, table, entry, message):
    """'Using a manifest', 'COPY from columnar data formats': content_length is required and must be exact."""
    warehouse.run(f"create table {table} (a int)")
    assert message in warehouse.refusal(copy(table, warehouse.stage(INT, **entry)))


def test_a_manifest_must_be_one(warehouse, table):
    """'Using a manifest to specify data files': its format; a manifest that is not there."""
    warehouse.run(f"create table {table} (a int)")
    for content in ("", "[]", "{}", '{"entries": 1}', '{"entries": [{}]}', '{"entries": ["s3://a/b"]}'):
        assert "Problem reading manifest file" in warehouse.refusal(copy(table, warehouse.put(content)))
    assert "does not exist" in warehouse.refusal(copy(table, f"s3://{BUCKET}/none.manifest"))
    assert "not a Parquet file" in warehouse.refusal(copy(table, warehouse.stage(b"no parquet")))


@pytest.mark.parametrize(
    ("declared", "kind", "value"),
    [
        ("bigint", pa.int32(), 1),
        ("integer", pa.int64(), 1),
        ("integer", pa.int16(), 1),
        ("smallint", pa.int32(), 1),
        ("integer", pa.uint32(), 1),
        ("bigint", pa.uint64(), 1),
        ("bigint", pa.string(), "1"),
        ("varchar(5)", pa.int32(), 1),
        ("varchar(5)", pa.binary(), b"x"),
        ("decimal(8,2)", pa.decimal128(9, 2), Decimal("1.00")),
        ("decimal(8,2)", pa.decimal128(8, 3), Decimal("1.000")),
        ("decimal(8,0)", pa.int32(), 1),
        ("double precision", pa.float32(), 1.0),
        ("double precision", pa.decimal128(3, 1), Decimal("1.0")),
        ("boolean", pa.int32(), 1),
        ("date", pa.timestamp("us"), dt.datetime(2024, 1, 1)),  # noqa: DTZ001
        ("timestamp", pa.date32(), dt.date(2024, 1, 1)),
        ("timestamp", pa.string(), "2024-01-01"),
        ("timestamptz", pa.timestamp("us"), dt.datetime(2024, 1, 1)),  # noqa: DTZ001
        ("varchar(5)", pa.list_(pa.string()), ["x"]),
        ("varchar(5)", pa.struct([("a", pa.string())]), {"a": "x"}),
    ],
)
def test_types_must_match(warehouse, table, declared, kind, value):
    """'COPY from columnar data formats': no conversion; unsigned, nested and other types are incompatible."""
    warehouse.run(f"create table {table} (a {declared})")
    rows = pa.table({"x": pa.array([value], kind)})
    assert "incompatible Parquet schema for column" in warehouse.refusal(copy(table, warehouse.stage(rows)))


def test_a_naive_int64_timestamp_is_the_year_161065(warehouse, table):
    """apache/arrow#38000: INT64 timestamps without a converted type are misread; INT96 and TIMESTAMP_MICROS are not."""
    warehouse.run(f"create table {table} (at timestamp)")
    moment = dt.datetime(2024, 1, 2, 3, 4, 5, 6)  # noqa: DTZ001
    naive = pa.table({"at": pa.array([moment], pa.timestamp("us"))})
    aware = pa.table({"at": pa.array([moment], pa.timestamp("us", "UTC"))})
    as_int64 = {"use_deprecated_int96_timestamps": False}
    assert "161065" in warehouse.refusal(copy(table, warehouse.stage(parquet(naive, **as_int64))))
    warehouse.run(copy(table, warehouse.stage(naive, parquet(aware, **as_int64))))
    assert [["2024-01-02 03:04:05.000006"]] * 2 == warehouse.rows(f"select at from {table}")


@pytest.mark.parametrize(
    ("declared", "kind", "value", "message"),
    [
        ("varchar(3)", pa.string(), "üï", "longer than the length defined in the table. Table: 3, Data: 4"),
        ("varchar(3)", pa.string(), "a\0", "character of code 0"),
        ("char(3)", pa.string(), "é", "Multibyte character not supported for CHAR"),
        ("integer not null", pa.int32(), None, "Cannot insert a NULL value into column a"),
        ("double precision", pa.float64(), float("nan"), "NaN or infinity"),
        ("double precision", pa.float64(), float("inf"), "NaN or infinity"),
        ("decimal(19,0)", pa.decimal128(19, 0), Decimal(2**63), "Numeric data overflow"),
    ],
)
def test_values_must_fit(warehouse, table, declared, kind, value, message):
    """'VARCHAR' (bytes), 'CHAR', NOT NULL, 'DECIMAL': one value that does not fit fails the load."""
    warehouse.run(f"create table {table} (a {declared})")
    assert message in warehouse.refusal(copy(table, warehouse.stage(pa.table({"a": pa.array([value], kind)}))))


def test_columns_must_be_as_many(warehouse, table):
    """'COPY from columnar data formats': the number of columns must match."""
    warehouse.run(f"create table {table} (a int, b int)")
    assert "Unmatched number of columns" in warehouse.refusal(copy(table, warehouse.stage(INT)))
    assert 'column "z"' in warehouse.refusal(copy(f"{table} (a, z)", warehouse.stage(INT)))
    warehouse.run(copy(f"{table} (a)", warehouse.stage(INT)))


def test_no_rows_are_no_error(warehouse, table):
    """'COPY': an empty file loads nothing."""
    warehouse.run(f"create table {table} (a int, b varchar(3), d double precision)")
    empty = pa.table({"a": pa.array([], pa.int32()), "b": pa.array([], pa.string()), "d": pa.array([], pa.float64())})
    nulls = pa.table(
        {"a": pa.array([1], pa.int32()), "b": pa.array([None], pa.string()), "d": pa.array([None], pa.float64())}
    )
    warehouse.run(copy(table, warehouse.stage(empty, nulls)))
    assert [[1, None, None]] == warehouse.rows(f"select * from {table}")
