"""`freshet pull`, whole: the copy is the table in the end, whatever happens meanwhile and wherever it is killed."""

import contextlib
import fcntl
import json
import os
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow.csv as arrow_csv
import pytest

from batch_jobs.pull.copy_folder import CopyFolder
from batch_jobs.pull.files import Format
from freshet.cli.context import Place
from freshet.redshift import runs
from freshet.redshift.data_api import Warehouse
from tests.batch_jobs.pull.conftest import Row, Yard, copied
from tests.patience import HANGS_S

ROWS = 3000
TABLE = {"cursor": "at", "keys": ["region", "id"], "overlap": "1h"}
MADE = (
    "create table YARD.orders (region varchar(3) not null, id bigint not null, amount decimal(38,18), note varchar(200), "
    "at timestamp not null, _freshet_deleted_at timestamp)"
)


def fill(yard: Yard, rows: int = ROWS) -> None:
    """Rows of which fifty share a cursor value."""
    yard.run(MADE)
    for start in range(0, rows, 1000):
        values = ", ".join(
            f"('{'nsw'[k % 3]}', {k}, {k}.5, 'note \"{k}\",\n', '2026-01-01 00:{k // 50 % 60:02}:00', null)"
            for k in range(start, min(rows, start + 1000))
        )
        yard.run(f"insert into YARD.orders values {values}")


def table(yard: Yard) -> list[Row]:
    return by_key(yard.rows("select * from YARD.orders where _freshet_deleted_at is null"))


def by_key(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["region"], row["id"]))


class Writer(threading.Thread):
    """Inserts, updates, marks as deleted, brings back, and commits with cursor values of minutes ago, until told to stop."""

    def __init__(self, place: Place, schema: str) -> None:
        super().__init__()
        self.client, self.orders = place._new_client("redshift-data"), f"{schema}.orders"
        self.warehouse = Warehouse(self.client, place.warehouse.workgroup, place.warehouse.database)
        self.done, self.written, self.chance = threading.Event(), 0, random.Random(7)

    def run(self) -> None:
        while not self.done.is_set():
            key, late = self.chance.randrange(ROWS), f"dateadd(second, -{self.chance.randrange(600)}, sysdate)"
            self.warehouse.run(
                [
                    f"insert into {self.orders} values ('new', {self.written}, 1, null, {late}, null)",
                    f"update {self.orders} set amount = amount + 1, at = {late} where id between {key} and {key + 20}",
                    f"update {self.orders} set _freshet_deleted_at = sysdate, at = sysdate "
                    f"where id between {key + 5} and {key + 9}",
                    f"update {self.orders} set _freshet_deleted_at = null, at = {late} where id = {key + 7}",
                ]
            )
            self.written += 1
        self.client.close()


def test_the_copy_is_the_table_while_rows_change(yard: Yard, place: Place, tmp_path: Path) -> None:
    """Thousands of rows, many pages, a writer all the while; once it rests, one more pull makes both equal."""
    fill(yard)
    file, copy = yard.file(170, orders=TABLE), tmp_path / "copy"
    writer = Writer(place, yard.schema)
    writer.start()
    try:
        assert [0, 0] == [yard.pull(file, "--to", copy) for _ in range(2)]
    finally:
        writer.done.set()
        writer.join()
    assert writer.written > 10
    assert 0 == yard.pull(file, "--to", copy)
    assert table(yard) == by_key(copied(copy / "orders.parquet"))
    assert len(table(yard)) < len(yard.rows("select id from YARD.orders"))
    assert {"orders.parquet", "state.json", ".lock"} == {path.name for path in copy.iterdir()}


POINTS = ["answer_in_hand:1", "answer_in_hand:9", "half_a_file:1", "half_a_file:5", "rows_written:1", "rows_written:7"]
POINTS += ["state_half_written:1", "state_half_written:4", "state_written:3", "before_merging", "merged_not_told"]


@pytest.mark.parametrize("point", [*POINTS, "merged_not_swept"])
def test_a_killed_pull_goes_on(yard: Yard, tmp_path: Path, point: str) -> None:
    """kill -9 at each step of the work, also in the second pull; the next run ends with the table, and nothing left over."""
    fill(yard, 1000)
    file, copy = yard.file(100, orders=TABLE), tmp_path / "copy"
    killed = yard.process(file, "--to", copy, point=point)
    killed.communicate(timeout=HANGS_S)
    assert -signal.SIGKILL == killed.returncode
    yard.run(
        "update YARD.orders set amount = 7, at = sysdate where id between 300 and 700",
        "delete from YARD.orders where id < 0",
    )
    assert 0 == yard.pull(file, "--to", copy)
    assert table(yard) == by_key(copied(copy / "orders.parquet"))
    yard.run("update YARD.orders set _freshet_deleted_at = sysdate, at = sysdate where id between 400 and 500")
    again = yard.process(file, "--to", copy, point=point.partition(":")[0])
    again.communicate(timeout=HANGS_S)
    assert -signal.SIGKILL == again.returncode
    assert 0 == yard.pull(file, "--to", copy)
    assert table(yard) == by_key(copied(copy / "orders.parquet"))
    assert {"orders.parquet", "state.json", ".lock"} == {path.name for path in copy.iterdir()}


