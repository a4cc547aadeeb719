"""Answer what a round asks: from MySQL, the warehouse, and Spark's tasks.

The order of the questions is the round's; see `streaming_job.round`. Nothing is decided here.

Reads:  questions.
Gives:  answers, each with the servers that gave it.
"""

import bisect
import hashlib
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from freshet.errors import EnvironmentFault, SourceChanged
from freshet.ledger.keys import Key, as_warehouse, encoded
from freshet.mysql import keys
from freshet.mysql.asking import LOCK_WAIT_S, ONE_ROW, STATEMENT_S, CutOff, Gone, Held, Source
from freshet.mysql.keys import Found
from freshet.mysql.literals import literal
from freshet.pipeline.connection import MySQLSettings
from freshet.pipeline.ddl import quoted as warehouse_quoted
from freshet.redshift.data_api import Warehouse
from streaming_job.evaluate import Evaluation
from streaming_job.followed import Followed, Walk
from streaming_job.questions import (
    Answer,
    Asked,
    FactKeys,
    Look,
    NoWait,
    Question,
    Referring,
    Rows,
    Sight,
    SkipLocked,
    StagedRows,
    TargetKeys,
    Wait,
)
from streaming_job.stage import Written

KEY_ENDS_WITH_BLANK: Final = "key_ends_with_blank"


class Connection:
    """The driver's connection to the source, opened again when it was lost."""

    def __init__(self, settings: MySQLSettings) -> None:
        self.settings = settings
        self._source: Source | None = None
        self.sees_table_ids = True

    @property
    def source(self) -> Source:
        """An open connection.

        Raises:
            EnvironmentFault: MySQL does not answer.
        """
        if self._source is None or not self._source.is_open():
            self.close()
            self._source = Source.open(self.settings)
        return self._source

    def close(self) -> None:
        """Close it."""
        if self._source:
            self._source.close()


@dataclass
class Target:
    """The keys that the warehouse holds, for the other side of a sweep: one UNLOAD a pass.

    Attributes:
        warehouse: Where.
        followed: The pipeline.
        s3: A boto3 client.
        bucket: Where the UNLOAD writes.
        prefix: Prefix in it.
        copy_role: Role with which Redshift writes there.
        quarantined: Keys in quarantine, whose rows may be gone too.
    """

    warehouse: Warehouse
    followed: Followed
    s3: Any
    bucket: str
    prefix: str
    copy_role: str
    quarantined: Callable[[], Iterable[Key]]
    _keys: list[Key] | None = field(default=None, repr=False)

    def after(self, key: Key | None, limit: int) -> list[Key]:
        """Give the next keys in the order of their typed values, which is the same whenever they are unloaded."""
        if key is None or self._keys is None:
            self._keys = sorted({*self._unloaded(), *map(as_warehouse, self.quarantined())})
        first = 0 if key is None else bisect.bisect_right(self._keys, key)
        found = self._keys[first : first + limit]
        if len(found) < limit:
            self._keys = None
        return found

    def _unloaded(self) -> Iterable[Key]:
        pipeline = self.followed.pipeline
        names = [warehouse_quoted(name) for name in self.followed.key_outputs]
        table = f"{warehouse_quoted(pipeline.target_schema)}.{warehouse_quoted(pipeline.target_table)}"
        prefix = f"{self.prefix}/{uuid.uuid4()}/"
        self.warehouse.run_alone(
            f"unload ('select {', '.join(names)} from {table}') to 's3://{self.bucket}/{prefix}' "
            f"iam_role '{self.copy_role}' format as parquet"
        )
        types = {output.name: output.arrow for output in pipeline.outputs}
        schema = pa.schema([pa.field(name, types[name]) for name in self.followed.key_outputs])
        objects: list[str] = []
        try:
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix):
                objects += [each["Key"] for each in page.get("Contents", ())]
            for name in objects:
                body = self.s3.get_object(Bucket=self.bucket, Key=name)["Body"].read()
                unloaded = pq.read_table(pa.BufferReader(body)).select(schema.names).cast(schema)
                yield from map(as_warehouse, zip(*(column.to_pylist() for column in unloaded.columns), strict=True))
        finally:
            for name in objects:
                self.s3.delete_object(Bucket=self.bucket, Key=name)


