"""A row changed in MySQL is in Redshift: through the binlog, DMS, Kinesis, Spark, S3 and the Data API."""

import threading
import time

from tests.river import River


def test_sales_and_changes_arrive_joined_tokenized_and_masked(river: River) -> None:
    """The target equals what plain SQL joins and a few lines of Python compute from MySQL."""
    river.simulate("incremental", "--count", "30")
    river.wait_for_dms()
    river.drain()
    assert len(river.actual()) == 30
    assert river.expected() == river.actual()
    changed = river.actual()[7][0]
    river.simulate("upsert", "--ticket_id_to_be_updated", str(changed))
    river.simulate("incremental", "--count", "5")
    river.wait_for_dms()
    river.drain()
    assert len(river.actual()) == 35
    assert river.expected() == river.actual()
    ledger = river.ledger()
    assert ledger["merged"] == 36
    assert ledger["received"] == sum(
        ledger[name] for name in ("merged", "superseded", "propagated", "ignored", "quarantined")
    )


def test_a_replay_of_the_whole_stream_changes_no_column(river: River) -> None:
    """Every row keeps every column, Freshet's own included; the records are counted as superseded."""
    river.simulate("incremental", "--count", "20")
    river.wait_for_dms()
    river.drain()
    before = river.target()
    river.drain(from_start=True)
    assert len(before) == 20
    assert before == river.target()
    assert river.ledger()["superseded"] == 20


def test_two_changes_of_one_key_in_one_transaction_and_in_one_batch(river: River) -> None:
    """The last one wins, wherever in the batch or the transaction it stands."""
    river.simulate("incremental", "--count", "2")
    ticket = "(select min(ticket_id) from ticket_activity)"
    with river.mysql() as mysql, mysql.cursor() as cursor:
        cursor.execute(f"select {ticket}")
        (key,) = cursor.fetchone()
        cursor.execute("start transaction")
        for customer in (11, 12, 13):
            cursor.execute("update ticket_activity set purchased_by = %s where ticket_id = %s", (customer, key))
        cursor.execute("commit")
        for customer in (21, 22):
            cursor.execute("update ticket_activity set purchased_by = %s where ticket_id = %s", (customer, key))
    river.wait_for_dms()
    river.drain()
    assert {22} == {row[8] for row in river.actual() if row[0] == key}
    assert river.expected() == river.actual()
    assert river.ledger()["superseded"] == 5


def test_a_transaction_that_began_earlier_and_committed_later_wins(river: River) -> None:
    """The binlog stamps a statement with its start, so commit times run backwards here; the order of commits decides."""
    river.simulate("incremental", "--count", "3")
    with river.mysql() as first, river.mysql() as second, first.cursor() as holder:
        holder.execute("select max(ticket_id) from ticket_activity")
        (key,) = holder.fetchone()
        holder.execute("start transaction")
        holder.execute("update ticket_activity set purchased_by = 31 where ticket_id = %s", (key,))

        def everything() -> None:  # its statement begins now, waits for the lock, and commits last
            with second.cursor() as waiting:
                waiting.execute("update ticket_activity set purchased_by = 32")

        waiting = threading.Thread(target=everything)
        waiting.start()
        time.sleep(2.5)
        holder.execute("update ticket_activity set updated_at = utc_timestamp(6) where ticket_id = %s", (key,))
        holder.execute("commit")
        waiting.join(30)
    river.wait_for_dms()
    river.drain()
    assert {32} == {row[8] for row in river.actual()}
    assert river.expected() == river.actual()


def test_rows_that_were_there_before_come_with_the_full_load_and_lose_to_changes(own_stream: River) -> None:
    """A `load` record is below every change, whichever arrives first."""
    load = {"operation": "load", "transaction_id": None, "transaction_record_id": None, "commit_timestamp": None}
    own_stream.put(own_stream.sale(1, 5, **load), own_stream.sale(2, 6))
    own_stream.drain()
    own_stream.put(own_stream.sale(1, 7), own_stream.sale(2, 8, **load))
    own_stream.drain()
    assert [(row[0], row[8]) for row in own_stream.actual()] == [(1, 7), (2, 6)]


def test_an_idle_pipeline_commits_nothing(own_stream: River) -> None:
    """Redshift Serverless may sleep: only a start is written when there is nothing to merge."""
    own_stream.drain()
    own_stream.drain()
    ledger = own_stream.ledger()
    assert (ledger["starts"], ledger["batches"]) == (2, 0)