def test_csv_keeps_every_value_apart(yard: Yard, tmp_path: Path) -> None:
    """NULL, an empty text, quotation marks, line ends and U+2028 in CSV, over two pulls."""
    texts = ["", 'a"b', "a,b", "a\nb", "a\r\nb", "\u2028", "NULL", "é"]
    yard.run("create table YARD.t (c int not null, k int not null, v varchar(20), b boolean, f double precision)")
    for number, text in enumerate(texts):
        yard.run(f"insert into YARD.t values ({number}, {number}, '{text}', true, 'NaN')")
    yard.run("insert into YARD.t values (99, 99, null, null, null)")
    file, copy = yard.file(3, t={"cursor": "c", "keys": ["k"], "overlap": 0}), tmp_path / "copy"
    assert [0, 0] == [yard.pull(file, "--to", copy, "--format", "csv") for _ in range(2)]
    rows = arrow_csv.read_csv(
        copy / "t.csv",
        parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
        convert_options=arrow_csv.ConvertOptions(
            strings_can_be_null=True, quoted_strings_can_be_null=False, null_values=[""]
        ),
    ).to_pylist()
    assert [*texts, None] == [row["v"] for row in rows]
    assert ['"99"', "", "", ""] == (copy / "t.csv").read_text().splitlines()[-1].split(",")[1:]


def test_every_type_is_kept_in_parquet(yard: Yard, tmp_path: Path) -> None:
    """What PostgreSQL says and what the file says are the same values of the same kinds."""
    yard.run(
        "create table YARD.t (c int not null, k int not null, d decimal(38,18), b boolean, day date, at timestamp, "
        "zone timestamptz, clock time, f double precision, r real, s super, si smallint, bi bigint)",
        "insert into YARD.t values (1, 1, 12345678901234567890.000000000000000001, false, '2026-02-03', '2026-02-03 04:05:06.7', "
        "'2026-02-03 04:05:06.7+03', '01:02:03.000004', 1e300, 0.25, json_parse('[1]'), 3, 9223372036854775807)",
        "insert into YARD.t (c, k, f) values (2, 2, '-Infinity')",
    )
    file, copy = yard.file(t={"cursor": "c", "keys": ["k"], "overlap": 0}), tmp_path / "copy"
    assert 0 == yard.pull(file, "--to", copy)
    names = "c, k, d, b, day, at, zone, clock, f, r, s::text as s, si, bi"
    assert yard.rows(f"select {names} from YARD.t order by k") == copied(copy / "t.parquet")


