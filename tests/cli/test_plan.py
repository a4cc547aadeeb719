"""`freshet plan` says what a pipeline will do, or what is wrong with it, to people and to scripts."""

import contextlib
import json
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from mysql.connector.abstracts import MySQLConnectionAbstract
from pyspark.sql import SparkSession
from rich.console import Console

from freshet.cli import run_command
from freshet.cli.context import Place
from freshet.cli.plan import run_plan
from freshet.pipeline.connection import connect

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "sql" / "pipelines" / "sport_event_activity"
DATABASE = "planned"


@pytest.fixture(scope="module")
def source(place: Place) -> Iterator[MySQLConnectionAbstract]:
    """The example's tables in a database of their own."""
    connection = connect(place.mysql)
    with connection.cursor() as cursor:
        cursor.execute(f"create database {DATABASE}")
        cursor.execute(f"use {DATABASE}")
        for statement in (ROOT / "sql" / "source" / "sport_events.sql").read_text().split(";"):
            if statement.strip():
                cursor.execute(statement)
        yield connection
        cursor.execute(f"drop database {DATABASE}")
    connection.close()


@pytest.fixture
def planned(source: MySQLConnectionAbstract, spark: SparkSession) -> Callable[..., tuple[int, str]]:
    """Plan a folder; give the exit code and what was printed."""

    def run(folder: Path, *, json_output: bool = False) -> tuple[int, str]:
        console = Console(file=StringIO(), width=140)
        code = run_plan(
            folder,
            lambda: contextlib.nullcontext((source, DATABASE)),
            lambda: contextlib.nullcontext(spark),
            console,
            json_output,
        )
        return code, console.file.getvalue()  # type: ignore[attr-defined] # StringIO

    return run


@pytest.fixture
def edited(tmp_path: Path) -> Callable[..., Path]:
    """The example's folder with words replaced."""

    def edit(select: dict[str, str] | None = None, yaml: dict[str, str] | None = None) -> Path:
        folder = tmp_path / "sport_event_activity"
        folder.mkdir()
        for file, changes in (("select.sql", select or {}), ("pipeline.yaml", yaml or {})):
            text = (EXAMPLE / file).read_text()
            for old, new in changes.items():
                assert old in text
                text = text.replace(old, new)
            (folder / file).write_text(text)
        return folder

    return edit


def nothing() -> Any:
    """A factory that must not be asked."""
    pytest.fail("MySQL or Spark was asked although the folder is wrong")


def test_a_plan_tells_what_is_read_joined_protected_shown_and_created(planned: Callable[..., tuple[int, str]]) -> None:
    """A reviewer reads a list and not a query."""
    code, printed = planned(EXAMPLE)
    assert code == 0
    for line in (
        "sport_event_activity keeps public.sport_event_activity current",
        f"reads    ticket_activity as activity of {DATABASE}: a row each, by its key ticket_id",
        "joins    left ticket on ticket.ticket_id = activity.ticket_id",
        "         left sport_event as event on event.event_id = ticket.event_id",
        "follows  ticket, back to ticket_activity by index PRIMARY",
        "         sport_event, back to ticket by index ticket_event",
        "         customer, back to ticket_activity by index activity_customer",
        "protects   customer.email by tokenize, customer.phone by mask_digits",
        "creates    public.sport_event_activity, 16 columns, 2 of them Freshet's, distkey ticket_id, sortkey updated_at",
        "lets read  role analysts",
        "deletes    ignore: a deleted row stays, as it was last read",
        "! name looks personal and leaves in the clear; if it is, declare it under pii",
        "ready: freshet run sport_event_activity",
    ):
        assert line in printed
    rows = {line.split()[0]: line.split() for line in printed.splitlines() if line.strip()}
    assert rows["email_address"] == ["email_address", "varchar(80)", "customer.email", "tokenize"]
    assert rows["name"][2:] == ["customer.name", "clear,", "looks", "personal"]


