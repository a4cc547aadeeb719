"""A load's folder is read whole, and each mistake is told with its file, line, entry and what to write."""

import re
from pathlib import Path

import pytest

from batch_jobs.load.definition import find_load, read_definition
from batch_jobs.load.sizes import batch_size
from batch_jobs.load.specification import options, read_load
from freshet.cli.context import ROOT
from freshet.errors import DefinitionError, InputError

TABLE = "-- a comment; with 'a quote\ncreate table if not exists public.t (\n    id bigint not null, -- ü\n    w varchar(4)\n);\n"
YAML = "prefix: s3://bucket/in/\nformat: csv\ntarget: public.t\n"


def folder(tmp_path: Path, yaml: str = YAML, table: str = TABLE, name: str = "sales") -> Path:
    place = tmp_path / name
    place.mkdir()
    (place / "load.yaml").write_text(yaml)
    (place / "table.sql").write_text(table)
    return place


def test_the_shipped_loads_are_right() -> None:
    """And cross to the job unchanged."""
    shipped = sorted((ROOT / "sql/loads").iterdir())
    assert shipped
    for one in shipped:
        load = read_definition(one)
        assert load == read_load(load.to_json())
        assert one.name == load.name


def test_every_entry_is_read(tmp_path: Path) -> None:
    """What load.yaml says stands in COPY."""
    more = (
        "suffix: .csv.gz\ncolumns: [w, id]\ncompression: gzip\n"
        "csv: {delimiter: ';', quote: \"'\", header_lines: 2, null_text: '-'}\n"
        "time_format: auto\ndate_format: DD.MM.YYYY\nreplace: batch_of_row\nbatch: {files: 20, bytes: 1GB}\n"
    )
    load = read_definition(folder(tmp_path, YAML + more))
    assert ("bucket", "in/", "public.t", ("w", "id")) == (load.bucket, load.prefix, load.target, load.columns)
    assert (20, 10**9, "batch_of_row", ".csv.gz") == (load.files_max, load.bytes_max, load.replace, load.suffix)
    assert (
        "format as csv quote '''' delimiter ';' ignoreheader 2 null as '-' gzip timeformat 'auto' dateformat 'DD.MM.YYYY'"
        == options(load)
    )
    assert load.table.startswith("create table if not exists public.t (")
    assert "--" not in load.table
    assert load == read_load(load.to_json())


