"""External schemas and tables (Spectrum) as the Redshift Developer Guide describes them."""

import datetime as dt
import gzip
import json
from dataclasses import replace
from decimal import Decimal

import boto3
import pyarrow as pa
import pytest
from conftest import BUCKET, KEYS, ROLE, parquet

SCHEMA = (
    "create external schema {} from data catalog database '{}' iam_role '{}' create external database if not exists"
)


@pytest.fixture
def schema(warehouse, table):
    """An external schema over a database of its own; of the same name as the test's table."""
    warehouse.alone(SCHEMA.format(table, f"db_{table}", ROLE))
    return table


def put(warehouse, key, body):
    warehouse.s3.put_object(Bucket=BUCKET, Key=key, Body=body)


def ints(*values):
    return parquet(pa.table({"id": pa.array(values, pa.int32())}))


def make(warehouse, schema, columns="id int", rest="stored as parquet"):
    warehouse.alone(f"create external table {schema}.t ({columns}) {rest} location 's3://{BUCKET}/{schema}/'")


TYPES = [
    ("smallint", pa.int16(), -1),
    ("int", pa.int32(), 2),
    ("bigint", pa.int64(), 2**63 - 1),
    ("decimal(20,2)", pa.decimal128(20, 2), Decimal("123456789012345678.90")),
    ("real", pa.float32(), 0.5),
    ("double precision", pa.float64(), 1e-300),
    ("boolean", pa.bool_(), True),
    ("date", pa.date32(), dt.date(2024, 2, 29)),
    ("timestamp", pa.timestamp("us"), dt.datetime(2024, 2, 29, 10, 11, 12, 5)),  # noqa: DTZ001
    ("varchar(9)", pa.string(), 'ü"\n,'),
    ("char(3)", pa.string(), "abc"),
]
WRITTEN = [-1, 2, 2**63 - 1, "123456789012345678.90", 0.5, 1e-300, True, "2024-02-29", "2024-02-29 10:11:12.000005"]
WRITTEN += ['ü"\n,', "abc"]


def test_parquet_is_read_when_it_is_asked_for(warehouse, schema):
    """'CREATE EXTERNAL TABLE': the files of a folder and its subfolders, without hidden ones, as they are at the query."""
    columns = ", ".join(f"c{number} {kind}" for number, (kind, _, _) in enumerate(TYPES))
    make(warehouse, schema, columns)
    assert [] == warehouse.rows(f"select * from {schema}.t")
    rows = pa.table({f"c{n}": pa.array([value, None], kind) for n, (_, kind, value) in enumerate(TYPES)})
    put(warehouse, f"{schema}/deep/er/1.parquet", parquet(rows))
    put(warehouse, f"{schema}/_SUCCESS", b"")
    put(warehouse, f"{schema}/.hidden", b"no parquet")
    assert [WRITTEN, [None] * len(TYPES)] == warehouse.rows(f"select * from {schema}.t order by c0")
    put(warehouse, f"{schema}/2.parquet", parquet(rows))
    assert [[4]] == warehouse.rows(f"select count(*) from {schema}.t")


def test_columns_are_found_by_name(warehouse, schema):
    """'CREATE EXTERNAL TABLE': order is free, names match in any case, what a file has not is NULL."""
    make(warehouse, schema, "id int, name varchar(3), more int")
    put(warehouse, f"{schema}/1", parquet(pa.table({"NAME": ["x"], "other": [1], "Id": pa.array([7], pa.int32())})))
    assert [[7, "x", None]] == warehouse.rows(f"select * from {schema}.t")


def test_texts_are_cut_without_an_error(warehouse, schema):
    """'CREATE EXTERNAL TABLE', data types: VARCHAR counts bytes, and a longer text is truncated."""
    make(warehouse, schema, "v varchar(3)")
    put(warehouse, f"{schema}/1", parquet(pa.table({"v": ["üüü", "abcd", None]})))
    assert [["abc"], ["ü"], [None]] == warehouse.rows(f"select v from {schema}.t order by v")


@pytest.mark.parametrize(
    ("declared", "kind", "value"),
    [("bigint", pa.int32(), 1), ("int", pa.string(), "1"), ("decimal(8,2)", pa.decimal128(9, 2), Decimal(1))],
)
def test_other_types_are_an_error(warehouse, schema, declared, kind, value):
    """'Data types', Spectrum: no conversion between the file's type and the table's."""
    make(warehouse, schema, f"v {declared}")
    put(warehouse, f"{schema}/1", parquet(pa.table({"v": pa.array([value], kind)})))
    refused = warehouse.refusal(f"select * from {schema}.t")
    assert "Spectrum Scan Error" in refused
    assert "incompatible Parquet schema for column" in refused


