"""UNLOAD as the Redshift Developer Guide describes it."""

import datetime as dt
import gzip
import io
import json
import uuid
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import BUCKET, ROLE, copy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TYPES = "a smallint, b int, c bigint, d decimal(8,2), e real, f double precision, g boolean, h date, i timestamp, "
TYPES += "j varchar(20), k decimal(20,0)"
ROW = "1, -2, 9223372036854775807, -123.45, 0.5, 1e-300, true, '2024-02-29', '2024-02-29 10:11:12.000001', "
ROW += "'ü\"|,\n', 18446744073709551615"


def unload(query, to, options):
    return f"unload ('{query}') to 's3://{BUCKET}/{to}' iam_role '{ROLE}' {options}"


def names(warehouse, prefix):
    found = warehouse.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])
    return [item["Key"].removeprefix(prefix) for item in found]


def body(warehouse, key):
    return warehouse.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def bodies(warehouse, prefix):
    return b"".join(body(warehouse, prefix + name) for name in names(warehouse, prefix) if name != "manifest").decode()


def table_of(warehouse, key):
    return pq.read_table(io.BytesIO(body(warehouse, key)))


def numbers(count):
    """A query that gives 1, 2, and so on."""
    digits = " union all ".join(f"select {digit} as d" for digit in range(10))
    return (
        f"select a.d * 1000 + b.d * 100 + c.d * 10 + e.d as n from ({digits}) as a, ({digits}) as b, "
        f"({digits}) as c, ({digits}) as e where a.d * 1000 + b.d * 100 + c.d * 10 + e.d < {count}"
    )


def test_parquet_has_every_type_and_can_be_copied_back(warehouse, table):
    """'UNLOAD', FORMAT PARQUET: version 1.0, SNAPPY; COPY loads it again."""
    warehouse.run(f"create table {table} ({TYPES})", f"insert into {table} values ({ROW})")
    warehouse.run(f"insert into {table} (a) values (2)")
    warehouse.run(unload(f"select * from {table}", f"{table}/", "format as parquet manifest verbose"))
    assert ["0000_part_00.parquet", "0001_part_00.parquet", "manifest"] == names(warehouse, f"{table}/")
    file = pq.ParquetFile(io.BytesIO(body(warehouse, f"{table}/0000_part_00.parquet")))
    assert ("1.0", "SNAPPY") == (file.metadata.format_version, file.metadata.row_group(0).column(0).compression)
    warehouse.run(
        f"create table {table}_back (like {table})",
        f"copy {table}_back from 's3://{BUCKET}/{table}/manifest' iam_role '{ROLE}' format parquet manifest",
    )
    assert warehouse.rows(f"select * from {table} order by a") == warehouse.rows(
        f"select * from {table}_back order by a"
    )
    values = {key: [] for key in file.schema_arrow.names}
    for name in ("0000_part_00.parquet", "0001_part_00.parquet"):
        for key, found in table_of(warehouse, f"{table}/{name}").to_pydict().items():
            values[key] += found
    moment = dt.datetime(2024, 2, 29, 10, 11, 12, 1, dt.UTC)
    assert [Decimal("-123.45"), None] == sorted(values["d"], key=str)
    assert moment in values["i"]


def test_csv_quotes_only_what_it_must(warehouse, table):
    """'UNLOAD', FORMAT CSV: quotes around delimiters, quotation marks and line ends; NULL is empty, or NULL AS."""
    warehouse.run(f"create table {table} ({TYPES})", f"insert into {table} values ({ROW})")
    query = f"select j, g, cast(null as int) as n, h, d from {table}"
    warehouse.run(unload(query, f"{table}/", "csv header"))
    assert 'j,g,n,h,d\n"ü""|,\n",t,,2024-02-29,-123.45\n' == bodies(warehouse, f"{table}/")
    warehouse.run(unload(query, f"{table}_2/", "format csv delimiter as '|' null as 'NIL' gzip parallel off"))
    assert ["000.gz"] == names(warehouse, f"{table}_2/")
    content = gzip.decompress(body(warehouse, f"{table}_2/000.gz")).decode()
    assert '"ü""|,\n"|t|NIL|2024-02-29|-123.45\n' == content