def test_two_pulls_into_one_folder_are_refused(yard: Yard, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The second says who is at it and does nothing."""
    fill(yard, 10)
    file, copy = yard.file(orders=TABLE), tmp_path / "copy"
    copy.mkdir()
    with (copy / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()
        assert 1 == yard.pull(file, "--to", copy)
    assert "another pull is writing into" in capfd.readouterr().err
    assert [".lock"] == [path.name for path in copy.iterdir()]
    both = [yard.process(yard.file(2, orders=TABLE), "--to", copy) for _ in range(2)]
    codes = [(process.communicate(timeout=HANGS_S), process.returncode)[1] for process in both]
    assert 0 in codes
    assert table(yard) == by_key(copied(copy / "orders.parquet"))


def test_ctrl_c_ends_cleanly_and_the_next_pull_goes_on(yard: Yard, tmp_path: Path) -> None:
    """Exit code 130, the ledger says stopped, and what was pulled is not pulled again."""
    fill(yard, 2000)
    file, copy = yard.file(5, orders=TABLE), tmp_path / "copy"
    process = yard.process(file, "--to", copy)
    while not (copy / "state.json").exists():
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=HANGS_S)
    assert (130, "") == (process.returncode, told.strip())
    assert ("pull", "stopped") == last_run(yard)[:2]
    assert 0 == yard.pull(yard.file(orders=TABLE), "--to", copy)
    assert table(yard) == by_key(copied(copy / "orders.parquet"))


def test_a_ctrl_c_that_python_drops_ends_it_all_the_same(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a signal raises in a destructor or a callback is lost; the pull asks once more before the next answer."""
    fill(yard, 100)
    keep, kept = CopyFolder.keep, list[Any]()

    def interrupted(folder: CopyFolder, answer: Any) -> int:
        kept.append(answer)
        if len(kept) == 2:
            with contextlib.suppress(KeyboardInterrupt):
                os.kill(os.getpid(), signal.SIGINT)
        return keep(folder, answer)

    monkeypatch.setattr(CopyFolder, "keep", interrupted)
    assert 130 == yard.pull(yard.file(5, orders=TABLE), "--to", tmp_path / "copy")
    assert 2 == len(kept)
    assert ("pull", "stopped") == last_run(yard)[:2]
    assert 0 == yard.pull(yard.file(orders=TABLE), "--to", tmp_path / "copy")
    assert table(yard) == by_key(copied(tmp_path / "copy" / "orders.parquet"))


def last_run(yard: Yard) -> tuple[str, str, int, int]:
    row = runs.recent(yard.warehouse, 1)[0]
    return row["kind"], row["outcome"], row["rows"], row["bytes"]


def test_a_pull_stands_in_the_ledger(yard: Yard, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With the rows and bytes that it says itself."""
    fill(yard, 1000)
    capfd.readouterr()
    assert 0 == yard.pull(yard.file(300, orders=TABLE), "--to", tmp_path / "copy", "--json")
    said = json.loads(capfd.readouterr().out.splitlines()[-1])
    assert (1000, 0, 4, {"orders": 1000}) == (said["rows"], said["deleted"], said["answers"], said["tables"])
    assert ("pull", "done", 1000, said["bytes"]) == last_run(yard)


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_an_empty_table_is_an_empty_file(yard: Yard, tmp_path: Path, form: str) -> None:
    """With its columns; rows come with a later pull, and may all go again."""
    yard.run(MADE)
    file, copy = yard.file(orders=TABLE), tmp_path / "copy"
    for rows, change in (
        (0, "insert into YARD.orders values ('n', 1, 1, '', sysdate, null)"),
        (1, "update YARD.orders set at = sysdate, _freshet_deleted_at = sysdate"),
        (0, "update YARD.orders set at = sysdate"),
    ):
        assert 0 == yard.pull(file, "--to", copy, "--format", form)
        columns = dict.fromkeys(("region", "id", "amount", "note", "at", "_freshet_deleted_at"), "")
        found = Format(form).read(copy / f"orders.{form}", columns)
        assert (rows, list(columns)) == (len(found), found.column_names)
        yard.run(change)


def change_columns(yard: Yard, copy: Path) -> None:
    yard.run("drop table YARD.orders", MADE.replace("amount decimal(38,18)", "amount decimal(8,2)"))


def damage_state(yard: Yard, copy: Path) -> None:
    (copy / "state.json").write_text('{"version": 1')


def other_pull(yard: Yard, copy: Path) -> None:
    state = json.loads((copy / "state.json").read_text())
    (copy / "state.json").write_text(json.dumps(state | {"pull": "other"}))


def tamper(yard: Yard, copy: Path) -> None:
    state = json.loads((copy / "state.json").read_text())
    state["state"]["tables"]["orders"]["high"] = "2099-01-01 00:00:00"
    (copy / "state.json").write_text(json.dumps(state))


def foreign(yard: Yard, copy: Path) -> None:
    (copy / "state.json").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (change_columns, "has changed in the warehouse"),
        (damage_state, "is damaged"),
        (other_pull, "holds a copy of other"),
        (tamper, "changed or cut"),
        (foreign, "no copy of a pull"),
    ],
)
def test_a_folder_that_does_not_fit_is_left_alone(
    yard: Yard, tmp_path: Path, capfd: pytest.CaptureFixture[str], change: Any, message: str
) -> None:
    """Exit code 2, the reason, and the copy as it was."""
    fill(yard, 10)
    file, copy = yard.file(orders=TABLE), tmp_path / "copy"
    assert 0 == yard.pull(file, "--to", copy)
    before = (copy / "orders.parquet").read_bytes()
    change(yard, copy)
    assert 2 == yard.pull(file, "--to", copy)
    assert message in " ".join(capfd.readouterr().err.split())
    assert before == (copy / "orders.parquet").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--to", "copy"], 2, "there is no table"),
        ([], 2, "--to FOLDER"),
        (["--to", "copy", "--stack", "x"], 2, "say --aws too"),
        (["--to", "copy", "--function", "x"], 2, "say --aws too"),
        (["--test"], 2, "there is no table"),
        (["--to", "copy", "--format", "xml"], 2, "xml"),
    ],
)
def test_wrong_arguments_are_told(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], arguments: list[str],
    code: int, message: str,
) -> None:  # fmt: skip
    """With the exit codes of every command."""
    monkeypatch.chdir(tmp_path)
    assert code == yard.pull(yard.file(missing=TABLE), *arguments)
    assert message in " ".join(capfd.readouterr().err.split())


def test_the_example_is_a_definition() -> None:
    """sql/pulls/ holds definitions that can be read."""
    from freshet.cli.context import ROOT
    from freshet.cli.pull import find_definition
    from freshet.cli.serving_place import read_pull

    for path in (ROOT / "sql" / "pulls").glob("*.yaml"):
        assert path.stem == read_pull(find_definition(str(path)))[0].name
