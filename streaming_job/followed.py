"""What a pipeline follows, in the forms that the steps need: keys of tables, walks back, the row statement.

Gives:  one `Followed` a pipeline, made once at its start.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from freshet.mysql.keys import KeyColumns
from freshet.mysql.rows import RowStatement, row_statement
from freshet.pipeline.model import Dimension, Pipeline, Table
from freshet.pipeline.values import converter
from streaming_job.changed_keys import Deletes, Join, Shape


@dataclass(frozen=True)
class Walk:
    """How the rows that refer to a joined table are found: in which table, by which columns, in the key's order."""

    referrer: KeyColumns
    columns: tuple[str, ...]


@dataclass(frozen=True)
class Followed:
    """A pipeline, and how its source is asked."""

    pipeline: Pipeline

    @cached_property
    def shape(self) -> Shape:
        """What the decisions need."""
        return Shape(
            self.pipeline.fact.name,
            {dimension.alias: self._join(dimension) for dimension in self.pipeline.dimensions},
            Deletes(self.pipeline.deletes),
            frozenset(self.pipeline.sweeping_parents),
        )

    def _join(self, dimension: Dimension) -> Join:
        referrer = dimension.on[0].left_alias
        return Join(dimension.name, "" if referrer == self.pipeline.fact.alias else referrer)

    @cached_property
    def tables(self) -> Mapping[str, KeyColumns]:
        """The primary key of each table, by its name."""
        return {table.name: self._key_columns(table) for table in self.pipeline.tables}

    def _key_columns(self, table: Table) -> KeyColumns:
        converters = tuple(converter(table.column(name).type) for name in table.primary_key)
        no_pad = tuple(table.column(name).tells_blanks_apart for name in table.primary_key)
        return KeyColumns(self.pipeline.database, table.name, table.primary_key, converters, no_pad)

    @cached_property
    def fact_key(self) -> KeyColumns:
        """The primary key of the fact."""
        return self.tables[self.pipeline.fact.name]

    @cached_property
    def walks(self) -> Mapping[str, Walk]:
        """How each alias is walked back, one hop."""
        names = {table.alias: table.name for table in self.pipeline.tables}
        found = {}
        for dimension in self.pipeline.dimensions:
            left = {term.column: term for term in dimension.on}
            columns = tuple(left[name].left_column for name in dimension.primary_key)
            found[dimension.alias] = Walk(self.tables[names[dimension.on[0].left_alias]], columns)
        return found

    @cached_property
    def statement(self) -> RowStatement:
        """What every row statement has in common."""
        return row_statement(self.pipeline)

    @cached_property
    def key_outputs(self) -> tuple[str, ...]:
        """The outputs that hold the fact's primary key, in the key's order."""
        names = dict(zip(self.pipeline.key_columns, self.pipeline.keys, strict=True))
        return tuple(names[column] for column in self.pipeline.fact.primary_key)
