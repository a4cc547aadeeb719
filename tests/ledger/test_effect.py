"""The commit's SQL does to real tables exactly what `freshet.ledger.effect` says, whatever is staged."""

import json
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from freshet.cli.context import Place
from freshet.errors import StaleBatch, TerminalError
from freshet.ledger.commit import Commit, Seen
from freshet.ledger.commit_sql import Particulars
from freshet.ledger.effect import Action, Staged, Tables, TargetRow, after, is_dropped
from freshet.ledger.keys import Key, as_warehouse, decoded, encoded
from freshet.ledger.ledger import Ledger
from freshet.ledger.pending import Entry, What
from freshet.ledger.positions import END, Kind, Position
from freshet.pipeline.ddl import target_ddl
from freshet.pipeline.model import HASH_COLUMN
from freshet.pipeline.protection import TokenKey
from streaming_job.stage import Staging, write_manifest
from tests.ledger.orders import pipeline

NOON = datetime(2024, 7, 29, 12, 0, tzinfo=UTC)
KEYS = [(1, "a"), (1, "A"), (1, ""), (2, "a"), (2, "é"), (-3, "a b")]
SHARDS = ("shardId-000000000000", "shardId-000000000001")

keys = st.sampled_from(KEYS)
hashes = st.integers(0, 2)  # few, so that equal ones are common
WORK = [Entry(What.FACTS), Entry(What.REFERRERS, "customer", (7,)), Entry(What.KEY, key=(1, "it's"), moved=True)]
IDS = [entry.id for entry in WORK]
entries = (
    st.lists(st.sampled_from(WORK), unique=True)
    .flatmap(
        lambda owed: st.tuples(*(st.booleans().map(lambda again, one=one: replace(one, again=again)) for one in owed))  # type: ignore[misc]
    )
    .map(lambda owed: {entry.id: entry.as_row() for entry in owed})
)
positions = st.dictionaries(
    st.sampled_from(SHARDS),
    st.sampled_from([END, Position(Kind.AT), Position(Kind.AFTER, 49 << 70, NOON.timestamp())]),
)


@st.composite
def staged_rows(draw: st.DrawFn, deletes: str) -> tuple[Staged, ...]:
    """Each key once, as the job stages it; a spelling of the source may have blanks at its end."""
    actions = [action for action in Action if action is not Action.MARK or deletes == "mark"]
    rows = []
    for number, code in draw(st.lists(keys, unique=True)):
        action = draw(st.sampled_from(actions))
        key = (number, code + draw(st.sampled_from(["", "  "])))
        if action is Action.WRITE:
            rows.append(Staged(action, key, draw(st.sampled_from("xyz")), draw(hashes), draw(st.booleans())))
        else:
            rows.append(Staged(action, key, forced=draw(st.booleans())))
    return tuple(rows)


@st.composite
def target_rows(draw: st.DrawFn, deletes: str) -> tuple[TargetRow, ...]:
    found = draw(st.lists(keys, unique=True))
    marks = st.booleans() if deletes == "mark" else st.just(False)
    return tuple(TargetRow(key, draw(st.sampled_from("xyz")), draw(hashes), draw(marks)) for key in found)