def test_csv_can_be_copied_back(warehouse, table):
    """'UNLOAD', 'COPY': what CSV holds comes back, but for the empty text and NULL."""
    warehouse.run(f"create table {table} ({TYPES})", f"insert into {table} values ({ROW})")
    warehouse.run(f"insert into {table} (a) values (2)")
    warehouse.run(unload(f"select * from {table}", f"{table}/", "csv bzip2"))
    warehouse.run(
        f"create table {table}_back (like {table})",
        f"copy {table}_back from 's3://{BUCKET}/{table}/' iam_role '{ROLE}' csv bzip2 emptyasnull",
    )
    assert warehouse.rows(f"select * from {table} order by a") == warehouse.rows(
        f"select * from {table}_back order by a"
    )


TEXTS = st.text(
    st.characters(exclude_characters="\0", codec="utf-8") | st.sampled_from('", \\\n\r'), min_size=1, max_size=12
)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.none() | TEXTS.filter(lambda text: text != "\\N"), min_size=1),
    st.sampled_from(["csv", "csv gzip", "json", "parquet"]),
)
def test_any_text_goes_and_comes_back(warehouse, texts, form):
    """'UNLOAD', 'COPY': a text survives both, in every format."""
    folder = uuid.uuid4().hex
    rows = pa.table({"n": pa.array(range(len(texts)), pa.int32()), "v": pa.array(texts, pa.string())})
    options = form if form == "parquet" else f"{form} emptyasnull"
    statement = warehouse.run(
        "create temp table gone (n int, v varchar(max))",
        copy("gone", warehouse.stage(rows)),
        unload("select * from gone", f"{folder}/", form),
        "create temp table back (like gone)",
        f"copy back from 's3://{BUCKET}/{folder}/' iam_role '{ROLE}' {options}",
        "select v from back order by n",
    )
    records = warehouse.data_api.get_statement_result(Id=f"{statement}:6")["Records"]
    assert texts == [None if field.get("isNull") else field["stringValue"] for (field,) in records]


def test_json_is_an_object_a_line(warehouse, table):
    """'UNLOAD', FORMAT JSON: one object a line, booleans as t and f, NULL as null; names are unique."""
    warehouse.run(f"create table {table} ({TYPES})", f"insert into {table} values ({ROW})")
    warehouse.run(unload(f"select a, d, g, h, j, cast(null as int) as n from {table}", f"{table}/", "json"))
    assert ["0000_part_00"] == names(warehouse, f"{table}/")
    expected = {"a": 1, "d": -123.45, "g": "t", "h": "2024-02-29", "j": 'ü"|,\n', "n": None}
    assert expected == json.loads(bodies(warehouse, f"{table}/"))
    assert "unique" in warehouse.refusal(unload(f"select a, b as a from {table}", f"{table}_2/", "json"))


def test_partitions_are_folders(warehouse, table):
    """'UNLOAD', PARTITION BY: Hive's folders; the keys are not in the files unless INCLUDE; NULL has a folder."""
    warehouse.run(f"create table {table} (id int, day date, kind varchar(9))")
    warehouse.run(
        f"insert into {table} values (1, '2024-02-28', 'a/b'), (2, '2024-02-29', null), (3, '2024-02-29', 'x')"
    )
    query = f"select * from {table}"
    warehouse.run(unload(query, f"{table}", "parquet partition by (day, kind)"))
    found = [
        "day=2024-02-28/kind=a%2Fb/0000_part_00.parquet",
        "day=2024-02-29/kind=__HIVE_DEFAULT_PARTITION__/0000_part_00.parquet",
        "day=2024-02-29/kind=x/0000_part_00.parquet",
    ]
    assert found == names(warehouse, f"{table}/")
    assert ["id"] == table_of(warehouse, f"{table}/{found[0]}").column_names
    warehouse.run(unload(query, f"{table}_2/", "parquet partition by (day) include manifest"))
    first, *_, manifest = names(warehouse, f"{table}_2/")
    assert ["id", "day", "kind"] == table_of(warehouse, f"{table}_2/{first}").column_names
    assert "manifest" == manifest


@pytest.mark.parametrize(
    ("query", "keys", "message"),
    [
        ("select 1 as a, 2 as b", "(c)", 'column "c" is not in the query'),
        ("select 1 as a, 2 as b", "(a, b)", "at least one column"),
        ("select 1 as a, cast(1 as double precision) as b", "(b)", "not supported in PARTITION BY"),
        ("select 1 as a, 2 as b", "a", 'syntax error at or near "a"'),
    ],
)
def test_keys_that_are_none(warehouse, table, query, keys, message):
    """'UNLOAD', PARTITION BY, usage notes: a column of the result, of some types, and not all of them."""
    assert message in warehouse.refusal(unload(query, f"{table}/", f"parquet partition by {keys}"))


