"""Files become rows, each exactly once, whatever their format and however they are cut into batches."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from batch_jobs.load.job import FilesRefused
from freshet.errors import InputError, TerminalError
from tests.batch_jobs.load.conftest import Box, rows

Boxes = Callable[..., Box]


def told(result: dict[str, Any], *names: str) -> tuple[Any, ...]:
    """Some of a result's entries."""
    return tuple(result[name] for name in names)


@pytest.mark.parametrize("replaced_by", ["", "_freshet_batch"])
@pytest.mark.parametrize("entries", [{"format": "avro"}, {"format": "json"}, {"format": "csv"}, {"format": "parquet"},
                                     {"format": "csv", "compression": "gzip"}])  # fmt: skip
def test_thousands_of_rows_in_many_files(box: Boxes, entries: dict[str, Any], replaced_by: str) -> None:
    """The table equals the files; a second run loads nothing, a third only what came since."""
    if replaced_by or entries["format"] == "parquet":
        entries = {**entries, "replace": replaced_by}
    mine = box(**entries, files_max=7)
    mine.fill(40, 100)
    done = mine.run()
    assert (40, 4000, 6, 0) == (done["files"], done["rows"], done["batches"], done["arrived_meanwhile"])
    assert mine.expected() == mine.target()
    assert (0, 0, 40) == told(mine.run(), "files", "rows", "known")
    mine.fill(3, 100)
    assert (3, 300) == told(mine.run(), "files", "rows")
    assert mine.expected() == mine.target()
    assert [("done", 4000, done["bytes"]), ("done", 0, 0)] == mine.ledger()[:2]
    assert [] == mine.staged()


def test_any_key_that_s3_takes(box: Boxes) -> None:
    """Quotes, blanks at the end, backslashes, other alphabets, signs that SQL or JSON could misread: each is one file."""
    mine = box()
    names = [
        "a",
        "a ",
        "a  ",
        "A",
        "it's",
        'say "x"',
        "back\\slash",
        "ümlaut",
        "日本",
        "\U0001f30a",
        "a%20b",
        "a+b",
        "x" * 900,
    ]
    for place, name in enumerate(names):
        mine.put(name, rows(place * 10, 10))
    assert len(names) == mine.run()["files"]
    assert mine.expected() == mine.target()
    assert 0 == mine.run()["files"]
    assert set(names) == set(mine.remembered())


def test_only_files_below_the_prefix_that_end_so(box: Boxes) -> None:
    """Folder marks, markers such as _SUCCESS and neighbors of the prefix are none of the load's files."""
    mine = box(suffix=".csv")
    mine.put("one.csv", rows(0, 5))
    mine.put("_SUCCESS", b"")
    mine.put("folder/", b"")
    mine.s3.put_object(Bucket=mine.load.bucket, Key="in-other/two.csv", Body=b"9,9,9\n")
    assert 1 == mine.run()["files"]
    assert mine.expected() == mine.target()


def test_batches_by_bytes(box: Boxes) -> None:
    """A file larger than a batch is a batch by itself."""
    mine = box(bytes_max=100)
    mine.put("a", b"1,x,1\n")
    mine.put("b", b"2,x,2\n")
    mine.put("c", b"3,x,3\n" * 20)
    mine.put("d", b"4,x,4\n")
    assert 3 == mine.run()["batches"]
    assert 23 == len(mine.target())


def test_an_empty_file_is_loaded_too(box: Boxes) -> None:
    """It has no rows, and is remembered."""
    mine = box()
    mine.put("empty", b"")
    mine.put("full", rows(0, 3))
    assert (2, 3) == told(mine.run(), "files", "rows")
    assert 0 == mine.run()["files"]


def test_columns_in_the_files_order(box: Boxes) -> None:
    """`columns` says which columns of the target the file has."""
    mine = box(columns=("amount", "id"), header_lines=1, delimiter=";")
    mine.put("one", b"amount;id\n7;1\n8;2\n")
    mine.run()
    assert [(1, None, 7), (2, None, 8)] == mine.target()


def test_a_dry_run_writes_nothing(box: Boxes) -> None:
    """Neither tables nor a line in the ledger; it tells the files."""
    mine = box()
    mine.fill(4, 5)
    plan = mine.job().dry_run()
    assert (4, 0) == (plan["files"], plan["known"])
    assert 4 == len(plan["would_load"])
    assert [] == mine.place.warehouse.query(
        f"select table_name from svv_tables where table_name like '%{mine.load.name}%'"
    )
    mine.run()
    mine.fill(1, 5)
    plan = mine.job().dry_run()
    assert (1, 4) == (plan["files"], plan["known"])


def test_a_changed_file_is_told_and_not_loaded(box: Boxes) -> None:
    """Its rows stay as they were, whatever is run, until somebody reloads it."""
    mine = box(replace="_freshet_batch")
    mine.fill(3, 10)
    mine.run()
    before = mine.target()
    url = mine.put("d=1/part-0001", rows(500, 4))
    done = mine.run(retry=True)
    assert (0, [url]) == (done["files"], done["changed"])
    assert before == mine.target()
    again = mine.run(reload=[url])
    assert (3, 24, []) == (again["files"], again["rows"], again["changed"])
    assert mine.expected() == mine.target()
    assert 0 == mine.run()["changed_files"]


