"""Put records to the stream: in order for each key, in batches, again and again until they are there.

Reads:  DIR/aws.json for the endpoint, anew when it does not answer: it may have come back elsewhere.

boto3 costs several times what building the records does, so the requests are written by hand.

Source: Kinesis API reference, PutRecords (500 records, 10 MiB, entries that fail within a success).
"""

import binascii
import http.client
import json
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from sandbox.dms.errors import Undeliverable
from sandbox.dms.records import Record
from sandbox.state import read_json

RECORDS_MAX = 500
BYTES_MAX = 8 * 1024 * 1024
RECORD_BYTES_MAX = 1024 * 1024
HEADERS = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": "Kinesis_20131202.PutRecords"}
BACK_OFF_S = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)


class Delivery:
    """The way to one stream.

    Args:
        endpoint_file: DIR/aws.json.
        stream: Name of the stream.
        stopping: Asked between attempts: a task that shall end does not wait for the stream.
    """

    def __init__(self, endpoint_file: Path, stream: str, stopping: Callable[[], bool]) -> None:
        self._endpoint_file, self._stream, self._stopping = endpoint_file, stream, stopping
        self._link: http.client.HTTPConnection | None = None
        self._pending: list[tuple[bytes, str]] = []
        self._pending_bytes = 0
        self.delivered = 0

    @property
    def full(self) -> bool:
        """Whether it is time to flush."""
        return len(self._pending) >= RECORDS_MAX or self._pending_bytes >= BYTES_MAX

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._pending

    def add(self, record: Record) -> None:
        """Take a record to be put at the next flush.

        Raises:
            Undeliverable: No stream takes one so large.
        """
        text, key = record
        data = text.encode()
        size = len(data) + len(key.encode())
        if size > RECORD_BYTES_MAX:
            raise Undeliverable(f"its record has {size} bytes, and a stream takes at most {RECORD_BYTES_MAX}")
        self._pending.append((data, key))
        self._pending_bytes += size

    def flush(self) -> bool:
        """Put all that waits; False when the task shall end before it is done."""
        while self._pending:
            count = _fitting(self._pending)
            if not self._put(self._pending[:count]):
                return False
            self.delivered += count
            del self._pending[:count]
        self._pending_bytes = 0
        return True

    def close(self) -> None:
        """End the connection."""
        if self._link:
            self._link.close()
            self._link = None

    def _put(self, records: list[tuple[bytes, str]]) -> bool:
        attempt = 0
        while records:
            failed = self._try(records)
            if not failed:
                return True
            if self._stopping():
                return False
            time.sleep(BACK_OFF_S[min(attempt, len(BACK_OFF_S) - 1)])
            attempt += 1
            # What of the same key came after a failed one goes again too: its last state must be put last.
            keys = {records[index][1] for index in failed}
            records = [record for record in records[failed[0] :] if record[1] in keys]
        return True

    def _try(self, records: list[tuple[bytes, str]]) -> list[int]:
        """Put once; gives the indexes of the entries that failed: all of them when there was no good answer."""
        entries = [
            '{"Data":"'
            + binascii.b2a_base64(data, newline=False).decode()
            + '","PartitionKey":'
            + json.dumps(key)
            + "}"
            for data, key in records
        ]
        body = f'{{"StreamName":{json.dumps(self._stream)},"Records":[{",".join(entries)}]}}'
        every = list(range(len(records)))
        try:
            if self._link is None:
                self._link = self._connect()
            self._link.request("POST", "/", body.encode(), HEADERS)
            response = self._link.getresponse()
            content = response.read()
        except (OSError, http.client.HTTPException):
            self.close()
            return every
        if response.status != 200:
            return every
        answer = json.loads(content)
        if not answer["FailedRecordCount"]:
            return []
        return [index for index, entry in enumerate(answer["Records"]) if "ErrorCode" in entry]

    def _connect(self) -> http.client.HTTPConnection:
        known = read_json(self._endpoint_file)
        if known is None:
            raise ConnectionError(f"{self._endpoint_file} is missing")
        return http.client.HTTPConnection(urlsplit(known["endpoint_url"]).netloc, timeout=30)


def _fitting(records: list[tuple[bytes, str]]) -> int:
    """Count how many of the first records one request takes."""
    size = 0
    for count, (data, _) in enumerate(records[:RECORDS_MAX]):
        size += len(data)
        if size > BYTES_MAX and count:
            return count
    return min(len(records), RECORDS_MAX)
