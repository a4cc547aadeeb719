"""COPY of JSON and Avro as the Redshift Developer Guide describes it."""

import datetime as dt
import io
import json
import uuid

import fastavro
import pytest
from conftest import BUCKET, ROLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def put(warehouse, body):
    prefix = uuid.uuid4().hex
    content = body if isinstance(body, bytes) else body.encode()
    warehouse.s3.put_object(Bucket=BUCKET, Key=f"{prefix}/part", Body=content)
    return f"s3://{BUCKET}/{prefix}/"


def load(table, source, options):
    return f"copy {table} from '{source}' iam_role '{ROLE}' {options}"


def loaded(warehouse, table, columns, body, options):
    warehouse.run(f"create table {table} ({columns})", load(table, put(warehouse, body), options))
    return warehouse.rows(f"select * from {table} order by 1")


def faults(warehouse, table, body, options):
    """Fail to load, and give line, column, code and reason of each bad row."""
    failed = warehouse.submit(load(table, put(warehouse, body), options))
    assert f"Load into table '{table}' failed." in warehouse.describe(failed).get("Error", "no error")
    query = warehouse.describe(f"{failed}:1")["RedshiftQueryId"]
    return warehouse.rows(
        "select line_number, trim(column_name), error_code, trim(error_message) from sys_load_error_detail "
        f"where query_id = {query} order by 1"
    )


def avro(fields, *records, **options):
    body = io.BytesIO()
    schema = {
        "type": "record",
        "name": "row",
        "fields": [{"name": name, "type": kind} for name, kind in fields.items()],
    }
    fastavro.writer(body, schema, records, **options)
    return body.getvalue()


JSON = "format as json 'auto'"
AVRO = "format as avro 'auto'"
COLUMNS = "id int, name varchar(20), price decimal(8,2), ok boolean, at timestamp"


def test_json_objects_fill_the_columns_of_their_names(warehouse, table):
    """'Data format parameters', JSON 'auto': order is free, other keys are ignored, missing ones are NULL."""
    body = (
        '{"id": 1, "name": "a\\n\\u00fc", "price": 1.50, "ok": true, "at": "2024-02-29 10:11:12.5", "more": {"x": []}}\n'
        '{"ok": false, "id": "2"} {"id": 3,\n "name": null}\n\n'
    )
    rows = loaded(warehouse, table, COLUMNS, body, JSON)
    full = [1, "a\nü", "1.50", True, "2024-02-29 10:11:12.5"]
    assert [full, [2, None, None, False, None], [3, None, None, None, None]] == rows


def test_names_match_in_lower_case_unless_told(warehouse, table):
    """'auto' matches case; 'auto ignorecase' does not."""
    body = '{"Id": 1, "NAME": "x"}'
    columns = "id int, name varchar(5)"
    assert [[None, None]] == loaded(warehouse, table, columns, body, "json")
    assert [[1, "x"]] == loaded(warehouse, f"{table}_i", columns, body, "json as 'auto ignorecase'")
    content = avro({"Id": "int", "NAME": "string"}, {"Id": 1, "NAME": "x"})
    assert [[None, None]] == loaded(warehouse, f"{table}_a", columns, content, "format avro")
    assert [[1, "x"]] == loaded(warehouse, f"{table}_b", columns, content, "format avro 'auto ignorecase'")


def test_a_column_list_keeps_defaults(warehouse, table):
    """'auto' with a column list: only these are matched; the others are their defaults."""
    warehouse.run(f"create table {table} (a int default 9, b int, c int)")
    warehouse.run(load(f"{table} (c, b)", put(warehouse, '{"a": 1, "b": 2, "c": 3}'), JSON))
    assert [[9, 2, 3]] == warehouse.rows(f"select * from {table}")


