"""What a transaction reads beside the files: their list, for the files table, and the manifest, for COPY.

A list of 1,000 names is longer than a statement may be, so it is a file too.

Writes:  two objects a batch, deleted once the batch is over; what a killed run leaves does no harm, and a lifecycle rule of the
         bucket may remove it.

Source: Redshift database developer guide, "Using a manifest to specify data files" (content_length is a must with Parquet).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from batch_jobs.load.listing import refusal
from batch_jobs.load.specification import Load
from batch_jobs.load.transaction import Batch
from freshet.errors import InputError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Staging:
    """Where lists and manifests are written."""

    s3: Any
    bucket: str
    prefix: str

    def check(self, load: Load) -> None:
        """See that no list is ever taken for a file of the load.

        Raises:
            InputError: The load's prefix holds the staging folder.
        """
        if load.bucket == self.bucket and self._folder.startswith(load.prefix):
            raise InputError(
                f"load {load.name} reads {load.url}, below which Freshet writes its own lists "
                f"(s3://{self.bucket}/{self._folder}): give it a narrower prefix"
            )

    @property
    def _folder(self) -> str:
        return f"{self.prefix.strip('/')}/loads/" if self.prefix.strip("/") else "loads/"

    def _keys(self, load: Load, batch: Batch) -> tuple[str, str]:
        stem = f"{self._folder}{load.name}/{batch.run}/{batch.id}"
        return f"{stem}.files.json", f"{stem}.manifest.json"

    def write(self, load: Load, batch: Batch) -> tuple[str, str]:
        """Write a batch's list and manifest.

        Returns:
            Their urls.

        Raises:
            EnvironmentFault: S3 refuses, or does not answer.
        """
        lines = [
            _json({"file_hex": file.hex, "file": file.url, "size": file.size, "etag": file.etag})
            for file in batch.files
        ]
        entries = [{"url": file.url, "mandatory": True, "meta": {"content_length": file.size}} for file in batch.files]
        listed, manifest = self._keys(load, batch)
        self._put(listed, "\n".join(lines))
        self._put(manifest, _json({"entries": entries}))
        return f"s3://{self.bucket}/{listed}", f"s3://{self.bucket}/{manifest}"

    def _put(self, key: str, text: str) -> None:
        try:
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode())
        except (ClientError, BotoCoreError) as error:
            raise refusal(error, f"write s3://{self.bucket}/{key}", self.bucket) from None

    def drop(self, load: Load, batch: Batch) -> None:
        """Delete them; if that fails, they stay."""
        try:
            for key in self._keys(load, batch):
                self.s3.delete_object(Bucket=self.bucket, Key=key)
        except (ClientError, BotoCoreError) as error:
            log.warning("the list of batch %s was not deleted (%s)", batch.id, type(error).__name__)


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False)  # names as they are: no reader need know pairs of escapes