def test_json_holds_the_same(planned: Callable[..., tuple[int, str]], capsys: pytest.CaptureFixture[str]) -> None:
    """The last line is one object with all that was printed, and the statements too."""
    code, printed = planned(EXAMPLE, json_output=True)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (code, printed, told["ok"], told["errors"]) == (0, "", True, [])
    assert told["protects"] == {"customer.email": "tokenize", "customer.phone": "mask_digits"}
    assert [("left", True)] * 3 == [(join["kind"], join["followed"]) for join in told["joins"]]
    walk = {"changed": "sport_event", "finds": "ticket", "by": ["event_id"], "index": "ticket_event"}
    assert walk == told["walks"][1]
    assert ["ticket_activity", "ticket", "sport_event", "customer"] == told["captures"]
    assert (None, {"sweep": False, "parents": []}) == (told["where"], told["cascades"])
    assert [column["name"] for column in told["columns"] if column["looks_personal"]] == ["name"]
    assert told["ddl"][0].startswith('create table if not exists "public"."sport_event_activity"')


def test_filters_inner_joins_deletes_and_cascades_are_told_in_words(
    edited: Callable[..., Path],
    planned: Callable[..., tuple[int, str]],
    source: MySQLConnectionAbstract,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A reviewer reads which rows are there, what becomes of deleted ones, and what a sweep costs; a script too."""
    changed = {
        "left join ticket ": "join ticket ",
        "activity.purchased_by\n": "activity.purchased_by -- where 'x'\nwhere  ticket.ticket_price > 10\n"
        "  and /* no */ (customer.name <> '--  it' or event.location is null); -- end\n",
    }
    folder = edited(changed, {"deletes: ignore": "deletes: mark\ncascades: sweep"})
    with source.cursor() as cursor:
        cursor.execute("alter table ticket_activity drop foreign key activity_of_ticket")
        cursor.execute(
            "alter table ticket_activity add constraint activity_of_ticket foreign key (ticket_id)"
            " references ticket (ticket_id) on delete cascade"
        )
        try:
            code, printed = planned(folder)
            planned(folder, json_output=True)
        finally:
            cursor.execute("alter table ticket_activity drop foreign key activity_of_ticket")
            cursor.execute(
                "alter table ticket_activity add constraint activity_of_ticket foreign key (ticket_id)"
                " references ticket (ticket_id)"
            )
    condition = "ticket.ticket_price > 10 and (customer.name <> '--  it' or event.location is null)"
    assert 0 == code
    for line in (
        "joins    inner ticket on ticket.ticket_id = activity.ticket_id",
        "         left sport_event as event on event.event_id = ticket.event_id",
        f"where    {condition}",
        "creates    public.sport_event_activity, 17 columns, 3 of them Freshet's",
        "deletes    mark: a deleted row stays and is marked in _freshet_deleted_at",
        "! cascades: sweep: each batch with a deleted or moved row of ticket reads all of ticket_activity again (about 0 rows)",
    ):
        assert line in printed
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (condition, "mark", {"sweep": True, "parents": ["ticket"]}) == (
        *(told["where"], told["deletes"]),
        told["cascades"],
    )
    assert "inner" == told["joins"][0]["kind"]


def test_a_sweep_that_nothing_asks_for_is_told(
    edited: Callable[..., Path], planned: Callable[..., tuple[int, str]]
) -> None:
    """`cascades: sweep` without a foreign key that changes rows is superfluous."""
    _, printed = planned(edited(yaml={"deletes: ignore": "deletes: apply\ncascades: sweep"}))
    assert "! cascades: sweep is not needed: no foreign key changes rows that the binlog does not tell" in printed
    assert "deletes    apply: a deleted row is deleted" in printed


def test_a_key_that_redshift_takes_for_another_is_told(
    tmp_path: Path, planned: Callable[..., tuple[int, str]], source: MySQLConnectionAbstract
) -> None:
    """A text key that tells 'a' from 'a ' may hold values that have no row in Redshift."""
    folder = tmp_path / "codes"
    folder.mkdir()
    (folder / "select.sql").write_text("select code from code")
    (folder / "pipeline.yaml").write_text("target: public.codes\nkeys: [code]\n")
    with source.cursor() as cursor:
        cursor.execute("create table code (code varchar(9) collate utf8mb4_nopad_bin primary key)")
        try:
            code, printed = planned(folder)
        finally:
            cursor.execute("drop table code")
    assert 0 == code
    assert (
        "! code.code tells 'a' from 'a ', and Redshift does not: a row whose key ends in a blank is quarantined"
        in printed
    )


def test_a_plan_fits_a_screen_of_80_columns(source: MySQLConnectionAbstract, spark: SparkSession) -> None:
    """Whatever is told of the example stands in lines of 80 characters, each way back in one."""
    console = Console(file=StringIO(), width=80)
    run_plan(
        EXAMPLE,
        lambda: contextlib.nullcontext((source, DATABASE)),
        lambda: contextlib.nullcontext(spark),
        console,
        json_output=False,
    )
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined] # StringIO
    assert 80 >= max(len(line) for line in lines)
    assert "         customer, back to ticket_activity by index activity_customer" in lines


def test_a_leak_is_told_before_anything_is_asked(edited: Callable[..., Path]) -> None:
    """Shape and personal columns come first: neither MySQL nor Spark is needed, and a caret shows the place."""
    folder = edited({"tokenize(lower(customer.email))": "lower(customer.email)"})
    console = Console(file=StringIO(), width=140)
    assert run_plan(folder, nothing, nothing, console, json_output=False) == 2
    printed = console.file.getvalue().splitlines()  # type: ignore[attr-defined] # StringIO
    assert printed[0] == "error select.sql:12:11"
    assert printed[1].startswith("  12 │     lower(customer.email) as email_address")
    assert printed[2].rstrip() == "     │           ^"
    assert "customer.email is personal and would reach email_address in the clear" in printed[3]


def test_what_does_not_fit_the_source_needs_no_spark(
    edited: Callable[..., Path], source: MySQLConnectionAbstract, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slip in a column's name is told as soon as MySQL has answered, as JSON too."""
    folder = edited({"ticket.seat_level": "ticket.seat_levl as seat_level"})
    code = run_plan(folder, lambda: contextlib.nullcontext((source, DATABASE)), nothing, Console(), json_output=True)
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (code, told["ok"]) == (2, False)
    message = "ticket has no column seat_levl; did you mean seat_level?"
    assert told["errors"] == [{"message": message, "file": "select.sql", "line": 7, "column": 5}]


def test_an_unbounded_text_is_an_advice(edited: Callable[..., Path], planned: Callable[..., tuple[int, str]]) -> None:
    """A text of unknown length gets the whole VARCHAR, and plan says how to do better."""
    folder = edited({"event.location,": "replace(event.location, 'a', 'b') as location,"})
    code, printed = planned(folder)
    assert code == 0
    assert "! location has no known length and becomes varchar(65535): write try_cast(... as varchar(n))" in printed


def test_the_command_ends_with_2_for_a_pipeline_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    """An unknown name is the user's mistake, and the known ones are named."""
    assert run_command(["plan", "sport_event_activty"]) == 2
    assert "did you mean sport_event_activity" in capsys.readouterr().err.replace("\n", " ")


def test_the_command_ends_with_2_for_a_wrong_folder(
    edited: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    """The command itself refuses a leak without a sandbox."""
    folder = edited({"tokenize(lower(customer.email))": "customer.email"})
    assert run_command(["plan", str(folder), "--json"]) == 2
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert "customer.email is personal" in told["errors"][0]["message"]


def test_the_command_ends_with_3_without_a_sandbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A right folder needs a source to be planned against."""
    monkeypatch.setenv("FRESHET_HOME", str(tmp_path))
    assert run_command(["plan", str(EXAMPLE)]) == 3
    assert "no sandbox is running" in capsys.readouterr().err
