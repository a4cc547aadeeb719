"""COPY of CSV and delimited text as the Redshift Developer Guide describes it."""

import bz2
import gzip
import json
import uuid

import pytest
from conftest import BUCKET, ROLE
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FAILED = "Load into table '{}' failed.  Check 'sys_load_error_detail' system table for details."


def put(warehouse, body, name="part.csv", folder=None):
    """Put one file below a prefix of its own; give the prefix."""
    folder = folder or uuid.uuid4().hex
    content = body if isinstance(body, bytes) else body.encode()
    warehouse.s3.put_object(Bucket=BUCKET, Key=f"{folder}/{name}", Body=content)
    return f"s3://{BUCKET}/{folder}/"


def load(table, source, options="format as csv"):
    return f"copy {table} from '{source}' iam_role '{ROLE}' {options}"


def loaded(warehouse, table, columns, body, options="format as csv"):
    """Load one file into a new table and give its rows."""
    warehouse.run(f"create table {table} ({columns})", load(table, put(warehouse, body), options))
    return warehouse.rows(f"select * from {table} order by 1")


def faults(warehouse, table, columns, body, options="format as csv"):
    """Fail to load one file into a new table, and give what the system table says about it."""
    warehouse.run(f"create table {table} ({columns})")
    assert FAILED.format(table) in warehouse.refusal(load(table, put(warehouse, body), options))
    assert [[0]] == warehouse.rows(f"select count(*) from {table}")
    return warehouse.rows(
        "select trim(column_name), trim(column_type), trim(column_length), line_number, error_code, trim(error_message) "
        f"from sys_load_error_detail as d join sys_load_history as h on h.query_id = d.query_id "
        f"where h.table_name = '{table}' order by line_number"
    )


def test_values_of_every_type(warehouse, table):
    """'Data conversion parameters', 'Data types': text is converted to the column's type; empty numbers are NULL."""
    columns = (
        "a smallint, b int, c bigint, d decimal(8,2), e real, f double precision, g boolean, h date, i timestamp, "
    )
    columns += "j varchar(9), k char(3)"
    body = (
        '1,-2147483648,9223372036854775807,123456.78,0.5,1e-300,t,0001-01-01,9999-12-31 23:59:59.999999,"ü ""x"",",abc\n'
        "2,,,,,,,,,,\n"
        "3,+7,-1,-.5,-1E3,4.,FALSE,2024-02-29,2024-02-29 00:00:00,\\N,\\N"
    )
    full = [1, -(2**31), 2**63 - 1, "123456.78", 0.5, 1e-300, True, "0001-01-01", "9999-12-31 23:59:59.999999"]
    empty = [2, *[None] * 8, "", "   "]
    last = [3, 7, -1, "-0.50", -1000.0, 4.0, False, "2024-02-29", "2024-02-29 00:00:00", None, None]
    assert [[*full, 'ü "x",', "abc"], empty, last] == loaded(warehouse, table, columns, body)


def test_every_file_of_a_prefix_is_loaded(warehouse, table):
    """'COPY from Amazon S3': the prefix names every object whose key begins with it; none is an error."""
    folder = uuid.uuid4().hex
    for name, body in (("a1", "1\n"), ("a2", "2\r\n3"), ("b1", "9\n"), ("a3/", "")):
        put(warehouse, body, name, folder)
    warehouse.run(f"create table {table} (n int)", load(table, f"s3://{BUCKET}/{folder}/a"))
    assert [[1], [2], [3]] == warehouse.rows(f"select n from {table} order by n")
    refused = warehouse.refusal(load(table, f"s3://{BUCKET}/{folder}/c"))
    assert f"The specified S3 prefix '{folder}/c' does not exist" in refused