@pytest.mark.parametrize(
    ("yaml", "message"),
    [
        ("prefix: [\n", "load.yaml:2:1: this is not YAML"),
        ("", "load.yaml:1:1: write entries like"),
        (YAML + "formt: csv\n", "load.yaml:4:1: there is no entry formt; did you mean format?"),
        (YAML + "csv: {delimeter: ','}\n", "load.yaml:4:7: there is no entry csv.delimeter; did you mean delimiter?"),
        (
            YAML + "batch: {size: 3}\n",
            "load.yaml:4:9: there is no entry batch.size; the entries are files, bytes",
        ),
        (
            "format: csv\ntarget: public.t\n",
            "load.yaml:1:1: the entry prefix is missing: write prefix: s3://BUCKET/folder/",
        ),
        (YAML.replace("csv", "orc"), "load.yaml:2:1: format: input should be 'avro', 'json', 'csv' or 'parquet'"),
        (YAML + "batch: {files: many}\n", "load.yaml:4:9: batch.files: .*: write files: 500"),
        (YAML + "batch: {bytes: many}\n", "load.yaml:4:9: bytes is a size with its unit: write bytes: 1GB"),
        (YAML + "batch: {files: 0}\n", "load.yaml:4:9: files is at least 1"),
        (YAML.replace("public.t", "t"), "load.yaml:3:1: target is schema.table"),
        (YAML.replace("public.t", "freshet.t"), "load.yaml:3:1: the schema freshet is not for targets"),
        (YAML.replace("s3://bucket/in/", "s3://bucket"), "load.yaml:1:1: prefix names no bucket"),
        (YAML.replace("s3://bucket/in/", "https://x/y"), "load.yaml:1:1: prefix is s3://BUCKET/folder/"),
        (YAML + "ignore_case: true\n", "load.yaml:4:1: ignore_case goes with avro and json, not with csv: take it out"),
        (YAML + "columns: [id, Id]\n", "load.yaml:4:15: Id is no column's name"),
        (YAML + "columns: [id, id]\n", "load.yaml:4:15: columns names id twice"),
        (YAML + "columns: [b]\nreplace: b\n", "load.yaml:4:11: b is filled by Freshet"),
        (YAML + "csv: {delimiter: '||'}\n", "load.yaml:4:7: delimiter is one ASCII character"),
        (YAML + "target: public.u\n", "load.yaml:4:1: target stands here twice"),
        (YAML + "? [a]\n: b\n", "load.yaml:4:3: an entry's name is one word"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, yaml: str, message: str) -> None:
    """File, line, column, entry, and what to write."""
    with pytest.raises(DefinitionError, match=message.replace("?", r"\?").replace("(", r"\(")):
        read_definition(folder(tmp_path, yaml))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("drop table x", "table.sql:1: write one statement: create table if not exists public.t"),
        ("-- none\n", "table.sql:1: write one statement"),
        ("\ncreate table public.t (id int)", "table.sql:2: write one statement"),
        ("create table if not exists public.t (id int); drop table x", "table.sql:1: write one statement"),
        ("create table if not exists public.u (id int)", "table.sql:1: the table here is public.u, but target"),
    ],
)
def test_the_table_is_the_target(tmp_path: Path, table: str, message: str) -> None:
    """One statement, which makes the table that load.yaml fills and can be run again."""
    with pytest.raises(DefinitionError, match=re.escape(message)):
        read_definition(folder(tmp_path, table=table))


def test_a_missing_file_or_folder(tmp_path: Path) -> None:
    """Named, with the names that there are."""
    place = folder(tmp_path)
    (place / "table.sql").unlink()
    with pytest.raises(DefinitionError, match=r"table\.sql: the file is missing"):
        read_definition(place)
    with pytest.raises(InputError, match=r"there is no load sale; did you mean sales\?"):
        find_load("sale", tmp_path)
    with pytest.raises(DefinitionError, match="names tables too"):
        read_definition(folder(tmp_path, name="Sales-2"))


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"name": "x; drop table y", "prefix": "", "format": "csv", "target": "a.b", "table": "x"}',
     '{"name": "x", "prefix": 1, "format": "csv", "target": "a.b", "table": "x"}',
     '{"name": "x", "prefix": "", "format": "csv", "target": "a.b;", "table": "x"}',
     '{"name": "x", "prefix": "", "format": "csv", "target": "a.b", "table": "x", "columns": ["a) from"]}',
     '{"name": "x", "prefix": "", "format": "csv", "target": "a.b", "table": "x", "compression": "gzip manifest"}'],
)  # fmt: skip
def test_the_job_trusts_no_text(text: str) -> None:
    """What becomes SQL is looked at again."""
    with pytest.raises(InputError, match="the load's definition"):
        read_load(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500", (500, None)),
        ("1GB", (None, 10**9)),
        ("1.5 mb", (None, 1_500_000)),
        ("2GiB", (None, 2**31)),
        ("7B", (None, 7)),
    ],
)
def test_a_batch_size(text: str, expected: tuple[int | None, int | None]) -> None:
    """Files, or bytes with their unit."""
    assert expected == batch_size(text)


@pytest.mark.parametrize("text", ["", "0", "many", "1.5", "5 XB", "-1", "1GB "[:0]])
def test_no_batch_size(text: str) -> None:
    """Told with what to write."""
    with pytest.raises(InputError, match="write files, such as 500"):
        batch_size(text)
