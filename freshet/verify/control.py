"""What `verify` asks of the pipeline's control tables, and how it asks the job for keys.

Reads:  `freshet.PIPELINE_state`, `freshet.PIPELINE_quarantine`.
Gives:  up to when the target is complete; quarantined keys; request objects, which the job takes and deletes.
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from botocore.exceptions import BotoCoreError, ClientError

from freshet.errors import EnvironmentFault
from freshet.ledger.keys import as_warehouse, decoded
from freshet.ledger.requests import body_of_keys
from freshet.redshift.data_api import Row, Warehouse
from freshet.verify.rows import Key


class State(NamedTuple):
    """What the control tables say.

    Attributes:
        as_of: Every change that was in the stream by then is in the target, or pending; seconds. None before the first commit.
        pending_since: When the oldest pending work was first owed, seconds; None when nothing is pending.
        quarantined: Keys in quarantine.
        entries: Entries in quarantine; also those of records whose key could not be read.
    """

    as_of: float | None
    pending_since: float | None
    quarantined: frozenset[Key]
    entries: int


def read_state(warehouse: Warehouse, pipeline: str) -> State:
    """Read one pipeline's state.

    Raises:
        StatementFailed: The pipeline has no control tables.
    """
    rows = warehouse.query(f"select data_as_of, pending, pending_since from freshet.{pipeline}_state")
    keys = [row["key"] for row in warehouse.query(f'select "key" from freshet.{pipeline}_quarantine')]
    row: Row = rows[0] if rows else {"data_as_of": None, "pending": 0}
    pending_since = _seconds(row["pending_since"]) if row["pending"] else None
    quarantined = frozenset(as_warehouse(decoded(key)) for key in keys if key is not None)
    return State(_seconds(row["data_as_of"]), pending_since, quarantined, len(keys))


def _seconds(text: str | None) -> float | None:
    return None if text is None else datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@dataclass(frozen=True)
class Request:
    """A request that was put; the job deletes its object once the commit that took it is made."""

    s3: Any
    bucket: str
    key: str

    def is_answered(self) -> bool:
        """Tell whether the job has done what was asked."""
        try:
            self.s3.head_object(Bucket=self.bucket, Key=self.key)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NotFound"}:
                return True
            raise _refused(error) from None
        except BotoCoreError as error:
            raise _refused(error) from None
        return False

    def withdraw(self) -> None:
        """Delete the request."""
        try:
            self.s3.delete_object(Bucket=self.bucket, Key=self.key)
        except (ClientError, BotoCoreError) as error:
            raise _refused(error) from None


def ask_for(s3: Any, bucket: str, prefix: str, pipeline: str, keys: Sequence[Key]) -> Request:
    """Ask the job to write the rows of some keys, whatever the target has. Without keys: to commit how far it has come."""
    request = Request(s3, bucket, f"{prefix}/{pipeline}/requests/{uuid.uuid4()}.json")
    try:
        s3.put_object(Bucket=bucket, Key=request.key, Body=body_of_keys(keys), ContentType="application/json")
    except (ClientError, BotoCoreError) as error:
        raise _refused(error) from None
    return request


def _refused(error: Exception) -> EnvironmentFault:
    code = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
    return EnvironmentFault(f"the request to the job could not be made or asked about in S3 ({code}): check the rights")