def test_a_manifest_of_text_files_needs_no_sizes(warehouse, table):
    """'Using a manifest': mandatory is false by default; content_length is demanded for columnar files only."""
    url = put(warehouse, "1\n") + "part.csv"
    missing = f"s3://{BUCKET}/missing.csv"
    optional = warehouse.put(json.dumps({"entries": [{"url": url, "mandatory": True}, {"url": missing}]}))
    warehouse.run(f"create table {table} (n int)", load(table, optional, "csv manifest"))
    assert [[1]] == warehouse.rows(f"select n from {table}")
    demanded = warehouse.put(json.dumps({"entries": [{"url": missing, "mandatory": True}]}))
    assert "Error NoSuchKey" in warehouse.refusal(load(table, demanded, "csv manifest"))


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ("1|x\n2|y\n", ""),
        ("1|x\n2|y\n", "delimiter '|'"),
        ("1\tx\n2\ty\n", r"delimiter as '\t'"),
        ("1\x01x\n2\x01y\n", r"delimiter '\001'"),
        ("1;x\n2;y\n", "csv delimiter ';'"),
        ("a,b\nc,d\n1,x\n2,y\n", "csv ignoreheader 2"),
        ("1,x\n\n2,y\n\n", "csv ignoreblanklines"),
        ("1,%x%\n2,y\n", "format csv quote as '%'"),
        (gzip.compress(b"1,x\n2,y\n", mtime=0), "csv gzip"),
        (bz2.compress(b"1,x\n2,y\n"), "csv bzip2"),
        ("1,x\n2,y\n", "csv maxerror as 100000 compupdate off statupdate on encoding as utf8"),
        (b"\xef\xbb\xbf1,x\n2,y\n", "csv"),
    ],
)
def test_parameters_of_the_format(warehouse, table, body, options):
    """'Data format parameters', 'File compression parameters', 'Data load operations'."""
    assert [[1, "x"], [2, "y"]] == loaded(warehouse, table, "n int, v varchar(5)", body, options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ("csv", ["", "  ", None, "NIL"]),
        ("csv emptyasnull", [None, "  ", None, "NIL"]),
        ("csv blanksasnull", ["", None, None, "NIL"]),
        ("csv null as 'NIL'", ["", "  ", "\\N", None]),
        ("csv null as ''", [None, "  ", "\\N", "NIL"]),
        ("csv emptyasnull blanksasnull null 'NIL'", [None, None, "\\N", None]),
    ],
)
def test_what_is_null(warehouse, table, options, expected):
    """'Data conversion parameters': EMPTYASNULL and BLANKSASNULL are about text; NULL AS replaces the default \\N."""
    body = "1,\n2,  \n3,\\N\n4,NIL\n"
    rows = loaded(warehouse, table, "n int, v varchar(5)", body, options)
    assert expected == [value for _, value in rows]


@pytest.mark.parametrize(
    ("columns", "value", "options", "expected"),
    [
        ("v varchar(4)", "üüü", "csv truncatecolumns", "üü"),
        ("v varchar(3)", "üü", "csv truncatecolumns", "ü"),
        ("v char(2)", "abc", "csv truncatecolumns", "ab"),
        ("v decimal(8,2)", "20.259", "csv", "20.25"),
        ("v decimal(8,2)", "-20.259", "csv", "-20.25"),
        ("v decimal(8,2)", "20.259", "csv roundec", "20.26"),
        ("v decimal(38,2)", "9" * 36 + ".99", "csv", "9" * 36 + ".99"),
        ("v boolean", "Yes", "csv", True),
        ("v date", "02/29/2024", "csv dateformat 'MM/DD/YYYY'", "2024-02-29"),
        ("v date", "29-Feb-2024", "csv dateformat as 'DD-MON-YYYY'", "2024-02-29"),
        ("v date", "2024-02-29T10:00:00Z", "csv dateformat 'auto'", "2024-02-29"),
        ("v date", "20240229", "csv dateformat 'auto'", "2024-02-29"),
        ("v timestamp", "2024-02-29T10:11:12.345Z", "csv timeformat 'auto'", "2024-02-29 10:11:12.345"),
        ("v timestamp", "2024-02-29", "csv timeformat 'auto'", "2024-02-29 00:00:00"),
        ("v timestamp", "29.02.2024 10:11 PM", "csv timeformat 'DD.MM.YYYY HH12:MI AM'", "2024-02-29 22:11:00"),
        ("v timestamp", "1709201472", "csv timeformat 'epochsecs'", "2024-02-29 10:11:12"),
        ("v timestamp", "1709201472345", "csv timeformat as 'epochmillisecs'", "2024-02-29 10:11:12.345"),
        ("v timestamptz", "2024-02-29 10:11:12+02", "csv", "2024-02-29 08:11:12+00"),
    ],
)
def test_conversions(warehouse, table, columns, value, options, expected):
    """'Data conversion parameters', 'DATEFORMAT and TIMEFORMAT strings', 'Using automatic recognition'."""
    assert [[expected]] == loaded(warehouse, table, columns, value + "\n", options)


