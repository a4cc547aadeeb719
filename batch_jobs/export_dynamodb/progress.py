"""How far the writers are, while they write: each lays down a note in S3 now and then, and the driver adds the notes up.

Spark tells the driver what a task did when the task has ended, and a writer is one task. Nothing is decided by a note: one that
cannot be written or read is left out.

Reads and writes:  `progress/` below the run's folder in S3; gone with the run's other files.
"""

import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from batch_jobs.export_dynamodb import files
from freshet.errors import FreshetError


@dataclass(frozen=True)
class Far:
    """Items, rows and bytes that were written so far."""

    puts: int = 0
    rows: int = 0
    bytes: int = 0


class Notes:
    """One writer's note.

    Args:
        s3: Client.
        folder: `s3://` URL of all writers' notes, with a slash at its end.
        every_s: Seconds from one to the next.
    """

    def __init__(self, s3: Any, folder: str, every_s: float) -> None:
        self.s3, self.url, self.every_s, self._at = s3, f"{folder}{uuid.uuid4()}.json", every_s, time.monotonic()

    def tell(self, puts: int, rows: int, size: int) -> None:
        """Replace the note, if the last one is old."""
        if time.monotonic() - self._at < self.every_s:
            return
        self._at = time.monotonic()
        bucket, key = files.split(self.url)
        try:
            self.s3.put_object(Bucket=bucket, Key=key, Body=json.dumps([puts, rows, size]).encode())
        except (BotoCoreError, ClientError):
            return


def so_far(s3: Any, folder: str) -> Far:
    """Add up the notes of all writers."""
    notes = []
    for url in files.listed(s3, folder):
        bucket, key = files.split(url)
        with s3.get_object(Bucket=bucket, Key=key)["Body"] as body:
            notes.append(json.loads(body.read()))
    return Far(*(sum(each) for each in zip(*notes, strict=True)))


@contextmanager
def watched(every_s: float, look: Callable[[], None]) -> Iterator[None]:
    """Look again and again while the body works."""
    done = threading.Event()

    def work() -> None:
        while not done.wait(every_s):
            try:
                look()
            except (FreshetError, BotoCoreError, ClientError):  # tried again
                continue

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
