"""Small rounds over large tables, and one change that many rows follow.

    .venv/bin/python -m benchmarks.scale --rows 1000000

Part 1: what a round of 1,000 changes costs while the dimension and the target grow from thousands to `--rows`. The named limit is
the first line, with everything small, in the same run.

Part 2: a customer with `--followers` facts changes while 50 changes a second flow. All rows follow; how late the others come
is compared with how late they came before. The job runs with its default cap of 5,000 rows a second.
"""

import argparse
import json
import os
import statistics
import threading
import time
from functools import partial
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.cpu import OF_JOB, Watch
from benchmarks.shop import NO_CAP, PIPELINE, UNTIL_IDLE, note_rounds, own_sandbox, run_job, small_shop
from freshet.cli.context import Place
from freshet.cli.job_process import JobProcess
from freshet.cli.run import start_job
from freshet.ledger import requests
from freshet.pipeline.connection import connect
from freshet.redshift.data_api import Warehouse
from sandbox import mysql

TARGET = "public.sport_event_activity"
COMMITS = "freshet.sport_event_activity_commits"
RATE = 50
console = Console(stderr=True)


def main() -> None:
    """Measure both parts; print tables and one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of the large tables; default: %(default)s")
    parser.add_argument("--rounds", type=int, default=12, help="rounds a line; default: %(default)s")
    parser.add_argument("--followers", type=int, default=200_000, help="facts of one customer; default: %(default)s")
    chosen = parser.parse_args()
    with own_sandbox("scale") as (place, _):
        small_shop(place, 20_000)
        lines = {"all small": rounds(place, chosen.rounds)}
        grow(place, "customer", "name, email, phone", chosen.rows)
        spread(place)
        lines[f"{chosen.rows:,} customers"] = rounds(place, chosen.rounds)
        grow(place, "ticket", "event_id, seat_level, seat_location, ticket_price", chosen.rows)
        fill_target(place)
        lines[f"and {chosen.rows:,} rows in the target"] = rounds(place, chosen.rounds)
        followed = walk(place, chosen.followers)
    show(lines, followed)
    print(json.dumps({"rounds": lines, "walk": followed, "cores": os.cpu_count()}))


def run_unseen(place: Place, *statements: str) -> None:
    """Change the source without a record in the binlog: the stream is not what is measured."""
    link = mysql.connect(
        place.endpoints["mysql"], as_administrator=True, database=place.source_database, autocommit=True
    )
    with link, link.cursor() as cursor:
        for statement in ("set sql_log_bin = 0", "set foreign_key_checks = 0", *statements):
            cursor.execute(statement)


def grow(place: Place, table: str, columns: str, rows: int) -> None:
    """Double a table until it has that many rows."""
    have = count(place, table)
    while have < rows:
        more = min(have, rows - have)
        run_unseen(place, f"insert into {table} ({columns}) select {columns} from {table} limit {more}")
        have += more
    run_unseen(place, f"analyze table {table}")


def spread(place: Place) -> None:
    """Let the facts refer to customers from all over their table; some numbers have no customer."""
    customers = count(place, "customer")
    run_unseen(place, f"update ticket_activity set purchased_by = 1 + (ticket_id * 7919) % {customers}")


def fill_target(place: Place) -> None:
    """Sell every ticket, and let a sweep bring the target up to that."""
    customers = count(place, "customer")
    now = "utc_timestamp(3)"
    run_unseen(
        place,
        f"insert ignore into ticket_activity select ticket_id, 1 + (ticket_id * 7919) % {customers}, {now}, {now} from ticket",
        "analyze table ticket_activity",
    )
    sweep(place)


def sweep(place: Place) -> None:
    """Let the job look at every row, uncapped."""
    body = b'{"what": "sweep"}'
    assert requests.entries(body)
    key = f"staging/{PIPELINE.name}/requests/sweep.json"
    place.client("s3").put_object(Bucket=place.endpoints["staging_bucket"], Key=key, Body=body)
    run_job(place, PIPELINE, [*NO_CAP, *UNTIL_IDLE])


def count(place: Place, table: str) -> int:
    """Count a table's rows."""
    return int(ask(place, f"select count(*) from {table}"))


def ask(place: Place, statement: str) -> Any:
    """Give the one value that the source answers."""
    with connect(place.mysql, place.source_database) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        rows: Any = cursor.fetchall()
        return rows[0][0]


def touch(place: Place, customer: int, number: int, changes: int) -> None:
    """Change facts that no other call changes, and none of one customer's."""
    with connect(place.mysql, place.source_database) as connection, connection.cursor() as cursor:
        cursor.execute(
            f"update ticket_activity set updated_at = utc_timestamp(3) where purchased_by <> {customer} "
            f"and ticket_id > {number * changes} order by ticket_id limit {changes}"
        )
        connection.commit()


