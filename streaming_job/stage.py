"""Stage what became of each key: protect the outputs, check what Redshift would refuse, write Parquet to S3.

One value that COPY refuses would fail the commit, again and again; so every output row is checked first, and the key of one
that does not fit is quarantined with column and reason, its values left out. The manifest names the files that tasks returned,
never what a listing found: a listing also finds the debris of failed attempts.

Reads:  outputs, whether the row is admitted, what is known of its key.
Gives:  files in S3, their manifest, and how many rows and bytes it names.

Source: Redshift Developer Guide, "COPY from columnar data formats", "Using a manifest to specify data files".
"""

import hashlib
import io
import json
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from freshet.ledger.commit_sql import DROP, PUT, RECORD, columns_staged
from freshet.ledger.effect import Action
from freshet.ledger.keys import as_warehouse, encoded
from freshet.mysql.rows import UNFIT
from freshet.pipeline.model import ADMITTED, HASH_COLUMN, Output, Pipeline
from freshet.pipeline.protection import TokenKey, protected
from freshet.pipeline.tasks import aws_client
from streaming_job.changed_keys import Deletes
from streaming_job.rows import FORCED, FOUND, MOVED

ROWS_PER_FILE_MAX: Final = 100_000
FIRST_AND_LAST_DAY: Final = (-719_162, 2_932_896)  # 0001-01-01 and 9999-12-31, in days since 1970
DAY_US: Final = 86_400_000_000
REPORT: Final[Any] = pa.schema(
    [("object", pa.string()), ("bytes", pa.int64()), ("rows", pa.map_(pa.string(), pa.int64()))]  # type: ignore[arg-type]
)
_OURS: Final[dict[str, pa.DataType]] = {
    "_freshet_op": pa.string(),
    HASH_COLUMN: pa.int64(),
    FORCED: pa.bool_(),
    "_freshet_key": pa.string(),
    "_freshet_entry": pa.string(),
    "_freshet_shard": pa.string(),
    "_freshet_sequence": pa.string(),
    "_freshet_reason": pa.string(),
    "_freshet_column": pa.string(),
}


@dataclass(frozen=True)
class Written:
    """One staged file: its key in the bucket, its bytes, its rows by op."""

    object: str
    bytes: int
    rows: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Staged:
    """What was staged: the manifest's URL, the keys of all objects, the totals that it names."""

    manifest: str
    objects: tuple[str, ...]
    rows: Mapping[str, int]
    bytes: int


