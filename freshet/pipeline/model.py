"""A pipeline, checked: what every other part of Freshet reads.

Nothing here asks a database, Spark or a file: it is what is left once they have all agreed.

Gives:  frozen values that pickle, so that Spark's tasks can carry them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from freshet.pipeline.types import ColumnType, arrow_type

VERSION_COLUMN = "_freshet_version"
STEP_COLUMN = "_freshet_step"


@dataclass(frozen=True)
class Column:
    """One column of a source table."""

    name: str
    type: ColumnType
    nullable: bool


@dataclass(frozen=True)
class Table:
    """A source table under the alias of the SELECT, with the columns that the pipeline uses and no others."""

    alias: str
    name: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...]

    def column(self, name: str) -> Column:
        """Give the column of this name.

        Raises:
            KeyError: The pipeline does not use such a column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True)
class JoinTerm:
    """One equality of a join: the dimension's `column` = `left_alias`.`left_column`, a table named before it."""

    column: str
    left_alias: str
    left_column: str


@dataclass(frozen=True)
class Dimension(Table):
    """A left-joined table; `on` covers its whole primary key."""

    on: tuple[JoinTerm, ...]


@dataclass(frozen=True)
class Output:
    """One column of the target.

    `sql` is Spark SQL over the aliases. `sources` are the source columns that it depends on, as "table.column".
    `protection` is the function that every personal column passes on its way here; None: nothing personal reaches it.
    """

    name: str
    comment: str | None
    spark: str
    redshift: str
    sql: str
    sources: tuple[str, ...]
    protection: str | None

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of this column's values."""
        return arrow_type(self.spark)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline whose definition, source and types agree.

    `keys` are names of outputs, `key_columns` the fact's primary-key columns in the same order.
    """

    name: str
    folder: Path
    database: str
    target_schema: str
    target_table: str
    keys: tuple[str, ...]
    key_columns: tuple[str, ...]
    fact: Table
    dimensions: tuple[Dimension, ...]
    outputs: tuple[Output, ...]
    deletes: str
    readers: tuple[str, ...]
    freshness_s: float
    distkey: str | None
    sortkey: tuple[str, ...]

    @property
    def target(self) -> str:
        """The target as "schema.table"."""
        return f"{self.target_schema}.{self.target_table}"

    @property
    def tables(self) -> tuple[Table, ...]:
        """The fact, then the dimensions in the order of their joins."""
        return (self.fact, *self.dimensions)

    def select_sql(self, carry: Sequence[str] = (), computed: Sequence[str] = ()) -> str:
        """Generate the SELECT that runs, from what was checked.

        Args:
            carry: Columns of the fact's view that come after the outputs, unchanged ("_version").
            computed: Further items of Freshet's own making, as Spark SQL with a name; never the user's text.

        Returns:
            Spark SQL over temporary views that are named by the aliases.
        """
        items = [f"{output.sql} as {quote(output.name)}" for output in self.outputs]
        items += [f"{quote(self.fact.alias)}.{quote(column)}" for column in carry]
        items += computed
        lines = ["select", ",\n".join(f"    {item}" for item in items), f"from {quote(self.fact.alias)}"]
        for dimension in self.dimensions:
            terms = " and ".join(
                f"{quote(dimension.alias)}.{quote(term.column)} = {quote(term.left_alias)}.{quote(term.left_column)}"
                for term in dimension.on
            )
            lines.append(f"left join {quote(dimension.alias)} on {terms}")
        return "\n".join(lines)


def quote(identifier: str) -> str:
    """Quote a name for Spark SQL."""
    return "`" + identifier.replace("`", "``") + "`"