def test_a_file_that_is_no_parquet_is_an_error(warehouse, schema):
    """'Troubleshooting queries in Redshift Spectrum': the scan fails, not the row."""
    make(warehouse, schema)
    put(warehouse, f"{schema}/1", b"no parquet")
    assert "Spectrum Scan Error" in warehouse.refusal(f"select * from {schema}.t")


def test_partitions_are_what_was_added(warehouse, schema):
    """'ALTER TABLE', ADD PARTITION: only registered folders are read; their values are columns; NULL is Hive's word."""
    make(warehouse, schema, rest="partitioned by (day date, kind varchar(5)) stored as parquet")
    for number, folder in enumerate(("day=2024-02-28/kind=a", "day=2024-02-29/kind=b", "elsewhere"), 1):
        put(warehouse, f"{schema}/{folder}/f.parquet", ints(number))
    assert [] == warehouse.rows(f"select * from {schema}.t")
    where = f"location 's3://{BUCKET}/{schema}"
    warehouse.alone(
        f"alter table {schema}.t add partition (day='2024-02-28', kind='a') {where}/day=2024-02-28/kind=a/' "
        f"partition (kind='b', day='2024-02-29') {where}/day=2024-02-29/kind=b'"
    )
    assert [[1, "2024-02-28", "a"], [2, "2024-02-29", "b"]] == warehouse.rows(f"select * from {schema}.t order by id")
    again = f"partition (day='2024-02-28', kind='a') {where}/other/'"
    assert "Partition already exists" in warehouse.refusal_alone(f"alter table {schema}.t add {again}")
    warehouse.alone(f"alter table {schema}.t add if not exists {again}")
    null = "partition (day='__HIVE_DEFAULT_PARTITION__', kind='__HIVE_DEFAULT_PARTITION__')"
    warehouse.alone(f"alter table {schema}.t add {null} {where}/elsewhere/'")
    assert [[3, None, None]] == warehouse.rows(f"select * from {schema}.t where day is null")
    warehouse.alone(f"alter table {schema}.t drop {null}")
    assert [[2]] == warehouse.rows(f"select count(*) from {schema}.t")
    assert "Partition not found" in warehouse.refusal_alone(f"alter table {schema}.t drop {null}")
    assert [["2024-02-28"]] == warehouse.rows(f"select min(day) from {schema}.t where kind = 'a'")
    listed = f"select location from svv_external_partitions where schemaname = '{schema}' order by 1"
    assert [f"s3://{BUCKET}/{schema}/day=2024-02-28/kind=a/", f"s3://{BUCKET}/{schema}/day=2024-02-29/kind=b"] == [
        place for (place,) in warehouse.rows(listed)
    ]


def test_what_unload_partitions_can_be_read(warehouse, schema):
    """'UNLOAD', PARTITION BY usage notes: ALTER TABLE ADD PARTITION registers what UNLOAD wrote, NULL too."""
    make(warehouse, schema, "id int, v varchar(5)", "partitioned by (day date) stored as parquet")
    warehouse.run(f"create table local_{schema} (id int, v varchar(5), day date)")
    warehouse.run(f"insert into local_{schema} values (1, 'a', '2024-02-29'), (2, null, null)")
    query = f"select * from local_{schema}"
    warehouse.run(
        f"unload ('{query}') to 's3://{BUCKET}/{schema}/' iam_role '{ROLE}' parquet partition by (day) manifest"
    )
    for day in ("2024-02-29", "__HIVE_DEFAULT_PARTITION__"):
        where = f"s3://{BUCKET}/{schema}/day={day}/"
        warehouse.alone(f"alter table {schema}.t add partition (day='{day}') location '{where}'")
    assert warehouse.rows(f"{query} order by id") == warehouse.rows(f"select * from {schema}.t order by id")