@pytest.mark.parametrize(
    ("columns", "value", "options", "expected"),
    [
        ("v int", "1x", "csv", ["v", "int4", "", 1, 1207, "Invalid digit, Value 'x', Pos 1, Type: Integer"]),
        ("v int", "1.0", "csv", ["v", "int4", "", 1, 1207, "Invalid digit, Value '.', Pos 1, Type: Integer"]),
        ("v int", " 1", "csv", ["v", "int4", "", 1, 1207, "Invalid digit, Value ' ', Pos 0, Type: Integer"]),
        ("v smallint", "32768", "csv", ["v", "int2", "", 1, 1222, "Overflow (Short valid range -32768 to 32767)"]),
        ("v decimal(4,2)", "100", "csv", ["v", "numeric", "4, 2", 1, 1204, "Overflow for NUMERIC(4,2)"]),
        ("v decimal(4,2)", "99.999", "csv roundec", ["v", "numeric", "4, 2", 1, 1204, "Overflow for NUMERIC(4,2)"]),
        ("v decimal(19,0)", str(2**63), "csv", ["v", "numeric", "19, 0", 1, 1204, "Overflow for NUMERIC(19,0)"]),
        (
            "v decimal(4,2)",
            "1e1",
            "csv",
            ["v", "numeric", "4, 2", 1, 1207, "Invalid digit, Value 'e', Pos 1, Type: Decimal"],
        ),
        ("v float", "nan", "csv", ["v", "float8", "", 1, 1208, "Invalid digit, Value 'n', Pos 0, Type: Double"]),
        ("v real", "1e39", "csv", ["v", "float4", "", 1, 1204, "Value out of range for the type"]),
        ("v boolean", "maybe", "csv", ["v", "bool", "", 1, 1210, "Unknown boolean format"]),
        ("v date", "2023-02-29", "csv", ["v", "date", "", 1, 1205, "Invalid date format or value [YYYY-MM-DD]"]),
        ("v date", "02/28/2024", "csv", ["v", "date", "", 1, 1205, "Invalid date format or value [YYYY-MM-DD]"]),
        (
            "v timestamp",
            "2024-02-29T10:00:00Z",
            "csv",
            ["v", "timestamp", "", 1, 1206, "Invalid timestamp format or value [YYYY-MM-DD HH24:MI:SS]"],
        ),
        ("v varchar(3)", "üü", "csv", ["v", "varchar", "3", 1, 1204, "String length exceeds DDL length"]),
        ("v char(2)", "abc", "csv", ["v", "char", "2", 1, 1204, "Char length exceeds DDL length"]),
        ("v int not null", "\\N", "csv", ["v", "int4", "", 1, 1213, "Missing data for not-null field"]),
        ("v int", "1,2", "csv", ["", "", "", 1, 1202, "Extra column(s) found"]),
        ("v int, w int", "1", "csv", ["v", "int4", "", 1, 1214, "Delimiter not found"]),
    ],
)
def test_what_cannot_be_loaded(warehouse, table, columns, value, options, expected):
    """'Load error reference', 'SYS_LOAD_ERROR_DETAIL': the row, the first bad column, code and reason."""
    assert [expected] == faults(warehouse, table, columns, value + "\n", options)


def test_a_char_takes_one_byte_a_character(warehouse, table):
    """'Multibyte character load errors': error 1220."""
    ((column, _, length, line, code, reason),) = faults(warehouse, table, "v char(5)", "a\nxé\n")
    assert ("v", "5", 2, 1220) == (column, length, line, code)
    assert reason.startswith(
        "Multibyte character not supported for CHAR (Hint: Try using VARCHAR). Invalid char: c3 a9"
    )


def test_bytes_that_are_no_utf8(warehouse, table):
    """'ACCEPTINVCHARS': an error, or as many replacement characters; VARCHAR only."""
    body = b"1,a\xff\xfeb\n2,\xc3\xbc\n"
    ((_, _, _, _, code, reason),) = faults(warehouse, table, "n int, v varchar(9)", body)
    assert (1220, "Bad UTF8 hex sequence: ff fe") == (code, reason[-28:])
    source = put(warehouse, body)
    warehouse.run(load(table, source, "csv acceptinvchars"), load(table, source, "csv acceptinvchars as '^'"))
    assert [["a??b"], ["a^^b"], ["ü"], ["ü"]] == warehouse.rows(f"select v from {table} order by n, v")


