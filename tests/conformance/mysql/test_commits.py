"""What a source's server shows between the moment when a change is in its binlog and the moment when it can be read.

The job is built on these: a row that is logged but not yet visible is still locked, so a probe leaves it out; and what
changes rows without a record gives itself away by the table's CREATE_TIME or InnoDB's id.

Documents: MySQL reference manual, "Semisynchronous replication", "XA transactions", "Locking reads", "The
INFORMATION_SCHEMA TABLES table"; MariaDB documentation of the same names.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, NamedTuple

import pytest

from sandbox import mysql as source
from sandbox import processes
from sandbox.dms.binlog import Binlog
from sandbox.mysql_servers import MARIADB, MYSQL
from sandbox.state import State
from tests.patience import HANGS_S
from tests.servers import MYSQL_SERVERS, arm_semi_sync, semi_sync

UPDATE_EVENTS = {24, 31}
HELD = {MYSQL: 3572, MARIADB: 1205}
SHARED = {MYSQL: "for share", MARIADB: "lock in share mode"}
TABLE_IDS = {MYSQL: "innodb_tables", MARIADB: "innodb_sys_tables"}
TRIES = 5


@pytest.fixture(scope="module", params=MYSQL_SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A server with semi-synchronous commits, and a user who may read one database and nothing else."""
    state = State(tmp_path_factory.mktemp("commits"))
    state.make()
    connection = source.connection(state, "sports", request.param, semi_sync(request.param))
    process = processes.spawn(["sandbox.mysql", "--state", str(state.root)], state.logs / "mysql.log")
    while not source.ready(connection):
        assert process.poll() is None
        time.sleep(0.02)
    with closing(source.connect(connection, as_administrator=True)) as link, link.cursor() as cursor:
        cursor.execute(f"create user reader@'127.0.0.1' identified by '{connection['password']}'")
        cursor.execute("grant select on sports.* to reader@'127.0.0.1'")
    yield connection
    processes.stop([process])


class Rows(NamedTuple):
    """Two rows whose first is changed: who writes, who reads with no right but SELECT, and the binlog from before."""

    server: dict[str, Any]
    writer: Any
    reader: Any
    binlog: Binlog

    def write(self, *statements: str) -> None:
        with self.writer.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def wait_until_logged(self) -> None:
        """Wait until the update's row event is sent to replicas."""
        until = time.monotonic() + HANGS_S
        while time.monotonic() < until:
            event = self.binlog.next(1)
            if event and event.kind in UPDATE_EVENTS:
                return
        pytest.fail("no row event came")

    def seen(self) -> tuple[int, list[int], int | None]:
        """What a reader sees: the first row's value, the keys that a probe gives, the error of asking for the first at once."""
        lock = SHARED[self.server["server"]]
        with self.reader.cursor() as cursor:
            cursor.execute("select v from sports.t where id = 1")
            ((value,),) = cursor.fetchall()
            cursor.execute(f"select id from sports.t where id in (1, 2) {lock} skip locked")
            free = [key for (key,) in cursor.fetchall()]
            try:
                cursor.execute(f"select id from sports.t where id = 1 {lock} nowait")
                error = None
            except source.pymysql.err.MySQLError as refused:
                error = refused.args[0]
        return value, free, error


@pytest.fixture
def rows(server: dict[str, Any]) -> Iterator[Rows]:
    settings = {name: server[name] for name in ("host", "port", "user", "password")}
    with (
        closing(source.connect(server, database="sports", autocommit=True)) as writer,
        closing(source.connect({**server, "user": "reader"}, autocommit=True)) as reader,
    ):
        with writer.cursor() as cursor:
            cursor.execute("drop table if exists t")
            cursor.execute("create table t (id int primary key, v int)")
            cursor.execute("insert into t values (1, 0), (2, 0)")
        with reader.cursor() as cursor:
            cursor.execute("set transaction_isolation = 'read-committed'" if server["server"] == MYSQL else
                           "set tx_isolation = 'read-committed'")  # fmt: skip
        with closing(Binlog(settings | {"ssl_disabled": True}, *source.binlog_position(server))) as binlog:
            yield Rows(server, writer, reader, binlog)