def test_external_tables_join_and_fill_others(warehouse, schema):
    """'Querying external data': joins with local tables, INSERT ... SELECT, CREATE TABLE AS, UNLOAD, WITH, aliases."""
    make(warehouse, schema)
    put(warehouse, f"{schema}/1", ints(1, 2, 3))
    warehouse.run(f"create table local_{schema} (id int, v varchar(3))", f"insert into local_{schema} values (2, 'x')")
    joined = f"select e.id, l.v from {schema}.t as e left join local_{schema} as l on l.id = e.id order by e.id"
    assert [[1, None], [2, "x"], [3, None]] == warehouse.rows(joined)
    assert [[2]] == warehouse.rows(f"select t.id from {schema}.t join local_{schema} on t.id = local_{schema}.id")
    assert [[6]] == warehouse.rows(f'with w as (select * from "{schema.upper()}".T) select sum(id) from w')
    warehouse.run(
        f"insert into local_{schema} (id) select id + 10 from {schema}.t",
        f"delete from local_{schema} using {schema}.t as e where local_{schema}.id = e.id",
        f"create table made_{schema} as select id from {schema}.t",
        f"update made_{schema} set id = e.id + 1 from {schema}.t as e where e.id = made_{schema}.id and e.id = 3",
        f"unload ('select * from {schema}.t') to 's3://{BUCKET}/{schema}_out/' iam_role '{ROLE}' csv parallel off",
    )
    assert [[11], [12], [13]] == warehouse.rows(f"select id from local_{schema} order by id")
    assert [[1], [2], [4]] == warehouse.rows(f"select id from made_{schema} order by id")
    written = warehouse.s3.get_object(Bucket=BUCKET, Key=f"{schema}_out/000")["Body"].read()
    assert [b"1", b"2", b"3"] == sorted(written.split())


def test_two_statements_see_what_is_there_at_their_time(warehouse, schema):
    """'CREATE EXTERNAL TABLE': files are no part of a transaction's snapshot."""
    make(warehouse, schema)
    put(warehouse, f"{schema}/1", ints(1))
    unload = f"unload ('select 2 as id') to 's3://{BUCKET}/{schema}/2' iam_role '{ROLE}' parquet"
    statement = warehouse.run(f"select count(*) from {schema}.t", unload, f"select count(*) from {schema}.t")
    counts = [
        warehouse.data_api.get_statement_result(Id=f"{statement}:{number}")["Records"][0][0]["longValue"]
        for number in (1, 3)
    ]
    assert [1, 2] == counts


def test_rows_know_their_file(warehouse, schema):
    """'CREATE EXTERNAL TABLE' usage notes, 'Pseudocolumns': "$path" and "$size", which SELECT * does not show."""
    make(warehouse, schema)
    body = ints(1, 2)
    put(warehouse, f"{schema}/1", body)
    path = f"s3://{BUCKET}/{schema}/1"
    assert [[path, len(body), 2]] == warehouse.rows(
        f'select "$path", t."$size", count(*) from {schema}.t where id > 0 group by 1, 2'
    )
    joined = f'select a.id, b."$path" from {schema}.t a join {schema}.t as b on a.id = b.id order by 1'
    assert [[1, path], [2, path]] == warehouse.rows(joined)
    assert [[1], [2]] == warehouse.rows(f"select * from {schema}.t order by id")
    warehouse.run(f'create table made_{schema} as select "$path" as file, id from {schema}.t')
    assert [[path]] == warehouse.rows(f"select distinct file from made_{schema}")
    assert "does not exist" in warehouse.refusal(f'select "$path" from made_{schema}')


@pytest.mark.parametrize(
    ("rest", "name", "body"),
    [
        ("stored as textfile", "f", b"1\x01x\x0102-29-2024\n2\x01\\N\x01\\N\n"),
        ("row format delimited fields terminated by ',' stored as textfile", "f", b"1,x,2024-02-29\n2,\\N\n"),
        (
            r"row format delimited fields terminated by '\t' lines terminated by '\n' stored as textfile",
            "f.gz",
            gzip.compress(b"1\tx\t2024-02-29\tmore\n2\t\\N\t\n", mtime=0),
        ),
        (
            "row format serde 'org.apache.hadoop.hive.serde2.OpenCSVSerde' "
            "with serdeproperties ('separatorChar' = ';', 'quoteChar' = '%') stored as textfile",
            "f",
            b"%1%;x;2024-02-29\n2;\\N;\n",
        ),
    ],
)
def test_text_files(warehouse, schema, rest, name, body):
    r"""'CREATE EXTERNAL TABLE', ROW FORMAT: fields end at \001 by default; \N is NULL; .gz is unpacked."""
    make(warehouse, schema, "id int, v varchar(5), day date", rest)
    put(warehouse, f"{schema}/{name}", body)
    assert [[1, "x", "2024-02-29"], [2, None, None]] == warehouse.rows(f"select * from {schema}.t order by id")


