"""`freshet demo`: the whole river on this machine, told as a story: rows change, the stream is split, the job is killed.

The demo owns its sandbox, under `.freshet/demo`, and makes it anew each time. Whatever happens, nothing stays behind.
"""

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from subprocess import DEVNULL, TimeoutExpired
from typing import Any

import typer
from rich.table import Table

from freshet.cli.capture import refuse_stopped
from freshet.cli.context import JSON_OPTION, ROOT, Place, demo_folder, last_line, out, seconds, start_sandbox
from freshet.cli.demo_probe import Probe
from freshet.cli.demo_screen import Screen
from freshet.cli.job_process import JobProcess
from freshet.cli.run import start_job
from freshet.cli.simulate import start_simulator
from freshet.cli.verify import open_verifiers
from freshet.errors import FreshetError, TerminalError
from freshet.ledger.status import summary
from freshet.pipeline.connection import connect
from freshet.pipeline.protection import mask_digits_text

PIPELINE = "sport_event_activity"
PREMIUM = "premium_sales"
TARGET = f"public.{PIPELINE}"
PREMIUM_TARGET = f"public.{PREMIUM}"
PREMIUM_PRICE = 150
# Limits for what hangs; a busy machine is slow.
FIRST_ROW_WITHIN_S = 600.0
DRAINED_WITHIN_S = 600.0
LAG_S = 2.0  # DMS of the sandbox is that quick


def demo(
    duration: str = typer.Option(None, "--for", help="How long tickets sell; on a terminal until Ctrl-C, else 60s."),
    rate: float = typer.Option(20.0, "--rate", min=0.1, max=1000, help="Tickets sold a second."),
    json_output: bool = JSON_OPTION,
) -> int:
    """Show the whole pipeline on this machine: MySQL to Redshift, with a crash in the middle, verified at the end.

    Example: freshet demo --for 60s --rate 20
    """
    selling_s = seconds(duration) if duration else (None if out.is_terminal else 60.0)
    with Screen(out) as screen:
        story = Story(screen, selling_s, rate)
        try:
            result = story.tell()
        finally:
            story.clean_up()
    if json_output:
        last_line(result)
    return 0 if result["verified"] else 1


