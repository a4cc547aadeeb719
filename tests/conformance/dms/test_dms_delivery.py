"""The sandbox's DMS loses nothing, whatever is killed; what it sends again, it sends with the same id.

Documents: DMS user guide, "At-least-once delivery", "Checkpoints"; Kinesis API reference, PutRecords.
"""

import json
import time
import urllib.request
from typing import Any

from sandbox import control
from tests.conformance.dms.box import Box, Sent

ROWS = 2000
ON_ITS_WAY_S = 1.0


def fault(box: Box, **fault: object) -> None:
    url = box.endpoints["aws"]["endpoint_url"] + "/_sandbox/faults"
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(fault).encode(), method="POST")).close()


def injected(box: Box, name: str) -> int:
    with urllib.request.urlopen(box.endpoints["aws"]["endpoint_url"] + "/_sandbox/faults") as answer:
        counts: dict[str, int] = json.load(answer)["injected"]
    return counts.get(name, 0)


def fill(box: Box, table: str) -> None:
    """Write every row twice, in transactions of a hundred rows."""
    box.sql(f"create table {table} (id int primary key, n int not null)")
    with box.connect() as link, link.cursor() as cursor:
        for first in range(0, ROWS, 100):
            rows = ", ".join(f"({number}, 0)" for number in range(first, first + 100))
            cursor.execute(f"insert into {table} values {rows}")
            cursor.execute(f"update {table} set n = 1 where id >= {first}")


def check(sent: list[Sent]) -> None:
    """Every change at least once; a transaction's id and a key always name the same change; each key ends with its last state."""
    by_id: dict[tuple[int, int], Any] = {}
    last: dict[int, int] = {}
    for record in sent:
        ids = record.metadata["transaction-id"], record.message["data"]["id"]
        assert by_id.setdefault(ids, record.message["data"]) == record.message["data"]
        last[record.message["data"]["id"]] = record.message["data"]["n"]
    assert len(by_id) == 2 * ROWS
    assert last == dict.fromkeys(range(ROWS), 1)


def test_a_killed_task_sends_again_and_loses_nothing(box: Box) -> None:
    """kill -9 while a put is on its way, and in a backlog: the saved position is the start of a transaction."""
    before = injected(box, "PutRecords.delay_s")
    fault(box, operation="PutRecords", fault="delay_s", value=ON_ITS_WAY_S)
    box.sql("create table first (id int primary key, n int default 1)", "insert into first (id) values (1), (2)")
    while injected(box, "PutRecords.delay_s") == before:
        time.sleep(0.01)
    control.stop_service(box.state, "dms", kill=True)
    fill(box, "killed")
    time.sleep(ON_ITS_WAY_S)
    control.start_service(box.state, "dms")
    box.kill("dms")
    check(box.changes("killed"))
    sent = [(s.metadata["transaction-id"], s.message["data"]["id"]) for s in box.changes("first")]
    assert len(set(sent)) == 2
    assert len(sent) == 4, "the task was killed when nothing was on its way"


def test_failed_entries_are_put_again_in_the_order_of_their_key(box: Box) -> None:
    """Entries that fail within a success are retried, and later ones of the same keys with them (PutRecords)."""
    before = injected(box, "PutRecords.fail_entries")
    fault(box, operation="PutRecords", fault="fail_entries", value=120, times=6)
    fill(box, "failed")
    check(box.changes("failed"))
    assert injected(box, "PutRecords.fail_entries") - before == 6


def test_lost_answers_double_but_lose_nothing(box: Box) -> None:
    """A PutRecords whose answer never came is sent again (duplicate records)."""
    before = injected(box, "PutRecords.lose_response")
    fault(box, operation="PutRecords", fault="lose_response", times=3)
    fill(box, "unheard")
    sent = box.changes("unheard")
    check(sent)
    assert injected(box, "PutRecords.lose_response") - before == 3
    assert len(sent) > 2 * ROWS


def test_a_stream_that_is_away_comes_back(box: Box) -> None:
    """The AWS endpoint is killed and starts again with all its records; DMS waits for it."""
    control.stop_service(box.state, "aws", kill=True)
    fill(box, "waited")
    control.start_service(box.state, "aws")
    check(box.changes("waited"))


def test_a_killed_database_keeps_what_was_committed(box: Box) -> None:
    """mariadbd is killed: rows and binlog have every commit, DMS goes on in the next binlog file."""
    fill(box, "survives")
    box.kill("mysql")
    box.sql("update survives set n = 1")
    with box.connect() as link, link.cursor() as cursor:
        cursor.execute("select count(*) from survives where n = 1")
        assert cursor.fetchone() == (ROWS,)
    check(box.changes("survives"))


def test_the_position_passes_what_gives_no_record(box: Box) -> None:
    """DDL, other files and changes that no rule selects move the position too: it can be waited for."""
    box.sql("create table moves (id int primary key)", "drop table moves", "flush binary logs")
    box.drain()
    assert control.binlog_position(box.state) == control.dms_position(box.state)
