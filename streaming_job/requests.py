"""Requests of others: objects beside the staged files, taken into pending by a commit and deleted after it.

An idle job asks no warehouse for work; so whoever wants keys looked at, or a sweep, leaves an object, which the job lists
every ten seconds.

Reads:  `PREFIX/PIPELINE/requests/*.json`; `freshet.ledger.requests` has their form.
Gives:  entries of pending work.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from freshet.ledger.pending import Entry
from freshet.ledger.requests import entries

log = logging.getLogger(__name__)

LISTED_EVERY_S: Final = 10.0


@dataclass
class Requests:
    """The requests for one pipeline.

    Attributes:
        s3: A boto3 client.
        bucket: The staging bucket.
        prefix: Where the requests lie.
    """

    s3: Any
    bucket: str
    prefix: str
    _listed_at: float = field(default=float("-inf"))

    def found(self, *, at_once: bool = False) -> dict[str, Sequence[Entry]]:
        """Give the requests that are there, by object; asks S3 every ten seconds at most, unless told otherwise."""
        if not at_once and time.monotonic() - self._listed_at < LISTED_EVERY_S:
            return {}
        self._listed_at = time.monotonic()
        answer = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}/")
        result = {}
        for each in answer.get("Contents", ()):
            body = self.s3.get_object(Bucket=self.bucket, Key=each["Key"])["Body"].read()
            try:
                result[each["Key"]] = entries(body)
            except (ValueError, KeyError, TypeError):
                log.error("the request %s cannot be read and is left where it is", each["Key"])
        return result

    def delete(self, objects: Sequence[str]) -> None:
        """Answer requests: their object is gone once they are pending work."""
        for name in objects:
            self.s3.delete_object(Bucket=self.bucket, Key=name)
