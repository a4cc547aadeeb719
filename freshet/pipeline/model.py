"""A pipeline, checked: what every other part of Freshet reads.

Nothing here asks a database, Spark or a file: it is what is left once they have all agreed.

Gives:  frozen values that pickle, so that Spark's tasks can carry them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from freshet.pipeline.types import ColumnType, arrow_type

HASH_COLUMN = "_freshet_hash"
COMMIT_COLUMN = "_freshet_commit"
DELETED_COLUMN = "_freshet_deleted_at"
ROWS = "freshet_rows"
ADMITTED = "_freshet_admitted"


@dataclass(frozen=True)
class Column:
    """One column of a source table. With `tells_blanks_apart` MySQL takes 'a' and 'a ' for two values, as Redshift does not."""

    name: str
    type: ColumnType
    nullable: bool
    tells_blanks_apart: bool = False


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
    """A joined table; `on` covers its whole primary key. With `inner` a row of the fact without its row is not admitted."""

    on: tuple[JoinTerm, ...]
    inner: bool = False


@dataclass(frozen=True)
class Output:
    """One column of the target.

    `sql` is Spark SQL over the row of `Pipeline.select_sql`. `sources` are the source columns that it depends on, as
    "table.column". `protection` is the function that every personal column passes on its way here; None: nothing personal
    reaches it. `outermost` names the protection of the whole value, which is applied after the SQL; None: the SQL has all.
    """

    name: str
    comment: str | None
    spark: str
    redshift: str
    sql: str
    sources: tuple[str, ...]
    protection: str | None
    outermost: str | None = None

    @property
    def arrow(self) -> pa.DataType:
        """The Arrow type of this column's values."""
        return arrow_type(self.spark)


@dataclass(frozen=True)
class Pipeline:
    """A pipeline whose definition, source and types agree.

    `keys` are names of outputs, `key_columns` the fact's primary-key columns in the same order. `where` is Spark SQL like the
    outputs'; None: every row is admitted. A deleted or moved row of one of the `sweeping_parents` changes rows of the pipeline's
    tables by foreign keys that no binlog tells: it asks for a sweep. With `cascades` the definition allows that.
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
    where: str | None = None
    cascades: bool = False
    sweeping_parents: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The target as "schema.table"."""
        return f"{self.target_schema}.{self.target_table}"

    @property
    def tables(self) -> tuple[Table, ...]:
        """The fact, then the dimensions in the order of their joins."""
        return (self.fact, *self.dimensions)

    def select_sql(self, carry: Sequence[str] = ()) -> str:
        """Generate the SELECT that runs, from what was checked.

        MySQL has joined the row; inner-ness and `where` are decided here, so that every function has one meaning.

        Args:
            carry: Columns of the view that come after the outputs, unchanged.

        Returns:
            Spark SQL over the view `ROWS`, whose columns are named by `row_column`. After the outputs comes `ADMITTED`. An
            output with an `outermost` protection is not protected yet.
        """
        conditions = [
            f"{quote(row_column(dimension.alias, dimension.primary_key[0]))} is not null"
            for dimension in self.dimensions
            if dimension.inner
        ]
        if self.where is not None:
            conditions.append(f"coalesce({self.where}, false)")
        items = [f"{output.sql} as {quote(output.name)}" for output in self.outputs]
        items.append(f"{' and '.join(conditions) or 'true'} as {ADMITTED}")
        items += [quote(column) for column in carry]
        return "\n".join(["select", ",\n".join(f"    {item}" for item in items), f"from {ROWS}"])


def row_column(alias: str, column: str) -> str:
    """Name a source column in the row that MySQL joins; an alias has no dot."""
    return f"{alias}.{column}"


def quote(identifier: str) -> str:
    """Quote a name for Spark SQL."""
    return "`" + identifier.replace("`", "``") + "`"
