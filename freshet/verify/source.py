"""Read the source's side of a comparison: rows by ranges of the primary key, or by key.

Each statement sees the newest commits, so a row may be torn between two of them. Whoever finds a difference therefore asks
again, and believes only what was found twice.

Reads:  MySQL, by the statements of `questions`.
Gives:  what the target should hold, by key in the warehouse's form.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, TypeAlias

import mysql.connector
import pyarrow as pa
from pyspark.sql import SparkSession

from freshet.errors import EnvironmentFault
from freshet.pipeline.model import Column, Pipeline, row_column
from freshet.pipeline.protection import TokenKey
from freshet.pipeline.values import Unfit, converter
from freshet.verify.evaluate import admitted, evaluate
from freshet.verify.questions import beyond, bound, key_columns, of_dimension, of_fact, one_of
from freshet.verify.rows import Expected, Form, Key

KEYS_PER_STATEMENT: Final = 1_000

Texts: TypeAlias = tuple[bytes | None, ...]


@dataclass(frozen=True)
class Source:
    """The source of one pipeline, and what computes its outputs; `connection` is used by nobody else."""

    spark: SparkSession
    pipeline: Pipeline
    tokens: TokenKey
    connection: Any
    # Keys that the source spells with blanks at the end: a collation without padding finds them by that spelling only.
    _spelled: dict[Key, Key] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A server that pads CHAR or refuses zero dates in a comparison says so in its sql_mode.
        with self.connection.cursor() as cursor:
            cursor.execute("set session sql_mode = ''")

    @cached_property
    def _form(self) -> Form:
        return Form(self.pipeline)

    def pages(self, rows_per_page: int) -> Iterator[dict[Key, Expected]]:
        """Walk over all rows of the fact, in the order of its primary key.

        Args:
            rows_per_page: Rows that one statement reads at most.
        """
        fact = self.pipeline.fact
        columns = key_columns(self.pipeline, fact.primary_key)
        kinds = [fact.column(name).type.kind for name in fact.primary_key]
        order = f"order by {', '.join(columns)} limit {rows_per_page}"
        after = "true"
        while True:
            rows = self._ask(of_fact(self.pipeline, f"{after} {order}"))
            if rows:
                last = [bound(kind, text or b"") for kind, text in zip(kinds, self._raw_key(rows[-1]), strict=True)]
                yield self._expected(rows, f"{after} and {beyond(columns, '<=', last)}")
            if len(rows) < rows_per_page:
                return
            after = beyond(columns, ">", last)

    def by_keys(self, keys: Sequence[Key]) -> dict[Key, Expected]:
        """Read the rows of some keys; a key that MySQL answers with another spelling of, or not at all, is left out."""
        found: dict[Key, Expected] = {}
        columns = key_columns(self.pipeline, self.pipeline.fact.primary_key)
        for start in range(0, len(keys), KEYS_PER_STATEMENT):
            chunk = keys[start : start + KEYS_PER_STATEMENT]
            where = one_of(columns, [*chunk, *(self._spelled[key] for key in chunk if key in self._spelled)])
            found |= self._expected(self._ask(of_fact(self.pipeline, where)), where)
        return {key: found[key] for key in keys if key in found}

    def _ask(self, statement: str) -> list[Texts]:
        try:
            with self.connection.cursor(raw=True) as cursor:
                cursor.execute(statement)
                return [tuple(None if text is None else bytes(text) for text in row) for row in cursor.fetchall()]
        except mysql.connector.Error as error:  # its text quotes the statement
            raise EnvironmentFault(
                f"pipeline {self.pipeline.name}: MySQL refused to read {self.pipeline.fact.name} and what it joins "
                f"(error {error.errno})"
            ) from None

    def _raw_key(self, row: Texts) -> Texts:
        names = [column.name for column in self.pipeline.fact.columns]
        return tuple(row[names.index(name)] for name in self.pipeline.fact.primary_key)

    def _expected(self, facts: list[Texts], where: str) -> dict[Key, Expected]:
        """Join the dimensions to rows of the fact, and compute what the target should hold.

        A row that a later statement does not find was deleted meanwhile; it is left out.
        """
        rows = {self._raw_key(row): row for row in facts}
        for dimension in self.pipeline.dimensions:
            wide = len(self.pipeline.fact.primary_key)
            found = {row[:wide]: row[wide:] for row in self._ask(of_dimension(self.pipeline, dimension, where))}
            rows = {key: row + found[key] for key, row in rows.items() if key in found}
        return self._computed(list(rows.values())) if rows else {}

    def _computed(self, rows: list[Texts]) -> dict[Key, Expected]:
        columns = [(table, column) for table in self.pipeline.tables for column in table.columns]
        unfit: dict[int, str] = {}
        arrays = []
        for place, (table, column) in enumerate(columns):
            typed = _typed(column, [row[place] for row in rows], f"{table.name}.{column.name}", unfit)
            arrays.append(pa.array(typed, column.type.arrow))
        wide = pa.Table.from_arrays(arrays, [row_column(table.alias, column.name) for table, column in columns])
        keys = self._keys(wide, rows)
        result = {keys[place]: Expected(True, None, where) for place, where in unfit.items()}
        fit = [place for place in range(len(rows)) if place not in unfit]
        if fit:
            outputs = evaluate(self.spark, self.pipeline, self.tokens, wide.take(pa.array(fit)))
            for (key, values), is_admitted in zip(self._form.rows(outputs), admitted(outputs), strict=True):
                result[key] = Expected(True, values if is_admitted else None)
        return result

    def _keys(self, wide: pa.Table, rows: list[Texts]) -> list[Key]:
        """Give each row's key; one that no type can hold keeps MySQL's texts, so that MySQL finds it again."""
        names = self.pipeline.fact.primary_key
        typed = [wide[row_column(self.pipeline.fact.alias, name)].to_pylist() for name in names]
        places = [[column.name for column in self.pipeline.fact.columns].index(name) for name in names]
        keys: list[Key] = []
        for number, values in enumerate(zip(*typed, strict=True)):
            if any(value is None for value in values):
                keys.append(tuple((rows[number][place] or b"").decode("utf-8", "replace") for place in places))
            else:
                keys.append(tuple(self._form.key_value(place, value) for place, value in enumerate(values)))
                if keys[-1] != values:
                    self._spelled[keys[-1]] = values
        return keys


def _typed(column: Column, texts: list[bytes | None], name: str, unfit: dict[int, str]) -> list[Any]:
    convert = converter(column.type)
    values: list[Any] = []
    for place, text in enumerate(texts):
        try:
            values.append(convert(None if text is None else text.decode()))
        except (Unfit, UnicodeDecodeError):
            values.append(None)
            unfit.setdefault(place, name)
    return values