def rounds(place: Place, times: int) -> dict[str, Any]:
    """Give the median seconds and the CPU of rounds of 1,000 changes; reading the stream is left out."""
    found: list[dict[str, Any]] = []
    job = start_job(place, [PIPELINE], ["--every_s", "0.5"], partial(note_rounds, found))
    watch, warm, before = Watch(place, job.process.pid), 3, {}
    for number in range(times + warm):
        if number == warm:
            found.clear()
            before = watch.cpu_s()
        seen = sum(one["received"] for one in found)
        touch(place, 0, number % 8, 1_000)
        while sum(one["received"] for one in found) < seen + 1_000:
            time.sleep(0.05)
    after = watch.cpu_s()
    job.stop()
    full = [one["seconds"] for one in found if one["received"] >= 900]
    seconds = [sum(value for step, value in one.items() if step != "read") for one in full]
    cpu = {part: round((after[part] - before[part]) / times * 1000, 1) for part in after}
    return {
        "round_s": round(statistics.median(seconds), 3),
        "rows_s": round(statistics.median(one["rows"] for one in full), 3),
        "commit_s": round(statistics.median(one["commit"] for one in full), 3),
        "cpu_ms_job": round(sum(cpu[part] for part in OF_JOB), 1),
        "cpu_ms_mysql": cpu["mysql"],
        "cpu_ms_redshift": cpu["redshift"],
    }


def walk(place: Place, followers: int) -> dict[str, Any]:
    """Change a customer whom many facts refer to, beside other changes."""
    run_unseen(place, f"update ticket_activity set purchased_by = 1 order by ticket_id desc limit {followers}")
    sweep(place)
    job = start_job(place, [PIPELINE], ["--every_s", "1"])
    flow = Flow(place)
    try:
        time.sleep(10)
        watch = Watch(place, job.process.pid)
        normal = flow.lateness(place, 30.0)
        alone = watch.cpu_s()["mysql"]
        began = time.monotonic()
        with connect(place.mysql, place.source_database) as connection, connection.cursor() as cursor:
            cursor.execute("update customer set name = 'Followed By Many' where customer_id = 1")
            connection.commit()
        meanwhile = flow.lateness(place, 30.0)
        while following(place.warehouse) < followers and job.process.poll() is None:
            time.sleep(0.5)
        seconds = time.monotonic() - began
        spent = watch.cpu_s()["mysql"] - alone - alone / 30.0 * seconds
    finally:
        flow.stop()
        stop(job)
    return {
        "followed": followers,
        "seconds": round(seconds, 1),
        "normal_p95_s": normal,
        "meanwhile_p95_s": meanwhile,
        "mysql_us_a_row": round(spent / followers * 1e6, 1),
    }


def stop(job: JobProcess) -> None:
    """Stop the job, which has to have lived."""
    if job.stop():
        raise SystemExit("the job failed")


def following(warehouse: Warehouse) -> int:
    """Count the rows that follow the customer's new name."""
    found = warehouse.query(f"select count(*) as n from {TARGET} where name = 'Followed By Many'")
    return int(str(found[0]["n"]))


class Flow(threading.Thread):
    """Changes 50 facts a second, each once."""

    def __init__(self, place: Place) -> None:
        super().__init__(daemon=True)
        self.place, self.stopping = place, threading.Event()
        self.start()

    def run(self) -> None:
        """Change five facts ten times a second."""
        due = time.monotonic()
        for number in range(10_000_000):
            if self.stopping.wait(max(0.0, due - time.monotonic())):
                return
            touch(self.place, 1, number, RATE // 10)
            due += 0.1

    def stop(self) -> None:
        """End."""
        self.stopping.set()
        self.join()

    def lateness(self, place: Place, seconds: float) -> float:
        """Give the 95th percentile of the seconds from a change in the source to its commit in the warehouse."""
        began = ask(place, "select utc_timestamp(3)")
        time.sleep(seconds)
        ended = ask(place, "select utc_timestamp(3)")
        time.sleep(15.0)
        found = place.warehouse.query(
            "select percentile_cont(0.95) within group (order by extract(epoch from (c.committed_at - t.updated_at))) as p95, "
            f"count(*) as n from {TARGET} t join {COMMITS} c on c.commit_id = t._freshet_commit "
            f"where t.purchased_by <> 1 and t.updated_at between '{began}' and '{ended}'"
        )
        assert int(str(found[0]["n"])) > RATE * seconds / 2, found
        return round(float(str(found[0]["p95"])), 2)


def show(lines: dict[str, dict[str, Any]], followed: dict[str, Any]) -> None:
    """Print both tables."""
    first = next(iter(lines.values()))
    table = Table("rounds of 1,000 changes", *lines)
    for name in first:
        table.add_row(name, *(str(line[name]) for line in lines.values()))
    table.add_row("to the first", *(f"{line['round_s'] / first['round_s']:.2f}" for line in lines.values()))
    console.print(table)
    table = Table("a change that many rows follow", "")
    for name, value in followed.items():
        table.add_row(name, str(value))
    console.print(table)


if __name__ == "__main__":
    main()
