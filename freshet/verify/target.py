"""Read the target's side of a comparison: its stored columns, unloaded to S3 by Redshift.

The Data API gives results of 500 MB at most, row by row; UNLOAD writes any table at once, typed. Some keys are read likewise:
they are copied into a temporary table and joined there, so that no key stands in a statement's text.

Reads:  the target's outputs and `_freshet_deleted_at`, never its hash.
Gives:  rows by key. What was written below the prefix is deleted at the end.

Source: Redshift Developer Guide, "UNLOAD" (PARQUET, MAXFILESIZE), "COPY from columnar data formats".
"""

import io
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from botocore.exceptions import BotoCoreError, ClientError

from freshet.errors import EnvironmentFault
from freshet.pipeline.ddl import quoted
from freshet.pipeline.model import DELETED_COLUMN, Output, Pipeline
from freshet.redshift.data_api import UnknownOutcome, Warehouse, pause
from freshet.redshift.literals import quote
from freshet.verify.rows import Form, Key, Stored, Values

ATTEMPTS_MAX: Final = 4
FILE_MB_MAX: Final = 96  # a file is read into memory; Parquet's files are cut at multiples of 32 MB
KEYS_TABLE: Final = "freshet_verify_keys"


@dataclass(frozen=True)
class Staging:
    """Where Redshift unloads to.

    Attributes:
        s3: A boto3 client.
        bucket: The staging bucket.
        prefix: Of all that this comparison writes; nobody else uses it.
        copy_role: ARN of the role with which Redshift reads and writes there.
    """

    s3: Any
    bucket: str
    prefix: str
    copy_role: str

    def url(self, *names: str) -> str:
        """Give the URL of something below the prefix."""
        return f"s3://{self.bucket}/{'/'.join((self.prefix, *names))}"

    def put(self, name: str, body: bytes) -> None:
        """Write an object below the prefix."""
        self._ask("put_object", Key=f"{self.prefix}/{name}", Body=body)

    def bodies(self, folder: str) -> Iterator[bytes]:
        """Read every object of a folder below the prefix, one after the other."""
        for key in self._keys(f"{self.prefix}/{folder}/"):
            yield self._ask("get_object", Key=key)["Body"].read()

    def clear(self) -> None:
        """Delete all that lies below the prefix."""
        keys = self._keys(f"{self.prefix}/")
        for start in range(0, len(keys), 1000):
            wanted = [{"Key": key} for key in keys[start : start + 1000]]
            self._ask("delete_objects", Delete={"Objects": wanted, "Quiet": True})

    def _keys(self, prefix: str) -> list[str]:
        found: list[str] = []
        more: dict[str, str] = {}
        while True:
            page = self._ask("list_objects_v2", Prefix=prefix, **more)
            found += [item["Key"] for item in page.get("Contents", [])]
            if not page.get("NextContinuationToken"):
                return found
            more = {"ContinuationToken": page["NextContinuationToken"]}

    def _ask(self, operation: str, **arguments: Any) -> Any:
        try:
            return getattr(self.s3, operation)(Bucket=self.bucket, **arguments)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            raise EnvironmentFault(
                f"S3 refused {operation} below s3://{self.bucket}/{self.prefix}/ ({code}): check the rights"
            ) from None
        except BotoCoreError as error:
            raise EnvironmentFault(f"S3 did not answer {operation} ({type(error).__name__})") from None


