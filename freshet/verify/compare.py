"""Compare the target with the SELECT over the source, row for row, and name what differs.

The source is walked in ranges of the primary key; each range is put through the same SELECT in Spark, joins, tokens and
masks included, and held against the target's rows of that range. While changes flow, a row may differ only because it is
on its way: so the keys that differed are compared again, and only what differs every time is reported.

Reads:  MySQL by ranges, the target through the Data API.
Gives:  keys and names of columns, never values of other columns.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import pyarrow as pa
from pyspark.sql import SparkSession

from freshet.ledger.status import summary
from freshet.pipeline.connection import MySQLSettings, connect
from freshet.pipeline.ddl import quoted
from freshet.pipeline.evaluate import dimension_rows, select_rows
from freshet.pipeline.model import Output, Pipeline
from freshet.pipeline.rows import UNFIT, rows_after, rows_by_key
from freshet.redshift.data_api import Row, Warehouse

ROUNDS_MAX: Final = 3
KEYS_PER_QUERY: Final = 200
SHOWN_MAX: Final = 20

Key = tuple[Any, ...]


@dataclass(frozen=True)
class Difference:
    """One key whose row is not what it should be: `missing`, `extra`, `different`, or `unfit` (cannot be computed)."""

    key: Key
    kind: str
    columns: tuple[str, ...] = ()


@dataclass
class Comparison:
    """What a comparison found.

    `left_by_deletes` counts rows of facts that were deleted, or got another key, which `deletes: ignore` leaves.
    """

    rows: int = 0
    rounds: int = 1
    left_by_deletes: int = 0
    quarantined: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def verified(self) -> bool:
        """True when the target is what the SELECT says."""
        return not self.differences


@dataclass(frozen=True)
class Verifier:
    """Everything that a comparison needs; between two rounds `pause_s` seconds pass, in which a batch may arrive."""

    spark: SparkSession
    pipeline: Pipeline
    mysql: MySQLSettings
    warehouse: Warehouse
    rows_per_range: int = 20_000
    pause_s: float = 3.0

    def compare(self, on_progress: Callable[[int], None] = lambda _: None) -> Comparison:
        """Compare the whole table; keys that differ are compared again, up to three times.

        Args:
            on_progress: Is called with the number of rows compared so far.
        """
        found = Comparison()
        with connect(self.mysql, self.pipeline.database) as connection:
            for after, batch in self._ranges(connection):
                last = self._last_key(batch) if batch.num_rows == self.rows_per_range else None
                expected, actual = self._expected(batch), self._target_range(after, last)
                found.rows += len(expected)
                found.differences += list(self._differences(expected, actual))
                on_progress(found.rows)
            while found.differences and found.rounds < ROUNDS_MAX:
                time.sleep(self.pause_s)
                found.rounds += 1
                found.differences = self._again(connection, [difference.key for difference in found.differences])
        self._allow_deletes(found)
        return found

    def _ranges(self, connection: Any) -> Iterator[tuple[Key | None, pa.RecordBatch]]:
        after: Key | None = None
        while True:
            batch = rows_after(connection, self.pipeline.database, self.pipeline.fact, after, self.rows_per_range)
            yield after, batch
            if batch.num_rows < self.rows_per_range:
                return
            after = self._last_key(batch)

    def _last_key(self, batch: pa.RecordBatch) -> Key:
        return tuple(batch.column(name)[-1].as_py() for name in self.pipeline.key_columns)

    def _key(self, row: Row) -> Key:
        values = (row[name] for name in self.pipeline.keys)
        return tuple(int(value) if isinstance(value, Decimal) and value == int(value) else value for value in values)

    def _again(self, connection: Any, keys: Sequence[Key]) -> list[Difference]:
        still: list[Difference] = []
        for start in range(0, len(keys), KEYS_PER_QUERY):
            chunk = keys[start : start + KEYS_PER_QUERY]
            fact, names = self.pipeline.fact, self.pipeline.key_columns
            batches = rows_by_key(connection, self.pipeline.database, fact, names, chunk)
            expected = {key: row for batch in batches for key, row in self._expected(batch).items()}
            still += self._differences(expected, self._target_keys(chunk))
        return still

    def _expected(self, facts: pa.RecordBatch) -> dict[Key, Row]:
        if not facts.num_rows:
            return {}
        frame = self.spark.createDataFrame(pa.Table.from_batches([facts])).withColumnRenamed(
            UNFIT, "_freshet_unfit_fact"
        )
        frame = frame.localCheckpoint(eager=True)
        tasks = self.spark.sparkContext.defaultParallelism
        dimensions = dimension_rows(self.pipeline, frame, self.mysql, tasks)
        rows = select_rows(self.spark, self.pipeline, frame, dimensions, ["_freshet_unfit_fact"]).toArrow().to_pylist()
        for row in rows:
            row[UNFIT] = row.pop("_freshet_unfit_fact") or row[UNFIT]
        return {self._key(row): row for row in rows}

    def _target_range(self, after: Key | None, last: Key | None) -> dict[Key, Row]:
        conditions = ["1 = 1"]
        parameters: dict[str, str] = {}
        for bound, operator, name in ((after, ">", "after"), (last, "<=", "last")):
            if bound is not None:
                conditions.append(beyond(self.pipeline.keys, operator, name))
                parameters |= {f"{name}_{place}": str(value) for place, value in enumerate(bound)}
        return self._target(" and ".join(conditions), parameters)

    def _target_keys(self, keys: Sequence[Key]) -> dict[Key, Row]:
        one = [
            "("
            + " and ".join(f"{quoted(name)} = :k{number}_{place}" for place, name in enumerate(self.pipeline.keys))
            + ")"
            for number in range(len(keys))
        ]
        parameters = {f"k{number}_{place}": str(v) for number, key in enumerate(keys) for place, v in enumerate(key)}
        return self._target(" or ".join(one), parameters)

    def _target(self, where: str, parameters: Mapping[str, str]) -> dict[Key, Row]:
        names = ", ".join(quoted(output.name) for output in self.pipeline.outputs)
        sql = f"select {names} from {quoted(self.pipeline.target_schema)}.{quoted(self.pipeline.target_table)} where {where}"
        found: dict[Key, Row] = {}
        for row in self.warehouse.query(sql, dict(parameters)):
            typed = {output.name: from_warehouse(output, row[output.name]) for output in self.pipeline.outputs}
            key = self._key(typed)
            if key in found:
                typed[DOUBLED] = True
            found[key] = typed
        return found

    def _differences(self, expected: Mapping[Key, Row], actual: Mapping[Key, Row]) -> Iterator[Difference]:
        for key, row in expected.items():
            there = actual.get(key)
            if row[UNFIT]:
                yield Difference(key, "unfit", (row[UNFIT].split(":")[0],))
            elif there is None:
                yield Difference(key, "missing")
            elif DOUBLED in there:
                yield Difference(key, "doubled")
            elif columns := tuple(o.name for o in self.pipeline.outputs if row[o.name] != there[o.name]):
                yield Difference(key, "different", columns)
        for key in actual:
            if key not in expected:
                yield Difference(key, "extra")

    def _allow_deletes(self, found: Comparison) -> None:
        """Rows of deleted facts stay under `deletes: ignore`; the ledger knows how many deletes there were."""
        ledger = summary(self.warehouse, self.pipeline.name)
        found.quarantined = ledger["quarantined"]
        extra = [difference for difference in found.differences if difference.kind == "extra"]
        if extra and len(extra) <= ledger["deletes_ignored"] + ledger["keys_moved"]:
            found.left_by_deletes = len(extra)
            found.differences = [difference for difference in found.differences if difference.kind != "extra"]


DOUBLED: Final = "_freshet_doubled"


def beyond(keys: Sequence[str], operator: str, name: str) -> str:
    """Say that a key lies beyond a bound; Redshift compares no row values, so column by column.

    Args:
        keys: Key columns, the most significant first.
        operator: `>` or `<=`.
        name: Prefix of the parameters that hold the bound: `:name_0`, `:name_1`...
    """
    strict = operator.rstrip("=")
    cases = []
    for place, key in enumerate(keys):
        equal = [f"{quoted(earlier)} = :{name}_{number}" for number, earlier in enumerate(keys[:place])]
        last = operator if place == len(keys) - 1 else strict
        cases.append("(" + " and ".join([*equal, f"{quoted(key)} {last} :{name}_{place}"]) + ")")
    return "(" + " or ".join(cases) + ")"


def from_warehouse(output: Output, value: Any) -> Any:
    """Give a value of the Data API the type that Spark gives the same column."""
    if value is None:
        return None
    kind = output.redshift
    if kind.startswith("decimal"):
        return Decimal(str(value))
    if kind == "date":
        return date.fromisoformat(value)
    if kind == "timestamp":
        return datetime.fromisoformat(value)
    if kind == "double precision":
        return float(value)
    return value