@dataclass
class Answers:
    """Answers the questions of one round of one pipeline.

    Attributes:
        followed: The pipeline.
        connection: To the source.
        target: The keys of the warehouse.
        evaluation: Gives what reads and stages rows, for the server that must answer.
        written: What was staged.
        looked_at: Keys that were read.
        blanks: Keys of the fact that end in a blank which the target cannot tell, encoded, and the column of each.
    """

    followed: Followed
    connection: Connection
    target: Target
    evaluation: Callable[[str], Evaluation]
    written: list[Written] = field(default_factory=list)
    looked_at: int = 0
    blanks: list[tuple[str, str]] = field(default_factory=list)
    _server: str = ""

    def answer(self, question: Question) -> Answer:
        """Answer one question.

        Raises:
            SourceChanged: A table or column that the pipeline reads is not what it was.
            EnvironmentFault: MySQL or the warehouse does not answer.
        """
        try:
            return self._answer(question)
        except Gone as changed:
            raise self._changed(
                f"MySQL knows a table or column of its SELECT no more (error {changed.number})"
            ) from None
        except CutOff:
            raise EnvironmentFault(
                f"MySQL did not answer a question of the job within {STATEMENT_S:g} s: is it overloaded?"
            ) from None
        except Held:
            raise EnvironmentFault(
                f"MySQL kept a question of the job waiting behind a table lock for {LOCK_WAIT_S} s: is a table being altered?"
            ) from None

    def _changed(self, what: str) -> SourceChanged:
        return SourceChanged(
            f"pipeline {self.followed.pipeline.name}: {what}; nothing was written, the other pipelines go on. Edit its "
            "SELECT to what the source is now, and start the job again"
        )

    def _answer(self, question: Question) -> Answer:
        source, followed = self.connection.source, self.followed
        match question:
            case Look():
                return self._look(source)
            case SkipLocked(table, wanted):
                return Answer(*keys.free(source, followed.tables[table], wanted))
            case NoWait(table, wanted):
                return Answer(*keys.any_held(source, followed.tables[table], wanted))
            case Wait(seconds):
                time.sleep(seconds)
                return Answer(None)
            case Referring(alias, wanted, cursor, limit):
                return self._refer(source, followed.walks[alias], wanted, cursor, limit)
            case FactKeys(cursor, limit):
                return self._facts(source, cursor, limit)
            case TargetKeys(cursor, limit):
                return Answer(self.target.after(cursor, limit))
            case Rows(tasks):
                return self._rows(tasks, source)

    def _facts(self, source: Source, cursor: Key | None, limit: int) -> Answer:
        fact = self.followed.fact_key
        try:
            found, servers = keys.in_parts(lambda key, most: keys.after(source, fact, key, most), cursor, limit)
        except CutOff:
            raise EnvironmentFault(f"MySQL could not list keys of {fact.table} in time: is it overloaded?") from None
        self.blanks += [(encoded(key), column) for key in found if (column := fact.blank_at_end(key))]
        return Answer(found, servers)

    @staticmethod
    def _refer(source: Source, walk: Walk, wanted: tuple[Key, ...], cursor: Key | None, limit: int) -> Answer:
        def ask(key: Key | None, most: int) -> Found:
            return keys.referring(source, walk.referrer, walk.columns, wanted, key, most)

        try:
            return Answer(*keys.in_parts(ask, cursor, limit))
        except CutOff:
            if len(wanted) > 1:
                return Answer(None)
        columns = ", ".join(walk.columns)
        raise EnvironmentFault(
            f"MySQL could not find the rows of {walk.referrer.table} that refer to one key by {columns} in time: is there an "
            f"index on {columns}? create index ... on {walk.referrer.table} ({columns})"
        )

    def _rows(self, tasks: tuple[tuple[Asked, ...], ...], source: Source) -> Answer:
        evaluation = self.evaluation(self._server)
        files = evaluation.run(tasks, source)
        self.written += files
        self.looked_at = sum(map(len, tasks))
        return Answer(
            StagedRows(files, sum(sum(file.rows.values()) for file in files)), frozenset({(self._server, False)})
        )

    def _look(self, source: Source) -> Answer:
        """Look at the server and at each used table: what changes when rows may have changed without a record."""
        database = literal(self.followed.pipeline.database)
        names = ", ".join(literal(name) for name in sorted(self.followed.shape.tables))
        told = source.ask(
            "t.table_name, t.create_time",
            f"{ONE_ROW} left join (select table_name, create_time from information_schema.tables "
            f"where table_schema = {database} and table_name in ({names})) as t on true",
        )
        made = {_text(name): _text(at) for name, at in told.rows if name is not None}
        columns = source.ask(
            "c.table_name, c.column_name, c.column_type, c.column_key, c.collation_name",
            f"{ONE_ROW} left join (select table_name, column_name, column_type, column_key, collation_name, ordinal_position "
            f"from information_schema.columns where table_schema = {database} and table_name in ({names})) as c on true "
            "order by c.table_name, c.ordinal_position",
        )
        found: dict[str, list[tuple[str, ...]]] = {}
        for name, *rest in columns.rows:
            if name is not None:
                found.setdefault(_text(name), []).append(tuple(map(_text, rest)))
        self._check(found)
        ids = self._table_ids(source, database, names)
        tables = tuple(
            (name, f"{made.get(name, '')}/{ids.get(name, '')}/{_digest(found[name])}") for name in sorted(found)
        )
        ((server, read_only),) = told.servers
        self._server = server
        return Answer(Sight(server, read_only, tables), told.servers | columns.servers)

    def _check(self, found: dict[str, list[tuple[str, ...]]]) -> None:
        for table in self.followed.pipeline.tables:
            there = {name: kind for name, kind, *_ in found.get(table.name, ())}
            key = {name for name, _, role, *_ in found.get(table.name, ()) if role == "PRI"}
            if not there:
                raise self._changed(f"the table {table.name} is gone")
            for column in table.columns:
                if there.get(column.name) != column.type.mysql:
                    now = f"is {there[column.name]} now, not {column.type.mysql}" if column.name in there else "is gone"
                    raise self._changed(f"{table.name}.{column.name} {now}")
            if key != set(table.primary_key):
                raise self._changed(f"the primary key of {table.name} is another")

    def _table_ids(self, source: Source, database: str, names: str) -> dict[str, str]:
        """Give InnoDB's ids of the tables, which TRUNCATE changes; nothing without the right PROCESS."""
        if not self.connection.sees_table_ids:
            return {}
        view = "innodb_sys_tables" if source.mariadb else "innodb_tables"
        wanted = f"concat({database}, '/', t.table_name)"
        try:
            told = source.ask(
                "t.table_name, i.table_id",
                f"{ONE_ROW} left join (select table_name from information_schema.tables where table_schema = {database} "
                f"and table_name in ({names})) as t on true left join information_schema.{view} as i on i.name = {wanted}",
            )
        except (EnvironmentFault, Gone, CutOff):
            self.connection.sees_table_ids = False
            return {}
        return {_text(name): _text(number) for name, number in told.rows if name is not None}


def _text(value: bytes | None) -> str:
    return "" if value is None else bytes(value).decode()


def _digest(columns: list[tuple[str, ...]]) -> str:
    return hashlib.sha256(repr(columns).encode()).hexdigest()[:12]
