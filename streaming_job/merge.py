"""Step 7: commit the batch - rows, positions and ledger in one Redshift transaction.

Reads:  what was staged, and the markers.
Gives:  a committed step, or an error after which nothing was written.
"""

import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from freshet.errors import MissingSetting, Renumbered, ShardsChanged
from freshet.redshift.ledger import Ledger, Remembered
from freshet.redshift.merge_sql import Step
from freshet.redshift.positions import Position
from streaming_job.kinesis import Marker, at_utc
from streaming_job.stage import Staged


def check_markers(markers: Sequence[Marker], pipeline: str) -> None:
    """Stop before anything is written when the source or the stream is not what the ledger can follow.

    Raises:
        MissingSetting: Changes come without transaction ids.
        Renumbered: The source numbers its transactions anew.
        ShardsChanged: A shard was closed.
    """
    for marker in markers:
        if marker.without_transaction:
            raise MissingSetting(
                f"pipeline {pipeline}: {marker.without_transaction} changes on {marker.shard} have no transaction-id, "
                "transaction-record-id or commit-timestamp; nothing was written. "
                "Set IncludeTransactionDetails on the DMS target endpoint"
            )
        if marker.renumbered:
            raise Renumbered(
                f"pipeline {pipeline}: on {marker.shard} {marker.renumbered} although it was committed minutes later; "
                "nothing was written. The source was restored or replaced, and its binlog numbering started again: "
                "load the table anew under another pipeline name"
            )
        if marker.closed:
            raise ShardsChanged(
                f"pipeline {pipeline}: {marker.shard} was closed by a split or merge of the stream, which this version does "
                "not follow; nothing of this batch was written, and nothing is lost while the stream retains it"
            )


def batch_step(
    run: str,
    remembered: Remembered,
    markers: Sequence[Marker],
    staged: Staged | None,
    started_at: datetime,
    retention: timedelta,
    step_id: str | None = None,
) -> Step | None:
    """Describe the commit of a batch; None when there is nothing to commit.

    A batch commits nothing when it has no record and no shard's proof is due: an idle pipeline must let Redshift sleep.
    """
    positions = [
        moved for marker in markers if (moved := _moved(remembered.positions[marker.shard], marker, retention))
    ]
    if not positions:
        return None
    deletes = sum(marker.deletes for marker in markers)
    newest = max(markers, key=lambda marker: marker.transaction_id)
    committed_at = max(marker.committed_at for marker in markers)
    return Step(
        id=step_id or str(uuid.uuid4()),
        follows=remembered.head,
        kind="batch",
        run=run,
        started_at=started_at,
        positions=tuple(positions),
        received=sum(marker.records for marker in markers),
        ignored=deletes + sum(marker.control + marker.other_tables + marker.left_out for marker in markers),
        deletes_ignored=deletes,
        keys_moved=sum(marker.keys_moved for marker in markers),
        staged=staged.rows if staged else 0,
        bytes=staged.bytes if staged else 0,
        manifest=staged.manifest if staged else None,
        transaction_id=newest.transaction_id or None,
        transaction_at=at_utc(committed_at) if committed_at else None,
        data_as_of=data_as_of(markers),
    )


def commit(ledger: Ledger, step: Step, stopping: Callable[[], bool]) -> dict[str, int]:
    """Commit the step, however often the answer is lost, and give its counts; see `Ledger.commit`."""
    return ledger.commit(step, stopping)


def _moved(position: Position, marker: Marker, retention: timedelta) -> Position | None:
    if marker.through is not None:
        proof = marker.tip_at or marker.last_arrival or marker.iterator_at
        return position.moved_to(marker.through, datetime.fromtimestamp(proof, UTC))
    if marker.tip_at is None:
        return None
    seen = datetime.fromtimestamp(marker.tip_at, UTC)
    if position.proved_at is None or seen - position.proved_at > retention / 4:
        return position.moved_to(None, seen)
    return None


def data_as_of(markers: Sequence[Marker]) -> datetime | None:
    """Every change that was in the stream by this time was read: the least advanced shard decides."""
    times = [marker.tip_at or marker.last_arrival for marker in markers]
    return datetime.fromtimestamp(min(t for t in times if t), UTC) if all(times) else None
