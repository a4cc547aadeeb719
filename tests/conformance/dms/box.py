"""What the tests of DMS need: a running sandbox, and a look into its stream."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import boto3

from sandbox import control, mysql
from sandbox.state import State, read_json
from tests.patience import HANGS_S


class Sent(NamedTuple):
    """One record of the stream."""

    shard: str
    key: str
    message: dict[str, Any]

    @property
    def metadata(self) -> dict[str, Any]:
        metadata: dict[str, Any] = self.message["metadata"]
        return metadata


class Box:
    """A running sandbox."""

    def __init__(self, state: Path, server: str, *mysql_options: str) -> None:
        self.state, self.server = state, server
        self.endpoints = control.start(state, tied=True, mysql=server, mysql_options=mysql_options)
        environment = control.environment(self.endpoints)
        self.kinesis = boto3.client(
            "kinesis",
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            region_name=environment["AWS_REGION"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        )
        self.read: list[Sent] = []
        self._read_up_to: dict[str, str] = {}

    def connect(self) -> Any:
        return mysql.connect(self.endpoints["mysql"], database="sports", autocommit=True)

    def sql(self, *statements: str) -> None:
        with self.connect() as link, link.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def drain(self) -> None:
        """Wait until DMS has delivered what is committed by now."""
        until, wanted = time.monotonic() + HANGS_S, control.binlog_position(self.state)
        while control.dms_position(self.state) < wanted:
            assert control.dms_problem(self.state) is None, self.dms_log()
            assert time.monotonic() < until, self.dms_log()
            time.sleep(0.01)

    def dms_log(self) -> str:
        return (State(self.state).logs / "dms.log").read_text()

    def sent(self, table: str, schema: str = "sports") -> list[Sent]:
        """Give the records of one table, in the order of each shard, once DMS has delivered all."""
        self.drain()
        return self.read_now(table, schema)

    def read_now(self, table: str, schema: str = "sports") -> list[Sent]:
        """Give the records of one table that are in the stream by now."""
        stream = self.endpoints["stream"]
        for shard in self.kinesis.list_shards(StreamName=stream)["Shards"]:
            self._read(stream, shard["ShardId"])
        named = (schema, table)
        return [sent for sent in self.read if named == (sent.metadata["schema-name"], sent.metadata["table-name"])]

    def changes(self, table: str) -> list[Sent]:
        """Give the data records of one table that are no `load`."""
        data = [sent for sent in self.sent(table) if sent.metadata["record-type"] == "data"]
        return [sent for sent in data if sent.metadata["operation"] != "load"]

    def _read(self, stream: str, shard: str) -> None:
        """Read what came since the last time; an iterator lives five minutes, a sequence number as long as its record."""
        after = self._read_up_to.get(shard)
        start = {"ShardIteratorType": "AFTER_SEQUENCE_NUMBER", "StartingSequenceNumber": after}
        iterator = self._at_its_rate(
            self.kinesis.get_shard_iterator,
            StreamName=stream,
            ShardId=shard,
            **start if after else {"ShardIteratorType": "TRIM_HORIZON"},
        )["ShardIterator"]
        while True:
            page = self._at_its_rate(self.kinesis.get_records, ShardIterator=iterator)
            iterator = page["NextShardIterator"]
            for record in page["Records"]:
                self.read.append(Sent(shard, record["PartitionKey"], json.loads(record["Data"])))
                self._read_up_to[shard] = record["SequenceNumber"]
            if not page["MillisBehindLatest"]:
                return

    def _at_its_rate(self, call: Callable[..., Any], **arguments: Any) -> Any:
        """Call as often as the shard takes it: 5 times a second, for an iterator and for records alike."""
        while True:
            try:
                return call(**arguments)
            except self.kinesis.exceptions.ProvisionedThroughputExceededException:
                time.sleep(0.2)

    def kill(self, name: str) -> None:
        """Kill a service and wait until the supervisor has started it again."""
        before = control.status(self.state)["services"][name]
        os.kill(before["pid"], 9)
        until = time.monotonic() + HANGS_S
        while (read_json(State(self.state).status) or {})["services"][name]["restarts"] == before["restarts"]:
            assert time.monotonic() < until
            time.sleep(0.01)
        control.start_service(self.state, name)
