"""What cannot be loaded is named and set aside, and everything else goes on; a wrong definition blames no file."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from batch_jobs.load import culprits
from batch_jobs.load.job import FilesRefused
from batch_jobs.load.staging import Staging
from freshet.errors import EnvironmentFault, InputError, TerminalError
from tests.batch_jobs.load.conftest import Box, encoded, rows

Boxes = Callable[..., Box]


def refused(box: Box) -> dict[str, Any]:
    """Run; give the summary of a run that set files aside."""
    with pytest.raises(FilesRefused) as told:
        box.run()
    return told.value.summary


def only_these_aside(box: Box, *names: str) -> None:
    """These files are set aside, and the table equals the others."""
    assert sorted(names) == box.set_aside()
    assert box.expected(*names) == box.target()
    after = box.run()
    assert (0, len(names)) == (after["files"], after["set_aside_before_files"])


@pytest.mark.parametrize("count", [1, 2, 13])
def test_a_truncated_avro_file(box: Boxes, count: int) -> None:
    """Redshift does not always say which file it was: it is found by halves."""
    mine = box(format="avro")
    mine.fill(count - 1, 20)
    mine.put("d=1/broken", encoded("avro", rows(900, 50))[:-30])
    if count == 1:  # nothing tells a bad file from a wrong definition
        with pytest.raises(TerminalError, match=r"every file that was tried.*broken"):
            mine.run()
        assert ([], {}) == (mine.target(), mine.remembered())
        return
    summary = refused(mine)
    assert [mine.load.url + "d=1/broken"] == [one["file"] for one in summary["set_aside"]]
    only_these_aside(mine, "d=1/broken")


@pytest.mark.parametrize(
    ("entries", "body", "where"),
    [
        ({"format": "csv"}, b"1,x,2\n2,y,secret\n", (2, "amount", 1207)),
        ({"format": "csv"}, b"1,x,2\n2,y\n", (2, "word", 1214)),
        ({"format": "csv"}, b"1,x,2,3\n", (1, None, 1202)),
        ({"format": "csv"}, b"1,x,2\n,y,3\n", (2, "id", 1213)),
        ({"format": "csv"}, b"1," + b"x" * 41 + b",2\n", (1, "word", 1204)),
        ({"format": "csv"}, b'1,"x,2\n', (1, None, 1216)),
        ({"format": "csv"}, b"1,\xff\xfe,2\n", (1, "word", 1220)),
        ({"format": "json"}, b'{"id": 1}\n{"id": 2,}\n', (2, None, 1216)),
        ({"format": "json"}, b'{"id": "secret"}\n', (1, "id", 1207)),
        ({"format": "avro"}, encoded("avro", [(1, "x", 2), (2, "y", "secret")]), (2, "amount", 1207)),  # type: ignore[list-item]
    ],
)
def test_a_bad_row_is_named_with_its_place(
    box: Boxes, entries: dict[str, Any], body: bytes, where: tuple[int, str | None, int]
) -> None:
    """File, line, column and code in Redshift's own words; the value stands nowhere."""
    mine = box(**entries)
    mine.fill(9, 20)
    mine.put("d=1/part-0004x", body)
    summary = refused(mine)
    (one,) = summary["set_aside"]
    assert where == (one["line"], one["column"], one["code"])
    assert ("set_aside", *where) == mine.remembered()["d=1/part-0004x"]
    only_these_aside(mine, "d=1/part-0004x")
    told = mine.place.warehouse.query(
        f"select reason from freshet.{mine.load.name}_files where outcome = 'set_aside' union all "
        f"select message from freshet.runs where name = '{mine.load.name}'"
    )
    assert "secret" not in str([*told, summary, mine.events])
    assert "failed" == mine.ledger()[0][0]


