"""The transaction that moves rows, positions and ledger together, as SQL text.

Order matters. The lock comes before any snapshot, so the second of two writers sees what the first wrote. The step's own
row fails, by NOT NULL, when the head is another; the state row is updated by everyone, so two writers collide under every
isolation level. Staged rows no newer than the target's are dropped *before* anything is deleted.

No MERGE: Redshift's inserts each duplicate of a new key, and cannot delete on a condition.

Source: Redshift Developer Guide, "LOCK", "Serializable isolation", "COPY from columnar data formats".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from freshet.pipeline.ddl import quoted
from freshet.pipeline.model import STEP_COLUMN, VERSION_COLUMN, Pipeline
from freshet.redshift.control_tables import ControlTables, literal
from freshet.redshift.positions import Position

STAGE = "freshet_stage"
POSITIONS_PER_STATEMENT_MAX = 500
STAGE_COLUMNS = (
    ("_freshet_op", "varchar(1) not null"),  # u: write the row; q: set the record aside
    ("_freshet_version", "varchar(32)"),
    ("_freshet_records", "integer not null"),  # how many received records this row stands for
    ("_freshet_shard", "varchar(128) not null"),
    ("_freshet_sequence", "varchar(129) not null"),
    ("_freshet_reason", "varchar(64)"),
    ("_freshet_column", "varchar(255)"),
)


@dataclass(frozen=True)
class Step:
    """One commit of a pipeline: what it follows, what it moves, what it counted."""

    id: str
    follows: str
    kind: str
    run: str
    started_at: datetime
    positions: tuple[Position, ...] = ()
    received: int = 0
    ignored: int = 0
    deletes_ignored: int = 0
    keys_moved: int = 0
    staged: int = 0
    bytes: int = 0
    manifest: str | None = None
    transaction_id: int | None = None
    transaction_at: datetime | None = None
    data_as_of: datetime | None = None
    stream_arn: str | None = None
    stream_created_at: datetime | None = None
    forget_positions: bool = False


def transaction(pipeline: Pipeline, tables: ControlTables, step: Step, copy_role: str) -> list[str]:
    """Give the statements of one step, in order.

    Args:
        pipeline: The pipeline whose target it is.
        tables: Its control tables.
        step: What to commit; without a manifest only positions and ledger move.
        copy_role: ARN of the role with which Redshift reads the staged files.
    """
    statements = [f"lock {tables.lock}", _ledger_row(tables, step), _state_row(tables, step)]
    if step.manifest is not None:
        statements += _rows(pipeline, tables, step, copy_role)
    return statements + _positions(tables, step)


def counts(
    pipeline: Pipeline, tables: ControlTables, step: Step, statements: Sequence[str], rows: Mapping[int, int | None]
) -> dict[str, int] | None:
    """Say what became of a step's records, by the rows that its own statements changed: no other statement is needed.

    Args:
        pipeline: The pipeline whose target it is.
        tables: Its control tables.
        step: What was committed.
        statements: From `transaction`.
        rows: Rows that each changed, by its number from 1; None where Redshift does not tell.

    Returns:
        received, ignored, merged, superseded, quarantined, as the ledger has them; None when Redshift does not tell.

    Source: Redshift Data API reference, "SubStatementData" (ResultRows).
    """
    found = {"merged": 0, "quarantined": 0}
    if step.manifest is not None:
        for name, table in (("merged", _target(pipeline)), ("quarantined", tables.quarantine)):
            (number,) = (n for n, text in enumerate(statements, 1) if text.startswith(f"insert into {table} "))
            changed = rows.get(number)
            if changed is None:
                return None
            found[name] = changed
    superseded = step.received - step.ignored - sum(found.values())
    return {"received": step.received, "ignored": step.ignored, "superseded": superseded, **found}


def _target(pipeline: Pipeline) -> str:
    return f"{quoted(pipeline.target_schema)}.{quoted(pipeline.target_table)}"


def _ledger_row(tables: ControlTables, step: Step) -> str:
    counts = f"{step.received}, {step.ignored}, {step.deletes_ignored}, {step.keys_moved}, 0, 0, 0, 0, 0, {step.bytes}"
    return (
        f"insert into {tables.steps} (step, follows, kind, run, started_at, committed_at, "
        "received, ignored, deletes_ignored, keys_moved, staged, merged, superseded, propagated, quarantined, bytes) "
        f"select max(case when head = {literal(step.follows)} then {literal(step.id)} end), {literal(step.follows)}, "
        f"{literal(step.kind)}, {literal(step.run)}, {moment(step.started_at)}, sysdate, {counts} from {tables.state}"
    )


def _state_row(tables: ControlTables, step: Step) -> str:
    sets = [f"head = {literal(step.id)}", "moved_at = sysdate"]
    if step.transaction_id is not None:
        sets.append(f"transaction_id = {step.transaction_id}")
    times = {
        "transaction_at": step.transaction_at,
        "data_as_of": step.data_as_of,
        "stream_created_at": step.stream_created_at,
    }
    sets += [f"{column} = {moment(at)}" for column, at in times.items() if at is not None]
    if step.stream_arn is not None:
        sets.append(f"stream_arn = {literal(step.stream_arn)}")
    return f"update {tables.state} set {', '.join(sets)}"


def _rows(pipeline: Pipeline, tables: ControlTables, step: Step, copy_role: str) -> list[str]:
    target_table = quoted(pipeline.target_table)
    target = _target(pipeline)
    names = ", ".join(quoted(output.name) for output in pipeline.outputs)
    columns = [(quoted(output.name), output.redshift) for output in pipeline.outputs] + list(STAGE_COLUMNS)
    key_list = ", ".join(quoted(key) for key in pipeline.keys)
    same_key = " and ".join(f"{STAGE}.{quoted(key)} = {target_table}.{quoted(key)}" for key in pipeline.keys)
    this_step = f"where step = {literal(step.id)}"
    distkey = f" distkey({quoted(pipeline.distkey)})" if pipeline.distkey else ""
    definitions = ", ".join(f"{name} {kind}" for name, kind in columns)
    copy_columns = ", ".join(name for name, _ in columns)
    return [
        f"create temp table {STAGE} ({definitions}){distkey}",
        f"copy {STAGE} ({copy_columns}) from '{step.manifest}' "
        f"iam_role {literal(copy_role)} format as parquet manifest statupdate off",
        f"update {tables.steps} set staged = (select case when count(*) = {step.staged} "
        f"and coalesce(sum(_freshet_records), 0) = {step.received - step.ignored} "
        f"and sum(case when _freshet_op = 'u' then 1 else 0 end) = (select count(*) from "
        f"(select {key_list} from {STAGE} where _freshet_op = 'u' group by {key_list}) as staged_keys) "
        f"then count(*) end from {STAGE}) {this_step}",
        f"insert into {tables.quarantine} (step, shard, sequence, reason, column_name, quarantined_at) "
        f"select {literal(step.id)}, _freshet_shard, _freshet_sequence, _freshet_reason, _freshet_column, sysdate "
        f"from {STAGE} where _freshet_op = 'q'",
        f"update {tables.steps} set quarantined = (select count(*) from {STAGE} where _freshet_op = 'q'), "
        f"superseded = (select coalesce(sum(_freshet_records), 0) from {STAGE}) {this_step}",
        f"delete from {STAGE} where _freshet_op = 'q'",
        f"delete from {STAGE} using {target} where {same_key} "
        f"and {STAGE}._freshet_version <= {target_table}.{VERSION_COLUMN}",
        f"delete from {target} using {STAGE} where {same_key}",
        f"insert into {target} ({names}, {VERSION_COLUMN}, {STEP_COLUMN}) "
        f"select {names}, _freshet_version, {literal(step.id)} from {STAGE}",
        f"update {tables.steps} set merged = (select count(*) from {STAGE}), "
        f"superseded = superseded - quarantined - (select count(*) from {STAGE}) {this_step}",
    ]


def _positions(tables: ControlTables, step: Step) -> list[str]:
    statements = [f"delete from {tables.positions}"] if step.forget_positions else []
    for start in range(0, len(step.positions), POSITIONS_PER_STATEMENT_MAX):
        chunk = step.positions[start : start + POSITIONS_PER_STATEMENT_MAX]
        if not step.forget_positions:
            shards = ", ".join(literal(position.shard) for position in chunk)
            statements.append(f"delete from {tables.positions} where shard in ({shards})")
        rows = ", ".join(_position(position) for position in chunk)
        statements.append(f"insert into {tables.positions} (shard, kind, sequence, at_time, proved_at) values {rows}")
    return statements


def _position(position: Position) -> str:
    sequence = literal(position.sequence) if position.sequence else "null"
    return (
        f"({literal(position.shard)}, {literal(position.kind)}, {sequence}, "
        f"{moment(position.at)}, {moment(position.proved_at)})"
    )


def moment(at: datetime | None) -> str:
    """Write a time as a TIMESTAMP in UTC."""
    if at is None:
        return "null"
    return f"timestamp '{at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ', timespec='microseconds')}'"


def columns_staged(pipeline: Pipeline) -> Sequence[str]:
    """Give the columns of the staged files, in the order in which COPY maps them."""
    return [output.name for output in pipeline.outputs] + [name for name, _ in STAGE_COLUMNS]