def test_maxerror_leaves_out_fewer_rows_than_it_says(warehouse, table):
    """'Data load operations': MAXERROR rows or more end the load, fewer are left out and listed."""
    body = "1,a\nx,b\n3,toolong\n4,d\n5\n"
    warehouse.run(f"create table {table} (n int, v varchar(3))")
    source = put(warehouse, body)
    assert FAILED.format(table) in warehouse.refusal(load(table, source, "csv maxerror 3"))
    statement = warehouse.run(load(table, source, "csv maxerror 4"))
    assert [[1, "a"], [4, "d"]] == warehouse.rows(f"select * from {table} order by n")
    query = warehouse.describe(f"{statement}:1")["RedshiftQueryId"]
    errors = f"select line_number, error_code from sys_load_error_detail where query_id = {query} order by 1"
    assert [[2, 1207], [3, 1204], [5, 1214]] == warehouse.rows(errors)
    raw = "select trim(raw_line), trim(raw_field_value), trim(colname) from stl_load_errors "
    raw += f"where query = {query} order by line_number"
    assert [["x,b", "x", "n"], ["3,toolong", "toolong", "v"], ["5", "5", "n"]] == warehouse.rows(raw)


def test_quotes_keep_line_feeds_and_must_be_closed(warehouse, table):
    """'Data format parameters', CSV: a quoted field holds what it wants; the error names the line where it was seen."""
    body = '1,"a\nb"\n2,"c"d\n3,e\n'
    warehouse.run(f"create table {table} (n int, v varchar(5))", load(table, put(warehouse, body), "csv maxerror 9"))
    assert [[1, "a\nb"], [3, "e"]] == warehouse.rows(f"select * from {table} order by n")
    found = warehouse.rows(
        "select d.line_number, d.error_code from sys_load_error_detail as d, sys_load_history as h "
        f"where h.query_id = d.query_id and h.table_name = '{table}'"
    )
    assert [[3, 1216]] == found


def test_blanks_around_quotes_are_ignored(warehouse, table):
    """'Data format parameters', CSV: white space between delimiters and quote characters; not that of plain fields."""
    body = '1, "a, "" b" ,"c"\n "2"\t, d ,e\n3,"f, ""g"" ,","h "" , i"\n'
    rows = loaded(warehouse, table, "n int, v varchar(20), w varchar(20)", body)
    assert [[1, 'a, " b', "c"], [2, " d ", "e"], [3, 'f, "g" ,', 'h " , i']] == rows
    tabs = loaded(warehouse, f"{table}_t", "n int, v varchar(9), w varchar(9)", '1\t "a"\t\n', r"csv delimiter '\t'")
    assert [[1, "a", ""]] == tabs


TEXTS = st.text(st.characters(exclude_characters="\0", codec="utf-8") | st.sampled_from('", \t\n\r'), max_size=12)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(TEXTS.filter(lambda text: text != "\\N"), TEXTS.filter(lambda text: text != "\\N")), min_size=1)
)
def test_any_quoted_text_arrives_exactly(warehouse, texts):
    """'Data format parameters', CSV: what stands between quotation marks is data, whatever it looks like."""
    quoted = [[text.replace('"', '""') for text in row] for row in texts]
    body = "".join(f'{number},"{first}","{second}"\n' for number, (first, second) in enumerate(quoted))
    statement = warehouse.run(
        "create temp table staged (n int, v varchar(max), w varchar(max))",
        load("staged", put(warehouse, body)),
        "select v, w from staged order by n",
    )
    records = warehouse.data_api.get_statement_result(Id=f"{statement}:3")["Records"]
    assert texts == [tuple(field["stringValue"] for field in record) for record in records]


def test_fillrecord_fills_the_end_of_short_rows(warehouse, table):
    """'FILLRECORD': zero-length text, or NULL with EMPTYASNULL and in other types."""
    columns = "a int, b varchar(3), c int"
    assert [[1, "", None]] == loaded(warehouse, table, columns, "1\n", "csv fillrecord")
    assert [[1, None, None]] == loaded(warehouse, f"{table}_n", columns, "1\n", "csv fillrecord emptyasnull")


def test_a_column_list_leaves_defaults(warehouse, table):
    """'COPY', column list: by its own order; what it leaves out is the default."""
    warehouse.run(f"create table {table} (a int default 9, b int, c varchar(5))")
    warehouse.run(load(f"{table} (c, b)", put(warehouse, "x,1\n")))
    assert [[9, 1, "x"]] == warehouse.rows(f"select * from {table}")


