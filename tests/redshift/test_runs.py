"""The ledger of batch runs: what ran, how much it moved, how it ended."""

import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest

from freshet.cli.context import Place
from freshet.errors import InputError
from freshet.redshift import runs
from tests.faults.control import inject, injected


def mine(place: Place, name: str) -> list[tuple[str, int, int, str]]:
    """Outcome, rows, bytes and message of the runs of a name, newest first."""
    found = [row for row in runs.recent(place.warehouse, 1000) if row["name"] == name]
    return [(row["outcome"], row["rows"], row["bytes"], row["message"]) for row in found]


@pytest.fixture
def name() -> str:
    """A name that no other run has, and that SQL could misread."""
    return f"it's \\ {uuid.uuid4().hex[:8]}"


def test_a_run_is_told_from_its_begin_to_its_end(place: Place, name: str) -> None:
    """Running with what it has moved, then done; its seconds are those between."""
    with runs.recorded(place.warehouse, "load", name) as run:
        assert [("running", 0, 0, "")] == mine(place, name)
        run.progress(rows=3, bytes=10)
        run.progress(rows=4, bytes=2**33)
        assert [("running", 7, 2**33 + 10, "")] == mine(place, name)
    assert [("done", 7, 2**33 + 10, "")] == mine(place, name)
    row = next(row for row in runs.recent(place.warehouse, 1000) if row["name"] == name)
    assert ("load", True) == (row["kind"], row["seconds"] >= 0)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (InputError("the column's \\ name"), ("failed", 0, 0, "the column's \\ name")),
        (ValueError("jane@example.com"), ("failed", 0, 0, "ValueError")),
        (KeyboardInterrupt(), ("stopped", 0, 0, "KeyboardInterrupt")),
        (InputError("é" * 3000), ("failed", 0, 0, "é" * 1000)),
    ],
)
def test_a_run_tells_why_it_ended(
    place: Place, name: str, raised: BaseException, expected: tuple[str, int, int, str]
) -> None:
    """An error of ours is told whole, another by its kind alone: it may quote a value."""
    with pytest.raises(type(raised)), runs.recorded(place.warehouse, "sql", name):
        raise raised
    assert [expected] == mine(place, name)


def test_a_killed_run_is_lost_when_its_like_begins(place: Place, name: str) -> None:
    """And if it was not killed but slow, it says so itself."""
    slow = runs.begin(place.warehouse, "load", name)
    other = runs.begin(place.warehouse, "sql", name)
    with runs.recorded(place.warehouse, "load", name):
        assert ["lost", "running", "running"] == sorted(outcome for outcome, *_ in mine(place, name))
    slow.end("done")
    other.end("failed", "no")
    assert ["done", "done", "failed"] == sorted(outcome for outcome, *_ in mine(place, name))


def test_the_first_runs_may_begin_at_once(place: Place, name: str) -> None:
    """Each makes the table if it is missing; none stumbles over the others."""
    place.warehouse.run(["drop table if exists freshet.runs"])
    with ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda number: runs.begin(place.warehouse, "load", f"{name} {number}"), range(8)))
    found = {row["run"] for row in runs.recent(place.warehouse, 1000) if row["name"].startswith(name)}
    assert {run.id for run in begun} == found


def test_a_lost_answer_writes_no_run_twice(place: Place, name: str) -> None:
    """A run begins and ends once, whatever is heard of it."""
    redshift = place.endpoints["redshift"]["endpoint_url"]
    runs.create(place.warehouse)
    before = injected(redshift)
    inject(redshift, operation="BatchExecuteStatement", fault="lose_response", times=4)
    with runs.recorded(place.warehouse, "load", name) as run:
        run.progress(rows=1)
    assert 4 == injected(redshift) - before
    assert [("done", 1, 0, "")] == mine(place, name)


def test_an_empty_warehouse_has_no_runs(place: Place) -> None:
    """Asking makes no table."""
    place.warehouse.run(["drop table if exists freshet.runs"])
    assert [] == runs.recent(place.warehouse)
    assert [] == place.warehouse.query(
        "select table_name from svv_tables where table_schema = 'freshet' and table_name = 'runs'"
    )