def test_what_is_there_is_not_overwritten_unless_told(warehouse, table):
    """'UNLOAD', ALLOWOVERWRITE, CLEANPATH: by default it fails; overwriting leaves others, cleaning does not."""
    command = unload("select 1 as a", f"{table}/", "csv parallel off {}")
    warehouse.run(command.format(""))
    warehouse.s3.put_object(Bucket=BUCKET, Key=f"{table}/other", Body=b"x")
    assert "Specified unload destination on S3 is not empty." in warehouse.refusal(command.format(""))
    warehouse.run(command.format("allowoverwrite"))
    assert ["000", "other"] == names(warehouse, f"{table}/")
    warehouse.run(command.format("cleanpath"))
    assert ["000"] == names(warehouse, f"{table}/")
    assert "CLEANPATH cannot be used with" in warehouse.refusal(command.format("cleanpath allowoverwrite"))


def test_cleanpath_empties_only_partitions_that_receive_files(warehouse, table):
    """'UNLOAD', CLEANPATH with PARTITION BY: only the folders that get new files."""
    for key in ("p=1/old", "p=2/old"):
        warehouse.s3.put_object(Bucket=BUCKET, Key=f"{table}/{key}", Body=b"x")
    warehouse.run(unload("select 1 as p, 2 as v", f"{table}/", "csv partition by (p) cleanpath"))
    assert ["p=1/0000_part_00", "p=2/old"] == names(warehouse, f"{table}/")


def test_manifests(warehouse, table):
    """'UNLOAD', MANIFEST [VERBOSE]: where the prefix ends; sizes, rows, columns and the author with VERBOSE only."""
    query = "select 1 as id, cast(''x'' as varchar(7)) as name, cast(1.5 as decimal(8,2)) as price"
    warehouse.run(unload(query, f"{table}_", "csv header manifest"))
    url = f"s3://{BUCKET}/{table}_0000_part_00"
    assert {"entries": [{"url": url}]} == json.loads(body(warehouse, f"{table}_manifest"))
    warehouse.run(unload(query, f"{table}_", "csv header manifest verbose allowoverwrite"))
    told = json.loads(body(warehouse, f"{table}_manifest"))
    measures = {"content_length": len(b"id,name,price\n1,x,1.50\n"), "record_count": 2}
    assert [{"url": url, "meta": measures}] == told["entries"]
    assert measures == told["meta"]
    assert "Amazon Redshift" == told["author"]["name"]
    elements = [
        {"name": "id", "type": {"base": "integer"}},
        {"name": "name", "type": {"base": "character varying", "max_length": 7}},
        {"name": "price", "type": {"base": "numeric", "precision": 8, "scale": 2}},
    ]
    assert elements == told["schema"]["elements"]


def test_rows_are_spread_over_slices_or_stay_in_order(warehouse, table):
    """'UNLOAD', PARALLEL: files of several slices, or one after the other in the order of ORDER BY."""
    query = f"select n from ({numbers(10)}) as x order by n"
    warehouse.run(unload(query, f"{table}/", "csv"))
    assert ["0000_part_00", "0001_part_00"] == names(warehouse, f"{table}/")
    assert list(range(10)) == sorted(int(line) for line in bodies(warehouse, f"{table}/").split())
    warehouse.run(unload(query, f"{table}_off/", "csv parallel false"))
    assert list(range(10)) == [int(line) for line in body(warehouse, f"{table}_off/000").split()]


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_files_end_at_their_size(warehouse, table, form):
    """'UNLOAD', MAXFILESIZE: from 5 MB to 6.2 GB; what is more goes into the next part."""
    query = f"select n, sha2(cast(n as varchar), 512) as a, repeat(md5(cast(n as varchar)), 38) as b from ({numbers(9000)}) as x"
    warehouse.run(unload(query.replace("'", "''"), f"{table}/", f"{form} maxfilesize as 5 mb parallel off"))
    files = names(warehouse, f"{table}/")
    ending = ".parquet" if form == "parquet" else ""
    assert [f"00{number}{ending}" for number in range(len(files))] == files
    assert 3 <= len(files) <= 5
    assert max(len(body(warehouse, f"{table}/{name}")) for name in files) <= 5 * 1024 * 1024


def test_quotes_inside_of_the_query(warehouse, table):
    r"""'UNLOAD', ('select-statement'): quotation marks are doubled, or escaped by \."""
    warehouse.run(unload("select ''it''''s'' as a", f"{table}/", "csv"))
    assert "it's\n" == bodies(warehouse, f"{table}/")
    warehouse.run(unload(r"select \'NV\' as a", f"{table}_2/", "csv"))
    assert "NV\n" == bodies(warehouse, f"{table}_2/")