def test_what_failed_is_known_after_the_rollback(warehouse, table):
    """'SYS_LOAD_ERROR_DETAIL': system tables do not roll back; the rows of the load do."""
    folder = uuid.uuid4().hex
    put(warehouse, "1\n2\n", "a", folder)
    put(warehouse, "3\nbad\nworse\n", "b", folder)
    warehouse.run(f"create table {table} (n int)")
    failed = warehouse.submit(f"insert into {table} values (0)", load(table, f"s3://{BUCKET}/{folder}/"))
    assert FAILED.format(table) in warehouse.describe(failed)["Error"]
    query = warehouse.describe(f"{failed}:2")["RedshiftQueryId"]
    errors = f"select trim(file_name), line_number, error_code from sys_load_error_detail where query_id = {query}"
    assert [[f"s3://{BUCKET}/{folder}/b", 2, 1207]] == warehouse.rows(errors)
    assert [] == warehouse.rows(f"select * from {table}")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("csv csv", "conflicting or redundant"),
        ("csv gzip bzip2", "conflicting or redundant"),
        ("json csv", "conflicting or redundant"),
        ("csv maxerror 100001", "MAXERROR must be between 0 and 100000"),
        ("csv maxerror x", 'syntax error at or near "x"'),
        ("csv delimiter '||'", "DELIMITER must be a single ASCII character"),
        ("csv escape", "does not know ESCAPE"),
        ("csv fixedwidth 'a:1'", "does not know FIXEDWIDTH"),
        ("csv acceptanydate", "does not know ACCEPTANYDATE"),
        ("csv region 'us-east-1'", "does not know REGION"),
        ("format as xml", 'syntax error at or near "xml"'),
        ("json 's3://b/paths.json'", "knows 'auto' and 'auto ignorecase' only"),
        ("json 'noshred'", "knows 'auto' and 'auto ignorecase' only"),
        ("json delimiter ','", "DELIMITER is not supported with FORMAT AS JSON"),
        ("json ignoreheader 1", "IGNOREHEADER is not supported with FORMAT AS JSON"),
        ("json null as ''", "NULL is not supported with FORMAT AS JSON"),
        ("json fillrecord", "FILLRECORD is not supported with FORMAT AS JSON"),
        ("avro gzip", "GZIP is not supported with FORMAT AS AVRO"),
        ("avro ignoreblanklines", "IGNOREBLANKLINES is not supported with FORMAT AS AVRO"),
        ("csv timeformat", "syntax error at end of input"),
        ("csv surely", 'syntax error at or near "surely"'),
        ("quote '%' csv", "QUOTE stands behind CSV"),
    ],
)
def test_parameters_that_do_not_go(warehouse, table, options, message):
    """'COPY' (syntax), 'COPY from JSON format', 'Data format parameters'."""
    warehouse.run(f"create table {table} (a int)")
    assert message in warehouse.refusal(load(table, f"s3://{BUCKET}/none/", options))


def test_files_that_are_not_what_they_seem(warehouse, table):
    """'COPY': a missing table, bucket or compression fails the command, not a row."""
    source = put(warehouse, "1\n")
    assert "Cannot COPY into nonexistent table" in warehouse.refusal(load(table, source))
    warehouse.run(f"create table {table} (a int)")
    assert "NoSuchBucket" in warehouse.refusal(load(table, "s3://no-such-bucket-here/x"))
    assert "is not in GZIP format" in warehouse.refusal(load(table, source, "csv gzip"))
    assert 'column "b" of relation' in warehouse.refusal(load(f"{table} (b)", source))


def test_a_session_knows_its_last_copy(warehouse, table):
    """'PG_LAST_COPY_ID', 'PG_LAST_COPY_COUNT': of the session; -1 before any."""
    source = put(warehouse, "1\n2\n")
    statement = warehouse.run(
        f"create table {table} (n int)", load(table, source), "select pg_last_copy_id(), pg_last_copy_count()"
    )
    (record,) = warehouse.data_api.get_statement_result(Id=f"{statement}:3")["Records"]
    query = warehouse.describe(f"{statement}:2")["RedshiftQueryId"]
    assert [query, 2] == [field["longValue"] for field in record]
    assert [[-1]] == warehouse.rows("select pg_last_copy_id()")