@pytest.mark.parametrize(
    ("entries", "body"),
    [
        ({"format": "avro"}, b""),
        ({"format": "avro"}, b"no avro at all"),
        ({"format": "parquet"}, b""),
        ({"format": "parquet"}, b"PAR1 and no more"),
        ({"format": "csv", "compression": "gzip"}, b"1,x,2\n"),
    ],
)
def test_a_file_of_another_kind(box: Boxes, entries: dict[str, Any], body: bytes) -> None:
    """It cannot be read at all: found by halves, among files that can."""
    mine = box(**entries)
    mine.fill(6, 20)
    mine.put("other", body)
    refused(mine)
    only_these_aside(mine, "other")


def test_a_parquet_file_of_other_columns(box: Boxes) -> None:
    """Types must agree; the file that differs is set aside."""
    mine = box(format="parquet")
    mine.fill(6, 20)
    mine.put("d=1/other", encoded("parquet", rows(0, 3))[:40] + encoded("parquet", rows(0, 3)))
    refused(mine)
    only_these_aside(mine, "d=1/other")


def test_several_bad_files_of_both_kinds(box: Boxes) -> None:
    """Each is found, in each batch, and the files beside them are loaded."""
    mine = box(format="avro", files_max=9)
    mine.fill(30, 10)
    bad = {f"d={n % 3}/bad-{n}": encoded("avro", rows(1, 30))[:-20] for n in range(4)}
    bad |= {f"d={n % 3}/worse-{n}": encoded("avro", [(1, "x", "y")]) for n in range(4)}  # type: ignore[list-item]
    for name, body in bad.items():
        mine.put(name, body)
    assert set(bad) == {one["file"].removeprefix(mine.load.url) for one in refused(mine)["set_aside"]}
    only_these_aside(mine, *bad)


def test_a_file_with_a_long_name(box: Boxes) -> None:
    """SYS_LOAD_ERROR_DETAIL holds 256 bytes of a name: it is found all the same."""
    mine = box()
    mine.fill(3, 10)
    names = ["x" * 400 + end for end in ("a", "b")]
    mine.put(names[0], b"no,number,here\n")
    mine.put(names[1], rows(800, 3))
    refused(mine)
    only_these_aside(mine, names[0])


def test_a_file_that_is_gone_before_it_is_copied(box: Boxes) -> None:
    """It is no bad file; the others go on."""
    mine = box(files_max=5)
    mine.fill(5, 10)

    def remove(event: dict[str, Any]) -> None:
        if event["event"] == "compared":
            mine.remove("d=1/part-0001")

    mine.job(remove).run()
    assert mine.expected("d=1/part-0001") == mine.target()


