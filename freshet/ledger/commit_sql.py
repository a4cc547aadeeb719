"""One commit as SQL text: rows, positions, pending work and ledger move together or not at all.

Order matters. The lock comes before any snapshot, so the second of two writers sees what the first wrote. The commit's own
row fails, by NOT NULL, when the head is another; the state row is updated by everyone, so two writers collide under every
isolation level. Staged rows that the target has already are dropped *before* anything is deleted. What it does to the tables is
written as Python in `freshet.ledger.effect`.

No MERGE: Redshift's inserts each duplicate of a new key, and cannot delete on a condition.

Source: Redshift Developer Guide, "LOCK", "Serializable isolation", "COPY from columnar data formats".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from freshet.ledger import positions
from freshet.ledger.commit import Commit
from freshet.ledger.effect import Action
from freshet.ledger.positions import Position
from freshet.ledger.tables import ENTRY, KEY, ControlTables, literal
from freshet.pipeline.ddl import quoted
from freshet.pipeline.model import COMMIT_COLUMN, DELETED_COLUMN, HASH_COLUMN, Pipeline
from freshet.redshift.literals import quote

STAGE: Final = "freshet_stage"
POSITIONS_PER_STATEMENT_MAX: Final = 500
RECORD, PUT, DROP = "r", "p", "x"  # beside the actions: a quarantined record, pending work to write and to remove
STAGE_COLUMNS: Final = (
    ("_freshet_op", "varchar(1) not null"),  # an `Action`, or RECORD, PUT, DROP
    (HASH_COLUMN, "bigint"),
    ("_freshet_forced", "boolean"),
    ("_freshet_key", KEY),  # the key as `freshet.ledger.keys.encoded` writes it; PUT, DROP: the id of the entry
    ("_freshet_entry", ENTRY),
    ("_freshet_shard", "varchar(128)"),
    ("_freshet_sequence", "varchar(129)"),
    ("_freshet_reason", "varchar(64)"),
    ("_freshet_column", "varchar(255)"),
)


@dataclass(frozen=True)
class Particulars:
    """What the ledger keeps of a commit beside what was decided.

    Attributes:
        kind: start or round.
        run: Run of the job.
        started_at: When the round began.
        received: Records read: keyed, ignored, quarantined.
        ignored: Of these.
        quarantined: Of these.
        looked_at: Keys of the fact whose rows were read.
        bytes: Bytes staged.
        manifest: URL of the manifest; None when nothing is staged.
        staged: Rows staged, by op.
        data_as_of: Every change that was in the stream by then was looked at; None when that is not known.
        pending: Entries of pending work after the commit.
        pending_since: When the oldest of them was first owed.
        stream: ARN and creation of the stream; only a start names it.
        proofs: When each shard was last proved complete, seconds.
        forget: Shards whose positions are forgotten: the stream has them no more.
    """

    kind: str
    run: str
    started_at: datetime
    received: int = 0
    ignored: int = 0
    quarantined: int = 0
    looked_at: int = 0
    bytes: int = 0
    manifest: str | None = None
    staged: Mapping[str, int] = field(default_factory=dict)
    data_as_of: datetime | None = None
    pending: int = 0
    pending_since: datetime | None = None
    stream: tuple[str, datetime] | None = None
    proofs: Mapping[str, float] = field(default_factory=dict)
    forget: tuple[str, ...] = ()


def transaction(
    pipeline: Pipeline,
    tables: ControlTables,
    commit: Commit,
    moved: Mapping[str, Position],
    told: Particulars,
    copy_role: str,
) -> list[str]:
    """Give the statements of one commit, in order.

    Args:
        pipeline: The pipeline whose target it is.
        tables: Its control tables.
        commit: What was decided.
        moved: The positions that are written: those that moved, or whose proof is renewed.
        told: What the ledger keeps besides.
        copy_role: ARN of the role with which Redshift reads the staged files.
    """
    statements = [f"lock {tables.lock}", _ledger_row(tables, commit, told), _state_row(tables, commit, told)]
    if told.manifest is not None:
        statements += _staged(pipeline, tables, commit.id, told, copy_role)
    return statements + _positions(tables, moved, told)


def counts(
    pipeline: Pipeline, statements: Sequence[str], rows: Mapping[int, int | None], told: Particulars
) -> dict[str, int] | None:
    """Say what a commit did, by the rows that its own statements changed: no other statement is needed.

    Args:
        pipeline: The pipeline whose target it is.
        statements: From `transaction`.
        rows: Rows that each changed, by its number from 1; None where Redshift does not tell.
        told: What was staged.

    Returns:
        written, unchanged, removed, marked, unfit; None when Redshift does not tell.

    Source: Redshift Data API reference, "SubStatementData" (ResultRows).
    """
    target = _target(pipeline)
    found = {}
    for name, action, start in (
        ("written", Action.WRITE, f"insert into {target} "),
        ("removed", Action.DELETE, f"delete from {target} using {STAGE} where {STAGE}._freshet_op = '{Action.DELETE}'"),
        ("marked", Action.MARK, f"update {target} "),
    ):
        numbers = [number for number, text in enumerate(statements, 1) if text.startswith(start)]
        changed = rows.get(numbers[0]) if numbers else 0
        if changed is None:
            return None
        found[name] = changed if told.staged.get(action) else 0
    found["unchanged"] = told.staged.get(Action.WRITE, 0) - found["written"]
    found["unfit"] = told.staged.get(Action.QUARANTINE, 0)
    return found


def _target(pipeline: Pipeline) -> str:
    return f"{quoted(pipeline.target_schema)}.{quoted(pipeline.target_table)}"


def _bare(table: str) -> str:
    """Name a table within a statement, without its schema."""
    return table.partition(".")[2]


def _ledger_row(tables: ControlTables, commit: Commit, told: Particulars) -> str:
    numbers = f"{told.received}, {told.ignored}, {told.quarantined}, {told.looked_at}, 0, 0, 0, 0, 0, 0, {told.bytes}"
    return (
        f"insert into {tables.commits} (commit_id, follows, kind, run, started_at, committed_at, received, ignored, "
        "quarantined, looked_at, staged, written, unchanged, removed, marked, unfit, bytes) "
        f"select max(case when head = {literal(commit.follows)} then {literal(commit.id)} end), {literal(commit.follows)}, "
        f"{literal(told.kind)}, {literal(told.run)}, {moment(told.started_at)}, sysdate, {numbers} from {tables.state}"
    )


def _state_row(tables: ControlTables, commit: Commit, told: Particulars) -> str:
    sets = [f"head = {literal(commit.id)}", "moved_at = sysdate"]
    sets += [f"pending = {told.pending}", f"pending_since = {moment(told.pending_since)}"]
    sets.append(f"source = {quote(commit.seen.as_text()) if commit.seen else 'null'}")
    if told.data_as_of is not None:
        sets.append(f"data_as_of = {moment(told.data_as_of)}")
    if told.stream is not None:
        sets += [f"stream_arn = {literal(told.stream[0])}", f"stream_created_at = {moment(told.stream[1])}"]
    return f"update {tables.state} set {', '.join(sets)}"


def _staged(pipeline: Pipeline, tables: ControlTables, commit_id: str, told: Particulars, copy_role: str) -> list[str]:
    columns = [(quoted(output.name), output.redshift) for output in pipeline.outputs] + list(STAGE_COLUMNS)
    key_list = ", ".join(quoted(key) for key in pipeline.keys)
    distkey = f" distkey({quoted(pipeline.distkey)})" if pipeline.distkey else ""
    total, written = sum(told.staged.values()), told.staged.get(Action.WRITE, 0)
    unique = (
        f" and {written} = (select count(*) from (select {key_list} from {STAGE} where _freshet_op = '{Action.WRITE}' "
        f"group by {key_list}) as staged_keys)"
        if written
        else ""
    )
    return [
        f"create temp table {STAGE} ({', '.join(f'{name} {kind}' for name, kind in columns)}){distkey}",
        f"copy {STAGE} ({', '.join(name for name, _ in columns)}) from '{told.manifest}' "
        f"iam_role {literal(copy_role)} format as parquet manifest statupdate off",
        f"update {tables.commits} set staged = (select case when count(*) = {total}{unique} then count(*) end from {STAGE}) "
        f"where commit_id = {literal(commit_id)}",
        *_quarantine(tables, commit_id, told),
        *_rows(pipeline, tables, commit_id, told),
        *_pending(tables, told),
        f"drop table {STAGE}",
    ]


def _quarantine(tables: ControlTables, commit_id: str, told: Particulars) -> list[str]:
    """A key whose fate was decided otherwise is free again, also if its row is kept."""
    statements = []
    if any(told.staged.get(action) for action in Action):
        statements.append(
            f"delete from {tables.quarantine} using {STAGE} where {_bare(tables.quarantine)}.key = {STAGE}._freshet_key "
            f"and {STAGE}._freshet_op in ({', '.join(map(literal, Action))})"
        )
    if told.staged.get(Action.QUARANTINE) or told.staged.get(RECORD):
        statements.append(
            f"insert into {tables.quarantine} (commit_id, key, shard, sequence, reason, column_name, quarantined_at) "
            f"select {literal(commit_id)}, _freshet_key, _freshet_shard, _freshet_sequence, _freshet_reason, _freshet_column, "
            f"sysdate from {STAGE} where _freshet_op in ('{Action.QUARANTINE}', '{RECORD}')"
        )
    return statements


def _rows(pipeline: Pipeline, tables: ControlTables, commit_id: str, told: Particulars) -> list[str]:
    target, name = _target(pipeline), quoted(pipeline.target_table)
    same_key = " and ".join(f"{STAGE}.{quoted(key)} = {name}.{quoted(key)}" for key in pipeline.keys)
    outputs = ", ".join(quoted(output.name) for output in pipeline.outputs)
    marks = pipeline.deletes == "mark"
    written, removed, marked = (told.staged.get(a) for a in (Action.WRITE, Action.DELETE, Action.MARK))
    statements, sets = [], []
    if written:
        not_marked = f" and {name}.{DELETED_COLUMN} is null" if marks else ""
        statements += [
            f"delete from {STAGE} using {target} where {STAGE}._freshet_op = '{Action.WRITE}' and {same_key} "
            f"and {STAGE}.{HASH_COLUMN} = {name}.{HASH_COLUMN} and not {STAGE}._freshet_forced{not_marked}",
            f"delete from {target} using {STAGE} where {STAGE}._freshet_op = '{Action.WRITE}' and {same_key}",
            f"insert into {target} ({outputs}, {HASH_COLUMN}, {COMMIT_COLUMN}) "
            f"select {outputs}, {HASH_COLUMN}, {literal(commit_id)} from {STAGE} where _freshet_op = '{Action.WRITE}'",
        ]
        left = f"(select count(*) from {STAGE} where _freshet_op = '{Action.WRITE}')"
        sets += [f"written = {left}", f"unchanged = {written} - {left}"]
    there = f"(select count(*) from {STAGE}, {target} where {STAGE}._freshet_op = '{{}}' and {same_key}{{}})"
    if removed:
        sets.append(f"removed = {there.format(Action.DELETE, '')}")
    if marked:
        sets.append(f"marked = {there.format(Action.MARK, f' and {name}.{DELETED_COLUMN} is null')}")
    if told.staged.get(Action.QUARANTINE):
        sets.append(f"unfit = {told.staged[Action.QUARANTINE]}")
    if sets:
        statements.append(f"update {tables.commits} set {', '.join(sets)} where commit_id = {literal(commit_id)}")
    if removed:
        statements.append(
            f"delete from {target} using {STAGE} where {STAGE}._freshet_op = '{Action.DELETE}' and {same_key}"
        )
    if marked:
        statements.append(
            f"update {target} set {DELETED_COLUMN} = {moment(told.started_at)} "
            f"from {STAGE} where {STAGE}._freshet_op = '{Action.MARK}' and {same_key} and {name}.{DELETED_COLUMN} is null"
        )
    return statements


def _pending(tables: ControlTables, told: Particulars) -> list[str]:
    statements = []
    if told.staged.get(PUT) or told.staged.get(DROP):
        statements.append(
            f"delete from {tables.pending} using {STAGE} where {_bare(tables.pending)}.id = {STAGE}._freshet_key "
            f"and {STAGE}._freshet_op in ('{PUT}', '{DROP}')"
        )
    if told.staged.get(PUT):
        statements.append(
            f"insert into {tables.pending} (id, entry) "
            f"select _freshet_key, _freshet_entry from {STAGE} where _freshet_op = '{PUT}'"
        )
    return statements


def _positions(tables: ControlTables, moved: Mapping[str, Position], told: Particulars) -> list[str]:
    statements = []
    gone = sorted({*moved, *told.forget})
    for start in range(0, len(gone), POSITIONS_PER_STATEMENT_MAX):
        shards = ", ".join(literal(shard) for shard in gone[start : start + POSITIONS_PER_STATEMENT_MAX])
        statements.append(f"delete from {tables.positions} where shard in ({shards})")
    written = [(shard, moved[shard]) for shard in sorted(moved) if shard not in told.forget]
    for start in range(0, len(written), POSITIONS_PER_STATEMENT_MAX):
        rows = ", ".join(
            _position(shard, position, told.proofs.get(shard))
            for shard, position in written[start : start + POSITIONS_PER_STATEMENT_MAX]
        )
        statements.append(f"insert into {tables.positions} (shard, kind, sequence, at_time, proved_at) values {rows}")
    return statements


def _position(shard: str, position: Position, proved_at: float | None) -> str:
    kind, sequence, at = positions.as_row(position)
    proof = datetime.fromtimestamp(proved_at, UTC) if proved_at else None
    written = literal(sequence) if sequence else "null"
    return f"({literal(shard)}, {literal(kind)}, {written}, {moment(at)}, {moment(proof)})"


def moment(at: datetime | None) -> str:
    """Write a time as a TIMESTAMP in UTC."""
    if at is None:
        return "null"
    return f"timestamp '{at.astimezone(UTC).replace(tzinfo=None).isoformat(sep=' ', timespec='microseconds')}'"


def columns_staged(pipeline: Pipeline) -> Sequence[str]:
    """Give the columns of the staged files, in the order in which COPY maps them."""
    return [output.name for output in pipeline.outputs] + [name for name, _ in STAGE_COLUMNS]