def test_what_is_nested_becomes_text(warehouse, table):
    """'COPY from JSON format': an object or list loads into VARCHAR as its JSON, digits as they were written."""
    body = '{"v": {"a": [1.10, "ü\\"", null, true], "b": {}}}'
    assert [['{"a":[1.10,"ü\\"",null,true],"b":{}}']] == loaded(warehouse, table, "v varchar(50)", body, JSON)
    kind = {"type": "array", "items": "long"}
    content = avro({"v": kind, "k": {"type": "enum", "name": "kind", "symbols": ["big"]}}, {"v": [1, 2], "k": "big"})
    assert [["[1,2]", "big"]] == loaded(warehouse, f"{table}_a", "v varchar(50), k varchar(5)", content, AVRO)


def test_bad_json_is_a_bad_row(warehouse, table):
    """'Load error reference', 'SYS_LOAD_ERROR_DETAIL': the line of the object's end; the load goes on behind it."""
    body = '{"id": 1}\n{"id": 2,}\n[3]\n{"id":\n "x"}\n{"id": 5}\n{"id": NaN}\n{"id": 1.5}\n'
    warehouse.run(f"create table {table} (id int not null)")
    warehouse.run(load(table, put(warehouse, body), f"{JSON} maxerror 100"))
    assert [[1], [5]] == warehouse.rows(f"select id from {table} order by id")
    errors = faults(warehouse, table, body, f"{JSON} maxerror 5")
    codes = [[2, "", 1216], [3, "", 1216], [5, "id", 1207], [7, "", 1216], [8, "id", 1207]]
    assert codes == [error[:3] for error in errors]
    assert [[1, "id", 1213, "Missing data for not-null field"]] == faults(warehouse, table, '{"id": null}', JSON)


def test_text_is_judged_as_in_csv(warehouse, table):
    """'Data conversion parameters': lengths in bytes, TRUNCATECOLUMNS, EMPTYASNULL, TIMEFORMAT for JSON too."""
    warehouse.run(f"create table {table} (v varchar(3), at timestamp)")
    long = '{"v": "üü"}'
    assert [[1, "v", 1204, "String length exceeds DDL length"]] == faults(warehouse, table, long, JSON)
    warehouse.run(load(table, put(warehouse, long), f"{JSON} truncatecolumns"))
    moment = '{"v": "", "at": "2024-02-29T10:11:12Z"}'
    ((line, column, code, _),) = faults(warehouse, table, moment, JSON)
    assert (1, "at", 1206) == (line, column, code)
    warehouse.run(load(table, put(warehouse, moment), f"{JSON} timeformat 'auto' emptyasnull"))
    assert [["ü", None], [None, "2024-02-29 10:11:12"]] == warehouse.rows(f"select * from {table} order by v")


TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=30)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.none() | TEXTS, min_size=1), st.sampled_from(["json", "avro"]))
def test_any_text_arrives_exactly(warehouse, texts, kind):
    """'Data format parameters': text is data, whatever it looks like; empty is not NULL."""
    rows = [{"n": number, "v": text} for number, text in enumerate(texts)]
    if kind == "json":
        body = "\n".join(json.dumps(row, ensure_ascii=number % 2 == 0) for number, row in enumerate(rows)).encode()
    else:
        body = avro({"n": "int", "v": ["null", "string"]}, *rows)
    statement = warehouse.run(
        "create temp table staged (n int, v varchar(max))",
        load("staged", put(warehouse, body), kind),
        "select v from staged order by n",
    )
    records = warehouse.data_api.get_statement_result(Id=f"{statement}:3")["Records"]
    assert texts == [None if field.get("isNull") else field["stringValue"] for (field,) in records]


