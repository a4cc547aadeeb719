"""The job, whose stream is a file of pages: what it takes without Kinesis.

`python -m benchmarks.canned ARGUMENTS` is `python -m streaming_job ARGUMENTS`. The file is named by BENCHMARK_PAGES; what
BENCHMARK_WITHOUT names (`probe`, `hash`, `counts`) is left out, so that its price can be told.
"""

import bisect
import os
import pickle
import re
import sys
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import orjson

import streaming_job.round
from freshet.ledger import commit_sql, ledger
from streaming_job import connect, kinesis, session
from streaming_job.__main__ import main

RECORDS_PER_PAGE = 5_000
Pages = dict[str, list[tuple[int, int, bytes]]]  # of each shard: first and last sequence number, and the answer's body


class Canned:
    """A client whose records are in memory, as the service's answers; what else is asked, Kinesis says."""

    def __init__(self, client: Any, pages: Pages) -> None:
        self.client, self.pages = client, pages
        self.parser = kinesis._PageParser(None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.client, name)

    def get_shard_iterator(self, *, ShardId: str, **start: Any) -> dict[str, str]:  # noqa: N803
        """Give the place of the first page that begins after a sequence number."""
        after = int(start.get("StartingSequenceNumber", 0))
        first = bisect.bisect_right([last for _, last, _ in self.pages[ShardId]], after)
        return {"ShardIterator": f"{ShardId} {first}"}

    def get_records(self, *, ShardIterator: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        """Give a page."""
        shard, number = ShardIterator.split()
        pages, place = self.pages[shard], int(number)
        if place >= len(pages):
            return {"Records": [], "NextShardIterator": ShardIterator, "MillisBehindLatest": 0}
        answer = {"status_code": 200, "headers": {}, "body": pages[place][2]}
        page: dict[str, Any] = self.parser.parse(answer, _Shape())
        behind = 0 if place + 1 == len(pages) else 60_000
        return {**page, "NextShardIterator": f"{shard} {place + 1}", "MillisBehindLatest": behind}


class _Shape:
    name = "GetRecordsOutput"


def can(records: Mapping[str, list[dict[str, Any]]]) -> Pages:
    """Give pages as the service would answer them.

    Args:
        records: Records of each shard, as botocore's client gives them, with the body in base64.
    """
    pages: Pages = {}
    for shard, every in records.items():
        pages[shard] = []
        for start in range(0, len(every), RECORDS_PER_PAGE):
            part = every[start : start + RECORDS_PER_PAGE]
            ends = int(part[0]["SequenceNumber"]), int(part[-1]["SequenceNumber"])
            pages[shard].append((*ends, orjson.dumps({"Records": part})))
    return pages


def _no_probe(_: Any) -> Generator[Any, Any, dict[str, Any]]:
    yield from ()
    return {}


def _uncounted(*arguments: Any) -> list[str]:
    """Give a commit without the statements that count: how many rows were staged, are new, were removed."""
    statements = commit_sql.transaction(*arguments)
    return [text for text in statements if not re.match(r"update \S+_commits set ", text)]


if __name__ == "__main__":
    canned: Pages = pickle.loads(Path(os.environ["BENCHMARK_PAGES"]).read_bytes())
    real, without = kinesis.kinesis_client, os.environ.get("BENCHMARK_WITHOUT", "").split()
    setattr(connect, "kinesis_client", lambda: Canned(real(), canned))  # noqa: B010 - it is no name that the module gives away
    if "probe" in without:
        setattr(streaming_job.round, "probe", _no_probe)  # noqa: B010 - likewise
    if "hash" in without:
        session.SETTINGS["spark.python.daemon.module"] = "benchmarks.thin_worker"
    if "counts" in without:
        setattr(ledger, "transaction", _uncounted)  # noqa: B010 - likewise
    sys.exit(main())
