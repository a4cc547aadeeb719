"""Read rows by key, joined, in one statement: one snapshot, never torn.

Values come as MySQL's own text and become Arrow columns by one cast each. A column whose cast fails goes through the strict
functions, value by value, so that a bad value spoils its row and no other.

Reads:  the fact and every joined table of a pipeline, by keys of the fact.
Gives:  one Arrow row a key found, columns named by `row_column`; the keys that MySQL found, the servers that answered.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from freshet.ledger.keys import Key
from freshet.mysql.asking import ONE_ROW, Answered, Source, Texts
from freshet.mysql.literals import one_of
from freshet.pipeline.model import Column, Pipeline, row_column
from freshet.pipeline.source import quoted
from freshet.pipeline.types import ColumnType
from freshet.pipeline.values import Unfit, Value, converter

FIRST_DAY: Final = date.min  # Arrow knows the year 0, which MySQL stores too; Python and Redshift do not
UNFIT: Final = "_freshet_unfit"  # NULL, or "table.column:reason" of a value that its type cannot hold


@dataclass(frozen=True)
class RowStatement:
    """What every row statement of a pipeline has in common.

    Attributes:
        columns: Table and column of each value, the fact's first.
        names: `row_column` of each.
        selected: The columns as SQL.
        joined: FROM, up to the keys.
        keys: Primary-key columns of the fact as SQL, in the order of a key's values.
        key_places: Where these stand among the columns.
    """

    columns: tuple[tuple[str, Column], ...]
    names: tuple[str, ...]
    selected: str
    joined: str
    keys: tuple[str, ...]
    key_places: tuple[int, ...]

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the rows; every value may be NULL, since a left join makes it so."""
        types = [column.type.arrow for _, column in self.columns]
        fields = [pa.field(name, kind) for name, kind in zip(self.names, types, strict=True)]
        return pa.schema([*fields, pa.field(UNFIT, pa.string())])


@dataclass(frozen=True)
class Read:
    """The answer of one row statement: rows, the key of each as the source spells it, and who answered."""

    rows: pa.RecordBatch
    keys: list[Key]
    servers: Answered


def row_statement(pipeline: Pipeline) -> RowStatement:
    """Write the row statement of a pipeline. Every join is a left join: what an inner join admits is decided later."""
    columns = [(table, column) for table in pipeline.tables for column in table.columns]
    places = {(table.alias, column.name): place for place, (table, column) in enumerate(columns)}
    fact = pipeline.fact
    joined = [f"{quoted(pipeline.database)}.{quoted(fact.name)} as {quoted(fact.alias)}"]
    for dimension in pipeline.dimensions:
        terms = " and ".join(
            f"{quoted(dimension.alias)}.{quoted(term.column)} = {quoted(term.left_alias)}.{quoted(term.left_column)}"
            for term in dimension.on
        )
        table = f"{quoted(pipeline.database)}.{quoted(dimension.name)} as {quoted(dimension.alias)}"
        joined.append(f"left join {table} on {terms}")
    return RowStatement(
        columns=tuple((table.name, column) for table, column in columns),
        names=tuple(row_column(table.alias, column.name) for table, column in columns),
        selected=", ".join(as_text(f"{quoted(t.alias)}.{quoted(c.name)}", c.type) for t, c in columns),
        joined=f"{ONE_ROW} left join ({' '.join(joined)})",
        keys=tuple(f"{quoted(fact.alias)}.{quoted(name)}" for name in fact.primary_key),
        key_places=tuple(places[fact.alias, name] for name in fact.primary_key),
    )


def as_text(column: str, kind: ColumnType) -> str:
    """Write how a column is read, so that its text is exact.

    Source: MySQL Reference Manual, "Problems with Floating-Point Values", "Bit-Value Type"; a FLOAT's text has 6 digits.
    """
    return {"float": f"{column} + 0e0", "bit": f"{column} + 0", "binary": f"hex({column})"}.get(kind.kind, column)


def read_rows(source: Source, statement: RowStatement, keys: Sequence[Key]) -> Read:
    """Read the rows of some keys.

    Args:
        source: Where.
        statement: From `row_statement`.
        keys: At most 2,000, sorted, so that neighbors are read together.

    Raises:
        CutOff: They do not come within the time of a statement: ask for half of them.
        Gone: A table or column is gone.
        EnvironmentFault: MySQL does not answer.
    """
    told = source.ask(statement.selected, f"{statement.joined} on {one_of(statement.keys, keys)}")
    first = statement.key_places[0]
    rows = told.rows if len(told.rows) != 1 or told.rows[0][first] is not None else []
    arrays, unfit = _columns(statement, rows)
    batch = pa.RecordBatch.from_arrays([*arrays, pa.array(unfit, pa.string())], schema=statement.schema)
    typed = [batch.column(place).to_pylist() for place in statement.key_places]
    return Read(batch, list(zip(*typed, strict=True)), told.servers)


def _columns(statement: RowStatement, rows: Sequence[Texts]) -> tuple[list[Any], list[str | None]]:
    unfit: list[str | None] = [None] * len(rows)
    texts = list(zip(*rows, strict=True)) if rows else [()] * len(statement.columns)
    arrays = []
    for (table, column), values in zip(statement.columns, texts, strict=True):
        arrays.append(as_arrow(values, column.type, f"{table}.{column.name}", unfit))
    return arrays, unfit


def as_arrow(values: Sequence[bytes | None], kind: ColumnType, name: str, unfit: list[str | None]) -> Any:
    """Type one column.

    Args:
        values: MySQL's text of each row.
        kind: The column's type.
        name: `table.column`, for `unfit`.
        unfit: Takes, for each row, the first value that its type cannot hold.
    """
    try:
        text = pa.array(values, pa.binary()).cast(pa.string())
        typed: Any = text if kind.arrow == pa.string() else text.cast(kind.arrow)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return pa.array(_strictly(values, kind, name, unfit), kind.arrow)
    if pa.types.is_temporal(kind.arrow) and pc.any(pc.less(typed, pa.scalar(FIRST_DAY).cast(kind.arrow))).as_py():
        return pa.array(_strictly(values, kind, name, unfit), kind.arrow)
    return typed


def _strictly(values: Sequence[bytes | None], kind: ColumnType, name: str, unfit: list[str | None]) -> list[Value]:
    convert = converter(kind)
    typed: list[Value] = []
    for place, value in enumerate(values):
        try:
            typed.append(convert(None if value is None else bytes(value).decode()))
        except (Unfit, UnicodeDecodeError) as problem:
            typed.append(None)
            reason = problem.reason if isinstance(problem, Unfit) else "not_utf8"
            unfit[place] = unfit[place] or f"{name}:{reason}"
    return typed
