"""What `freshet verify` says: keys and columns, in words and as one JSON object."""

from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from freshet.cli.context import Place
from freshet.cli.verify import as_json, tell
from freshet.verify.compare import Comparison
from freshet.verify.rows import Difference
from tests.verify.shop import Shop

FOUND = Comparison(
    rows=5,
    source_rows=6,
    differences=[Difference((1,), "different", ("price",), "stale"), Difference((2,), "missing", (), "in_flight")],
    kept_after_delete=[(9,)],
    too_hot=[("[a]", 8)],
    quarantined=1,
)


def test_the_result_is_one_object() -> None:
    """Every count, and of each list the first keys."""
    assert {
        "pipeline": "p",
        "verified": False,
        "rows": 5,
        "source_rows": 6,
        "differing": 2,
        "differences": [
            {"key": [1], "kind": "different", "columns": ["price"], "verdict": "stale"},
            {"key": [2], "kind": "missing", "columns": [], "verdict": "in_flight"},
        ],
        "stale": 1,
        "wrong": 0,
        "in_flight": 1,
        "dms_is_behind": False,
        "quarantined": 1,
        "repaired": 0,
        "repaired_keys": [],
        "too_hot": 1,
        "too_hot_keys": [["[a]", 8]],
        "kept_after_delete": 1,
        "kept_keys": [[9]],
        "unanswered": False,
    } == as_json("p", FOUND)


def test_the_words_say_why_and_what_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a repair nobody knows whether the job would compute the same again."""
    tell("p", FOUND)
    said = capsys.readouterr().out
    for part in (
        "1 differs in price  stale or wrong: --repair tells which",
        "2 is in MySQL, not in the target  in flight",
        "1 entry in quarantine",
        "1 row in flight: the job is behind or not running",
        "1 row too hot to compare: changed each time they were read ([a], 8)",
        "1 row kept after delete",
        "not verified: 1 stale or wrong, 1 in flight  5 rows of 6 facts",
    ):
        assert part in said


def test_dms_behind_and_a_repair_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Each with its own words."""
    found = Comparison(
        differences=[Difference((1,), "extra", (), "wrong"), Difference((2,), "missing", (), "in_flight")],
        repaired=[(3,)],
        asked_to_repair=True,
        capture_is_behind=True,
        unanswered=True,
    )
    tell("p", found, of_several=True)
    said = capsys.readouterr().out
    for part in (
        "1 is in the target, and should not be  wrong: the computation or the load is at fault",
        "in flight: DMS is behind",
        "the job has not taken the request to repair",
        "repaired: 1 change had been lost (3)",
    ):
        assert part in said


def test_no_value_is_told(
    place: Place, spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rows differ in personal columns and in others: keys and names of columns are all that leaves."""
    shop = Shop(place, spark, tmp_path)
    shop.fill()
    shop.change("email = 'Ada@Example.org', phone = 'tel +47 123', customer = 'Ada', note = 'needle'")
    shop.run_sql("update orders set note = 'needle' where shop = 'west'")
    found = shop.verify()
    tell(shop.name, found)
    said = capsys.readouterr().out + str(as_json(shop.name, found)) + repr(found)
    assert 3 == len(found.differences)
    for needle in ("example", "+47", "Ada", "needle", "k1:"):
        assert needle.lower() not in said.lower()