def test_headers_are_skipped_when_told(warehouse, schema):
    """'CREATE EXTERNAL TABLE', TABLE PROPERTIES: skip.header.line.count; numRows is for the planner."""
    warehouse.alone(
        f"create external table {schema}.t (id int) row format delimited fields terminated by ',' stored as textfile "
        f"location 's3://{BUCKET}/{schema}/' table properties ('skip.header.line.count'='1', 'numRows'='7')"
    )
    put(warehouse, f"{schema}/1", b"id\n5\n")
    assert [[5]] == warehouse.rows(f"select id from {schema}.t")
    put(warehouse, f"{schema}/2", b"id\nno number\n")
    assert "Spectrum Scan Error: Invalid digit" in warehouse.refusal(f"select id from {schema}.t")


def test_a_manifest_names_the_files(warehouse, schema):
    """'CREATE EXTERNAL TABLE', LOCATION: a manifest; a missing mandatory file fails the SELECT."""
    put(warehouse, f"{schema}/1", ints(1))
    entries = [{"url": f"s3://{BUCKET}/{schema}/{name}", "meta": {"content_length": 1}} for name in ("1", "2")]
    put(warehouse, f"{schema}.manifest", json.dumps({"entries": entries}))
    where = f"stored as parquet location 's3://{BUCKET}/{schema}.manifest'"
    warehouse.alone(f"create external table {schema}.t (id int) {where}")
    assert [[1]] == warehouse.rows(f"select id from {schema}.t")
    put(warehouse, f"{schema}.manifest", json.dumps({"entries": [entries[0], entries[1] | {"mandatory": True}]}))
    assert "Error NoSuchKey" in warehouse.refusal(f"select id from {schema}.t")


def test_external_statements_stand_alone(warehouse, schema):
    """'CREATE EXTERNAL TABLE', 'ALTER TABLE', 'DROP TABLE', 'DROP SCHEMA': not inside a transaction block."""
    create = f"create external table {schema}.t (id int) partitioned by (p int) stored as parquet location 's3://b/k/'"
    assert "CREATE EXTERNAL TABLE cannot run inside a transaction block" in warehouse.refusal(create)
    warehouse.alone(create)
    add = f"alter table {schema}.t add partition (p=1) location 's3://b/k/p=1/'"
    assert "ALTER EXTERNAL TABLE cannot run inside a transaction block" in warehouse.refusal(add)
    assert "DROP EXTERNAL TABLE cannot run inside a transaction block" in warehouse.refusal(f"drop table {schema}.t")
    dropped = f"drop schema {schema} drop external database cascade"
    assert "DROP EXTERNAL DATABASE cannot run inside a transaction block" in warehouse.refusal(dropped)
    assert "cannot run inside a transaction block" in warehouse.refusal(SCHEMA.format(f"{schema}_2", "db", ROLE))


def test_the_catalog_outlives_the_schema(warehouse, schema):
    """'DROP SCHEMA', 'CREATE EXTERNAL SCHEMA': tables belong to the external database; files are never deleted."""
    make(warehouse, schema)
    put(warehouse, f"{schema}/1", ints(1))
    assert [[schema, "t"]] == warehouse.rows(
        f"select table_schema, table_name from svv_tables where table_type = 'EXTERNAL TABLE' and table_schema = '{schema}'"
    )
    warehouse.run(f"create external schema {schema}_2 from data catalog database 'db_{schema}' iam_role default")
    assert [[1]] == warehouse.rows(f"select id from {schema}_2.t")
    warehouse.run(f"drop schema {schema}", f"drop schema if exists {schema}")
    assert "does not exist" in warehouse.refusal(f"select id from {schema}.t")
    warehouse.alone(SCHEMA.format(schema, f"db_{schema}", ROLE).replace("schema", "schema if not exists"))
    assert [[1]] == warehouse.rows(f"select id from {schema}.t")
    warehouse.alone(f"drop table {schema}.t")
    assert "does not exist" in warehouse.refusal(f"select id from {schema}_2.t")
    make(warehouse, schema)
    assert "is not empty" in warehouse.refusal_alone(f"drop schema {schema} drop external database")
    warehouse.alone(f"drop schema {schema} drop external database cascade")
    assert 1 == warehouse.s3.list_objects_v2(Bucket=BUCKET, Prefix=f"{schema}/")["KeyCount"]