def test_a_file_that_is_deleted_under_the_copy(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The manifest says mandatory, so COPY refuses; it is looked for, and counted as vanished."""
    mine = box()
    mine.fill(5, 10)
    copied = []
    write = Staging.write

    def writing(self: Staging, *arguments: Any) -> tuple[str, str]:
        if not copied:
            copied.append(mine.remove("d=1/part-0001"))
        return write(self, *arguments)

    monkeypatch.setattr(Staging, "write", writing)
    done = mine.run()
    assert (4, 1) == (done["files"], done["vanished"])
    assert mine.expected("d=1/part-0001") == mine.target()


def test_a_parquet_file_that_changes_under_the_copy(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its size is not the manifest's: it is looked at again, and loaded as it is now."""
    mine = box(format="parquet")
    mine.fill(5, 10)
    write, changed = Staging.write, []

    def writing(self: Staging, *arguments: Any) -> tuple[str, str]:
        if not changed:
            changed.append(mine.put("d=1/part-0001", rows(700, 80)))
        return write(self, *arguments)

    monkeypatch.setattr(Staging, "write", writing)
    done = mine.run()
    assert (5, 0, 0) == (done["files"], done["changed_files"], len(done["set_aside"]))
    assert mine.expected() == mine.target()


@pytest.mark.parametrize(
    ("entries", "body", "message"),
    [
        ({"format": "parquet"}, encoded("csv", rows(0, 10)), "every file that was tried, 9 from all over"),
        ({"format": "csv"}, b"1;x;2\n", "every file that was tried, 9 from all over.*Delimiter not found"),
    ],
)
def test_a_wrong_definition_blames_no_file(box: Boxes, entries: dict[str, Any], body: bytes, message: str) -> None:
    """Every file is refused in the same way: stop, say so, set none aside; once it is corrected all are loaded."""
    mine = box(**entries)
    for number in range(40):
        mine.put(f"part-{number}", body)
    with pytest.raises(TerminalError, match=message):
        mine.run()
    assert {} == mine.remembered()
    mine.load = replace(mine.load, format="csv", delimiter=";" if b";" in body else ",")
    assert 40 == mine.run()["files"]


def test_many_bad_files_before_the_first_good_one(box: Boxes) -> None:
    """A few from all over are tried, so one that passes is found, and the others are set aside."""
    mine = box()
    bad = [f"a/bad-{number:02}" for number in range(12)]
    for name in bad:
        mine.put(name, b"x,y,z\n")
    mine.fill(4, 5)
    refused(mine)
    only_these_aside(mine, *bad)


def test_too_many_bad_files_in_a_row(box: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The load stops; the next run goes on behind them."""
    monkeypatch.setattr(culprits, "BAD_IN_A_ROW_MAX", 5)
    mine = box()
    mine.fill(2, 5)
    mine.run()
    mine.put("a/good", rows(900, 5))
    bad = [f"e/bad-{number:02}" for number in range(20)]
    for name in bad:
        mine.put(name, b"x,y,z\n")
    with pytest.raises(TerminalError, match="5 files one after the other"):
        mine.run()
    for _ in range(4):
        mine.put(f"a/{len(mine.files)}", rows(1000 * len(mine.files), 5))
        with suppress(TerminalError, FilesRefused):
            mine.run()
    only_these_aside(mine, *bad)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"bucket": "no-such-bucket-at-all"}, InputError, "no bucket no-such-bucket-at-all"),
        ({"prefix": "elsewhere/"}, InputError, "no file below s3://.*elsewhere/"),
        ({"suffix": ".avro"}, InputError, "no file that ends with .avro"),
        ({"columns": ("id", "wrong", "amount")}, InputError, "no column wrong.*id, word, amount"),
        ({"replace": "amount"}, InputError, "must be a varchar"),
        ({"replace": "nothing"}, InputError, "no column nothing"),
        ({"format": "csv", "time_format": "nonsense \\ '"}, TerminalError, "every file that was tried"),
    ],
)
def test_a_wrong_entry_is_told_and_nothing_is_written(
    box: Boxes, change: dict[str, Any], error: type[Exception], message: str
) -> None:
    """The message names it; no file is loaded or set aside."""
    mine = box()
    mine.fill(3, 5)
    good = mine.load
    mine.load = replace(good, **change)
    if error is TerminalError:
        mine.load = replace(mine.load, table=good.table.replace("amount integer", "amount timestamp"))
    with pytest.raises(error, match=message):
        mine.run()
    if error is InputError:
        mine.load = good
        mine.run()
        assert mine.expected() == mine.target()


def test_what_is_not_the_files_fault_stops_the_load(box: Boxes) -> None:
    """No right to the table, no table: none is set aside, and the message says what to look at."""
    mine = box()
    mine.fill(5, 5)
    mine.run()
    mine.fill(5, 5)

    def drop(event: dict[str, Any]) -> None:
        if event["event"] == "compared":
            mine.place.warehouse.run([f"drop table {mine.load.target}"])

    with pytest.raises(TerminalError, match="refuses the load itself"):
        mine.job(drop).run()
    assert [] == mine.set_aside()
    assert 5 == len(mine.remembered())


def test_s3_that_refuses_is_the_environment(box: Boxes) -> None:
    """A list that cannot be written ends the run before anything is sent."""
    mine = box()
    mine.fill(2, 5)
    job = mine.job()
    job = replace(job, staging=replace(job.staging, bucket="no-such-bucket-here"))
    with pytest.raises((EnvironmentFault, InputError), match="no-such-bucket-here"):
        job.run()
    assert [] == mine.target()