class Story:
    """The demo from start to end; `clean_up` ends everything it started, at whatever point it is called."""

    def __init__(self, screen: Screen, selling_s: float | None, rate: float) -> None:
        self.screen, self.selling_s, self.rate = screen, selling_s, rate
        self.state = demo_folder()
        self.folders = [ROOT / "sql" / "pipelines" / name for name in (PIPELINE, PREMIUM)]
        self.place: Place | None = None
        self.job: JobProcess | None = None
        self.probe: Probe | None = None
        self.simulators: list[Any] = []
        self.kills = 0
        self.followed = 0
        self.interrupted = False
        self.errors: list[str] = []

    def tell(self) -> dict[str, Any]:
        """Tell the story; give what `--json` prints."""
        screen = self.screen
        screen.chapter("Freshet: a row changed in MySQL is in Redshift seconds later")
        self._start()
        first_row_s = self._first_rows()
        selling_ends = None if self.selling_s is None else time.monotonic() + self.selling_s
        simulator = self._simulate("incremental", "--rate", str(self.rate), "--for", "1000000")
        with self._ctrl_c_ends_the_selling():
            self._sell()
            self._another_customer()
            self._another_phone()
            self._refund_and_reprice()
            self._split()
            self._kill_and_restart()
            self._side_by_side()
            self._analyst(selling_ends)
        simulator.terminate()
        simulator.wait()
        return self._finish(first_row_s)

    # 0: everything starts

    def _start(self) -> None:
        from sandbox import control  # noqa: PLC0415 - not in the wheel

        self.screen.say("starting MySQL, DMS, Kinesis, S3, Redshift on this machine ...")
        control.reset(self.state)
        self.place = start_sandbox(self.state, tied=True)
        self.screen.say("emulators are up; making events, tickets and customers, and starting Spark")
        filling = self._simulate("initial", "--events", "100", "--tickets_per_event", "200", "--customers", "1000")
        self._wait_for_tables()
        self._start_job()
        if filling.wait() != 0:
            raise TerminalError("the simulator `initial` failed")

    def _wait_for_tables(self) -> None:
        assert self.place  # noqa: S101
        deadline = time.monotonic() + 60
        with connect(self.place.mysql) as connection, connection.cursor() as cursor:
            while time.monotonic() < deadline:
                cursor.execute(
                    "select count(*) from information_schema.tables where table_schema = %s and table_name = 'ticket_activity'",
                    (self.place.source_database,),
                )
                if cursor.fetchall() != [(0,)]:
                    return
                time.sleep(0.1)
        raise TerminalError("the simulator `initial` made no tables within 60 s")

    def _start_job(self) -> None:
        assert self.place  # noqa: S101
        self.job = start_job(self.place, self.folders, ["--every_s", "1"], self._heard)

    def _heard(self, line: dict[str, Any]) -> None:
        if line["level"] == "error":
            self.errors.append(line["event"])

    def _simulate(self, kind: str, *options: str) -> Any:
        assert self.place  # noqa: S101
        process = start_simulator(self.place, kind, list(options), stdout=DEVNULL)
        self.simulators.append(process)
        return process

    # 1: tickets sell

    def _first_rows(self) -> float:
        assert self.place  # noqa: S101
        self.screen.chapter("1  Tickets sell")
        self.probe = Probe(self.place, TARGET)
        self.probe.start()
        deadline = time.monotonic() + FIRST_ROW_WITHIN_S
        while self.probe.first_row_at is None:
            if time.monotonic() > deadline or (self.job and self.job.process.poll() is not None):
                raise TerminalError(f"no row arrived: {'; '.join(self.errors) or 'the job ended without a word'}")
            refuse_stopped(self.place)
            time.sleep(0.05)
        self.screen.say(f"the first ticket sold in MySQL is in {TARGET}")
        return round(self.screen.seconds, 1)

    def _sell(self) -> None:
        self.screen.say(f"now {self.rate:g} a second; in another terminal, try:")
        self.screen.say("  [cyan].venv/bin/freshet status --watch[/cyan]")
        self.screen.say(
            f'  [cyan].venv/bin/freshet query "select * from {TARGET} order by updated_at desc limit 5"[/cyan]'
        )
        self._go_on(8.0 if self.selling_s is None else self.selling_s * 0.15)

    # 2: one ticket is given to another customer

    def _another_customer(self) -> None:
        self.screen.chapter("2  A ticket changes hands")
        rows = self._query(f"select min(ticket_id) as ticket_id from {TARGET}")
        ticket = int(rows[0]["ticket_id"])
        before = self._row(ticket)
        self.screen.say(f"an administrator gives ticket {ticket} to another customer")
        self._simulate("upsert", "--ticket_id_to_be_updated", str(ticket)).wait()
        after, waited = before, time.monotonic() + 60
        while after["updated_at"] == before["updated_at"] and time.monotonic() < waited:
            self._go_on(0.3)
            after = self._row(ticket)
        table = Table("ticket " + str(ticket), "before", "after", header_style="dim")
        for column in ("purchased_by", "name", "email_address", "phone_number", "created_at", "updated_at"):
            style = "bold" if before[column] != after[column] else "dim"
            table.add_row(column, _short(before[column]), f"[{style}]{_short(after[column])}[/{style}]")
        self.screen.show(table)

    # 3: a customer's phone changes

    def _another_phone(self) -> None:
        self.screen.chapter("3  A customer's phone changes, and every ticket of theirs follows")
        most = self._query(
            f"select purchased_by, count(*) as tickets from {TARGET} group by purchased_by order by 2 desc, 1 limit 1"
        )[0]
        customer, old = int(most["purchased_by"]), self._phones(int(most["purchased_by"]))
        self.screen.say(
            f"customer {customer} has {most['tickets']} tickets; one row of the customers' table changes, no ticket does"
        )
        self._write("update customer set phone = '(044) 555-0199 ext 7' where customer_id = %s", customer)
        self._until(lambda: not old & self._phones(customer), "the customer's tickets did not follow")
        rows = self._query(f"select phone_number from {TARGET} where purchased_by = {customer}")
        self.followed = len(rows)
        shape = _short(rows[0]["phone_number"])
        self.screen.say(f"[green]{self.followed} rows followed[/green]: their phone's shape is {shape} now")

    def _phones(self, customer: int) -> set[str]:
        return {
            str(row["phone_number"])
            for row in self._query(f"select phone_number from {TARGET} where purchased_by = {customer}")
        }

    # 4: a refunded ticket goes, a repriced one comes

    def _refund_and_reprice(self) -> None:
        self.screen.chapter(f"4  {PREMIUM_TARGET}: a refund goes, a new price comes")
        self._until(
            lambda: bool(self._query(f"select ticket_id from {PREMIUM_TARGET} limit 1")), "no premium ticket arrived"
        )
        refunded = int(self._query(f"select min(ticket_id) as ticket_id from {PREMIUM_TARGET}")[0]["ticket_id"])
        self._write("delete from ticket_activity where ticket_id = %s", refunded)
        self._until(lambda: not self._is_premium(refunded), f"ticket {refunded} did not go")
        kept = self._query(f"select count(*) as n from {TARGET} where ticket_id = {refunded}")[0]["n"]
        self.screen.say(
            f"ticket {refunded} is refunded: gone here (deletes: apply), {kept} row in {TARGET} (deletes: ignore)"
        )
        cheap = self._query(f"select min(ticket_id) as ticket_id from {TARGET} where ticket_price < {PREMIUM_PRICE}")[
            0
        ]["ticket_id"]
        if cheap is None:
            return
        self._write("update ticket set ticket_price = 250 where ticket_id = %s", int(cheap))
        self._until(lambda: self._is_premium(int(cheap)), f"ticket {cheap} did not come")
        self.screen.say(f"ticket {cheap} costs 250 now: it came, by a change of another table than the fact")

    def _is_premium(self, ticket: int) -> bool:
        return bool(self._query(f"select ticket_id from {PREMIUM_TARGET} where ticket_id = {ticket}"))

    def _write(self, statement: str, *values: int) -> None:
        assert self.place  # noqa: S101
        with connect(self.place.mysql, self.place.source_database) as connection, connection.cursor() as cursor:
            cursor.execute(statement, values)

    def _until(self, happened: Callable[[], bool], otherwise: str) -> None:
        """Wait for something with live figures.

        Raises:
            TerminalError: It does not happen.
        """
        deadline = time.monotonic() + FIRST_ROW_WITHIN_S
        while not happened():
            if time.monotonic() > deadline:
                raise TerminalError(otherwise)
            self._go_on(0.3)

    # 5: the stream is split

    def _split(self) -> None:
        assert self.place  # noqa: S101
        self.screen.chapter("5  The stream is split")
        kinesis, stream = self.place.client("kinesis"), self.place.endpoints["stream"]
        shard = kinesis.list_shards(StreamName=stream)["Shards"][0]
        keys = shard["HashKeyRange"]
        middle = (int(keys["StartingHashKey"]) + int(keys["EndingHashKey"])) // 2
        kinesis.split_shard(StreamName=stream, ShardToSplit=shard["ShardId"], NewStartingHashKey=str(middle))
        self.screen.say(
            f"{shard['ShardId']} is closed, two others take its records; the job reads on without a word from anyone"
        )
        self._go_on(1.0)

    # 6: the job is killed

    def _kill_and_restart(self) -> None:
        assert self.place  # noqa: S101
        assert self.job  # noqa: S101
        self.screen.chapter("6  The job is killed")
        self.screen.say("[red]killing the job with -9[/red], in the middle of its work")
        self.job.kill()
        self.kills += 1
        self._start_job()
        sold = self._sold()
        down_since = time.monotonic()
        while time.monotonic() - down_since < FIRST_ROW_WITHIN_S:
            arrived = self._arrived()
            if sold <= set(arrived):
                break
            self._go_on(1.0)
        lost, doubled = len(sold - set(arrived)), len(arrived) - len(set(arrived))
        color = "green" if lost == doubled == 0 else "red"
        took = time.monotonic() - down_since
        self.screen.say(
            f"[{color}]restarted: {lost} lost, {doubled} doubled[/{color}], everything caught up after {took:.1f} s"
        )

    # 7: one row in both databases

    def _side_by_side(self) -> None:
        assert self.place  # noqa: S101
        self.screen.chapter("7  One row in MySQL and in Redshift")
        self._go_on(1.0)
        ticket = int(self._query(f"select max(ticket_id) as ticket_id from {TARGET}")[0]["ticket_id"])
        there, here = self._row(ticket), self._source_row(ticket)
        table = Table("column", "MySQL, four tables", f"Redshift, {TARGET}", header_style="dim")
        for column, value in there.items():
            if not column.startswith("_freshet"):
                table.add_row(column, _short(here.get(column)), _short(value))
        self.screen.show(table)
        self.screen.say("the address became a keyed token that still joins; of the phone number only its shape is left")

    def _source_row(self, ticket: int) -> dict[str, Any]:
        assert self.place  # noqa: S101
        with (
            connect(self.place.mysql, self.place.source_database) as connection,
            connection.cursor(dictionary=True) as cursor,
        ):
            cursor.execute(
                "select a.ticket_id, t.event_id, e.sport_type, e.start_date, e.location, t.seat_level, t.seat_location, "
                "t.ticket_price, a.purchased_by, c.name, c.phone as phone_number, a.created_at, a.updated_at "
                "from ticket_activity a join ticket t using (ticket_id) join sport_event e using (event_id) "
                "join customer c on c.customer_id = a.purchased_by where a.ticket_id = %s",
                (ticket,),
            )
            found: list[Any] = cursor.fetchall()
        row: dict[str, Any] = dict(found[0])
        row["email_address"] = "(an address, not shown here)"
        row["phone_number"] = f"{mask_digits_text(row['phone_number'])} (digits not shown here)"
        return row

    # 8: the analyst's query

    def _analyst(self, selling_ends: float | None) -> None:
        self.screen.chapter("8  What the analyst sees: tickets and revenue by sport")
        sql = (ROOT / "sql" / "queries" / "revenue_by_sport.sql").read_text()
        self._show_query(sql)
        shown = time.monotonic()
        while not self.interrupted and (selling_ends is None or time.monotonic() < selling_ends):
            self._go_on(1.0)
            if time.monotonic() - shown > 15:
                self._show_query(sql)
                shown = time.monotonic()

    def _show_query(self, sql: str) -> None:
        rows = self._query(sql)
        if not rows:
            return
        table = Table(*rows[0], header_style="dim")
        for row in rows[:8]:
            table.add_row(*[str(value) for value in row.values()])
        self.screen.show(table)

    # 9: verified

    def _finish(self, first_row_s: float) -> dict[str, Any]:
        from sandbox import control  # noqa: PLC0415

        assert self.place  # noqa: S101
        assert self.job  # noqa: S101
        assert self.probe  # noqa: S101
        self.screen.chapter("9  Is it right?")
        freshness = self.probe.finish(60)
        until = control.binlog_position(self.state)
        self.screen.say("no more sales; waiting until DMS and the job have seen the last of them")
        deadline = time.monotonic() + DRAINED_WITHIN_S
        while tuple(control.dms_position(self.state)) < tuple(until):
            if time.monotonic() > deadline:
                raise TerminalError(f"DMS did not reach binlog position {until} within {DRAINED_WITHIN_S:.0f} s")
            self._go_on(0.2)
        self.job.process.send_signal(signal.SIGUSR1)
        try:
            code = self.job.wait(DRAINED_WITHIN_S)
        except TimeoutExpired:
            raise TerminalError(f"the job was not idle within {DRAINED_WITHIN_S:.0f} s") from None
        if code != 0:
            raise TerminalError(f"the job failed: {'; '.join(self.errors)}")
        self.screen.say("drained; now every row is computed again from MySQL and compared")
        with open_verifiers(self.place, self.folders, self.state / "verify", LAG_S) as verifiers:
            results = {verifier.pipeline.target: verifier.compare() for verifier in verifiers}
        ledger = summary(self.place.warehouse, PIPELINE)
        for target, one in results.items():
            verdict = "[green]verified[/green]" if one.verified else f"[red]{len(one.differences)} rows differ[/red]"
            kept = f", {len(one.kept_after_delete)} kept after delete" if one.kept_after_delete else ""
            self.screen.say(f"{target} {verdict}: {one.rows:,} rows, joins, tokens and masks recomputed{kept}")
        if freshness:
            times = f"p50 {freshness.p50:.1f} s, p95 {freshness.p95:.1f} s, max {freshness.max:.1f} s"
            self.screen.say(f"from commit in MySQL to a query's answer, the crash included: {times}")
        rows = int(self._query(f"select count(*) as n from {TARGET}")[0]["n"])
        return {
            "verified": all(one.verified for one in results.values()),
            "changes": int(control.status(self.state)["dms"]["delivered"]),
            "target_rows": rows,
            "quarantined": ledger["quarantined"],
            "batches": ledger["batches"],
            "kills": self.kills,
            "followed": self.followed,
            "freshness_s": dataclasses.asdict(freshness) if freshness else None,
            "first_row_s": first_row_s,
            "seconds": round(self.screen.seconds, 1),
        }

    # around it

    @contextlib.contextmanager
    def _ctrl_c_ends_the_selling(self) -> Iterator[None]:
        """The first Ctrl-C goes on to the end of the story; a second one stops at once."""

        def first(_signal: int, _frame: object) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, before)

        before = signal.signal(signal.SIGINT, first)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _go_on(self, for_s: float) -> None:
        """Let time pass, with live figures."""
        assert self.place  # noqa: S101
        until = time.monotonic() + for_s
        while True:
            self._figures()
            left = until - time.monotonic()
            if left <= 0 or self.interrupted:
                return
            time.sleep(min(left, 1.0))

    def _figures(self) -> None:
        from sandbox import control  # noqa: PLC0415

        assert self.place  # noqa: S101
        refuse_stopped(self.place)
        dms = control.status(self.state).get("dms") or {}
        figures = {"in the stream": f"{dms.get('delivered', 0):,}"}
        with contextlib.suppress(FreshetError):
            ledger = summary(self.place.warehouse, PIPELINE)
            figures |= {
                "batches": f"{ledger['batches']:,}",
                "read": f"{ledger['received']:,}",
                "written": f"{ledger['written']:,}",
            }
            figures["pending"] = f"{ledger['pending']:,}"
            figures["quarantined"] = f"{ledger['quarantined']:,}"
        freshness = self.probe.freshness() if self.probe else None
        if freshness:
            figures["fresh within"] = f"{freshness.p50:.1f} s (p95 {freshness.p95:.1f} s)"
        self.screen.figures(figures)

    def _query(self, sql: str) -> list[dict[str, Any]]:
        assert self.place  # noqa: S101
        return self.place.warehouse.query(sql)

    def _row(self, ticket: int) -> dict[str, Any]:
        return self._query(f"select * from {TARGET} where ticket_id = {ticket}")[0]

    def _sold(self) -> set[int]:
        assert self.place  # noqa: S101
        with connect(self.place.mysql, self.place.source_database) as connection, connection.cursor() as cursor:
            cursor.execute("select ticket_id from ticket_activity")
            return {int(str(*row)) for row in cursor.fetchall()}

    def _arrived(self) -> list[int]:
        return [int(row["ticket_id"]) for row in self._query(f"select ticket_id from {TARGET}")]

    def clean_up(self) -> None:
        """End everything, in order; a further Ctrl-C does not disturb it."""
        from sandbox import control  # noqa: PLC0415

        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            if self.probe and self.probe.is_alive():
                self.probe.stop()
            for simulator in self.simulators:
                if simulator.poll() is None:
                    simulator.kill()
                    simulator.wait()
            if self.job and self.job.process.poll() is None:
                self.job.kill()
            control.stop(self.state)
        finally:
            signal.signal(signal.SIGINT, before)


def _short(value: Any) -> str:
    text = "" if value is None else f"{value:f}" if isinstance(value, Decimal) else str(value)
    return text if len(text) <= 34 else text[:31] + "..."