def test_a_reload_touches_its_batch_alone(box: Boxes) -> None:
    """Files of other batches keep their rows and are not read."""
    mine = box(replace="_freshet_batch", files_max=1)
    mine.fill(5, 10)
    mine.run()
    mine.put("d=1/part-0001", rows(700, 2))
    assert (1, 2) == told(mine.run(reload=["d=1/part-0001"]), "files", "rows")
    assert mine.expected() == mine.target()


def test_a_reload_that_would_lose_rows_is_refused(box: Boxes) -> None:
    """Without a column that tells the rows, or with a neighbor gone or changed, nothing is changed."""
    plain = box()
    plain.fill(2, 5)
    plain.run()
    with pytest.raises(InputError, match=r"cannot be replaced.*replace: COLUMN"):
        plain.run(reload=["d=0/part-0000"])
    mine = box(replace="_freshet_batch")
    mine.fill(3, 5)
    mine.run()
    before = mine.target()
    mine.put("d=1/part-0001", rows(90, 2))
    with pytest.raises(InputError, match="has changed too"):
        mine.run(reload=["d=0/part-0000"])
    mine.remove("d=2/part-0002")
    with pytest.raises(InputError, match="is gone"):
        mine.run(reload=["d=0/part-0000", "d=1/part-0001"])
    with pytest.raises(InputError, match="there is no file"):
        mine.run(reload=["d=2/part-0002"])
    with pytest.raises(InputError, match="no file of load"):
        mine.run(reload=["s3://elsewhere/x"])
    assert before == mine.target()


def test_rows_from_before_replace_are_not_guessed(box: Boxes) -> None:
    """A file that was loaded without its batch beside its rows cannot be replaced later either."""
    mine = box(replace="_freshet_batch")
    with_column = mine.load
    mine.load = replace(with_column, replace="", columns=("id", "word", "amount"))
    mine.fill(1, 5)
    mine.run()
    mine.load = replace(with_column, columns=())
    with pytest.raises(InputError, match=r"before load\.yaml said replace"):
        mine.run(reload=["d=0/part-0000"])
    assert mine.expected() == mine.target()


def test_a_bad_reload_keeps_the_old_rows(box: Boxes) -> None:
    """The deletion is in the same transaction as the COPY that fails."""
    mine = box(replace="_freshet_batch")
    mine.fill(2, 5)
    mine.run()
    before = mine.target()
    mine.put("d=0/part-0000", b"no number,x,1\n")
    with pytest.raises(TerminalError, match=r"line 1, column id.*still there"):
        mine.run(reload=["d=0/part-0000"])
    assert before == mine.target()
    assert [] == mine.set_aside()


def test_a_file_that_changes_between_listing_and_copy(box: Boxes) -> None:
    """With Parquet the sizes differ and it is looked at again; with text, the run's own end tells that it has changed."""
    mine = box(format="parquet")
    mine.fill(3, 5)
    mine.run()
    text = box()
    text.fill(3, 5)

    def change(event: dict[str, Any]) -> None:
        if event["event"] == "batch":
            text.put("d=1/part-0001", rows(100, 2))

    done = text.job(change).run()
    assert (3, [text.load.url + "d=1/part-0001"]) == (done["files"], done["changed"])


def test_a_load_that_begins_again_under_another_target(box: Boxes) -> None:
    """What is remembered as loaded is not in another table: refused, with what to do."""
    mine = box()
    mine.fill(1, 5)
    mine.run()
    other = mine.load.target + "_b"
    mine.load = replace(mine.load, target=other, table=mine.load.table.replace(mine.load.target, other))
    with pytest.raises(InputError, match="another name"):
        mine.run()


def test_lists_are_never_taken_for_files(box: Boxes) -> None:
    """A prefix that holds the staging folder is refused."""
    mine = box()
    mine.load = replace(mine.load, bucket=mine.place.endpoints["staging_bucket"], prefix="fresh")
    with pytest.raises(InputError, match="narrower prefix"):
        mine.run()


def test_a_set_aside_file_that_is_mended(box: Boxes) -> None:
    """It is loaded by itself; an unchanged one only with --retry or --reload."""
    mine = box()
    mine.fill(3, 5)
    mine.put("bad", b"1,x,y\n")
    with pytest.raises(FilesRefused, match="1 set aside"):
        mine.run()
    done = mine.run()
    assert (0, [mine.load.url + "bad"]) == (done["files"], done["set_aside_before"])
    for how in ({"retry": True}, {"reload": ["bad"]}):
        with pytest.raises(FilesRefused):
            mine.run(**how)
    assert ["bad"] == mine.set_aside()
    mine.put("bad", rows(900, 2))
    assert (1, 2) == told(mine.run(), "files", "rows")
    assert mine.expected() == mine.target()
    assert [] == mine.set_aside()
