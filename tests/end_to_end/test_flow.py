"""A row changed in MySQL is in Redshift: through the binlog, DMS, Kinesis, Spark, S3 and the Data API."""

import threading
import time

import pytest

import streaming_job.evaluate
from tests.river import AT, River, deletes


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
    assert (36, 0, 0) == (ledger["written"], ledger["quarantined"], ledger["pending"])


@pytest.mark.parametrize("keys_of_the_driver", [2_000, 0], ids=["read by the driver", "read by tasks"])
def test_both_ways_of_reading_rows_give_the_same(
    own_stream: River, monkeypatch: pytest.MonkeyPatch, keys_of_the_driver: int
) -> None:
    """A small round is read by the driver itself, a large one by tasks; rows that are gone or unfit too."""
    monkeypatch.setattr(streaming_job.evaluate, "SMALL_ROUND", keys_of_the_driver)
    ran: list[str] = []
    for way in ("_here", "_in_tasks"):
        real = getattr(streaming_job.evaluate.Evaluation, way)

        def noting(evaluation: object, *arguments: object, way: str = way, real: object = real) -> object:
            ran.append(way)
            return real(evaluation, *arguments)  # type: ignore[operator]

        monkeypatch.setattr(streaming_job.evaluate.Evaluation, way, noting)
    own_stream.run_sql("update customer set phone = null where customer_id = 6")
    own_stream.sell(range(1, 21), 5)
    own_stream.drain()
    own_stream.sell([3, 4], 6)
    own_stream.run_sql(
        "delete from ticket_activity where ticket_id = 5",
        "update ticket_activity set ticket_id = 50 where ticket_id = 6",
    )
    own_stream.put(
        own_stream.sale(5, 5, operation="delete"), own_stream.record({"ticket_id": 50}, old={"ticket_id": 6})
    )
    own_stream.drain()
    assert {"_here" if keys_of_the_driver else "_in_tasks"} == set(ran)
    rows = own_stream.actual()
    assert own_stream.expected() == [row for row in rows if row[0] != 5]
    assert 5 in [row[0] for row in rows]  # deletes: ignore


def test_a_replay_of_the_whole_stream_changes_no_column(river: River) -> None:
    """Every row keeps every column, Freshet's own included; the rows are counted as unchanged."""
    river.simulate("incremental", "--count", "20")
    river.wait_for_dms()
    river.drain()
    before, counted = river.target(), river.ledger()
    river.drain(from_start=True)
    after = river.ledger()
    assert len(before) == 20
    assert before == river.target()
    assert (0, 20) == (after["written"] - counted["written"], after["unchanged"] - counted["unchanged"])


def test_two_changes_of_one_key_in_one_transaction_and_in_one_batch(river: River) -> None:
    """The row is read once, as it is; wherever in the batch or the transaction its changes stand."""
    river.simulate("incremental", "--count", "2")
    river.drain()
    ((key,),) = river.query("select min(ticket_id) from ticket_activity")
    with river.mysql() as mysql, mysql.cursor() as cursor:
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


def test_a_transaction_that_began_earlier_and_committed_later_wins(river: River) -> None:
    """The binlog stamps a statement with its start, so commit times run backwards here; no time decides anything."""
    river.simulate("incremental", "--count", "3")
    river.drain()
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


def test_rows_that_were_there_before_come_by_the_first_sweep(own_stream: River) -> None:
    """Nobody has to load them: no record names them."""
    own_stream.run_sql(f"insert into ticket_activity select ticket_id, 5, '{AT}', now(3) from ticket")
    own_stream.drain()
    assert own_stream.expected() == own_stream.actual()
    assert (100, 0) == (len(own_stream.actual()), own_stream.ledger()["received"])


def test_an_idle_pipeline_commits_nothing(own_stream: River) -> None:
    """Redshift Serverless may sleep: only a start is written once the table is filled and nothing changes."""
    own_stream.sell([1, 2], 5)
    own_stream.drain()
    filled = own_stream.ledger()
    own_stream.drain()
    after = own_stream.ledger()
    assert (filled["starts"] + 1, filled["batches"]) == (after["starts"], after["batches"])


def test_a_requested_key_is_written_again_and_heals_a_value_changed_by_hand(own_stream: River) -> None:
    """A request of keys bypasses the hash, which still says that the row is right; its object is gone afterwards."""
    own_stream.sell([1, 2], 5)
    own_stream.drain()
    own_stream.warehouse_run(f"update public.{own_stream.name} set name = 'by hand' where ticket_id = 1")
    own_stream.put(own_stream.sale(1, 5))
    own_stream.drain()
    assert own_stream.expected() != own_stream.actual()
    own_stream.request_keys((1,))
    own_stream.drain()
    assert own_stream.expected() == own_stream.actual()
    assert [] == own_stream.objects()


def test_a_requested_sweep_finds_what_no_record_names(own_stream: River) -> None:
    """A row of the target that the source never had goes, one that is missing comes."""
    own_stream.sell([1, 2, 3], 5)
    own_stream.change(deletes("apply"))
    own_stream.drain()
    table = f"public.{own_stream.name}"
    own_stream.warehouse_run(f"delete from {table} where ticket_id = 1")
    own_stream.warehouse_run(f"insert into {table} select * from {table} where ticket_id = 2")
    own_stream.warehouse_run(
        f"update {table} set ticket_id = 777 where ctid = (select min(ctid) from {table} where ticket_id = 2)"
    )
    own_stream.request_sweep()
    own_stream.drain()
    assert own_stream.expected() == own_stream.actual()
    assert [] == own_stream.objects()


def test_a_request_that_cannot_be_read_stays_and_stops_nothing(own_stream: River) -> None:
    """Whoever wrote it finds it where it was."""
    own_stream.sell([1], 5)
    key = own_stream.request_keys(name=own_stream.name)
    own_stream.place.client("s3").put_object(
        Bucket=own_stream.place.endpoints["staging_bucket"], Key=key, Body=b'{"what": "a table"}'
    )
    own_stream.drain()
    assert own_stream.expected() == own_stream.actual()
    assert [key] == own_stream.objects()