@dataclass(frozen=True)
class Target:
    """The target of one pipeline."""

    pipeline: Pipeline
    warehouse: Warehouse
    staging: Staging
    _form: Form = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_form", Form(self.pipeline))

    def rows(self) -> Iterator[tuple[Key, Values, bool]]:
        """Give every row as (key, outputs, marked deleted), as of one moment, in any order.

        Raises:
            StatementFailed: Redshift refuses to read the target.
            EnvironmentFault: S3 refuses.
        """
        yield from self._unloaded(lambda url: [self._unload(f"select {self._columns()} from {self._table}", url)])

    def by_keys(self, keys: Sequence[Key]) -> dict[Key, Stored]:
        """Read the rows of some keys; a key that the target does not have is left out. Errors as `rows`."""
        names = self._form.key_names
        of_key = [next(output for output in self.pipeline.outputs if output.name == name) for name in names]
        asked = [key for key in keys if all(map(_can_hold, of_key, key))]
        if not asked:
            return {}
        table = pa.table(
            {
                output.name: pa.array(values, output.arrow)
                for output, values in zip(of_key, zip(*asked, strict=True), strict=True)
            }
        )
        body = io.BytesIO()
        pq.write_table(table, body, compression="snappy", use_deprecated_int96_timestamps=True)
        name = f"keys/{uuid.uuid4()}.parquet"
        self.staging.put(name, body.getvalue())
        same = " and ".join(f"k.{quoted(name)} = t.{quoted(name)}" for name in names)
        query = f"select {self._columns('t.')} from {self._table} as t join {KEYS_TABLE} as k on {same}"
        definitions = ", ".join(f"{quoted(output.name)} {output.redshift}" for output in of_key)
        role = quote(self.staging.copy_role)

        def statements(url: str) -> list[str]:
            return [
                f"create temp table {KEYS_TABLE} ({definitions})",
                f"copy {KEYS_TABLE} from {quote(self.staging.url(name))} iam_role {role} format as parquet",
                self._unload(query, url),
                f"drop table {KEYS_TABLE}",
            ]

        found: dict[Key, Stored] = {}
        for key, values, is_marked in self._unloaded(statements):
            there = found.get(key)
            found[key] = Stored(values, is_marked, 1 if there is None else there.copies + 1)
        return found

    @property
    def _table(self) -> str:
        return f"{quoted(self.pipeline.target_schema)}.{quoted(self.pipeline.target_table)}"

    @cached_property
    def _marks(self) -> bool:
        return self.pipeline.deletes == "mark"

    def _columns(self, of: str = "") -> str:
        columns = [f"{of}{quoted(output.name)}" for output in self.pipeline.outputs]
        marked = f"case when {of}{DELETED_COLUMN} is null then 0 else 1 end" if self._marks else "0"
        return ", ".join([*columns, f"{marked} as {DELETED_COLUMN}"])

    def _unload(self, query: str, url: str) -> str:
        return (
            f"unload ({quote(query)}) to {quote(url)} iam_role {quote(self.staging.copy_role)} "
            f"format as parquet maxfilesize {FILE_MB_MAX} mb"
        )

    def _unloaded(self, statements: Any) -> Iterator[tuple[Key, Values, bool]]:
        """Run statements that unload; each attempt has a folder of its own, so that a lost one adds no file."""
        for attempt in range(ATTEMPTS_MAX):
            folder = str(uuid.uuid4())
            try:
                self.warehouse.run(statements(self.staging.url(folder, "")))
            except UnknownOutcome:
                pause(attempt)
                continue
            for body in self.staging.bodies(folder):
                yield from self._read(body)
            return
        raise EnvironmentFault(f"the Data API did not tell how an UNLOAD of {self.pipeline.target} ended: try again")

    def _read(self, body: bytes) -> Iterator[tuple[Key, Values, bool]]:
        file = pq.ParquetFile(io.BytesIO(body), coerce_int96_timestamp_unit="us")
        for batch in file.iter_batches(batch_size=20_000):
            table = pa.Table.from_batches([batch])
            marks = table[DELETED_COLUMN].to_pylist()
            for (key, values), marked in zip(self._form.rows(table), marks, strict=True):
                yield key, values, bool(marked)


def _can_hold(output: Output, value: Any) -> bool:
    """Tell whether a value of a key can be in the target at all; COPY refuses what its column cannot hold."""
    if output.redshift.startswith("varchar"):
        bytes_max = int(output.redshift.removeprefix("varchar(").removesuffix(")"))
        return isinstance(value, str) and len(value.encode()) <= bytes_max and "\0" not in value
    return not isinstance(value, str)
