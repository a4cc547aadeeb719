"""Say what a pipeline will do, as data: `freshet plan` shows it to people and to scripts.

Reads:  a pipeline, its definition, its source, findings about the source.
Gives:  plain dicts and lists, ready for JSON; names and types, never a value.
"""

from collections.abc import Iterable
from typing import Any

from freshet.errors import DefinitionError
from freshet.pipeline.ddl import own_columns, target_ddl
from freshet.pipeline.definition import Definition
from freshet.pipeline.language import clause
from freshet.pipeline.model import Dimension, Pipeline
from freshet.pipeline.privacy import in_the_clear, looks_personal
from freshet.pipeline.select import Item
from freshet.pipeline.source import SourceSchema
from freshet.pipeline.source_checks import Finding
from freshet.pipeline.types import VARCHAR_BYTES_MAX


def describe(
    pipeline: Pipeline, definition: Definition, source: SourceSchema, findings: Iterable[Finding]
) -> dict[str, Any]:
    """Describe a checked pipeline.

    Returns:
        name, target, database, fact, joins, where, walks, captures, columns, protects, deletes, cascades, ddl, sql, advice,
        errors; see `freshet plan --json`. `walks`: how the rows are found that a changed row of a joined table touches.
        `captures`: the tables whose changes DMS must send.
    """
    found = list(findings)
    advice = [finding.message for finding in found if finding.level == "advice"]
    return {
        "name": pipeline.name,
        "target": pipeline.target,
        "database": pipeline.database,
        "fact": {
            "table": pipeline.fact.name,
            "alias": pipeline.fact.alias,
            "key": list(pipeline.key_columns),
            "columns": [column.name for column in pipeline.fact.columns],
        },
        "joins": [_join(dimension) for dimension in pipeline.dimensions],
        "where": clause("where", definition.select.text) if definition.select.where else None,
        "walks": _walks(pipeline, source),
        "captures": list(dict.fromkeys([*definition.tables, *pipeline.sweeping_parents])),
        "columns": [_column(item, pipeline) for item in definition.select.items],
        "protects": dict(definition.pii),
        "keys": list(pipeline.keys),
        "deletes": pipeline.deletes,
        "cascades": {"sweep": pipeline.cascades, "parents": list(pipeline.sweeping_parents)},
        "readers": list(pipeline.readers),
        "freshness_s": pipeline.freshness_s,
        "distkey": pipeline.distkey,
        "sortkey": list(pipeline.sortkey),
        "own_columns": own_columns(pipeline),
        "ddl": target_ddl(pipeline),
        "sql": pipeline.select_sql(),
        "advice": [
            *definition.advice,
            *_unbounded(definition, pipeline),
            *_blanks(pipeline),
            *_sweeps(pipeline, source),
            *advice,
        ],
        "errors": [{"message": finding.message} for finding in found if finding.level == "error"],
    }


def describe_error(error: DefinitionError) -> dict[str, Any]:
    """Give one mistake with its place."""
    return {"message": error.message, "file": error.file, "line": error.line, "column": error.column}


def _join(dimension: Dimension) -> dict[str, Any]:
    return {
        "table": dimension.name,
        "alias": dimension.alias,
        "kind": "inner" if dimension.inner else "left",
        "on": [f"{dimension.alias}.{term.column} = {term.left_alias}.{term.left_column}" for term in dimension.on],
        "followed": True,
        "columns": [column.name for column in dimension.columns],
    }


def _walks(pipeline: Pipeline, source: SourceSchema) -> list[dict[str, Any]]:
    names = {table.alias: table.name for table in pipeline.tables}
    walks = []
    for dimension in pipeline.dimensions:
        finds, by = names[dimension.on[0].left_alias], [term.left_column for term in dimension.on]
        index = source.tables[finds].index_on(by)
        walks.append({"changed": dimension.name, "finds": finds, "by": by, "index": index.name if index else None})
    return walks


def _column(item: Item, pipeline: Pipeline) -> dict[str, Any]:
    output = next(output for output in pipeline.outputs if output.name == item.name)
    clear = in_the_clear(item)
    return {
        "name": output.name,
        "type": output.redshift,
        "spark": output.spark,
        "from": list(output.sources),
        "uses": list(dict.fromkeys(f"{use.alias}.{use.column}" for use in item.uses)),
        "comment": output.comment,
        "key": output.name in pipeline.keys,
        "protection": output.protection,
        "in_the_clear": bool(clear),
        "looks_personal": bool(clear) and looks_personal(item.name, *(name.partition(".")[2] for name in clear)),
    }


def _unbounded(definition: Definition, pipeline: Pipeline) -> Iterable[str]:
    for item, output in zip(definition.select.items, pipeline.outputs, strict=True):
        if item.bare is None and output.redshift == f"varchar({VARCHAR_BYTES_MAX})":
            yield (
                f"{output.name} has no known length and becomes {output.redshift}: "
                "write try_cast(... as varchar(n)) if you know it"
            )


def _blanks(pipeline: Pipeline) -> Iterable[str]:
    for name in pipeline.key_columns:
        if pipeline.fact.column(name).tells_blanks_apart:
            yield (
                f"{pipeline.fact.name}.{name} tells 'a' from 'a ', and Redshift does not: a row whose key ends in a blank is "
                "quarantined"
            )


def _sweeps(pipeline: Pipeline, source: SourceSchema) -> Iterable[str]:
    if pipeline.sweeping_parents:
        rows = source.tables[pipeline.fact.name].rows
        yield (
            f"cascades: sweep: each batch with a deleted or moved row of {', '.join(pipeline.sweeping_parents)} reads all of "
            f"{pipeline.fact.name} again (about {rows:,} rows); DMS must capture these tables too"
        )
    elif pipeline.cascades:
        yield "cascades: sweep is not needed: no foreign key changes rows that the binlog does not tell"