@dataclass
class Warehouse:
    """One pipeline's tables in the Redshift stand-in, set and read without the code under test."""

    place: Place
    ledger: Ledger

    @property
    def target(self) -> str:
        return f'"public"."{self.ledger.pipeline.target_table}"'

    @property
    def marks(self) -> bool:
        return self.ledger.pipeline.deletes == "mark"

    def set(self, tables: Tables) -> None:
        names, head = self.ledger.tables, tables.head
        own = ", _freshet_deleted_at" if self.marks else ""
        statements = [
            f"delete from {table}" for table in (self.target, names.pending, names.quarantine, names.positions)
        ]
        statements.append(f"update {names.state} set head = '{head}', source = null")
        for (number, code), value, digest, marked in tables.target:
            mark = "" if not self.marks else ", timestamp '2024-01-01 00:00:00'" if marked else ", null"
            statements.append(
                f'insert into {self.target} (id, code, "order", {HASH_COLUMN}, _freshet_commit{own}) '
                f"values ({number}, '{code}', '{value}', {digest}, 'before'{mark})"
            )
        statements += [
            f"insert into {names.pending} values ('{name}', '{json.dumps(row)}')"
            for name, row in tables.pending.items()
        ]
        statements += [
            f"insert into {names.quarantine} (commit_id, key) values ('before', '{encoded(key)}')"
            for key in tables.quarantine
        ]
        self.place.warehouse.run(statements)

    def read(self) -> Tables:
        names, query = self.ledger.tables, self.place.warehouse.query
        mark = "_freshet_deleted_at is not null" if self.marks else "false"
        memory = self.ledger.read()
        rows = query(f'select id, code, "order", {HASH_COLUMN}, {mark} as marked from {self.target}')
        return Tables(
            head=memory.remembered.head,
            commits=frozenset(row["commit_id"] for row in query(f"select commit_id from {names.commits}")),
            positions=memory.remembered.positions,
            seen=memory.remembered.seen,
            pending={row["id"]: json.loads(row["entry"]) for row in query(f"select id, entry from {names.pending}")},
            target=tuple(
                TargetRow((row["id"], row["code"]), row["order"], row[HASH_COLUMN], row["marked"]) for row in rows
            ),
            quarantine=frozenset(
                decoded(row["key"]) for row in query(f"select key from {names.quarantine} where key is not null")
            ),
        )

    def stage(self, commit: Commit, staging: Staging) -> tuple[str | None, Any]:
        """Write the files of a commit as the job does: rows in one, records and pending entries in another."""
        names = staging.schema.names
        lines = []
        for action, key, value, digest, forced in commit.staged:
            number, code = as_warehouse(key)
            carries = action in {Action.WRITE, Action.DELETE, Action.MARK}
            lines.append(
                {
                    **dict.fromkeys(names), "_freshet_op": str(action), "_freshet_key": encoded(as_warehouse(key)),
                    "_freshet_forced": forced, HASH_COLUMN: digest, "order": value,
                    "id": number if carries else None, "code": code if carries else None,
                }
            )  # fmt: skip
        files = [staging.write(pa.Table.from_pylist(lines, staging.schema))] if lines else []
        decisions = staging.write_decisions([(SHARDS[0], "1", "not_json", None)], [], commit.put, sorted(commit.drop))
        files += [decisions] if decisions else []
        staged = write_manifest(self.place.client("s3"), staging.bucket, staging.prefix, files)
        return staged.manifest, staged.rows


@pytest.fixture(scope="module", params=["ignore", "mark"])
def warehouse(place: Place, request: pytest.FixtureRequest) -> Warehouse:
    """The tables of a pipeline that keeps deleted rows, or marks them."""
    made = pipeline(f"t_{uuid.uuid4().hex[:10]}", request.param)
    ledger = Ledger(place.warehouse, made, place.endpoints["copy_role_arn"])
    ledger.create(target_ddl(made))
    return Warehouse(place, ledger)


def particulars(manifest: str | None, staged: Any) -> Particulars:
    return Particulars(
        kind="round", run="run", started_at=NOON, manifest=manifest, staged=staged, bytes=1, received=1, quarantined=1
    )


def staging(warehouse: Warehouse) -> Staging:
    bucket = warehouse.place.endpoints["staging_bucket"]
    prefix = f"effect/{uuid.uuid4()}"
    return Staging(warehouse.ledger.pipeline, ("id", "code"), TokenKey("", "", ""), bucket, prefix, frees=True)