def test_nothing_to_unload(warehouse, table):
    """'UNLOAD': a query without rows leaves no data file, and a manifest of none."""
    warehouse.run(unload("select 1 as a where 1 = 2", f"{table}/", "parquet manifest"))
    assert ["manifest"] == names(warehouse, f"{table}/")
    assert {"entries": []} == json.loads(body(warehouse, f"{table}/manifest"))


def test_files_stay_when_the_transaction_fails(warehouse, table):
    """'UNLOAD': S3 knows no transactions; PG_LAST_UNLOAD_COUNT tells the rows."""
    command = unload("select 1 as a union all select 2", f"{table}/", "csv parallel off")
    statement = warehouse.run(command, "select pg_last_unload_count()")
    (record,) = warehouse.data_api.get_statement_result(Id=f"{statement}:2")["Records"]
    assert [2] == [field["longValue"] for field in record]
    warehouse.refusal(command.replace(f"{table}/", f"{table}_2/"), "select 1 / 0")
    assert ["000"] == names(warehouse, f"{table}_2/")


@pytest.mark.parametrize(
    ("query", "options", "message"),
    [
        ("select 1 as a limit 1", "csv", "Limit clause is not supported"),
        ("(select 1 as a limit 1)", "csv", "Limit clause is not supported"),
        ("select 1 as a union all select 2 limit 1", "csv", "Limit clause is not supported"),
        ("delete from t", "csv", 'syntax error at or near "delete"'),
        ("select 1 as a from nowhere", "csv", 'relation "nowhere" does not exist'),
        ("select distinct on (a) a from t", "csv", "SELECT DISTINCT ON"),
        ("select sum(a) as a from (select cast(1 as decimal(8,2)) as a) as x", "parquet", "CAST it to DECIMAL"),
        ("select 1 as a", "", "knows FORMAT AS PARQUET, CSV and JSON only"),
        ("select 1 as a", "csv parquet", "conflicting or redundant"),
        ("select 1 as a", "parquet gzip", "GZIP is not supported with FORMAT AS PARQUET"),
        ("select 1 as a", "parquet header", "HEADER is not supported with FORMAT AS PARQUET"),
        ("select 1 as a", "parquet delimiter ','", "DELIMITER is not supported with FORMAT AS PARQUET"),
        ("select 1 as a", "parquet null as ''", "NULL is not supported with FORMAT AS PARQUET"),
        ("select 1 as a", "json header", "HEADER is not supported with FORMAT AS JSON"),
        ("select 1 as a", "csv rowgroupsize 64", "ROWGROUPSIZE is not supported with FORMAT AS CSV"),
        ("select 1 as a", "csv gzip zstd", "conflicting or redundant"),
        ("select 1 as a", "csv maxfilesize 4 mb", "MAXFILESIZE must be between 5 MB and"),
        ("select 1 as a", "csv maxfilesize 6.3 gb", "MAXFILESIZE must be between 5 MB and"),
        ("select 1 as a", "csv encrypted", "does not know ENCRYPTED"),
        ("select 1 as a", "csv addquotes", "does not know ADDQUOTES"),
        ("select 1 as a", "csv fixedwidth 'a:1'", "does not know FIXEDWIDTH"),
        ("select 1 as a", "csv verbose", 'syntax error at or near "verbose"'),
    ],
)
def test_what_unload_does_not_take(warehouse, table, query, options, message):
    """'UNLOAD' (syntax, usage notes): no LIMIT in the outer SELECT, no parameters that do not go with the format."""
    warehouse.run(f"create table {table} (a int)")
    assert message in warehouse.refusal(unload(query.replace("from t", f"from {table}"), f"{table}/", options))


def test_unload_needs_a_place_and_a_role(warehouse):
    """'UNLOAD' (syntax): S3, and an IAM role."""
    assert "UNLOAD needs IAM_ROLE" in warehouse.refusal(f"unload ('select 1 as a') to 's3://{BUCKET}/x' csv")
    assert "knows s3:// only" in warehouse.refusal("unload ('select 1 as a') to '/etc/x' iam_role default csv")
    assert "NoSuchBucket" in warehouse.refusal(
        "unload ('select 1 as a') to 's3://no-such-bucket/x' iam_role default csv"
    )
    assert 'syntax error at or near "select"' in warehouse.refusal(
        "unload (select 1) to 's3://b/x' iam_role default csv"
    )