@dataclass(frozen=True)
class Staging:
    """Where and how the rows of one round are staged; travels to tasks.

    Attributes:
        pipeline: The pipeline.
        key_outputs: The outputs that hold the fact's primary key, in the key's order.
        tokens: Which key makes tokens.
        bucket: S3 bucket.
        prefix: Prefix in it that only this round uses.
        frees: Some keys are in quarantine: each row says its key, so that a key whose fate is decided is freed.
    """

    pipeline: Pipeline
    key_outputs: tuple[str, ...]
    tokens: TokenKey
    bucket: str
    prefix: str
    frees: bool = False

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema of the staged files."""
        ours = pa.schema([pa.field(name, kind) for name, kind in _OURS.items()])
        every = pa.unify_schemas([pa.schema([pa.field(o.name, o.arrow) for o in self.pipeline.outputs]), ours])
        return pa.schema([every.field(name) for name in columns_staged(self.pipeline)])

    def stage(self, rows: pa.Table) -> Iterator[Written]:
        """Write rows for COPY.

        Args:
            rows: Outputs without their outermost protections, ADMITTED, UNFIT, and the flags of `streaming_job.rows`.
        """
        decided = self.decided(rows)
        for start in range(0, decided.num_rows, ROWS_PER_FILE_MAX):
            yield self.write(decided.slice(start, ROWS_PER_FILE_MAX))

    def decided(self, rows: pa.Table) -> pa.Table:
        """Give the rows as they are staged: each with its op, its hash, and values only if they are written."""
        outputs = self.pipeline.outputs
        rows = rows.combine_chunks()
        table = self._keys_as_warehouse(protected(rows, outputs, self.tokens))
        unfit = _first_refusal(table, outputs, self.key_outputs, table[UNFIT].combine_chunks())
        actions = ops(table, unfit, Deletes(self.pipeline.deletes))
        actions = self._keep_where_no_row_can_be(table, actions)
        written = pc.equal(actions, pa.scalar(str(Action.WRITE)))
        carries_key = pc.is_in(actions, pa.array([Action.WRITE, Action.DELETE, Action.MARK]))
        for output in outputs:
            kept = carries_key if output.name in self.key_outputs else written
            column = table[output.name].combine_chunks()
            place = table.schema.get_field_index(output.name)
            table = table.set_column(place, output.name, pc.if_else(kept, column, pa.scalar(None, column.type)))
        keys = self._encoded_keys(rows, actions)
        columns = {
            "_freshet_op": actions,
            HASH_COLUMN: hashes([table[output.name].combine_chunks() for output in outputs]),
            FORCED: table[FORCED],
            "_freshet_key": keys,
        }
        if pc.any(pc.equal(actions, pa.scalar(str(Action.QUARANTINE)))).as_py():
            columns["_freshet_column"], columns["_freshet_reason"] = _said(unfit)
        columns |= {output.name: table[output.name] for output in outputs}
        nothing = pa.nulls(table.num_rows, pa.string())
        arrays = [columns.get(field.name, nothing) for field in self.schema]
        staged = pa.table(arrays, names=self.schema.names).cast(self.schema)
        return staged if self.frees else staged.filter(pc.not_equal(staged["_freshet_op"], pa.scalar(str(Action.KEEP))))

    def _keys_as_warehouse(self, table: pa.Table) -> pa.Table:
        for name in self.key_outputs:
            if table[name].type == pa.string():
                place = table.schema.get_field_index(name)
                table = table.set_column(place, name, pc.utf8_rtrim(table[name], characters=" "))
        return table

    def _keep_where_no_row_can_be(self, table: pa.Table, actions: Any) -> Any:
        """A key that the target cannot hold has no row there to be removed or marked."""
        keys = [output for output in self.pipeline.outputs if output.name in self.key_outputs]
        impossible = pc.is_valid(_first_refusal(table, keys, self.key_outputs, pa.nulls(table.num_rows, pa.string())))
        gone = pc.is_in(actions, pa.array([Action.DELETE, Action.MARK]))
        return pc.if_else(pc.and_(impossible, gone), pa.scalar(str(Action.KEEP)), actions)

    def _encoded_keys(self, rows: pa.Table, actions: Any) -> Any:
        """Encode keys where a row needs its own: to be quarantined, or to be freed."""
        if self.frees:
            needed: Iterable[bool] = [True] * rows.num_rows
        elif pc.any(pc.equal(actions, pa.scalar(str(Action.QUARANTINE)))).as_py():
            needed = pc.equal(actions, pa.scalar(str(Action.QUARANTINE))).to_pylist()
        else:
            return pa.nulls(rows.num_rows, pa.string())
        typed = zip(*(rows[name].to_pylist() for name in self.key_outputs), strict=True)
        written = [encoded(as_warehouse(key)) if wanted else None for key, wanted in zip(typed, needed, strict=True)]
        return pa.array(written, pa.string())

    def write_decisions(
        self,
        records: Sequence[Sequence[str | None]],
        blanks: Iterable[tuple[str, str]],
        put: Mapping[str, object],
        drop: Iterable[str],
    ) -> Written | None:
        """Write what is staged beside rows; None if there is nothing.

        Args:
            records: Quarantined records: shard, sequence, reason, column.
            blanks: Quarantined keys that end in a blank, encoded, and the column of each.
            put: Pending entries to write, by id.
            drop: Ids of pending entries to remove.
        """
        names = ("_freshet_shard", "_freshet_sequence", "_freshet_reason", "_freshet_column")
        lines: list[dict[str, Any]] = [
            {"_freshet_op": RECORD, **dict(zip(names, record, strict=True))} for record in records
        ]
        lines += [
            {
                "_freshet_op": str(Action.QUARANTINE),
                "_freshet_key": key,
                "_freshet_reason": "key_ends_with_blank",
                "_freshet_column": column,
            }
            for key, column in blanks
        ]
        lines += [
            {"_freshet_op": PUT, "_freshet_key": name, "_freshet_entry": json.dumps(entry)}
            for name, entry in put.items()
        ]
        lines += [{"_freshet_op": DROP, "_freshet_key": name} for name in drop]
        return self.write(pa.Table.from_pylist(lines, self.schema)) if lines else None

    def write(self, table: pa.Table) -> Written:
        """Write one file."""
        buffer = io.BytesIO()
        # Redshift reads an INT64 timestamp without a converted type as the year 161065; INT96 is what it expects.
        pq.write_table(table, buffer, compression="snappy", use_deprecated_int96_timestamps=True)
        key, body = f"{self.prefix}/{uuid.uuid4()}.parquet", buffer.getvalue()
        aws_client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        return Written(key, len(body), Counter(map(str, table["_freshet_op"].to_pylist())))


def write_manifest(s3: Any, bucket: str, prefix: str, files: Sequence[Written]) -> Staged:
    """Name the files of one commit."""
    entries = [
        {"url": f"s3://{bucket}/{file.object}", "mandatory": True, "meta": {"content_length": file.bytes}}
        for file in files
    ]
    key = f"{prefix}/manifest.json"
    body = json.dumps({"entries": entries}).encode()
    s3.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/json")
    rows: Counter[str] = Counter()
    for file in files:
        rows.update(file.rows)
    total = sum(file.bytes for file in files)
    return Staged(f"s3://{bucket}/{key}", (key, *[file.object for file in files]), rows, total)


def delete_staged(s3: Any, bucket: str, objects: Sequence[str]) -> None:
    """Delete a commit's files."""
    for start in range(0, len(objects), 1000):
        wanted = [{"Key": key} for key in objects[start : start + 1000]]
        s3.delete_objects(Bucket=bucket, Delete={"Objects": wanted, "Quiet": True})


