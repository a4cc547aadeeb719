"""The target table: made from a pipeline, or compared with one that is there.

Reads:  a Pipeline.
Gives:  Redshift statements, each short enough for the Data API; what differs in an existing table.
"""

import re
from collections.abc import Mapping

from freshet.pipeline.model import COMMIT_COLUMN, DELETED_COLUMN, HASH_COLUMN, Pipeline
from freshet.pipeline.select import OUTPUTS_MAX

STATEMENT_BYTES_MAX = 100_000  # Redshift Data API, quotas: the size of a statement
_OWN = {HASH_COLUMN: "bigint", COMMIT_COLUMN: "varchar(36)"}
_OWN_COMMENTS = {
    HASH_COLUMN: "Freshet: hash of the columns as they were written; an equal row is not written again",
    COMMIT_COLUMN: "Freshet: the commit that wrote this row",
    DELETED_COLUMN: "Freshet: when the row was found deleted in the source, UTC; NULL while it is there",
}


def own_columns(pipeline: Pipeline) -> dict[str, str]:
    """Give the target's columns that are Freshet's own, and their types."""
    return {**_OWN, **({DELETED_COLUMN: "timestamp"} if pipeline.deletes == "mark" else {})}


def target_ddl(pipeline: Pipeline) -> list[str]:
    """Give the statements that make the target: the table, its comments, its grants.

    They may be run again: the table is made only if it is missing. Its schema is there. There may be more than the 40 that one
    BatchExecuteStatement takes.

    Source: Redshift, CREATE TABLE: constraints but NOT NULL are declared, not enforced.
    """
    schema, target = quoted(pipeline.target_schema), _target(pipeline)
    statements = [_create(pipeline)]
    about = f"Freshet pipeline {pipeline.name}: one row a {pipeline.fact.name} of {pipeline.database}"
    statements.append(f"comment on table {target} is {_text(about)}")
    comments = {output.name: output.comment for output in pipeline.outputs if output.comment}
    comments |= {name: _OWN_COMMENTS[name] for name in own_columns(pipeline)}
    statements += [f"comment on column {target}.{quoted(name)} is {_text(text)}" for name, text in comments.items()]
    for reader in pipeline.readers:
        statements.append(f"grant usage on schema {schema} to role {quoted(reader)}")
        statements.append(f"grant select on {target} to role {quoted(reader)}")
    return statements


def _create(pipeline: Pipeline) -> str:
    columns = [
        f"{quoted(output.name)} {output.redshift}{' not null' if output.name in pipeline.keys else ''}"
        for output in pipeline.outputs
    ]
    columns += [f"{name} {kind}{' not null' if name in _OWN else ''}" for name, kind in own_columns(pipeline).items()]
    columns.append(f"primary key ({', '.join(quoted(key) for key in pipeline.keys)})")
    body = ",\n".join(f"    {column}" for column in columns)
    statement = f"create table if not exists {_target(pipeline)} (\n{body}\n)"
    if pipeline.distkey:
        statement += f"\ndiststyle key distkey ({quoted(pipeline.distkey)})"
    if pipeline.sortkey:
        statement += f"\nsortkey ({', '.join(quoted(name) for name in pipeline.sortkey)})"
    return statement


def check_sizes(pipeline: Pipeline) -> list[str]:
    """Say which statements would not pass the Data API.

    The longest of the merge names every column twice, `insert into target (...) select s.a, ...`.
    """
    names = sum(len(quoted(output.name)) for output in pipeline.outputs)
    longest = max(2 * names + 8 * len(pipeline.outputs) + 2_000, *(len(sql.encode()) for sql in target_ddl(pipeline)))
    if longest <= STATEMENT_BYTES_MAX:
        return []
    return [
        f"its statements would take {longest:,} bytes, and the Redshift Data API takes {STATEMENT_BYTES_MAX:,}: "
        f"select fewer columns or shorten names and comments (at most {OUTPUTS_MAX} columns)"
    ]


def check_target(pipeline: Pipeline, existing: Mapping[str, str]) -> list[str]:
    """Compare a table that is there already.

    Args:
        pipeline: What the table should hold.
        existing: Its columns and types, "varchar(160)"; see `column_type_of`.

    Returns:
        One sentence a difference; none when the pipeline can write into it.
    """
    wanted = {output.name: output.redshift for output in pipeline.outputs} | own_columns(pipeline)
    differences = [
        f"{pipeline.target} lacks the column {name} {kind}" for name, kind in wanted.items() if name not in existing
    ]
    for name, kind in wanted.items():
        if name in existing and existing[name] != kind:
            differences.append(f"{pipeline.target}.{name} is {existing[name]}, but the pipeline writes {kind}")
    extra = [name for name in existing if name not in wanted]
    return differences + [f"{pipeline.target} has a column {name} that the pipeline does not write" for name in extra]


def column_type_of(data_type: str, length: int | None, precision: int | None, scale: int | None) -> str:
    """Write a type of `svv_columns` (data_type, character_maximum_length, numeric_precision, numeric_scale) as we do."""
    name = data_type.lower()
    if name in ("character varying", "varchar"):
        return f"varchar({length})"
    if name in ("numeric", "decimal"):
        return f"decimal({precision},{scale})"
    return {"timestamp without time zone": "timestamp", "int": "integer", "float8": "double precision"}.get(name, name)


def quoted(name: str) -> str:
    """Quote a name for Redshift."""
    return '"' + name.replace('"', '""') + '"'


def _target(pipeline: Pipeline) -> str:
    return f"{quoted(pipeline.target_schema)}.{quoted(pipeline.target_table)}"


def _text(value: str) -> str:
    plain = re.sub(r"\s+", " ", value).strip().replace("\\", "\\\\")
    return "'" + plain.replace("'", "''") + "'"
