"""What cannot be written or delivered stops the task, or is left out and told: as the error policies of the task say.

Documents: DMS user guide, "Error handling task settings", "Control table task settings"; where they are silent,
`sandbox/README.md` names the reading that is tested here.
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sandbox import control, mysql
from sandbox.dms import settings
from sandbox.dms.delivery import Delivery
from sandbox.dms.errors import TaskError
from sandbox.dms.task import Task
from sandbox.errors import Halted, SandboxError
from sandbox.state import State, read_json
from tests.conformance.dms.box import Box, Sent
from tests.patience import HANGS_S
from tests.servers import AVAILABLE, MYSQL_SERVERS

TOO_LARGE = "repeat('x', 17000000)"  # several packets of the protocol
CONTROL_TABLES = ("awsdms_apply_exceptions", "awsdms_suspended_tables")


@pytest.fixture(scope="module", params=MYSQL_SERVERS)
def own_box(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """A sandbox whose DMS may stop."""
    box = Box(tmp_path_factory.mktemp("errors"), request.param)
    yield box
    box.kinesis.close()
    control.stop(box.state)


@contextmanager
def task(box: Box, folder: Path, mapped: str = "%", **policies: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the deployed task, but with these tables and policies, in place of the sandbox's own."""
    if control.status(box.state)["services"]["dms"]["state"] != "stopped":
        control.stop_service(box.state, "dms")
    written = settings.of_template(settings.DEFAULT_FILE.read_text())
    written["TaskSettings"]["ErrorBehavior"] |= policies
    for rule in written["TableMappings"]["rules"]:
        rule["object-locator"]["table-name"] = mapped
    file = folder / "task.json"
    file.write_text(json.dumps(written))
    command = [sys.executable, "-m", "sandbox.dms", "--state", str(box.state), "--task", str(file)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.terminate()
        process.communicate()


def rows(sent: list[Sent]) -> list[dict[str, Any]]:
    return [one.message["data"] for one in sent if one.metadata["record-type"] == "data"]


def told(box: Box) -> dict[str, list[dict[str, Any]]]:
    """The rows of DMS's own tables."""
    return {name: rows(box.sent(name, schema="")) for name in CONTROL_TABLES}


def added(before: dict[str, list[dict[str, Any]]], after: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return {name: after[name][len(before[name]) :] for name in CONTROL_TABLES}


def why_it_stopped(state: Path) -> str:
    """Wait until the task has stopped."""
    until = time.monotonic() + HANGS_S
    while (problem := control.dms_problem(state)) is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    return problem


def kept(box: Box) -> dict[str, Any]:
    return read_json(State(box.state).dms) or {}


@pytest.mark.parametrize(
    ("statement", "policy"),
    [
        ("insert into {table} (id, text) values (2, " + TOO_LARGE + ")", "ApplyErrorInsertPolicy"),
        ("update {table} set text = " + TOO_LARGE + " where id = 1", "ApplyErrorUpdatePolicy"),
        ("insert into {table} (id, wide) values (2, cast(0xD800 as char character set ucs2))", "DataErrorPolicy"),
    ],
)
def test_the_deployed_task_stops_and_drops_nothing(own_box: Box, tmp_path: Path, statement: str, policy: str) -> None:
    """STOP_TASK: what came before is delivered, nothing after; everyone who asks is told why; it goes on from there."""
    box, name = own_box, f"refused_{policy.lower()}"
    if control.status(box.state)["services"]["dms"]["state"] == "stopped":
        control.start_service(box.state, "dms")
    box.sql(f"create table {name} (id int primary key, text longtext, wide varchar(9) character set ucs2)")
    box.sql(f"insert into {name} (id) values (1)")
    before = len(box.changes(name))
    place = control.dms_position(box.state)
    with box.connect() as link, link.cursor() as cursor:
        cursor.execute("begin")
        cursor.execute(f"insert into {name} (id) values (3)")
        cursor.execute(statement.format(table=name))
        cursor.execute(f"insert into {name} (id) values (4)")
        cursor.execute("commit")
    problem = why_it_stopped(box.state)
    assert f"({policy} STOP_TASK)" in problem
    assert f"sports.{name}" in problem
    assert problem == control.status(box.state)["dms"]["problem"]
    said = subprocess.run(
        [sys.executable, "-m", "sandbox", "status", "--state", str(box.state)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert problem in said.stdout
    ids = [row["id"] for row in rows(box.read_now(name))]
    assert 3 in ids[before:]
    assert 4 not in ids
    assert place == control.dms_position(box.state), "the transaction is not delivered as a whole"
    with suppress(SandboxError):  # as it stops before it was ready, or just after
        control.start_service(box.state, "dms")
    assert problem == why_it_stopped(box.state)
    with task(
        box,
        tmp_path,
        ApplyErrorInsertPolicy="LOG_ERROR",
        ApplyErrorUpdatePolicy="LOG_ERROR",
        DataErrorPolicy="LOG_ERROR",
    ):
        assert {1, 3, 4} == {row["id"] for row in rows(box.sent(name))}


def test_a_sandbox_comes_up_with_a_task_that_stops(tmp_path: Path) -> None:
    """The other parts work, and whoever asks hears why DMS does not."""
    state = tmp_path / "box"
    box = Box(state, AVAILABLE[0])
    try:
        box.sql(
            "create table refused (id int primary key, text longtext)", f"insert into refused values (1, {TOO_LARGE})"
        )
        assert "ApplyErrorInsertPolicy STOP_TASK" in why_it_stopped(state)
        control.stop(state)
        control.start(state)
        assert "ApplyErrorInsertPolicy STOP_TASK" in why_it_stopped(state)
        assert {"ready"} == {part["state"] for name, part in control.status(state)["services"].items() if name != "dms"}
    finally:
        box.kinesis.close()
        control.stop(state)


def test_a_logged_error_is_an_apply_exception(own_box: Box, tmp_path: Path) -> None:
    """LOG_ERROR: the rest flows on; the record is counted, and a row of awsdms_apply_exceptions names its table."""
    box = own_box
    with task(box, tmp_path, ApplyErrorInsertPolicy="LOG_ERROR"):
        before, left_out = told(box), kept(box)["skipped"]
        box.sql("create table logged (id int primary key, text longtext)", "insert into logged values (1, 'a')")
        box.sql(f"insert into logged values (2, {TOO_LARGE}), (3, 'b')")
        assert [1, 3] == sorted(row["id"] for row in rows(box.sent("logged")))
        news = added(before, told(box))
        ((row,), suspended) = news["awsdms_apply_exceptions"], news["awsdms_suspended_tables"]
    assert {"TASK_NAME", "TABLE_OWNER", "TABLE_NAME", "ERROR_TIME", "STATEMENT", "ERROR"} == set(row)
    assert ("sports", "logged", []) == (row["TABLE_OWNER"], row["TABLE_NAME"], suspended)
    assert left_out + 1 == kept(box)["skipped"]


def test_only_mapped_tables_are_captured(own_box: Box, tmp_path: Path) -> None:
    """A table that no selection rule includes sends nothing, not even its name; the position passes it."""
    box = own_box
    with task(box, tmp_path, mapped="mapped%"):
        box.sql("create table mapped_one (id int primary key)", "create table unmapped (id int primary key)")
        box.sql(
            "insert into unmapped values (1)", "insert into mapped_one values (1)", "insert into unmapped values (2)"
        )
        assert [1] == [row["id"] for row in rows(box.sent("mapped_one"))]
        assert [] == box.sent("unmapped")


def test_an_ignored_error_leaves_no_word_in_the_stream(own_box: Box, tmp_path: Path) -> None:
    """IGNORE_RECORD, DMS's default for deletes: counted here, told to nobody."""
    box = own_box
    with task(box, tmp_path, ApplyErrorDeletePolicy="IGNORE_RECORD", ApplyErrorInsertPolicy="IGNORE_RECORD"):
        before, left_out = told(box), kept(box)["skipped"]
        box.sql("create table ignored (id int primary key, text longtext)")
        box.sql(
            f"insert into ignored values (1, {TOO_LARGE})", "delete from ignored", "insert into ignored values (2, 'a')"
        )
        assert [2] == [row["id"] for row in rows(box.sent("ignored"))]
        assert {name: [] for name in CONTROL_TABLES} == added(before, told(box))
    assert left_out + 2 == kept(box)["skipped"]


def test_a_suspended_table_is_listed_and_no_longer_replicated(own_box: Box, tmp_path: Path) -> None:
    """SUSPEND_TABLE: others flow on; awsdms_suspended_tables names it; a task that is started again remembers."""
    box = own_box
    with task(box, tmp_path, ApplyErrorInsertPolicy="SUSPEND_TABLE"):
        before = told(box)
        box.sql("create table bad (id int primary key, text longtext)", "create table good (id int primary key)")
        box.sql("insert into bad values (1, 'a')", f"insert into bad values (2, {TOO_LARGE}), (3, 'b')")
        box.sql("insert into bad values (4, 'c')", "insert into good values (1)")
        assert ([1], [1]) == tuple([row["id"] for row in rows(box.sent(name))] for name in ("bad", "good"))
        news = added(before, told(box))
    (row,) = news["awsdms_suspended_tables"]
    assert ("sports", "bad") == (row["TABLE_OWNER"], row["TABLE_NAME"])
    assert {"SERVER_NAME", "TASK_NAME", "TABLE_OWNER", "TABLE_NAME", "SUSPEND_REASON", "SUSPEND_TIMESTAMP"} == set(row)
    assert ["sports", "bad"] in control.status(box.state)["dms"]["suspended"]
    with task(box, tmp_path):
        box.sql("insert into bad values (5, 'd')", "insert into good values (2)")
        assert ([1], [1, 2]) == tuple([row["id"] for row in rows(box.sent(name))] for name in ("bad", "good"))


def test_an_image_that_is_not_full_stops_the_task(own_box: Box, tmp_path: Path) -> None:
    """binlog_row_image=MINIMAL: what is left out of an image would be taken for NULL; no policy goes on over it."""
    box = own_box
    box.sql("create table cut_short (id int primary key, text varchar(9))", "insert into cut_short values (1, 'a')")
    with task(box, tmp_path) as process:
        box.drain()
        with (
            mysql.connect(box.endpoints["mysql"], as_administrator=True, database="sports", autocommit=True) as link,
            link.cursor() as cursor,
        ):
            cursor.execute("set session binlog_row_image = 'MINIMAL'")
            cursor.execute("update cut_short set text = 'b'")
        assert Halted.exit_code == process.wait(HANGS_S)
        assert process.stderr
        said = process.stderr.read()
    assert "sports.cut_short" in said
    assert "binlog_row_image=FULL" in said
    State(box.state).dms.unlink()  # as the README says: it goes on from the end of the binlog
    with task(box, tmp_path):
        while not State(box.state).dms.exists():
            time.sleep(0.01)
        box.sql("insert into cut_short values (2, 'c')")
        assert {"a", "c"} == {row["text"] for row in rows(box.sent("cut_short"))}


def test_a_fault_of_the_stand_in_itself_stops_the_task(tmp_path: Path) -> None:
    """Started again and again by the supervisor it would deliver nothing, and nobody would be told."""
    delivery = Delivery(tmp_path / "aws.json", "stream", lambda: False)
    broken = Task(settings.load(), {"no such setting": 1}, delivery, tmp_path / "dms.json", lambda: False)
    with pytest.raises(TaskError, match="TypeError"):
        broken.run(with_full_load=False)


@pytest.mark.parametrize(("policy", "code"), [("STOP_TASK", Halted.exit_code), ("SUSPEND_TABLE", None)])
def test_a_table_that_cannot_be_read(own_box: Box, tmp_path: Path, policy: str, code: int | None) -> None:
    """TableErrorPolicy decides; Python has no name for DEC's character set."""
    box = own_box
    name = f"unread_{policy.lower()}"
    with task(box, tmp_path, TableErrorPolicy=policy) as process:
        box.sql(
            f"create table {name} (id int primary key, text varchar(99) character set dec8)",
            f"insert into {name} values (1, 'a')",
        )
        if code is None:
            assert [] == rows(box.sent(name))
        else:
            assert code == process.wait(HANGS_S)
            assert process.stderr
            said = process.stderr.read()
            assert f"sports.{name}" in said
            assert "dec8" in said
    with task(box, tmp_path, TableErrorPolicy="SUSPEND_TABLE"):
        box.drain()
    assert ["sports", name] in kept(box)["suspended"]