def _said(unfit: Any) -> tuple[Any, Any]:
    """Give column and reason of each row."""
    parts = [text.rsplit(":", 1) if text else (None, None) for text in unfit.to_pylist()]
    columns, reasons = [column or None for column, _ in parts], [reason for _, reason in parts]
    return pa.array(columns, pa.string()), pa.array(reasons, pa.string())


def ops(table: pa.Table, unfit: Any, deletes: Deletes) -> Any:
    """Decide what becomes of each key; row for row what `streaming_job.rows.action` says of one.

    Args:
        table: ADMITTED, FOUND, MOVED, UNFIT.
        unfit: Why a row cannot be staged; NULL if it can.
        deletes: The pipeline's mode.
    """
    found, moved = table[FOUND].combine_chunks(), table[MOVED].combine_chunks()
    # A value that could not be read may have decided whether the row is admitted.
    admitted = pc.or_(table[ADMITTED].combine_chunks(), pc.is_valid(table[UNFIT].combine_chunks()))
    when_gone = {Deletes.APPLY: Action.DELETE, Deletes.MARK: Action.MARK, Deletes.IGNORE: Action.KEEP}[deletes]
    there = pc.if_else(
        admitted,
        pc.if_else(pc.is_valid(unfit), str(Action.QUARANTINE), str(Action.WRITE)),
        str(Action.DELETE),
    )
    return pc.if_else(found, there, pc.if_else(moved, str(Action.DELETE), str(when_gone)))


def hashes(columns: Sequence[Any]) -> Any:
    """Hash rows of outputs as they leave: 64 bits, the same for the same values on any machine.

    Values are joined by a byte that no text holds, as Redshift takes no U+0000, and NULL is a byte that UTF-8 does not have.
    """
    texts = [column.cast(pa.string()).cast(pa.binary()) for column in columns]
    joined: Any = pc.binary_join_element_wise(  # type: ignore[call-overload]  # its stub knows no binary replacement
        *texts, pa.scalar(b"\x00", pa.binary()), null_handling="replace", null_replacement=b"\xff"
    )
    digests = [hashlib.blake2b(row, digest_size=8).digest() for row in joined.to_pylist()]
    return pa.array([int.from_bytes(digest, "big", signed=True) for digest in digests], pa.int64())


def _first_refusal(table: pa.Table, outputs: Sequence[Output], keys: Sequence[str], unfit: Any) -> Any:
    """Say for each row what Redshift would refuse first, as "output:reason"; NULL if nothing."""
    for output in outputs:
        for reason, bad in _refusals(table[output.name].combine_chunks(), output, output.name in keys):
            if pc.any(bad).as_py():
                verdict = pa.scalar(f"{output.name}:{reason}")
                unfit = pc.if_else(pc.and_(bad, pc.is_null(unfit)), verdict, unfit)
    return unfit


def _refusals(column: Any, output: Output, is_key: bool) -> Iterator[tuple[str, Any]]:
    if is_key:
        yield "key_is_null", pc.is_null(column)
    if output.redshift.startswith("varchar"):
        bytes_max = int(output.redshift.removeprefix("varchar(").removesuffix(")"))
        yield "too_many_bytes", _true(pc.greater(pc.binary_length(column), pa.scalar(bytes_max)))
        yield "has_nul_character", _true(pc.match_substring(column, "\x00"))
    elif output.redshift == "double precision":
        yield "not_a_finite_number", _true(pc.invert(pc.is_finite(column)))
    elif output.redshift == "date":
        yield "date_out_of_range", _outside(column.cast(pa.int32()), *FIRST_AND_LAST_DAY)
    elif output.redshift == "timestamp":
        first, last = FIRST_AND_LAST_DAY
        yield "date_out_of_range", _outside(column.cast(pa.int64()), first * DAY_US, (last + 1) * DAY_US - 1)


def _outside(column: Any, first: int, last: int) -> Any:
    return _true(
        pc.or_(pc.less(column, pa.scalar(first, column.type)), pc.greater(column, pa.scalar(last, column.type)))
    )


def _true(condition: Any) -> Any:
    return pc.fill_null(condition, False)