@pytest.mark.parametrize("codec", ["null", "deflate"])
def test_avro_of_every_simple_type(warehouse, table, codec):
    """'Data format parameters', AVRO: simple types and unions with null, by name; codecs null, deflate, snappy."""
    fields = {
        "ok": "boolean",
        "id": "int",
        "big": ["null", "long"],
        "real": "float",
        "wide": "double",
        "name": "string",
    }
    columns = "id int, big bigint, real float4, wide float8, ok boolean, name varchar(9), missing int"
    first = {"ok": True, "id": 1, "big": 2**63 - 1, "real": 0.5, "wide": 1e-300, "name": "ü"}
    second = {"ok": False, "id": 2, "big": None, "real": -1.0, "wide": 0.0, "name": ""}
    rows = loaded(warehouse, table, columns, avro(fields, first, second, codec=codec), AVRO)
    assert [[1, 2**63 - 1, 0.5, 1e-300, True, "ü", None], [2, None, -1.0, 0.0, False, "", None]] == rows


def test_avro_with_snappy(warehouse, table):
    """'Data format parameters', AVRO: snappy, which is what Spark writes."""
    import pyarrow as pa

    plain = avro({"id": "int"}, *({"id": number} for number in range(3)), sync_marker=b"s" * 16)
    header, _, block = plain.partition(b"s" * 16)
    stream = io.BytesIO(block.removesuffix(b"s" * 16))
    rows = fastavro.schemaless_reader(stream, "long", None)
    content = fastavro.schemaless_reader(stream, "bytes", None)
    packed = bytes(pa.compress(content, codec="snappy", asbytes=True)) + b"\0\0\0\0"
    out = io.BytesIO()
    out.write(header.replace(b"\x08null", b"\x0csnappy") + b"s" * 16)
    fastavro.schemaless_writer(out, "long", rows)
    fastavro.schemaless_writer(out, "bytes", packed)
    body = out.getvalue() + b"s" * 16
    assert b"snappy" in body
    assert [[0], [1], [2]] == loaded(warehouse, table, "id int", body, AVRO)


def test_logical_types_of_avro_count_for_nothing(warehouse, table):
    """'Data format parameters', AVRO: they are not among the types; a moment loads with TIMEFORMAT 'epochmillisecs'."""
    moment = dt.datetime(2024, 2, 29, 10, 11, 12, 345000, dt.UTC)
    content = avro({"at": {"type": "long", "logicalType": "timestamp-millis"}}, {"at": moment})
    warehouse.run(f"create table {table} (at timestamp)")
    ((line, column, code, _),) = faults(warehouse, table, content, AVRO)
    assert (1, "at", 1206) == (line, column, code)
    warehouse.run(load(table, put(warehouse, content), f"{AVRO} timeformat 'epochmillisecs'"))
    assert [["2024-02-29 10:11:12.345"]] == warehouse.rows(f"select at from {table}")


def test_bad_rows_of_avro(warehouse, table):
    """'Data load operations': MAXERROR holds for Avro; a row is named by its number in the file."""
    content = avro({"id": "long"}, {"id": 1}, {"id": 2**40}, {"id": 3})
    warehouse.run(f"create table {table} (id int)", load(table, put(warehouse, content), f"{AVRO} maxerror 2"))
    assert [[1], [3]] == warehouse.rows(f"select id from {table} order by id")
    ((line, column, code, _),) = faults(warehouse, table, content, AVRO)
    assert (2, "id", 1222) == (line, column, code)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no Avro container file"),
        (b'{"id": 1}', "no Avro container file"),
        (avro({"id": "long"}, {"id": 1})[:-20], "no Avro container file"),
        (avro({"id": "bytes"}, {"id": b"1"}), "does not know the Avro type bytes"),
        (
            avro({"id": {"type": "fixed", "size": 1, "name": "f"}}, {"id": b"1"}),
            "does not know the Avro type fixed",
        ),
        (avro({"id": "string"}, {"id": "x" * (5 << 20)}), "larger than 4 MB"),
    ],
)
def test_files_that_are_no_avro(warehouse, table, content, message):
    """'Data format parameters', AVRO: the schema is a record; a block has at most 4 MB; no other file."""
    warehouse.run(f"create table {table} (id int)")
    assert message in warehouse.refusal(load(table, put(warehouse, content), AVRO))