def sorted_rows(tables: Tables) -> list[tuple[Any, ...]]:
    return sorted((row._replace(key=as_warehouse(row.key)) for row in tables.target), key=repr)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_commit_does_what_is_written_as_python(warehouse: Warehouse, data: st.DataObject) -> None:
    """Rows, hashes, marks, quarantine, pending work, positions, head and ledger: all of it, and nothing else."""
    deletes = warehouse.ledger.pipeline.deletes
    before = Tables(
        head=str(uuid.uuid4()),
        target=data.draw(target_rows(deletes)),
        pending=data.draw(entries),
        quarantine=data.draw(st.frozensets(keys)),
    )
    commit = Commit(
        id=str(uuid.uuid4()),
        follows=before.head,
        positions=data.draw(positions),
        seen=Seen("it's \\ a server", (("orders", "1"),)),
        put=data.draw(entries),
        drop=frozenset(data.draw(st.sets(st.sampled_from(IDS)))),
        staged=data.draw(staged_rows(deletes)),
    )
    commit = replace(commit, drop=commit.drop - commit.put.keys())  # `pending_changes` gives no id in both
    warehouse.set(before)
    there = {as_warehouse(row.key): row for row in before.target}
    manifest, staged = warehouse.stage(commit, staging(warehouse))
    counted = warehouse.ledger.commit(commit, commit.positions, particulars(manifest, staged))
    expected, found = after(before, commit), warehouse.read()
    assert sorted_rows(expected) == sorted_rows(found)
    assert (expected.head, dict(expected.positions), expected.seen) == (found.head, dict(found.positions), found.seen)
    assert (expected.pending, expected.quarantine) == (found.pending, found.quarantine)
    assert commit.id in found.commits
    assert counted == _counts(commit, there)
    (row,) = warehouse.place.warehouse.query(
        f"select written, unchanged, removed, marked, unfit, staged from {warehouse.ledger.tables.commits} "
        f"where commit_id = '{commit.id}'"
    )
    assert {**counted, "staged": sum(staged.values())} == row


def _counts(commit: Commit, there: dict[Key, TargetRow]) -> dict[str, int]:
    of = {action: [row for row in commit.staged if row.action is action] for action in Action}
    written = [row for row in of[Action.WRITE] if not is_dropped(row, there.get(as_warehouse(row.key)))]
    marked = [row for row in of[Action.MARK] if (found := there.get(as_warehouse(row.key))) and not found.marked]
    return {
        "written": len(written),
        "unchanged": len(of[Action.WRITE]) - len(written),
        "removed": sum(as_warehouse(row.key) in there for row in of[Action.DELETE]),
        "marked": len(marked),
        "unfit": len(of[Action.QUARANTINE]),
    }


def test_a_commit_that_follows_another_head_changes_nothing(warehouse: Warehouse) -> None:
    """Late, doubled or stale: NOT NULL refuses its own line of the ledger, and the transaction ends."""
    before = Tables(head="now", target=(TargetRow((1, "a"), "x", 1),), pending={WORK[0].id: WORK[0].as_row()})
    warehouse.set(before)
    commit = Commit(str(uuid.uuid4()), "then", {SHARDS[0]: END}, None, staged=(Staged(Action.DELETE, (1, "a")),))
    manifest, staged = warehouse.stage(commit, staging(warehouse))
    was = warehouse.read()
    with pytest.raises(StaleBatch):
        warehouse.ledger.commit(commit, commit.positions, particulars(manifest, staged))
    assert was == warehouse.read()


@pytest.mark.parametrize("wrong", ["a key twice", "a row too few"])
def test_a_file_that_is_not_sound_fails_its_commit(warehouse: Warehouse, wrong: str) -> None:
    """A key written twice would be two rows, since Redshift enforces no key; a lost row would be lost for ever."""
    warehouse.set(Tables(head="now"))
    rows = (Staged(Action.WRITE, (1, "a"), "x", 1), Staged(Action.WRITE, (1, "a" if "twice" in wrong else "b"), "y", 2))
    commit = Commit(str(uuid.uuid4()), "now", {SHARDS[0]: END}, None, staged=rows)
    manifest, staged = warehouse.stage(commit, staging(warehouse))
    if "few" in wrong:
        staged = {**staged, "u": 3}
    was = warehouse.read()
    with pytest.raises(TerminalError, match="Redshift refused commit"):
        warehouse.ledger.commit(commit, commit.positions, particulars(manifest, staged))
    assert was == warehouse.read()