def test_a_commit_that_waits_for_a_replica_is_logged_locked_and_not_visible(rows: Rows) -> None:
    """AFTER_SYNC: until the wait ends a plain read gives the old value, and the probe leaves the row out."""
    held = HELD[rows.server["server"]]
    for value in range(1, TRIES + 1):
        with closing(source.connect(rows.server, as_administrator=True)) as administrator:
            arm_semi_sync(administrator, rows.server["server"])
        commit = threading.Thread(target=rows.write, args=[f"update t set v = {value} where id = 1"])
        commit.start()
        rows.wait_until_logged()
        before, waits = rows.seen(), commit.is_alive()
        commit.join()
        assert (value, [1, 2], None) == rows.seen()
        if waits:  # else this machine stood still for longer than the commit waited
            assert (value - 1, [2], held) == before
            return
    pytest.fail("no commit was seen while it waited")


@pytest.mark.parametrize(("end", "value"), [("commit", 1), ("rollback", 0)])
def test_a_prepared_transaction_is_logged_locked_and_not_visible(rows: Rows, end: str, value: int) -> None:
    """XA PREPARE: the row events are in the binlog, whichever way the transaction ends, and however much later."""
    rows.write("xa start 'x'", "update t set v = 1 where id = 1", "xa end 'x'", "xa prepare 'x'")
    rows.wait_until_logged()
    assert (0, [2], HELD[rows.server["server"]]) == rows.seen()
    rows.write(f"xa {end} 'x'")
    assert (value, [1, 2], None) == rows.seen()


def swap(rows: Rows) -> None:
    """What online-change tools do."""
    rows.write("create table t_new (id int primary key, v int)", "insert into t_new values (3, 0)")
    rows.write("rename table t to t_old, t_new to t", "drop table t_old")


@pytest.mark.parametrize(
    ("change", "is_recreated", "has_another_id"),
    [
        (lambda rows: rows.write("update t set v = 9"), False, False),
        (lambda rows: rows.write("truncate table t"), False, True),
        (swap, True, True),
        (lambda rows: rows.write("alter table t add column more int default 7"), True, False),
        (lambda rows: rows.write("alter table t modify v bigint"), True, True),
    ],
    ids=["update", "truncate", "swap", "add column", "modify"],
)
def test_a_table_that_is_another_gives_itself_away(
    rows: Rows, change: Callable[[Rows], None], is_recreated: bool, has_another_id: bool
) -> None:
    """CREATE_TIME or InnoDB's table id changes; a TRUNCATE changes the id alone, which only PROCESS shows."""
    before = generation(rows)
    time.sleep(1.1)  # CREATE_TIME has whole seconds
    change(rows)
    after = generation(rows)
    assert (is_recreated, has_another_id) == (before[0] != after[0], before[1] != after[1])


def generation(rows: Rows) -> tuple[Any, int]:
    with rows.writer.cursor() as cursor:
        if rows.server["server"] == MYSQL:
            cursor.execute("set information_schema_stats_expiry = 0")
        cursor.execute(
            "select create_time from information_schema.tables where (table_schema, table_name) = ('sports', 't')"
        )
        ((created,),) = cursor.fetchall()
        cursor.execute(
            f"select table_id from information_schema.{TABLE_IDS[rows.server['server']]} where name = 'sports/t'"
        )
        ((number,),) = cursor.fetchall()
    return created, number


def test_the_table_id_needs_the_right_process(rows: Rows) -> None:
    """With SELECT alone InnoDB's tables are refused (error 1227)."""
    with rows.reader.cursor() as cursor, pytest.raises(source.pymysql.err.MySQLError) as refused:
        cursor.execute(f"select table_id from information_schema.{TABLE_IDS[rows.server['server']]}")
    assert 1227 == refused.value.args[0]