def test_who_may_use_the_schema_may_read_its_tables(warehouse, redshift, schema):
    """'CREATE EXTERNAL TABLE': access is USAGE on the schema; only the owner changes it."""
    make(warehouse, schema, rest="partitioned by (p int) stored as parquet")
    put(warehouse, f"{schema}/1", ints(1))
    client = boto3.client("redshift-data", endpoint_url=redshift.endpoint_url, **KEYS | {"aws_access_key_id": schema})
    reader = replace(warehouse, data_api=client)
    add = f"alter table {schema}.t add partition (p=1) location 's3://{BUCKET}/{schema}/'"
    warehouse.alone(add)
    assert [[1]] == reader.rows("select 1")
    assert "permission denied" in reader.refusal(f"select * from {schema}.t")
    warehouse.run(f'grant usage on schema {schema} to "IAMR:{schema}"')
    assert [[1, 1]] == reader.rows(f"select * from {schema}.t")
    assert "must be owner" in reader.refusal_alone(add.replace("p=1", "p=2"))
    assert "must be owner" in reader.refusal_alone(f"drop table {schema}.t")
    client.close()


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            "create external table t (id int) stored as parquet location 's3://b/k/'",
            "must be created in external schema",
        ),
        ("create external table public.t (id int) stored as parquet location 's3://b/k/'", "is not an external schema"),
        (
            "create external table {}.t (id int) stored as orc location 's3://b/k/'",
            "STORED AS PARQUET and TEXTFILE only",
        ),
        ("create external table {}.t (id int) location 's3://b/k/'", 'syntax error at or near "location"'),
        ("create external table {}.t (id int) stored as parquet", "syntax error at end of input"),
        ("create external table {}.t (id int not null) stored as parquet location 's3://b/k/'", "no constraints"),
        ("create external table {}.t (id timestamptz) stored as parquet location 's3://b/k/'", "Unsupported data type"),
        ("create external table {}.t (id int, id int) stored as parquet location 's3://b/k/'", "more than once"),
        (
            "create external table {}.t (id int) partitioned by (id int) stored as parquet location 's3://b/k/'",
            "more than once",
        ),
        ("create external table {}.t (\"$path\" varchar) stored as parquet location 's3://b/k/'", "pseudocolumn"),
        ("create external table {}.t stored as parquet location 's3://b/k/' as select 1", "CREATE EXTERNAL TABLE AS"),
        (
            "create external table {}.t (id int) row format serde 'org.openx.data.jsonserde.JsonSerDe' stored as textfile "
            "location 's3://b/k/'",
            "knows the SerDe",
        ),
        (
            "create external table {}.t (id int) stored as parquet location 's3://b/k/' table properties ('x'='1')",
            "does not know the table property x",
        ),
        ("create table {}.local (id int)", "Operations on local objects in external schema are not enabled"),
        ("create table {}.local as select 1 as id", "Operations on local objects in external schema are not enabled"),
        ("create view {}.v as select 1 as id", "Operations on local objects in external schema are not enabled"),
        ("create view v_{0} as select id from {0}.old", "External tables are not supported in views"),
        ("create external table {}.old (id int) stored as parquet location 's3://b/k/'", "already exists"),
        ("insert into {}.old values (1)", "does not change external tables"),
        ("update {}.old set id = 1", "does not change external tables"),
        ("delete from {}.old", "does not change external tables"),
        ("copy {}.old from 's3://b/k/' iam_role default csv", "Operations on local objects in external schema"),
        ("grant select on {}.old to role analysts", "grant USAGE on their schema"),
        ("alter table {}.old add partition (p=1) location 's3://b/k/'", "is not partitioned"),
        ("alter table {}.parts add partition (q=1) location 's3://b/k/'", "must name each partition column"),
        ("alter table {}.parts add partition (p='x') location 's3://b/k/'", "Invalid digit"),
        ("alter table {}.parts add partition (p=1)", "syntax error at end of input"),
        ("alter table {}.none add partition (p=1) location 's3://b/k/'", "is not an external table"),
        ("alter table {}.old add column x int", "does not know this statement: alter table"),
        (
            "create external schema s from hive metastore database 'x' uri 'y' iam_role default",
            "FROM DATA CATALOG only",
        ),
        (
            "create external schema s from data catalog database 'none' iam_role default",
            "does not exist in the sandbox",
        ),
        ("create external schema s from data catalog database 'none'", "syntax error at end of input"),
    ],
)
def test_what_external_tables_do_not_take(warehouse, schema, statement, message):
    """'CREATE EXTERNAL SCHEMA', 'CREATE EXTERNAL TABLE', 'CREATE VIEW', 'ALTER TABLE': what is refused."""
    warehouse.alone(f"create external table {schema}.old (id int) stored as parquet location 's3://b/k/'")
    warehouse.alone(
        f"create external table {schema}.parts (id int) partitioned by (p int) stored as parquet location 's3://b/k/'"
    )
    assert message in warehouse.refusal_alone(statement.format(schema))
